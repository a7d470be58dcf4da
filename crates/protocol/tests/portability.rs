//! The rules have the same results wherever they run: natively, in the wasm target of the filter,
//! and in wasm without an operating system, where a hidden clock, file or random source would fail.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use portcullis_protocol::base64url;
use portcullis_protocol::credentials::{RefreshToken, SessionId};
use portcullis_protocol::crypto::key_ring::{KeyRing, Purpose};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::jose::claims::{self, Expected};
use portcullis_protocol::jose::jws::{self, Header, Jws};
use portcullis_protocol::jose::keys::{JwkSet, SigningKey};
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::pkce::CodeVerifier;
use portcullis_protocol::oauth::redirect::{RedirectUri, match_registered};
use portcullis_testkit::signatures::{Sign as _, Verify as _};
use serde_json::json;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_800_000_000;

fn ring() -> KeyRing {
    KeyRing::new(vec![Secret::new(vec![7; 32])]).unwrap()
}

#[test]
fn an_access_token_of_every_kind_of_key_verifies_with_the_published_key_alone() {
    for pem in [
        include_str!("../testdata/keys/p256.pkcs8.pem"),
        include_str!("../testdata/keys/p384.pkcs8.pem"),
        include_str!("../testdata/keys/ed25519.pkcs8.pem"),
        include_str!("../testdata/keys/rsa2048.pkcs8.pem"),
    ] {
        let key = SigningKey::from_pem(pem).unwrap();
        let claims = json!({
            "iss": "https://gw.example", "sub": "user", "aud": "https://gw.example/mcp", "exp": NOW + 60, "iat": NOW,
            "jti": "1", "client_id": "client", "scope": "openid", "sid": SessionId::new([1; 16]).to_string(),
        });
        let input = jws::encode(&Header { alg: key.alg(), kid: key.kid(), typ: "at+jwt" }, &claims);
        let token = jws::attach(&input, &key.sign(input.as_bytes()).unwrap());

        let published = json!({ "keys": [key.public().to_jwk()] }).to_string();
        let keys = JwkSet::parse(published.as_bytes()).unwrap();
        let parsed = Jws::parse(&token).unwrap();
        let signed = claims::verify(&parsed, &keys, |key, alg, message, signature| key.verify(alg, message, signature));
        let expected = Expected {
            issuer: "https://gw.example",
            audience: "https://gw.example/mcp",
            start_leeway: 0,
            expiry_leeway: 0,
        };
        assert_eq!(signed.unwrap().access_token(&expected, NOW).unwrap().subject(), "user", "{:?}", key.alg());
    }
}

#[test]
fn what_is_sealed_opens_and_nothing_else_does() {
    let ring = ring();
    let mut sealed = ring.seal([9; 24], Purpose::Record, b"name", b"value");
    assert_eq!(ring.open(Purpose::Record, b"name", &sealed).unwrap(), b"value");
    assert!(ring.open(Purpose::Record, b"other", &sealed).is_err());
    *sealed.last_mut().unwrap() ^= 1;
    assert!(ring.open(Purpose::Record, b"name", &sealed).is_err());
}

#[test]
fn a_refresh_token_is_read_as_issued() {
    let token = RefreshToken { session: SessionId::new([3; 16]), generation: 7, nonce: [5; 16] };
    let text = token.issue(&ring());
    let read = RefreshToken::parse(text.expose(), &ring()).unwrap();
    assert_eq!((read.session, read.generation, read.nonce), (token.session, 7, [5; 16]));
    assert!(RefreshToken::parse(&format!("{}x", text.expose()), &ring()).is_err());
}

#[test]
fn the_pkce_vector_of_rfc_7636_holds() {
    let verifier = CodeVerifier::parse("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
    assert_eq!(verifier.challenge().to_string(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[test]
fn texts_are_read_strictly() {
    assert!(base64url::decode("AA").is_ok() && base64url::decode("AB").is_err());
    assert!(Params::parse(b"a=1&b=%C3%A9", Limits::OAUTH).is_ok());
    assert!(Params::parse(b"a=%FF", Limits::OAUTH).is_err());
    assert!(RoutePath::parse(b"/mcp?x=1").is_ok() && RoutePath::parse(b"/a/../mcp").is_err());
    let registered = [RedirectUri::register("http://127.0.0.1:1/cb").unwrap()];
    assert!(match_registered(&registered, "http://127.0.0.1:2/cb").is_some());
    assert!(match_registered(&registered, "http://127.0.0.1.evil.example:2/cb").is_none());
}
