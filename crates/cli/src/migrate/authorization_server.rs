//! An embedded authorization server: everything but its resources.

use crate::migrate::document::{Members, Value};
use crate::migrate::environment::Process;
use crate::migrate::field::Field;
use crate::migrate::provider::providers;
use crate::migrate::storage::storage;
use crate::migrate::work::Work;

/// An embedded authorization server, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizationServer<'a> {
    /// `embeddedAuthServer`, `authServerConfig`, or a runtime file.
    pub(crate) field: Field<'a>,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The sections that it makes.
pub(crate) struct Sections {
    pub(crate) head: Members,
    pub(crate) providers: Vec<Members>,
    /// The bridge's configuration, where logins are kept in Redis.
    pub(crate) bridge: Option<String>,
}

impl<'a> AuthorizationServer<'a> {
    /// The issuer; empty if there is none.
    pub(crate) fn issuer(&self) -> &'a str {
        self.field.text_of("issuer").unwrap_or_default()
    }

    /// The field that lists the providers.
    pub(crate) fn providers(&self) -> Option<Field<'a>> {
        self.field.get("upstreamProviders").or_else(|| self.field.get("upstreams"))
    }

    /// Whether the backend gets the token of the first provider.
    pub(crate) fn injects(&self) -> bool {
        self.field.get("disableUpstreamTokenInjection").is_none_or(|field| field.flag() != Some(true))
    }

    /// The sections of the configuration; `scopes` are those that resources ask for.
    pub(crate) fn sections(&self, work: &mut Work<'a, '_>, scopes: &[String]) -> Sections {
        let field = &self.field;
        let issuer = work.text(field, "issuer", "issuer");
        if issuer.is_none() {
            work.report.refuse(field, "has no `issuer`");
        }
        if work.flag(field, "disableUpstreamTokenInjection").is_some() {
            let disabled = field.get("disableUpstreamTokenInjection");
            disabled.iter().for_each(|disabled| work.report.carried(disabled, "resources[].inject"));
        }
        let signing_keys = self.signing_keys(work);
        let secrets = self.secrets(work);
        let lifespans = self.lifespans(work);
        let supported = self.scopes_supported(work, scopes);
        let stored = field.get("storage").and_then(|written| storage(work, &written, &self.namespace, &self.name));
        let (storage, mut bridge) = stored.map_or((None, None), |(section, bridge)| (Some(section), Some(bridge)));
        let clients = self.clients(work, bridge.as_mut());
        let providers = match self.providers() {
            Some(list) => providers(work, &list, &self.namespace, self.issuer()),
            None => {
                work.report.refuse(field, "has no `upstreamProviders`: the gateway needs one that users log in at");
                Vec::new()
            }
        };
        self.left(work);
        let head = Members::new()
            .with_some("issuer", issuer)
            .with("signingKeys", signing_keys)
            .with("secrets", secrets)
            .with_some("tokenLifespans", Some(lifespans))
            .with("scopesSupported", supported)
            .with_some("storage", storage)
            .with_some("clients", Some(clients));
        Sections { head, providers, bridge }
    }

    fn signing_keys(&self, work: &mut Work<'a, '_>) -> Vec<Value> {
        const TARGET: &str = "signingKeys[]";
        let mut keys = Vec::new();
        for reference in self.field.get("signingKeySecretRefs").map_or_else(Vec::new, |list| list.items()) {
            keys.extend(work.secret_key(&reference, &self.namespace, "SIGNING_KEY", TARGET, Process::Envoy));
        }
        if let Some(config) = self.field.get("signingKeyConfig") {
            let folder = config.get("keyDir");
            folder.iter().for_each(|field| work.report.cover(field));
            let folder = folder.as_ref().and_then(|field| field.text()).unwrap_or(".");
            let more = config.get("fallbackKeyFiles").map_or_else(Vec::new, |list| list.items());
            for file in config.get("signingKeyFile").into_iter().chain(more) {
                let source = format!("the content of `{folder}/{}`", file.text().unwrap_or_default());
                keys.push(work.variable(&file, &source, "SIGNING_KEY", TARGET, Process::Envoy));
            }
        }
        if keys.is_empty() {
            let what = "has no signing key, and ToolHive makes one at each start: set SIGNING_KEY to a key in PEM \
                        (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)";
            keys.push(self.made(work, "SIGNING_KEY", what));
        }
        keys
    }

    fn secrets(&self, work: &mut Work<'a, '_>) -> Vec<Value> {
        const TARGET: &str = "secrets[]";
        let mut secrets = Vec::new();
        for reference in self.field.get("hmacSecretRefs").map_or_else(Vec::new, |list| list.items()) {
            secrets.extend(work.secret_key(&reference, &self.namespace, "GATEWAY_SECRET", TARGET, Process::Envoy));
        }
        for file in self.field.get("hmacSecretFiles").map_or_else(Vec::new, |list| list.items()) {
            let source = format!("the content of `{}`", file.text().unwrap_or_default());
            secrets.push(work.variable(&file, &source, "GATEWAY_SECRET", TARGET, Process::Envoy));
        }
        if secrets.is_empty() {
            let what = "has no HMAC secret, and ToolHive makes one at each start: set GATEWAY_SECRET to one (openssl \
                        rand -base64 32)";
            secrets.push(self.made(work, "GATEWAY_SECRET", what));
        }
        secrets
    }

    /// A variable for what the operator has to make.
    fn made(&self, work: &mut Work<'a, '_>, variable: &str, what: &str) -> Value {
        let name = work.environment.variable(variable, "to be made", Process::Envoy);
        let place = self.field.get("issuer").unwrap_or_else(|| self.field.clone());
        work.report.changed(&place, what);
        Members::new().with("env", name).into()
    }

    fn lifespans(&self, work: &mut Work<'a, '_>) -> Members {
        let Some(lifespans) = self.field.get("tokenLifespans") else { return Members::new() };
        LIFESPANS.iter().fold(Members::new(), |members, (theirs, ours)| {
            members.with_some(ours, work.duration(&lifespans, theirs, &format!("tokenLifespans.{ours}")))
        })
    }

    /// The scopes that clients may ask for: those of ToolHive, so that its clients can go on.
    fn scopes_supported(&self, work: &mut Work<'a, '_>, more: &[String]) -> Vec<String> {
        let written = work.texts(&self.field, "scopesSupported", "scopesSupported");
        let mut scopes = written.unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
        for scope in more {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes
    }

    fn clients(&self, work: &mut Work<'a, '_>, bridge: Option<&mut String>) -> Members {
        let Some(cimd) = self.field.get("cimd") else { return Members::new() };
        work.need_not(&cimd, &[("cacheMaxSize", "documents are kept in the store")]);
        let max_age = work.duration(&cimd, "cacheFallbackTtl", "clients.metadataDocuments.maxAge");
        let is_enabled = work.flag(&cimd, "enabled") == Some(true);
        let Some(enabled) = cimd.get("enabled").filter(|_| is_enabled) else { return Members::new() };
        let Some(bridge) = bridge else {
            let what =
                "without Redis documents of clients need `clients.metadataDocuments.cluster` and `allowedDomains`";
            work.report.left(&enabled, what);
            return Members::new();
        };
        bridge.push_str("fetch: {}\n");
        work.report.carried(&enabled, "clients.metadataDocuments.enabled");
        let documents = Members::new().with("enabled", true).with_some("maxAge", max_age);
        Members::new().with("metadataDocuments", documents)
    }

    fn left(&self, work: &mut Work<'a, '_>) {
        if let Some(base) = self.field.get("authorizationEndpointBaseUrl") {
            if base.text() == Some(self.issuer()) {
                work.report.note(&base, "is the issuer, as it is here");
            } else {
                work.report.left(&base, "browsers are sent to the issuer's host; let it lead to Envoy, too");
            }
        }
        work.need_not(
            &self.field,
            &[
                (
                    "baselineClientScopes",
                    "a client that names no scopes may ask for all; one that names some, for these",
                ),
                ("primaryUpstreamProvider", "it says whose claims Cedar policies read, and these are not carried over"),
            ],
        );
        work.leave(&self.field, &LEFT);
    }
}

const LIFESPANS: [(&str, &str); 3] = [
    ("accessTokenLifespan", "accessToken"),
    ("refreshTokenLifespan", "refreshToken"),
    ("authCodeLifespan", "authorizationCode"),
];
const SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];
const LEFT: [(&str, &str); 11] = [
    ("insecureAllowHTTP", "the issuer must be https; end TLS in Envoy"),
    ("allowConfidentialClientRegistration", "clients register themselves without a secret alone"),
    ("forceConfidentialRedirectUris", "clients register themselves without a secret alone"),
    ("allowPrivateKeyJWTRegistration", "clients register themselves without a key alone"),
    ("insecureAllowConfidentialOverLoopbackHTTP", "clients register themselves without a secret alone"),
    ("delegateClients", "the token endpoint has no token exchange"),
    ("delegationTokenLifespan", "the token endpoint has no token exchange"),
    ("inboundGrants", "the token endpoint has no token exchange and no JWT bearer grant"),
    (
        "trustedIssuers",
        "the token endpoint has no token exchange; name the issuer in `trustedIssuers` to accept its tokens",
    ),
    ("spiffeTrustDomains", "clients do not authenticate by SPIFFE"),
    ("tlsListener", "Envoy ends TLS: set its certificate there"),
];
