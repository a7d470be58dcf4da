//! Metadata documents: the authorization server (RFC 8414) and its protected resources (RFC 9728).
//!
//! Lists come from the code that enforces them, so that a document cannot advertise what a handler
//! refuses.

use super::authorize::{RESPONSE_MODES, RESPONSE_TYPES};
use super::pkce;
use super::resource::ResourceUri;
use super::scope::ScopeSet;
use super::token::GRANT_TYPES;
use serde::Serialize;

/// The members of the document that differ between installations.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationServer<'a> {
    /// The issuer, byte for byte as in tokens and in the `iss` of responses, without a trailing
    /// slash.
    pub issuer: &'a str,
    /// The absolute URL of the authorization endpoint.
    pub authorization_endpoint: &'a str,
    /// The absolute URL of the token endpoint.
    pub token_endpoint: &'a str,
    /// The absolute URL of the registration endpoint; `None` if clients cannot register themselves.
    pub registration_endpoint: Option<&'a str>,
    /// Whether a client id may be the URL of the client's metadata document.
    pub client_documents: bool,
    /// The absolute URL of the revocation endpoint (RFC 7009).
    pub revocation_endpoint: &'a str,
    /// The absolute URL of the JWK set.
    pub jwks_uri: &'a str,
    /// The scopes that a client may request.
    pub scopes_supported: &'a ScopeSet,
}

/// The only client authentication method: none, as all clients are public.
pub const CLIENT_AUTH_METHOD: &str = "none";

/// Returns the document of the authorization server. It serves as RFC 8414 metadata and under the
/// OpenID name, where some clients look first, and has no member of OpenID Connect: the gateway
/// issues no ID tokens (decision 22).
#[must_use]
pub fn authorization_server(server: &AuthorizationServer<'_>) -> Vec<u8> {
    let document = ServerDocument {
        issuer: server.issuer,
        authorization_endpoint: server.authorization_endpoint,
        token_endpoint: server.token_endpoint,
        registration_endpoint: server.registration_endpoint,
        client_id_metadata_document_supported: server.client_documents,
        revocation_endpoint: server.revocation_endpoint,
        jwks_uri: server.jwks_uri,
        scopes_supported: server.scopes_supported.iter().collect(),
        response_types_supported: RESPONSE_TYPES,
        response_modes_supported: RESPONSE_MODES,
        grant_types_supported: GRANT_TYPES,
        token_endpoint_auth_methods_supported: [CLIENT_AUTH_METHOD],
        revocation_endpoint_auth_methods_supported: [CLIENT_AUTH_METHOD],
        code_challenge_methods_supported: pkce::METHODS,
        authorization_response_iss_parameter_supported: true,
    };
    // Writing to memory cannot fail; every client would reject an empty document.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// Returns the document of one protected resource. `servers` are the issuers whose tokens it
/// accepts; `name` is shown to people.
///
/// `offline_access` is left out: it concerns the client and the authorization server, and is no
/// right at the resource.
#[must_use]
pub fn protected_resource(resource: &ResourceUri, servers: &[&str], scopes: &ScopeSet, name: Option<&str>) -> Vec<u8> {
    let document = ResourceDocument {
        resource: resource.as_str(),
        authorization_servers: servers,
        bearer_methods_supported: ["header"],
        scopes_supported: scopes.iter().filter(|scope| *scope != "offline_access").collect(),
        resource_name: name,
    };
    // Writing to memory cannot fail; every client would reject an empty document.
    serde_json::to_vec(&document).unwrap_or_default()
}

#[derive(Serialize)]
struct ServerDocument<'a> {
    issuer: &'a str,
    authorization_endpoint: &'a str,
    token_endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    client_id_metadata_document_supported: bool,
    revocation_endpoint: &'a str,
    jwks_uri: &'a str,
    scopes_supported: Vec<&'a str>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    token_endpoint_auth_methods_supported: [&'static str; 1],
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    code_challenge_methods_supported: [&'static str; 1],
    authorization_response_iss_parameter_supported: bool,
}

/// Empty lists are omitted (RFC 9728 §3.2).
#[derive(Serialize)]
struct ResourceDocument<'a> {
    resource: &'a str,
    authorization_servers: &'a [&'a str],
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(registration_endpoint: Option<&str>, client_documents: bool) -> serde_json::Value {
        let document = authorization_server(&AuthorizationServer {
            issuer: "https://as",
            authorization_endpoint: "https://as/oauth/authorize",
            token_endpoint: "https://as/oauth/token",
            registration_endpoint,
            client_documents,
            revocation_endpoint: "https://as/oauth/revoke",
            jwks_uri: "https://as/.well-known/jwks.json",
            scopes_supported: &ScopeSet::parse("read offline_access").unwrap(),
        });
        serde_json::from_slice(&document).unwrap()
    }

    #[test]
    fn the_server_document_lists_what_is_enforced_and_nothing_else() {
        let expected = serde_json::json!({
            "issuer": "https://as",
            "authorization_endpoint": "https://as/oauth/authorize",
            "token_endpoint": "https://as/oauth/token",
            "registration_endpoint": "https://as/oauth/register",
            "client_id_metadata_document_supported": true,
            "revocation_endpoint": "https://as/oauth/revoke",
            "jwks_uri": "https://as/.well-known/jwks.json",
            "scopes_supported": ["read", "offline_access"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        assert_eq!(document(Some("https://as/oauth/register"), true), expected);
    }

    #[test]
    fn what_is_turned_off_is_not_mentioned() {
        let document = document(None, false);
        assert_eq!(document.get("registration_endpoint"), None);
        assert_eq!(document.get("client_id_metadata_document_supported"), None);
    }

    #[test]
    fn the_resource_document_leaves_out_offline_access_and_what_is_unset() {
        let resource = ResourceUri::parse("https://h/mcp").unwrap();
        let scopes = ScopeSet::parse("read offline_access").unwrap();
        assert_eq!(
            protected_resource(&resource, &["https://as"], &scopes, Some("Files")),
            br#"{"resource":"https://h/mcp","authorization_servers":["https://as"],"bearer_methods_supported":["header"],"scopes_supported":["read"],"resource_name":"Files"}"#
        );
        assert_eq!(
            protected_resource(&resource, &["https://as", "https://b"], &ScopeSet::default(), None),
            br#"{"resource":"https://h/mcp","authorization_servers":["https://as","https://b"],"bearer_methods_supported":["header"]}"#
        );
    }
}
