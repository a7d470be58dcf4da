//! The discovery documents, rendered once when the configuration is compiled, so that serving one
//! allocates no JSON.

use portcullis_protocol::http::message::Response;
use portcullis_protocol::oauth::metadata::{self, AuthorizationServer};
use serde_json::json;

use crate::config::{Config, Resource};
use crate::responses::{Cors, cors};
use crate::routing::endpoint_table::Endpoint;

/// How long clients and caches may keep a discovery document, in seconds.
const MAX_AGE: &str = "public, max-age=3600";

/// How long they may keep the keys: short, because a new key is published before it signs (RFC
/// 7517).
const KEYS_MAX_AGE: &str = "public, max-age=300";

/// The rendered documents.
pub struct Documents {
    authorization_server: Response,
    keys: Response,
    resources: Vec<Response>,
}

impl Documents {
    /// Renders every document of a configuration.
    #[must_use]
    pub fn render(config: &Config) -> Self {
        let keys: Vec<_> = config.signing_keys.iter().map(|key| key.public().to_jwk()).collect();
        Self {
            authorization_server: document(authorization_server(config), MAX_AGE),
            keys: document(json!({ "keys": keys }).to_string().into_bytes(), KEYS_MAX_AGE),
            resources: config.resources.iter().map(|resource| protected_resource(config, resource)).collect(),
        }
    }

    /// RFC 8414, which is also found under its OpenID Connect name: some clients look there first.
    #[must_use]
    pub fn authorization_server(&self) -> Response {
        self.authorization_server.clone()
    }

    /// Every configured key, also those that only verify (RFC 7517 §5).
    #[must_use]
    pub fn keys(&self) -> Response {
        self.keys.clone()
    }

    /// RFC 9728, for the resource at this place in the configuration.
    #[must_use]
    pub fn protected_resource(&self, index: usize) -> Option<Response> {
        self.resources.get(index).cloned()
    }
}

fn authorization_server(config: &Config) -> Vec<u8> {
    let issuer = &config.issuer.url;
    let registration = Endpoint::Register.below(issuer);
    metadata::authorization_server(&AuthorizationServer {
        issuer,
        authorization_endpoint: &Endpoint::Authorize.below(issuer),
        token_endpoint: &Endpoint::Token.below(issuer),
        revocation_endpoint: &Endpoint::Revoke.below(issuer),
        registration_endpoint: config.registration.enabled.then_some(registration.as_str()),
        client_documents: config.client_documents.is_some(),
        jwks_uri: &Endpoint::Keys.below(issuer),
        scopes_supported: &config.scopes_supported,
    })
}

fn protected_resource(config: &Config, resource: &Resource) -> Response {
    let trusted = || {
        let places = resource.issuers.trusted.iter();
        places.filter_map(|place| config.trusted_issuers.get(*place)).map(|issuer| issuer.site.issuer.as_str())
    };
    // A client that can log in here is not to choose another way.
    let servers = if resource.issuers.own { vec![config.issuer.url.as_str()] } else { trusted().collect() };
    let title = config.is_server.then_some(config.consent.title.as_str());
    let body = metadata::protected_resource(&resource.uri, &servers, &resource.scopes, title);
    document(body, MAX_AGE)
}

fn document(body: Vec<u8>, cache: &str) -> Response {
    let response = Response::json(200, body).header("cache-control", cache).header("x-content-type-options", "nosniff");
    cors(response, Cors::Read)
}
