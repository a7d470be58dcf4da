//! The configuration document as written: one type a section, every field described, unknown fields
//! refused.
//!
//! `docs/config.md` and `docs/config.schema.json` are generated from these types.

mod injection;
mod metadata_documents;
mod resources;
mod secret_ref;
mod token_exchange;
mod trusted_issuers;
mod upstream_providers;
mod users;

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::sections::Sections;

pub use self::injection::{IdentityClaim, IdentityToken, Inject};
pub use self::metadata_documents::MetadataDocuments;
pub use self::resources::{Match, Resource, ResourceKind};
pub use self::secret_ref::SecretRef;
pub use self::token_exchange::{SubjectTokenType, TokenExchange};
pub use self::trusted_issuers::TrustedIssuer;
pub use self::upstream_providers::{
    AssertionAudience, ClientAuthentication, HttpMethod, IdentityFromToken, LoginMode, OAuth2Config, OidcConfig,
    OidcUserInfo, ProviderQuirks, ProviderType, TokenResponseMapping, UpstreamProvider, UserInfo,
};
pub use self::users::{AllowedUser, Users};

/// The plugin configuration of the filter: one JSON document.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "camelCase", deny_unknown_fields))]
pub struct Document {
    /// The gateway's public origin and the `iss` of its tokens: https (in development also http on
    /// loopback), without a trailing slash, query or fragment. It is left out together with
    /// `signingKeys`, `secrets` and `upstreamProviders` where only tokens of `trustedIssuers` are
    /// accepted: then the gateway is no authorization server, issues nothing and stores nothing.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub issuer: Option<String>,
    /// Keys that sign access tokens, as PEM: EC P-256 or P-384, RSA of 2048 bits or more, Ed25519.
    /// The first signs, all verify and are published. Envoy itself signs, with all but Ed25519.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub signing_keys: Vec<SecretRef>,
    /// Gateway secrets of at least 32 bytes. The first seals stored records and authenticates codes
    /// and refresh tokens; all are accepted, so that a secret can be replaced without logging
    /// anyone out.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub secrets: Vec<SecretRef>,
    /// How long tokens live.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub token_lifespans: TokenLifespans,
    /// The scopes a client may ask for. `openid` promises an ID token to OpenID Connect clients,
    /// and none is issued.
    #[cfg_attr(feature = "schema", schemars(default = "default_scopes"))]
    pub scopes_supported: Vec<String>,
    /// Where logins are kept.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub storage: Storage,
    /// Which OAuth clients are served.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub clients: Clients,
    /// The consent page.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub consent: Consent,
    /// The logins of users.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub logins: Logins,
    /// The audit trail.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub audit: AuditTrail,
    /// The identity providers that users log in at, at most 32: a login goes to each that is
    /// `required`, in this order, and to one of those that are a `choice`. Who the user is says the
    /// first of these.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub upstream_providers: Vec<UpstreamProvider>,
    /// Who may log in. Absent: every user whom the identity provider logs in.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub users: Option<Users>,
    /// Issuers whose access tokens resources accept, next to this gateway's own or in their place.
    /// At most 32, each named in the `issuers` of the resources that trust it.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// What is protected. The longest matching prefix decides.
    pub resources: Vec<Resource>,
    /// The URI of the resource that an authorization request without `resource` is about, where it
    /// is not clear from its scopes: clients that know no metadata send none. Absent: such a
    /// request is refused, unless there is only one resource.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub default_resource: Option<String>,
    /// The treatment of a path that no resource matches.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub default: DefaultAction,
    /// Whether `/authorize`, `/token` and `/register` at the root of the gateway's hosts (the
    /// issuer's and the resources') are the same as below `<issuer>/oauth`. Clients that know no
    /// metadata look there, the default endpoints of MCP 2025-03-26: the Python SDK, for one,
    /// refreshes a stored token at `/token`. A resource that such a path belongs to has it, also
    /// one with the prefix `/`. With `default` set to `pass` these three paths do not reach the
    /// backend unless this is `false`.
    #[cfg_attr(feature = "schema", schemars(default = "default_endpoints"))]
    pub default_endpoints: bool,
    /// How many proxies in front of Envoy append to `X-Forwarded-For`, for counting registrations
    /// and logins by address. 0 takes the address that Envoy itself found, which is right wherever
    /// Envoy has `xff_num_trusted_hops`; any other number needs `use_remote_address: true`, or a
    /// client can choose its address.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub trusted_proxies: u8,
    /// Allows what only a developer's machine may do: secrets inside this document, lifespans of
    /// seconds, cookies over plain http on loopback.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub development: bool,
}

/// Lifespans of what the gateway issues.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenLifespans {
    /// Access tokens: 1m to 24h.
    pub access_token: String,
    /// Refresh tokens, renewed at each rotation: 1h to 30d.
    pub refresh_token: String,
    /// Authorization codes: 30s to 10m. 60s is enough for a client that waits for its code.
    pub authorization_code: String,
    /// A user's connection to a provider that is `onDemand`, from its last use: 1h to 365d.
    pub connection: String,
}

impl Default for TokenLifespans {
    fn default() -> Self {
        Self {
            access_token: "1h".into(),
            refresh_token: "168h".into(),
            authorization_code: "10m".into(),
            connection: "2160h".into(),
        }
    }
}

/// Where logins are kept.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Storage {
    /// In this Envoy process: shared by its workers, lost when it exits.
    Memory {
        /// The most memory it may use, in bytes: 1 MiB to 8 GiB. Changing it ends every login.
        #[serde(default = "default_memory_bytes")]
        max_bytes: u64,
    },
    /// In Redis, through `redis-bridge`: they survive restarts, and several Envoys share them.
    Bridge {
        /// Envoy's cluster for the bridge. Give it `circuit_breakers` with `max_connections` of 64
        /// or so and many `max_pending_requests`: then a burst waits in Envoy, and the bridge need
        /// not refuse it.
        cluster: String,
        /// With `name`, whose records these are: gateways that share logins have both the same, and
        /// the same `secrets`. A DNS label.
        namespace: String,
        /// The gateway's name within the namespace. A DNS label.
        name: String,
        /// How long the bridge may take for one answer: 1s to 10s. It should be more than the
        /// bridge's own `limits.deadline`, which is 2s by default.
        #[serde(default = "default_bridge_timeout")]
        timeout: String,
    },
}

impl Default for Storage {
    fn default() -> Self {
        Self::Memory { max_bytes: default_memory_bytes() }
    }
}

/// Which OAuth clients are served.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clients {
    /// Dynamic client registration (RFC 7591) of public clients.
    pub dynamic_registration: DynamicRegistration,
    /// Clients whose id is the URL of a document that describes them.
    pub metadata_documents: MetadataDocuments,
}

/// Dynamic client registration (RFC 7591).
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DynamicRegistration {
    /// Whether strangers may register clients. Where not, only clients that have a record are
    /// served: those that got tokens within `lifetime`.
    pub enabled: bool,
    /// How long a client has a record after its last successful token request, 1m to 365d: what
    /// `portcullis admin clients` lists. Its registration is in its `client_id` and does not end
    /// with the record.
    pub lifetime: String,
    /// Registrations a minute that one address may make. Nothing is stored for a registration, so
    /// this bounds calls only, and no address is refused for what others do.
    pub rate_per_minute: u32,
}

impl Default for DynamicRegistration {
    fn default() -> Self {
        Self { enabled: true, lifetime: "720h".into(), rate_per_minute: 60 }
    }
}

/// The logins of users.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Logins {
    /// Logins a minute that may come back from the provider to one address, all of them at once if
    /// need be. Further ones are asked to reload the page a moment later. Absent: five times
    /// `clients.dynamicRegistration.ratePerMinute`. Count all users behind the address: an office,
    /// or all users where `trustedProxies` does not name the proxies in front.
    pub rate_per_minute: Option<u32>,
}

/// The audit trail: what access logs can say about each request (`docs/operate/audit.md`).
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditTrail {
    /// Whether it has the user's e-mail address, where the identity provider gives one.
    pub email: bool,
}

/// The consent page.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Consent {
    /// How long a given consent is remembered for the same user, client, redirect, scopes and
    /// resource; `0s` asks every time, as clients on the user's machine always do, which other
    /// programs can pretend to be.
    pub remember: String,
    /// The name shown on the page: your organization or service.
    pub title: String,
    /// A logo shown on the page, as a `data:image/…;base64,` URI of at most 32 KiB.
    pub logo: Option<String>,
}

impl Default for Consent {
    fn default() -> Self {
        Self { remember: "720h".into(), title: "Portcullis".into(), logo: None }
    }
}

/// The treatment of a path that no resource matches.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum DefaultAction {
    /// A 404 from the gateway.
    #[default]
    Deny,
    /// On to the backend, unchanged and without any check.
    Pass,
}

impl Document {
    /// Reads the document section by section, so that one mistake does not hide another.
    pub(super) fn parse(bytes: &[u8], problems: &mut Vec<Problem>) -> Option<Self> {
        let mut sections = Sections::of(bytes, problems)?;
        // Without any of these it is no authorization server, if there are tokens to accept.
        let has_server = SERVER.iter().any(|name| sections.has(name)) || !sections.has("trustedIssuers");
        if !has_server {
            sections.reject(
                &OF_SERVER,
                "needs an authorization server: `issuer`, `signingKeys`, `secrets` and `upstreamProviders`",
            );
        }
        let issuer = if has_server { sections.required("issuer").map(Some) } else { Some(None) };
        let mut list = |name| if has_server { sections.list(name) } else { Some(Vec::new()) };
        let signing_keys = list("signingKeys");
        let secrets = list("secrets");
        let token_lifespans = sections.or_default("tokenLifespans");
        let scopes_supported = sections.optional("scopesSupported", default_scopes);
        let storage = sections.or_default("storage");
        let clients = sections.or_default("clients");
        let consent = sections.or_default("consent");
        let logins = sections.or_default("logins");
        let audit = sections.or_default("audit");
        let upstream_providers = if has_server { sections.list("upstreamProviders") } else { Some(Vec::new()) };
        let users = sections.or_default("users");
        let trusted_issuers = sections.or_default("trustedIssuers");
        let resources = sections.list("resources");
        let default_resource = sections.or_default("defaultResource");
        let default = sections.or_default("default");
        let default_endpoints = sections.optional("defaultEndpoints", default_endpoints);
        let trusted_proxies = sections.or_default("trustedProxies");
        let development = sections.or_default("development");
        sections.reject_unknown();
        Some(Self {
            issuer: issuer?,
            signing_keys: signing_keys?,
            secrets: secrets?,
            token_lifespans: token_lifespans?,
            scopes_supported: scopes_supported?,
            storage: storage?,
            clients: clients?,
            consent: consent?,
            logins: logins?,
            audit: audit?,
            upstream_providers: upstream_providers?,
            users: users?,
            trusted_issuers: trusted_issuers?,
            resources: resources?,
            default_resource: default_resource?,
            default: default?,
            default_endpoints: default_endpoints?,
            trusted_proxies: trusted_proxies?,
            development: development?,
        })
    }
}

/// The sections without which there is no authorization server.
const SERVER: [&str; 4] = ["issuer", "signingKeys", "secrets", "upstreamProviders"];

/// The sections that say something of an authorization server alone.
const OF_SERVER: [&str; 10] = [
    "tokenLifespans",
    "scopesSupported",
    "storage",
    "clients",
    "consent",
    "logins",
    "users",
    "defaultResource",
    "defaultEndpoints",
    "trustedProxies",
];

fn default_endpoints() -> bool {
    true
}

fn default_scopes() -> Vec<String> {
    vec!["offline_access".to_owned()]
}

fn default_memory_bytes() -> u64 {
    64 * 1024 * 1024
}

fn default_bridge_timeout() -> String {
    "3s".to_owned()
}
