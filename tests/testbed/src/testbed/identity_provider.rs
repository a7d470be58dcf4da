//! An identity provider of the testbed: the certified `oidc-provider` in a process of its own,
//! which can be put in trouble.

use std::path::Path;

use serde_json::{Value, json};

use super::plugin::IDP_CLIENT;
use super::start::{announced_port, start_script};
use crate::http::Request;
use crate::process::Process;

/// What the identity provider does from the start; [`IdentityProvider::set`] changes it later.
#[derive(Clone, Debug)]
pub struct IdpOptions {
    /// Seconds that its access tokens live.
    pub access_token_ttl: u64,
    /// Whether its access tokens are opaque; otherwise they are RS256 JWTs that tell their `sub`.
    pub opaque_tokens: bool,
    /// The only client authentication that its token endpoint takes (`client_secret_basic`,
    /// `client_secret_post` or `private_key_jwt`); the first two where there is none.
    pub takes: Option<&'static str>,
    /// What its discovery document says of that: its own list as long as there is none, and `null`
    /// says nothing.
    pub lists: Option<Value>,
    /// The gateway's secret there; a random one where there is none.
    pub client_secret: Option<&'static str>,
    /// The public key of the gateway there, as a JWK, where it has one in place of a secret.
    pub client_key: Option<Value>,
}

impl Default for IdpOptions {
    fn default() -> Self {
        Self {
            access_token_ttl: 60,
            opaque_tokens: false,
            takes: None,
            lists: None,
            client_secret: None,
            client_key: None,
        }
    }
}

/// How often the identity provider was asked, by endpoint and by grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdpRequests {
    /// Reads of its discovery document.
    pub discovery: u64,
    /// Reads of its key set.
    pub jwks: u64,
    /// Requests to its authorization endpoint.
    pub authorization: u64,
    /// Requests to its token endpoint, of any grant.
    pub token: u64,
    /// Of these, the ones that asked to redeem a code.
    pub code_grants: u64,
    /// Of these, the ones that asked for a refresh.
    pub refresh_grants: u64,
    /// Refreshes that it granted.
    pub refreshed: u64,
    /// Requests to its userinfo endpoint.
    pub userinfo: u64,
}

/// An identity provider that runs until it is dropped.
pub struct IdentityProvider {
    process: Process,
    port: u16,
    issuer: String,
}

impl IdentityProvider {
    /// Starts one whose client is the gateway, with this secret.
    pub(super) fn start(
        options: &IdpOptions,
        gateway: &str,
        client_secret: &str,
        log: &Path,
    ) -> Result<Process, String> {
        let mut words = json!({
            "clientId": IDP_CLIENT,
            "clientSecret": client_secret,
            "redirectUri": format!("{gateway}/oauth/callback"),
            "accessTokenTtl": options.access_token_ttl,
            "opaque": options.opaque_tokens,
        });
        if let Some(method) = options.takes {
            words["takes"] = method.into();
        }
        if let Some(lists) = &options.lists {
            words["lists"] = lists.clone();
        }
        if let Some(key) = &options.client_key {
            words["clientKey"] = key.clone();
        }
        start_script("idp", "idp/idp.mjs", &[words.to_string()], log)
    }

    /// Waits until a process that was started listens.
    pub(super) fn listening(mut process: Process) -> Result<Self, String> {
        let port = announced_port(&mut process)?;
        Ok(Self { process, port, issuer: format!("http://127.0.0.1:{port}") })
    }

    /// Its issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub(super) const fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn check_alive(&mut self) -> Result<(), String> {
        self.process.check_alive()
    }

    /// How often it was asked.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn requests(&self) -> IdpRequests {
        let counts = Request::get(&format!("{}/_control/", self.issuer)).send().await.json();
        let count = |name: &str| counts["counts"][name].as_u64().unwrap_or_default();
        IdpRequests {
            discovery: count("discovery"),
            jwks: count("jwks"),
            authorization: count("authorization"),
            token: count("token"),
            code_grants: count("authorization_code"),
            refresh_grants: count("refresh_token"),
            refreshed: count("refreshed"),
            userinfo: count("userinfo"),
        }
    }

    /// Changes what it does; `tests/idp/idp.mjs` lists the words. For example
    /// `{"token": {"mode": "drop"}}`, `{"token": null}` (well again), `{"accessTokenTtl": 1}`,
    /// `{"rotateKeys": true}`.
    ///
    /// # Panics
    /// When it does not know the words.
    pub async fn set(&self, change: Value) {
        let reply = Request::post(&format!("{}/_control/", self.issuer)).json(&change).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}
