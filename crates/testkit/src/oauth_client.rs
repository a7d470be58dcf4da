//! An OAuth client whose every step can be called by itself and bent.
//!
//! The steps that must work have short names and panic otherwise ([`OAuthClient::redeem`]); for
//! refusals there is the request as a value ([`OAuthClient::redeem_request`]) whose parameters a
//! test changes before it sends it, over the [`Transport`] or by other means.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a client that cannot go on fails loudly, and a member that JSON lacks reads as null"
)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::browser::Browser;
use crate::http::{Request, Response, Transport};

/// A client of one resource.
#[derive(Clone, Debug)]
pub struct OAuthClient<T> {
    /// What carries its requests.
    pub transport: T,
    /// The resource it wants to reach, as its metadata names it.
    pub resource: String,
    /// The protected resource's metadata (RFC 9728).
    pub resource_metadata: Value,
    /// The authorization server's metadata (RFC 8414).
    pub server_metadata: Value,
    /// Its id, once registered.
    pub client_id: String,
    /// Its secret, when it has one.
    pub client_secret: Option<String>,
    /// Where it is sent the code. Nothing needs to listen there.
    pub redirect_uri: String,
    /// The scopes it asks for.
    pub scope: String,
}

impl<T: Transport + Clone> OAuthClient<T> {
    /// Finds everything from a refused request: challenge, resource metadata, server metadata.
    ///
    /// # Panics
    /// When a step of it is missing.
    pub async fn discover(resource: &str) -> Self
    where
        T: Default,
    {
        let transport = T::default();
        let refused = transport.exchange(Request::get(resource)).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        let challenge = refused.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {refused:?}"));
        let metadata_url = challenge_parameter(challenge, "resource_metadata")
            .unwrap_or_else(|| panic!("no resource_metadata in {challenge:?}"));
        let resource_metadata = read(&transport, &metadata_url).await;
        let issuer = resource_metadata["authorization_servers"][0].as_str().unwrap_or_default();
        let server_metadata = read(&transport, &format!("{issuer}/.well-known/oauth-authorization-server")).await;
        Self {
            transport,
            resource: word(&resource_metadata, "resource"),
            resource_metadata,
            server_metadata,
            client_id: String::new(),
            client_secret: None,
            redirect_uri: "http://127.0.0.1:53682/callback".to_owned(),
            scope: "openid".to_owned(),
        }
    }

    /// Registers as a public client (RFC 7591).
    ///
    /// # Panics
    /// When it is refused.
    pub async fn register(mut self) -> Self {
        let reply = self.register_with(&self.registration()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let registered = reply.json();
        self.client_id = word(&registered, "client_id");
        self.client_secret = registered["client_secret"].as_str().map(str::to_owned);
        self
    }

    /// What [`OAuthClient::register`] sends.
    #[must_use]
    pub fn registration(&self) -> Value {
        json!({
            "client_name": "Stories",
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        })
    }

    /// A request to register as given.
    #[must_use]
    pub fn registration_request(&self, metadata: &Value) -> Request {
        Request::post(&self.endpoint("registration_endpoint")).json(metadata)
    }

    /// Sends a registration as given.
    pub async fn register_with(&self, metadata: &Value) -> Response {
        self.transport.exchange(self.registration_request(metadata)).await
    }

    /// The request that a user's browser is sent with, with PKCE, state and resource; change it as
    /// needed.
    #[must_use]
    pub fn authorization(&self) -> Authorization<T> {
        let verifier = self.random();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let state = self.random();
        let parameters = Parameters::new(&[
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scope),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &self.resource),
        ]);
        let transport = self.transport.clone();
        Authorization { transport, endpoint: self.endpoint("authorization_endpoint"), parameters, verifier, state }
    }

    /// Lets a user log in and approve; gives back what the client was sent.
    pub async fn authorize(&self, browser: &mut Browser<T>, authorization: &Authorization<T>) -> Callback {
        Callback::read(&browser.log_in(&authorization.url(), &self.redirect_uri).await)
    }

    /// A request for tokens in return for a code.
    #[must_use]
    pub fn redeem_request(&self, code: &str, verifier: &str) -> TokenRequest<T> {
        self.token_request(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
            ("resource", &self.resource),
        ])
    }

    /// Redeems a code.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn redeem(&self, code: &str, verifier: &str) -> Tokens {
        Tokens::read(&self.redeem_request(code, verifier).send().await)
    }

    /// A request for new tokens in return for a refresh token.
    #[must_use]
    pub fn refresh_request(&self, refresh_token: &str) -> TokenRequest<T> {
        self.token_request(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("resource", &self.resource),
        ])
    }

    /// Refreshes.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn refresh(&self, refresh_token: &str) -> Tokens {
        Tokens::read(&self.refresh_request(refresh_token).send().await)
    }

    /// The whole way from the authorization request to tokens.
    ///
    /// # Panics
    /// When a step of it is refused.
    pub async fn log_in(&self, browser: &mut Browser<T>) -> Tokens {
        let authorization = self.authorization();
        let callback = self.authorize(browser, &authorization).await;
        assert_eq!(callback.state.as_deref(), Some(authorization.state.as_str()), "{callback:?}");
        self.redeem(callback.code(), &authorization.verifier).await
    }

    /// An endpoint's address out of the server's metadata.
    ///
    /// # Panics
    /// When the metadata does not name it.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> String {
        word(&self.server_metadata, name)
    }

    fn token_request(&self, parameters: &[(&str, &str)]) -> TokenRequest<T> {
        let mut parameters = Parameters::new(parameters);
        if self.client_secret.is_none() {
            parameters.set("client_id", &self.client_id);
        }
        let basic = self.client_secret.as_ref().map(|secret| (self.client_id.clone(), secret.clone()));
        let transport = self.transport.clone();
        TokenRequest { transport, endpoint: self.endpoint("token_endpoint"), parameters, basic }
    }

    /// Returns 43 letters that cannot be guessed: also a fitting PKCE verifier (RFC 7636 §4.1).
    fn random(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.transport.random())
    }
}

/// An authorization request.
#[derive(Clone, Debug)]
pub struct Authorization<T> {
    transport: T,
    /// The endpoint.
    pub endpoint: String,
    /// What it asks.
    pub parameters: Parameters,
    /// The PKCE verifier to its challenge.
    pub verifier: String,
    /// Its state.
    pub state: String,
}

impl<T: Transport> Authorization<T> {
    /// The address to send a browser to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}?{}", self.endpoint, self.parameters.encode())
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.set(name, value);
        self
    }

    /// Leaves a parameter out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// Asks without a browser and without following redirects.
    pub async fn send(&self) -> Response {
        self.transport.exchange(Request::get(&self.url())).await
    }
}

/// A request to the token endpoint.
#[derive(Clone, Debug)]
pub struct TokenRequest<T> {
    transport: T,
    /// The endpoint.
    pub endpoint: String,
    /// What it asks.
    pub parameters: Parameters,
    /// The client's id and secret, sent as HTTP Basic.
    pub basic: Option<(String, String)>,
}

impl<T: Transport> TokenRequest<T> {
    /// Sets a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.set(name, value);
        self
    }

    /// Leaves a parameter out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// Adds a parameter even if one of that name is there.
    #[must_use]
    pub fn repeating(mut self, name: &str, value: &str) -> Self {
        self.parameters.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it.
    pub async fn send(&self) -> Response {
        self.transport.exchange(self.request()).await
    }

    /// Returns it as a request.
    #[must_use]
    pub fn request(&self) -> Request {
        let request = Request::post(&self.endpoint).form(&self.parameters.0);
        match &self.basic {
            Some((id, secret)) => request.basic(id, secret),
            None => request,
        }
    }
}

/// Parameters in order.
#[derive(Clone, Debug, Default)]
pub struct Parameters(
    /// Names and values.
    pub Vec<(String, String)>,
);

impl Parameters {
    fn new(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Sets a parameter, or adds it.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(held, _)| held == name) {
            Some((_, held)) => value.clone_into(held),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Leaves a parameter out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(held, _)| held != name);
    }

    fn encode(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

/// What the client was sent at its redirect URI.
#[derive(Clone, Debug, Default)]
pub struct Callback {
    /// The code.
    pub code: Option<String>,
    /// The state.
    pub state: Option<String>,
    /// The issuer (RFC 9207).
    pub issuer: Option<String>,
    /// The error, when it was refused.
    pub error: Option<String>,
    /// All parameters.
    pub parameters: Vec<(String, String)>,
}

impl Callback {
    /// Reads the parameters of an address.
    #[must_use]
    pub fn read(url: &Url) -> Self {
        let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let find = |name: &str| parameters.iter().find(|(held, _)| held == name).map(|(_, value)| value.clone());
        Self { code: find("code"), state: find("state"), issuer: find("iss"), error: find("error"), parameters }
    }

    /// The code.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_else(|| panic!("no code: {self:?}"))
    }
}

/// What the token endpoint gave.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// The scopes granted, when they were told.
    pub scope: Option<String>,
    /// The whole answer.
    pub answer: Value,
}

impl Tokens {
    /// Reads a token response (RFC 6749 §5.1).
    ///
    /// # Panics
    /// When it is a refusal.
    #[must_use]
    pub fn read(reply: &Response) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        let answer = reply.json();
        Self {
            access_token: word(&answer, "access_token"),
            refresh_token: answer["refresh_token"].as_str().unwrap_or_default().to_owned(),
            scope: answer["scope"].as_str().map(str::to_owned),
            answer,
        }
    }

    /// The access token's claims, read without any check.
    #[must_use]
    pub fn claims(&self) -> Value {
        claims(&self.access_token)
    }
}

/// The claims of a JWT, read without any check.
///
/// # Panics
/// When it is no JWT.
#[must_use]
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let claims = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    claims.unwrap_or_else(|| panic!("no JWT: {token:?}"))
}

/// A parameter of a challenge (RFC 9110 §11.6.1), when it is a quoted string or a token.
#[must_use]
pub fn challenge_parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        let at = rest.find(&format!("{name}="))?;
        let before = rest[..at].chars().next_back();
        rest = &rest[at + name.len() + 1..];
        if before.is_none_or(|letter| letter == ' ' || letter == ',') {
            break;
        }
    }
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').map(|(value, _)| value.to_owned()),
        None => rest.split([',', ' ']).next().map(str::to_owned),
    }
}

async fn read<T: Transport>(transport: &T, url: &str) -> Value {
    let reply = transport.exchange(Request::get(url)).await;
    assert_eq!(reply.status, 200, "{url}: {reply:?}");
    reply.json()
}

fn word(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name:?} in {value}")).to_owned()
}
