//! The gateways under measurement: their keys and configuration, a real login at each, and tokens
//! of that login.

use std::path::Path;
use std::process::Stdio;

use jwt_simple::prelude::{ES256KeyPair, RS256KeyPair};
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::jws::{self, Header};
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::{self, OAuthClient};
use portcullis_testbed::paths;
use portcullis_testbed::process::Process;
use portcullis_testkit::signatures::Sign as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::provider::Provider;
use crate::text;

/// A gateway of ours: one plugin configuration in a VM of its own, with its own identity provider.
pub(crate) struct Gateway {
    /// What its VM, cluster and environment variable are called.
    pub name: &'static str,
    /// The port of its listener.
    pub port: u16,
    /// The port of its identity provider.
    pub idp_port: u16,
    /// Where it keeps records: `storage` of the plugin configuration.
    pub storage: Value,
    /// Members of its resource beside the usual ones.
    pub resource_settings: Value,
    /// Another provider beside its own, if there is one.
    pub other_provider: Option<Value>,
    key: SigningKey,
    pem: String,
    _idp: Option<Process>,
}

impl Gateway {
    /// Makes a gateway that signs with ES256.
    ///
    /// # Errors
    /// When its identity provider does not start.
    pub(crate) fn es256(port: u16, dir: &Path) -> Result<Self, String> {
        Self::new("es256", port, ES256KeyPair::generate().to_pem().map_err(text)?, dir)
    }

    /// Makes a gateway that signs with RS256 (2048 bits).
    ///
    /// # Errors
    /// When its identity provider does not start.
    pub(crate) fn rs256(port: u16, dir: &Path) -> Result<Self, String> {
        Self::new("rs256", port, RS256KeyPair::generate(2048).and_then(|key| key.to_pem()).map_err(text)?, dir)
    }

    /// Makes a gateway that signs with ES256 and sends its users to a provider that runs already.
    ///
    /// # Errors
    /// When its key cannot be made.
    pub(crate) fn with_provider(name: &'static str, port: u16, provider: &Provider) -> Result<Self, String> {
        let pem = ES256KeyPair::generate().to_pem().map_err(text)?;
        Self::over(name, port, pem, (provider.port, None))
    }

    fn new(name: &'static str, port: u16, pem: String, dir: &Path) -> Result<Self, String> {
        let callback = format!("http://127.0.0.1:{port}/oauth/callback");
        let (idp, idp_port) = start_provider(&callback, &dir.join(format!("idp-{name}.log")))?;
        Self::over(name, port, pem, (idp_port, Some(idp)))
    }

    fn over(
        name: &'static str,
        port: u16,
        pem: String,
        (idp_port, idp): (u16, Option<Process>),
    ) -> Result<Self, String> {
        let key = SigningKey::from_pem(&pem).map_err(text)?;
        Ok(Self {
            name,
            port,
            idp_port,
            storage: json!({ "type": "memory" }),
            resource_settings: json!({}),
            other_provider: None,
            key,
            pem,
            _idp: idp,
        })
    }

    /// The issuer, at which clients log in.
    #[must_use]
    pub(crate) fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The protected resource.
    #[must_use]
    pub(crate) fn resource(&self) -> String {
        format!("{}/api", self.issuer())
    }

    /// The keys that its tokens are verified with, as a JWK set.
    #[must_use]
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [self.key.public().to_jwk()] })
    }

    /// The variable of Envoy's environment that holds its signing key, and the key as PEM.
    #[must_use]
    pub(crate) fn environment(&self) -> (String, &str) {
        (self.key_variable(), &self.pem)
    }

    /// The plugin configuration: one resource whose upstream token is injected.
    #[must_use]
    pub(crate) fn plugin(&self) -> Value {
        let mut plugin = json!({
            "issuer": self.issuer(),
            // For http on loopback and the provider's fixed secret; no effect on the path that is
            // measured.
            "development": true,
            "signingKeys": [{ "env": self.key_variable() }],
            "secrets": [{ "inline": SECRET }],
            "tokenLifespans": { "accessToken": "1h", "refreshToken": "168h", "authorizationCode": "1m" },
            "scopesSupported": ["openid", "profile", "email", "offline_access"],
            "storage": self.storage,
            // No limit that a measurement would reach.
            "clients": { "dynamicRegistration": { "enabled": true, "ratePerMinute": 1_000_000 } },
            "consent": { "title": "Portcullis measurements" },
            "upstreamProviders": [{
                "name": "idp",
                "type": "oidc",
                "oidcConfig": {
                    "issuerUrl": format!("http://127.0.0.1:{}", self.idp_port),
                    "cluster": self.idp_cluster(),
                    "clientId": CLIENT,
                    "clientSecret": { "inline": IDP_SECRET },
                    "scopes": ["openid", "offline_access", "profile", "email"],
                },
            }],
            "resources": [{
                "resource": self.resource(),
                "match": { "prefix": "/api" },
                "scopes": ["openid"],
                "inject": { "type": "upstreamInject", "providerName": "idp" },
            }],
            // What lies outside the resource passes, to be measured as well.
            "default": "pass",
        });
        for (name, value) in self.resource_settings.as_object().into_iter().flatten() {
            plugin["resources"][0][name] = value.clone();
        }
        if let (Some(other), Some(providers)) = (&self.other_provider, plugin["upstreamProviders"].as_array_mut()) {
            providers.push(other.clone());
        }
        plugin
    }

    /// The cluster of its identity provider.
    #[must_use]
    pub(crate) fn idp_cluster(&self) -> String {
        format!("idp_{}", self.name)
    }

    /// The variable with its signing key.
    #[must_use]
    pub(crate) fn key_variable(&self) -> String {
        format!("SIGNING_KEY_{}", self.name.to_ascii_uppercase())
    }

    /// Logs a user in, through the browser's steps and the consent page.
    ///
    /// # Panics
    /// When a step of it is refused.
    ///
    /// # Errors
    /// When the runtime for it cannot be made.
    pub(crate) fn log_in(&self) -> Result<Login<'_>, String> {
        let runtime = runtime()?;
        let tokens = runtime.block_on(async {
            let client = OAuthClient::discover(&self.resource()).await.register().await;
            client.log_in(&mut Browser::new("alice")).await
        });
        Ok(self.login_with(&tokens.access_token))
    }

    /// The login that an access token is of.
    ///
    /// # Panics
    /// When it is no JWT.
    #[must_use]
    pub(crate) fn login_with(&self, token: &str) -> Login<'_> {
        Login { gateway: self, claims: oauth_client::claims(token), token: token.to_owned() }
    }
}

/// One login.
pub(crate) struct Login<'a> {
    gateway: &'a Gateway,
    claims: Value,
    /// The access token that the gateway issued.
    pub token: String,
}

impl Login<'_> {
    /// The port of its gateway.
    #[must_use]
    pub(crate) fn port(&self) -> u16 {
        self.gateway.port
    }

    /// More access tokens of this login, each with a `jti` of its own, signed with the gateway's
    /// key: to the gateway they are its own. Asking the token endpoint for each of them would take
    /// minutes.
    ///
    /// # Errors
    /// When they cannot be signed.
    pub(crate) fn more_tokens(&self, count: usize) -> Result<Vec<String>, String> {
        let half = count / 2;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| self.numbered_tokens(0..half));
            let mut tokens = self.numbered_tokens(half..count)?;
            tokens.extend(other.join().map_err(|_| "the signing thread panicked")??);
            Ok(tokens)
        })
    }

    /// An access token for another session, whose record must be like that of this login; its `jti`
    /// is the number.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(crate) fn token_of(&self, session: SessionId, number: usize) -> Result<String, String> {
        let mut claims = self.claims.clone();
        claims["sid"] = json!(session.to_string());
        claims["jti"] = json!(self.numbered_id(number));
        self.sign(&claims)
    }

    /// The session of this login.
    ///
    /// # Errors
    /// When its token names none.
    pub(crate) fn session(&self) -> Result<SessionId, String> {
        self.claims["sid"].as_str().and_then(SessionId::parse).ok_or_else(|| format!("no sid in {}", self.claims))
    }

    /// A token like those of this login, but for the name of its key, which is unknown.
    #[must_use]
    pub(crate) fn of_unknown_key(&self) -> String {
        let header = Header { alg: self.gateway.key.alg(), kid: "an-unknown-key", typ: "at+jwt" };
        jws::attach(&jws::encode(&header, &self.claims), &[7; 64])
    }

    fn numbered_tokens(&self, numbers: std::ops::Range<usize>) -> Result<Vec<String>, String> {
        let mut claims = self.claims.clone();
        let sign = |number: usize| {
            claims["jti"] = json!(self.numbered_id(number));
            self.sign(&claims)
        };
        numbers.map(sign).collect()
    }

    /// A `jti` as long as a real one.
    fn numbered_id(&self, number: usize) -> String {
        let length = self.claims["jti"].as_str().map_or(0, str::len);
        format!("{number:0>length$}")
    }

    fn sign(&self, claims: &Value) -> Result<String, String> {
        let key = &self.gateway.key;
        let input = jws::encode(&Header { alg: key.alg(), kid: key.kid(), typ: "at+jwt" }, claims);
        let signature = key.sign(input.as_bytes()).map_err(|error| format!("{error:?}"))?;
        Ok(jws::attach(&input, &signature))
    }
}

/// For the steps of a login, which are asynchronous.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)
}

/// Starts an identity provider with the one client [`CLIENT`], and tells its port.
///
/// # Errors
/// When it does not start.
pub(crate) fn start_provider(redirect_uri: &str, log: &Path) -> Result<(Process, u16), String> {
    let options = json!({
        "clientId": CLIENT,
        "clientSecret": IDP_SECRET,
        "redirectUri": redirect_uri,
        // Longer than any run: nothing is refreshed while something is measured.
        "accessTokenTtl": 24 * 3600,
        "opaque": false,
    });
    let arrange = |command: &mut std::process::Command| {
        command.arg(paths::in_tests("idp/idp.mjs")).arg(options.to_string()).stdout(Stdio::piped());
    };
    let mut idp = Process::start("idp", Path::new("node"), arrange, log).map_err(text)?;
    let announced: Value = serde_json::from_str(&idp.first_line()?).map_err(text)?;
    let port = announced["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| format!("no port in {announced}"))?;
    Ok((idp, port))
}

/// What the gateways seal with.
pub(crate) const SECRET: &str = "for the measurements only, and for nothing else";
/// The gateways' name at a provider.
pub(crate) const CLIENT: &str = "portcullis";
/// Their secret there.
pub(crate) const IDP_SECRET: &str = "a secret between the measurements and their provider";
