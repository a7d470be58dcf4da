//! The section on identity providers, as written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret_ref::SecretRef;

/// An identity provider.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UpstreamProvider {
    /// A name of your choice, a DNS label; resources refer to it. No two providers have the same.
    pub name: String,
    /// The name that users read, at most 64 bytes. Absent: `name`.
    #[serde(default)]
    pub display_name: Option<String>,
    /// The kind of provider.
    #[serde(rename = "type")]
    pub kind: ProviderType,
    /// The provider's part in a login.
    #[serde(default)]
    pub login: LoginMode,
    /// The settings of an `oidc` provider, and of no other.
    #[serde(default)]
    pub oidc_config: Option<OidcConfig>,
    /// The settings of an `oauth2` provider, and of no other.
    #[serde(default, rename = "oauth2Config")]
    pub oauth2_config: Option<OAuth2Config>,
}

/// A provider's part in a login. The user is whom the first provider says that is not `onDemand`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LoginMode {
    /// Users log in here each time, one such provider after the other in the document's order.
    #[default]
    Required,
    /// Users log in at one of all such providers, which they choose; that is at the place of the
    /// first of them.
    Choice,
    /// Not part of a login.
    OnDemand,
}

/// The kind of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProviderType {
    /// OpenID Connect with discovery.
    Oidc,
    /// OAuth 2.0 without discovery and ID tokens, as GitHub and Slack have it.
    #[serde(rename = "oauth2")]
    OAuth2,
}

/// An OpenID Connect provider.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OidcConfig {
    /// The provider's issuer; its discovery document is at `/.well-known/openid-configuration`
    /// under it.
    pub issuer_url: String,
    /// The ids of the tenants whose users may log in, where the issuer stands for many tenants:
    /// `https://login.microsoftonline.com/common/v2.0`, with `organizations` or `consumers`, or with
    /// `{tenantid}` in place of one. A user is then known as `TENANT:SUBJECT`.
    #[serde(default)]
    pub allowed_tenants: Vec<String>,
    /// The provider whose ways are followed, where it is not seen from the issuer's host:
    /// `google` or `entra`; `none` follows none.
    #[serde(default)]
    pub quirks: Option<ProviderQuirks>,
    /// Envoy's cluster for the issuer's host.
    pub cluster: String,
    /// Envoy's clusters for other hosts that the discovery document may name for its token and key
    /// endpoints, by host or host:port. A host that is not listed here is never called.
    #[serde(default)]
    pub clusters: BTreeMap<String, String>,
    /// The client id that the provider gave this gateway. Its redirect URI is
    /// `<issuer>/oauth/callback`.
    pub client_id: String,
    /// The client's secret; absent for a public client, and for one that has a key.
    #[serde(default)]
    pub client_secret: Option<SecretRef>,
    /// The client's private key, as PEM, for `private_key_jwt`: EC P-256 or P-384, RSA of 2048 bits
    /// or more, Ed25519. It signs ES256, ES384, RS256 and EdDSA. Register its public half with the
    /// provider.
    #[serde(default)]
    pub client_key: Option<SecretRef>,
    /// The `kid` of that key at the provider. Absent: the key's thumbprint (RFC 7638).
    #[serde(default)]
    pub client_key_id: Option<String>,
    /// The audience of what that key signs. Absent: `issuer`, but `tokenEndpoint` at
    /// Microsoft Entra.
    #[serde(default)]
    pub client_assertion_audience: Option<AssertionAudience>,
    /// How the gateway proves itself with the secret at the provider's token endpoint.
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    /// The scopes asked of the provider; must contain `openid`, and usually what makes the provider
    /// issue a refresh token.
    #[serde(default = "default_provider_scopes")]
    pub scopes: Vec<String>,
    /// The ID token claim that names the user for good.
    #[serde(default = "default_subject_claim")]
    pub subject_claim: String,
    /// The ID token claim with the groups that the user is in, as a list or one text. Dots lead
    /// into objects, as in `realm_access.roles`, unless the name has a `:` or `/`, as in
    /// `https://example.com/groups`. Of a user's groups the first 100 are kept, and at most 4 KiB,
    /// those that `users` names before others.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// Where to ask for the user's name, e-mail address and groups at a login, as far as the ID
    /// token has none of them (OIDC Core §5.3). Absent: nowhere.
    #[serde(default)]
    pub user_info: Option<OidcUserInfo>,
    /// How long an access token is used, and then refreshed, of which the provider does not say how
    /// long it lives (`expires_in`): 1m to 30d.
    #[serde(default = "default_token_lifespan")]
    pub default_token_lifespan: String,
    /// Further parameters of the authorization request, such as `prompt` or `access_type`.
    #[serde(default)]
    pub additional_authorization_params: BTreeMap<String, String>,
    /// Further parameters of the token requests, with a code and with a refresh token. No secrets:
    /// Envoy shows this document on its admin port.
    #[serde(default)]
    pub additional_token_params: BTreeMap<String, String>,
}

/// A provider that differs from OpenID Connect as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProviderQuirks {
    /// Google: `access_type=offline` and `prompt=consent` are sent unless others are configured,
    /// and the scope `offline_access`, which it refuses, is left out.
    Google,
    /// Microsoft Entra: `common`, `organizations` and `consumers` in the issuer stand for many
    /// tenants, and client assertions are for the token endpoint.
    Entra,
    /// None of these.
    None,
}

/// The userinfo endpoint of an OpenID Connect provider. Its claims are those of an ID token, and it
/// must name the same `sub`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OidcUserInfo {
    /// Its URL, at a host of `clusters` or the issuer's. Absent: the `userinfo_endpoint` of the
    /// discovery document.
    pub endpoint_url: Option<String>,
}

/// An OAuth 2.0 provider without discovery. Who logged in is read from `userInfo`, or from its
/// token response; a user is known by that name and `authorizationEndpoint`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OAuth2Config {
    /// Where browsers log in (RFC 6749 §3.1). What is changed here makes other users of all.
    pub authorization_endpoint: String,
    /// Where codes and refresh tokens are exchanged (RFC 6749 §3.2).
    pub token_endpoint: String,
    /// Envoy's cluster for the token endpoint's host.
    pub cluster: String,
    /// The client id that the provider gave this gateway. Its redirect URI is
    /// `<issuer>/oauth/callback`.
    pub client_id: String,
    /// The client's secret; absent for a public client, and for one that has a key.
    #[serde(default)]
    pub client_secret: Option<SecretRef>,
    /// The client's private key, as PEM, for `private_key_jwt`: EC P-256 or P-384, RSA of 2048 bits
    /// or more, Ed25519. It signs ES256, ES384, RS256 and EdDSA. Register its public half with the
    /// provider.
    #[serde(default)]
    pub client_key: Option<SecretRef>,
    /// The `kid` of that key at the provider. Absent: the key's thumbprint (RFC 7638).
    #[serde(default)]
    pub client_key_id: Option<String>,
    /// The audience of what that key signs. Absent: `tokenEndpoint`.
    #[serde(default)]
    pub client_assertion_audience: Option<AssertionAudience>,
    /// How the gateway proves itself with the secret at the token endpoint; `auto` is `basic`.
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    /// The scopes asked of the provider; none asks for what it gives by default.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Where to ask who logged in. Either this or `identityFromToken`.
    #[serde(default)]
    pub user_info: Option<UserInfo>,
    /// Where in the token response it says who logged in. Either this or `userInfo`.
    #[serde(default)]
    pub identity_from_token: Option<IdentityFromToken>,
    /// Where the tokens are in a token response that is not as RFC 6749 §5.1 has it.
    #[serde(default)]
    pub token_response_mapping: Option<TokenResponseMapping>,
    /// How long an access token is used, and then refreshed, of which the provider does not say how
    /// long it lives (`expires_in`): 1m to 30d. Without a refresh token it is used as long as its
    /// session lasts.
    #[serde(default = "default_token_lifespan")]
    pub default_token_lifespan: String,
    /// Further parameters of the authorization request, such as `prompt`.
    #[serde(default)]
    pub additional_authorization_params: BTreeMap<String, String>,
    /// Further parameters of the token requests, with a code and with a refresh token. No secrets:
    /// Envoy shows this document on its admin port.
    #[serde(default)]
    pub additional_token_params: BTreeMap<String, String>,
}

/// An endpoint that tells whose an access token is, as one JSON object of at most 1 MiB.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserInfo {
    /// Its URL.
    pub endpoint_url: String,
    /// Envoy's cluster for its host; absent if that is the token endpoint's.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The method of the request, which has no body.
    #[serde(default)]
    pub http_method: HttpMethod,
    /// Headers of the request besides `Authorization`, by name; `Accept` is `application/json` if
    /// it is not here.
    #[serde(default)]
    pub additional_headers: BTreeMap<String, String>,
    /// Which members of the answer say what.
    #[serde(default)]
    pub field_mapping: FieldMapping,
}

/// The method of a request.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum HttpMethod {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
}

/// Which members of a `userInfo` answer say what: of several the first that is there, as a string
/// or a whole number.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldMapping {
    /// What names the account for good. `login`, `username`, `preferred_username`, `name` and
    /// `email` are passed over, because they can be given to another account; one of the others is
    /// needed.
    pub subject_fields: Vec<String>,
    /// The user's name.
    pub name_fields: Vec<String>,
    /// The user's e-mail address.
    pub email_fields: Vec<String>,
    /// Whether that address was verified, as `true` or `"true"`.
    pub email_verified_fields: Vec<String>,
    /// The groups that the user is in, as a list or one text.
    pub groups_fields: Vec<String>,
}

impl Default for FieldMapping {
    fn default() -> Self {
        let one = |field: &str| vec![field.to_owned()];
        Self {
            subject_fields: one("sub"),
            name_fields: one("name"),
            email_fields: one("email"),
            email_verified_fields: one("email_verified"),
            groups_fields: one("groups"),
        }
    }
}

/// Where in the token response it says who logged in: paths of member names with dots between them,
/// such as `authed_user.id`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IdentityFromToken {
    /// What names the account for good, as in `subjectFields`.
    pub subject_path: String,
    /// The user's name.
    #[serde(default)]
    pub name_path: Option<String>,
    /// The user's e-mail address.
    #[serde(default)]
    pub email_path: Option<String>,
    /// Whether that address was verified.
    #[serde(default)]
    pub email_verified_path: Option<String>,
    /// The groups that the user is in.
    #[serde(default)]
    pub groups_path: Option<String>,
}

/// Where the tokens are in a token response: paths of member names with dots between them, such as
/// `authed_user.access_token`. Its `token_type` is not looked at.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenResponseMapping {
    /// The access token.
    pub access_token_path: String,
    /// The refresh token.
    #[serde(default)]
    pub refresh_token_path: Option<String>,
    /// The access token's life in seconds.
    #[serde(default)]
    pub expires_in_path: Option<String>,
}

/// How the gateway proves itself at a provider's token endpoint (OIDC Core §9).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ClientAuthentication {
    /// As the provider's discovery document asks in `token_endpoint_auth_methods_supported`, of
    /// what there is a credential for: `private_key_jwt` before `basic` before `post`. Where it
    /// does not say, or there is no such document, the first of these.
    #[default]
    Auto,
    /// `client_secret_basic`, whatever the provider says of itself.
    Basic,
    /// `client_secret_post`, whatever the provider says of itself.
    Post,
    /// A JWT that `clientKey` signs (RFC 7523), whatever the provider says of itself.
    #[serde(rename = "private_key_jwt")]
    PrivateKeyJwt,
    /// The client id alone (RFC 8705 §2): Envoy's cluster has the client certificate.
    #[serde(rename = "tls_client_auth")]
    TlsClientAuth,
}

/// The audience of a client assertion (RFC 7523 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AssertionAudience {
    /// The provider's issuer, as OpenID Connect wants it: no other provider can use what it is
    /// sent.
    Issuer,
    /// The URL of the token endpoint.
    TokenEndpoint,
}

fn default_provider_scopes() -> Vec<String> {
    ["openid", "offline_access"].map(String::from).to_vec()
}

fn default_token_lifespan() -> String {
    "1h".to_owned()
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}
