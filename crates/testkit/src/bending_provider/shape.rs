//! The documents of the provider, ready to be bent.

use portcullis_protocol::jose::keys::SigningKey;
use serde_json::{Map, Value, json};

use super::{AUTHORIZATION_PATH, KEYS_PATH, TOKEN_PATH};

/// Everything that a provider says in one login, before it is said.
pub struct Shape {
    /// The discovery document.
    pub discovery: Document,
    /// The key set.
    pub keys: Document,
    /// The ID token's header.
    pub header: Json,
    /// The ID token's claims.
    pub claims: Json,
    /// The token endpoint's answer, without the ID token.
    pub tokens: Document,
    /// Whether the answer has an ID token.
    pub gives_id_token: bool,
    /// Whether it is signed with the Ed25519 key.
    pub signs_with_edwards_key: bool,
    /// What happens to it after it is signed.
    pub after_signing: fn(String) -> String,
    /// The client authentication that the token endpoint takes.
    pub takes: &'static str,
    /// How often the tokens were refreshed before.
    pub refreshes: u32,
    /// The provider's time, in Unix seconds.
    pub now: u64,
}

/// A document, and how it is sent.
pub struct Document {
    /// Its members.
    pub json: Json,
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: &'static str,
    /// What is sent instead of the members.
    pub instead: Option<Vec<u8>>,
}

/// A JSON object with members that no value could express.
pub struct Json {
    members: Map<String, Value>,
    more: String,
    before: &'static str,
    instead: Option<&'static str>,
}

/// An answer.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Shape {
    /// Makes the answers that no reader could misread.
    pub(super) fn new(issuer: &str, client_id: &str, [key, edwards_key]: [&SigningKey; 2], now: u64) -> Self {
        let keys = json!({ "keys": [key.public().to_jwk(), edwards_key.public().to_jwk()] });
        Self {
            discovery: Document::new(json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}{AUTHORIZATION_PATH}"),
                "token_endpoint": format!("{issuer}{TOKEN_PATH}"),
                "jwks_uri": format!("{issuer}{KEYS_PATH}"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            })),
            keys: Document::new(keys),
            header: Json::new(json!({ "alg": key.alg().name(), "kid": key.kid(), "typ": "JWT" })),
            claims: Json::new(json!({
                "iss": issuer, "aud": client_id, "iat": now, "exp": now.saturating_add(300), "name": "Alice",
                "email": "alice@example.test",
            })),
            tokens: Document::new(json!({ "token_type": "Bearer", "expires_in": 3600 })),
            gives_id_token: true,
            signs_with_edwards_key: false,
            after_signing: |token| token,
            takes: "client_secret_basic",
            refreshes: 0,
            now,
        }
    }

    /// Names the Ed25519 key in the header, and signs with it.
    pub fn sign_with_edwards_key(&mut self, alg: &str) {
        let keys = self.keys.json.members.get("keys").and_then(Value::as_array);
        let kid = keys.and_then(|keys| keys.last()?.get("kid").cloned()).unwrap_or_default();
        self.header.set("kid", kid);
        self.header.set("alg", alg);
        self.signs_with_edwards_key = true;
    }

    /// Puts further keys before those of the provider.
    pub fn add_keys(&mut self, further: &[Value]) {
        if let Some(Value::Array(keys)) = self.keys.json.members.get_mut("keys") {
            keys.splice(0..0, further.iter().cloned());
        }
    }

    /// Changes each key of the provider.
    pub fn change_keys(&mut self, change: impl Fn(&mut Map<String, Value>)) {
        if let Some(Value::Array(keys)) = self.keys.json.members.get_mut("keys") {
            keys.iter_mut().filter_map(Value::as_object_mut).for_each(change);
        }
    }
}

impl Document {
    pub(super) fn new(members: Value) -> Self {
        Self { json: Json::new(members), status: 200, content_type: "application/json", instead: None }
    }

    /// Sends this instead of the members.
    pub fn send(&mut self, status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) {
        (self.status, self.content_type, self.instead) = (status, content_type, Some(body.into()));
    }

    pub(super) fn into_reply(self) -> Reply {
        let body = self.instead.unwrap_or_else(|| self.json.render().into_bytes());
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if !self.content_type.is_empty() {
            headers.push(("content-type", self.content_type.to_owned()));
        }
        if (300..400).contains(&self.status) {
            headers.push(("location", "/elsewhere".to_owned()));
        }
        Reply { status: self.status, headers, body }
    }
}

impl Json {
    fn new(members: Value) -> Self {
        let members = if let Value::Object(members) = members { members } else { Map::new() };
        Self { members, more: String::new(), before: "", instead: None }
    }

    /// Sets a member.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.members.insert(name.to_owned(), value.into());
    }

    /// The text of a member.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.members.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) {
        self.members.remove(name);
    }

    /// Adds text behind the last member, without the comma before it.
    pub fn add(&mut self, text: &str) {
        self.more.push(',');
        self.more.push_str(text);
    }

    /// Replaces a member by this text.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.remove(name);
        self.add(&format!("\"{name}\":{text}"));
    }

    /// Puts text before the object.
    pub fn begin_with(&mut self, text: &'static str) {
        self.before = text;
    }

    /// Puts this text in place of the object.
    pub fn replace_by(&mut self, text: &'static str) {
        self.instead = Some(text);
    }

    /// The object as it is sent.
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(instead) = self.instead {
            return instead.to_owned();
        }
        let members = Value::Object(self.members.clone()).to_string();
        let open = members.strip_suffix('}').unwrap_or_default();
        let more = if self.members.is_empty() { self.more.strip_prefix(',').unwrap_or_default() } else { &self.more };
        format!("{}{open}{more}}}", self.before)
    }
}

impl Reply {
    pub(super) fn error(status: u16, code: &str) -> Self {
        let mut document = Document::new(json!({ "error": code }));
        document.status = status;
        document.into_reply()
    }

    pub(super) fn redirect(location: &str) -> Self {
        Self { status: 303, headers: vec![("location", location.to_owned())], body: Vec::new() }
    }

    /// The answer with a body that looks like gzip (RFC 1952 §2.3.1).
    pub(super) fn compressed(mut self) -> Self {
        self.headers.push(("content-encoding", "gzip".to_owned()));
        self.body.splice(0..0, [0x1f, 0x8b, 8]);
        self
    }

    /// The value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_str())
    }
}
