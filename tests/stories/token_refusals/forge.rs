//! Tokens as someone with the gateway's key, or with a token of it, could make them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::testbed::Testbed;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::machine;
use crate::support::{assert_challenged, assert_unseen, log_in, unique};

/// Makes tokens with the testbed's own signing key, from those of a real login.
pub(super) struct Forge {
    pub(super) bed: Testbed,
    pub(super) key: SigningKey,
    pub(super) good: String,
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl Forge {
    async fn start() -> Self {
        let bed = Testbed::builder().workers(2).start().await;
        let (_, tokens) = log_in(&bed, "alice").await;
        let header = tokens.access_token.split('.').next().unwrap_or_default();
        let header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("a header");
        let key = SigningKey::from_pkcs8_pem(bed.signing_key()).expect("the signing key");
        Self { claims: tokens.claims(), good: tokens.access_token, bed, key, header }
    }

    pub(super) fn header_with(&self, name: &str, value: Value) -> Value {
        with(&self.header, name, value)
    }

    pub(super) fn claims_with(&self, name: &str, value: Value) -> Value {
        with(&self.claims, name, value)
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        sign_with(&self.key, &header.to_string(), &claims.to_string())
    }

    pub(super) fn signature(&self, text: &str) -> Signature {
        self.key.sign(text.as_bytes())
    }

    /// The good token's three parts.
    pub(super) fn parts(&self) -> [String; 3] {
        let parts: Vec<String> = self.good.split('.').map(str::to_owned).collect();
        parts.try_into().expect("three parts")
    }

    /// The good token's claims with something added until the two alphabets differ, in the wrong
    /// one.
    pub(super) fn in_standard_alphabet(&self) -> String {
        let head = encode(&self.header.to_string());
        let claims = self.claims_with("note", json!("???>>>~~~")).to_string();
        let body = STANDARD.encode(&claims).trim_end_matches('=').to_owned();
        assert!(body.contains(['+', '/']), "{body}");
        let signature = self.signature(&format!("{head}.{body}"));
        format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    pub(super) async fn refuses_token(&self, token: &str, reason: &str, what: &str) {
        let reply = self.call(|request| request.bearer(token)).await;
        assert_challenged(&self.bed, &reply, 401, "invalid_token", reason, what);
        // Asked again, by way of whatever the first answer left behind.
        let reply = self.call(|request| request.bearer(token)).await;
        assert_challenged(&self.bed, &reply, 401, "invalid_token", reason, what);
    }

    pub(super) async fn refuses(&self, dress: impl Fn(Request) -> Request, status: u16, reason: &str, what: &str) {
        let reply = self.call(dress).await;
        assert_challenged(&self.bed, &reply, status, "invalid_request", reason, what);
    }

    pub(super) async fn call(&self, dress: impl Fn(Request) -> Request) -> Response {
        let path = format!("/api/refused-{}", unique());
        let reply = dress(self.bed.get(&path)).send().await;
        assert_unseen(&self.bed, &path).await;
        reply
    }
}

pub(super) async fn forge() -> &'static Forge {
    static FORGE: OnceCell<Forge> = OnceCell::const_new();
    machine::share();
    FORGE.get_or_init(Forge::start).await
}

pub(super) fn sign_with(key: &SigningKey, header: &str, claims: &str) -> String {
    let text = format!("{}.{}", encode(header), encode(claims));
    let signature: Signature = key.sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

pub(super) fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

pub(super) fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[name] = value;
    changed
}

pub(super) fn without(object: &Value, name: &str) -> Value {
    let mut changed = object.clone();
    changed.as_object_mut().expect("an object").remove(name);
    changed
}

/// The same 64 bytes written with the unused bits of the last letter set: 86 letters hold 516 bits.
pub(super) fn with_trailing_bits(signature: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, last) = signature.split_at(signature.len() - 1);
    let at = ALPHABET.iter().position(|letter| last.as_bytes() == [*letter]).expect("a letter");
    format!("{start}{}", char::from(ALPHABET[at + 1]))
}
