//! An identity provider that bends its answers: in every way that the RFCs allow and providers do,
//! and in ways that must be refused. It keeps nothing and does no I/O: codes and refresh tokens
//! carry what it has to know, and its caller brings the time.
//!
//! Flows call [`BendingProvider::answer`] for each scripted call; the testbed serves it on a
//! socket.

mod modes;
mod shape;

use portcullis_protocol::base64url;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::oauth::client_authentication::basic;
use portcullis_protocol::oauth::params::{self, Limits, Params};
use portcullis_protocol::oauth::pkce::CodeVerifier;
use serde_json::json;

pub use modes::{Expected, Mode, all as modes, mode};
pub use shape::{Document, Json, Reply, Shape};

use crate::example_keys::{ED25519, P256};
use crate::signatures::Sign as _;

/// The provider's side of one client.
pub struct BendingProvider {
    issuer: String,
    client_id: String,
    client_secret: String,
    key: SigningKey,
    edwards_key: SigningKey,
}

/// A request to the provider.
pub struct Request<'a> {
    /// The path with its query.
    pub target: &'a str,
    /// The `Authorization` field.
    pub authorization: Option<&'a str>,
    /// The `Accept-Encoding` field.
    pub accept_encoding: Option<&'a str>,
    /// The form of a token request.
    pub body: &'a [u8],
}

impl BendingProvider {
    /// A provider with this issuer, which knows one confidential client.
    ///
    /// # Panics
    /// Never: its keys are sound.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "the keys are sound")]
    pub fn new(issuer: &str, client_id: &str, client_secret: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            key: SigningKey::from_pem(P256).unwrap(),
            edwards_key: SigningKey::from_pem(ED25519).unwrap(),
        }
    }

    /// Answers a request at `now`, in Unix seconds, as this mode has it.
    #[must_use]
    pub fn answer(&self, mode: &Mode, request: &Request<'_>, now: u64) -> Reply {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let mut shape = self.shape(now);
        let reply = match path {
            DISCOVERY_PATH => {
                (mode.bend)(&mut shape);
                shape.discovery.into_reply()
            }
            KEYS_PATH => {
                (mode.bend)(&mut shape);
                shape.keys.into_reply()
            }
            AUTHORIZATION_PATH => return self.authorize(query),
            TOKEN_PATH => self.tokens(mode, request, shape),
            USER_PATH => user_info(request),
            _ => return Reply::error(404, "not_found"),
        };
        // What may be compressed is, unless the request forbids it.
        let may_compress = request.accept_encoding.is_none_or(|coding| coding.trim() != "identity");
        if may_compress { reply.compressed() } else { reply }
    }

    /// The good answers, before a mode bends them.
    fn shape(&self, now: u64) -> Shape {
        Shape::new(&self.issuer, &self.client_id, [&self.key, &self.edwards_key], now)
    }

    /// Sends the browser back with a code that holds the user (`login_hint`, or `alice`), the nonce
    /// and the PKCE challenge.
    fn authorize(&self, query: &str) -> Reply {
        let Ok(params) = Params::parse(query.as_bytes(), Limits::OAUTH) else {
            return Reply::error(400, "invalid_request");
        };
        let one = |name: &str| params.one(name).ok().flatten().unwrap_or_default();
        let is_oidc = one("scope").split(' ').any(|scope| scope == "openid");
        let user = Some(one("login_hint")).filter(|user| !user.is_empty()).unwrap_or("alice");
        if one("client_id") != self.client_id
            || (one("nonce").is_empty() && is_oidc)
            || one("code_challenge_method") != "S256"
        {
            return Reply::error(400, "invalid_request");
        }
        let code = [user, one("nonce"), one("code_challenge")].map(|part| base64url::encode(part.as_bytes())).join(".");
        let pairs = [("code", code.as_str()), ("state", one("state")), ("iss", &self.issuer)];
        Reply::redirect(&params::append_query(one("redirect_uri"), &pairs))
    }

    /// Redeems a code or a refresh token (RFC 6749 §4.1.3, §6) of a client that authenticates as
    /// the mode wants it.
    fn tokens(&self, mode: &Mode, request: &Request<'_>, mut shape: Shape) -> Reply {
        let Ok(form) = Params::parse(request.body, Limits::OAUTH) else { return Reply::error(400, "invalid_request") };
        let one = |name: &str| form.one(name).ok().flatten().unwrap_or_default();
        let user = match one("grant_type") {
            "authorization_code" => {
                let parts: Vec<_> = one("code").split('.').filter_map(|part| base64url::decode(part).ok()).collect();
                let texts: Vec<_> = parts.into_iter().filter_map(|part| String::from_utf8(part).ok()).collect();
                let [user, nonce, challenge] = texts.as_slice() else { return Reply::error(400, "invalid_grant") };
                let verifier = CodeVerifier::parse(one("code_verifier"));
                if !verifier.is_ok_and(|verifier| verifier.challenge().to_string() == *challenge) {
                    return Reply::error(400, "invalid_grant");
                }
                shape.claims.set("nonce", nonce.as_str());
                user.clone()
            }
            "refresh_token" => {
                let Some((user, number)) =
                    one("refresh_token").strip_prefix("refresh-").and_then(|t| t.split_once('-'))
                else {
                    return Reply::error(400, "invalid_grant");
                };
                shape.refreshes = number.parse().unwrap_or(0);
                user.to_owned()
            }
            _ => return Reply::error(400, "unsupported_grant_type"),
        };
        shape.claims.set("sub", user.as_str());
        let number = shape.refreshes.saturating_add(1);
        shape.tokens.json.set("access_token", format!("access-{user}-{number}"));
        shape.tokens.json.set("refresh_token", format!("refresh-{user}-{number}"));
        (mode.bend)(&mut shape);
        if !self.is_authenticated(&shape, request, &form) {
            return Reply::error(401, "invalid_client");
        }
        if shape.gives_id_token {
            let id_token = self.sign(&shape);
            shape.tokens.json.set("id_token", id_token);
        }
        shape.tokens.into_reply()
    }

    fn is_authenticated(&self, shape: &Shape, request: &Request<'_>, form: &Params) -> bool {
        let one = |name: &str| form.one(name).ok().flatten();
        let header = basic(&self.client_id, &Secret::new(self.client_secret.clone()));
        let by_header = request.authorization == Some(header.expose().as_str()) && one("client_secret").is_none();
        let is_named = one("client_id") == Some(self.client_id.as_str());
        let by_body =
            request.authorization.is_none() && is_named && one("client_secret") == Some(self.client_secret.as_str());
        match shape.takes {
            "client_secret_post" => by_body,
            _ => by_header,
        }
    }

    fn sign(&self, shape: &Shape) -> String {
        let parts = [shape.header.render(), shape.claims.render()].map(|part| base64url::encode(part.as_bytes()));
        let input = parts.join(".");
        let key = if shape.signs_with_edwards_key { &self.edwards_key } else { &self.key };
        let signature = key.sign(input.as_bytes()).unwrap_or_default();
        let token = format!("{input}.{}", base64url::encode(&signature));
        (shape.after_signing)(token)
    }
}

/// Answers whose an access token is, as GitHub does it: the account by a number, and `login` as a
/// name that can change.
fn user_info(request: &Request<'_>) -> Reply {
    let token = request.authorization.and_then(|value| value.strip_prefix("Bearer access-"));
    let Some((user, _)) = token.and_then(|token| token.rsplit_once('-')) else {
        return Reply::error(401, "invalid_token");
    };
    let id = user.bytes().fold(0_u64, |id, byte| id.wrapping_mul(256).wrapping_add(byte.into()));
    Document::new(json!({ "login": user, "id": id, "name": null, "email": null })).into_reply()
}

/// Where the discovery document is, below the issuer.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are.
pub const KEYS_PATH: &str = "/keys";
/// Where browsers log in, without being asked for anything.
pub const AUTHORIZATION_PATH: &str = "/authorize";
/// The token endpoint.
pub const TOKEN_PATH: &str = "/token";
/// Where it tells whose an access token is, below the issuer.
pub const USER_PATH: &str = "/user";
