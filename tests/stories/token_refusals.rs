//! Tokens that must not work, told one by one: what the client hears, and that the backend hears
//! nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jwt_simple::prelude::ES256KeyPair;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::testbed::Testbed;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::OnceCell;

use crate::machine;
use crate::support::{assert_challenged, assert_error, assert_serves, assert_unseen, challenge, log_in, unique};

#[tokio::test]
async fn a_token_made_with_the_gateways_key_and_right_in_everything_is_accepted() {
    let forge = forge().await;
    assert_serves(&forge.bed, &forge.good).await;
    assert_serves(&forge.bed, &forge.sign(&forge.header, &forge.claims)).await;
    let spelled_out = forge.header_with("typ", json!("application/AT+JWT"));
    assert_serves(&forge.bed, &forge.sign(&spelled_out, &forge.claims)).await;
    let several = forge.claims_with("aud", json!(["urn:other", forge.bed.api_resource()]));
    assert_serves(&forge.bed, &forge.sign(&forge.header, &several)).await;
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_call_without_a_bearer_token_is_told_where_to_get_one() {
    let forge = forge().await;
    let schemes = [("basic", "Basic YTpi"), ("dpop", "DPoP abc"), ("no token", "Bearer"), ("nothing in it", "")];
    let schemes = schemes.map(|(what, scheme)| (what, Some(scheme)));
    for (what, scheme) in [("nothing", None)].into_iter().chain(schemes) {
        let path = format!("/api/without-{}", unique());
        let mut request = forge.bed.get(&path);
        if let Some(scheme) = scheme {
            request = request.header("authorization", scheme);
        }
        let reply = request.send().await;
        assert_error(&reply, 401, "invalid_request", "an access token is required", what);
        assert_eq!(reply.header("www-authenticate"), Some(challenge(&forge.bed, None).as_str()), "{what}");
        assert_unseen(&forge.bed, &path).await;
    }
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn credentials_that_are_not_one_bearer_token_are_refused() {
    let forge = forge().await;
    let good = &forge.good;
    for value in [
        format!("Bearer  {good}"),
        format!("Bearer\t{good}"),
        format!("Bearer {good}, Bearer {good}"),
        format!("Bearer {good},{good}"),
        format!("Bearer \"{good}\""),
        format!("Bearer {good} x"),
        "Bearer =".to_owned(),
        format!("Bearer {}", "a".repeat(16 * 1024)),
    ] {
        let what = &value[..value.len().min(20)];
        forge.refuses(|request| request.header("authorization", &value), 400, ONE_TOKEN, what).await;
    }
    // Also where the token is known already.
    assert_serves(&forge.bed, good).await;
    let twice = |request: Request| request.bearer(good).bearer(good);
    forge.refuses(twice, 400, ONE_TOKEN, "two headers").await;
    let other = |request: Request| request.bearer(good).header("Authorization", "Basic YTpi");
    forge.refuses(other, 400, ONE_TOKEN, "two headers of two schemes").await;
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_in_the_query_is_refused_even_next_to_a_good_header() {
    let forge = forge().await;
    assert_serves(&forge.bed, &forge.good).await;
    for name in ["access_token", "%61ccess%5Ftoken"] {
        for with_header in [false, true] {
            let path = format!("/api/query-{}?a=b&{name}={}", unique(), forge.good);
            let mut request = forge.bed.get(&path);
            if with_header {
                request = request.bearer(&forge.good);
            }
            let reply = request.send().await;
            assert_challenged(
                &forge.bed,
                &reply,
                400,
                "invalid_request",
                "an access token must not be in the URL",
                name,
            );
            assert_unseen(&forge.bed, path.split('?').next().unwrap_or_default()).await;
        }
    }
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_in_the_body_or_in_a_cookie_counts_for_nothing() {
    let forge = forge().await;
    let path = format!("/api/body-{}", unique());
    let in_body = forge.bed.post(&path).form(&[("access_token", &forge.good)]).send().await;
    let in_cookie = forge.bed.get(&path).header("cookie", format!("access_token={}", forge.good)).send().await;
    for reply in [in_body, in_cookie] {
        assert_error(&reply, 401, "invalid_request", "an access token is required", "not in the header");
    }
    assert_unseen(&forge.bed, &path).await;
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_text_that_is_no_token_is_refused() {
    let forge = forge().await;
    let [head, body, signature] = forge.parts();
    let not_json = URL_SAFE_NO_PAD.encode("ES256");
    let cases: Vec<(&str, String, &str)> = vec![
        ("one part", "abc".to_owned(), NOT_COMPACT),
        ("two parts", format!("{head}.{body}"), NOT_COMPACT),
        ("four parts", format!("{head}.{body}.{signature}.{signature}"), NOT_COMPACT),
        ("five parts, as an encrypted token", format!("{head}.{body}.{signature}.{body}.{signature}"), NOT_COMPACT),
        ("an empty header", format!(".{body}.{signature}"), "the token header is malformed"),
        ("a header that is not JSON", format!("{not_json}.{body}.{signature}"), "the token header is malformed"),
        ("no signature", format!("{head}.{body}."), BAD_SIGNATURE),
        ("half a signature", format!("{head}.{body}.{}", &signature[..40]), BAD_SIGNATURE),
        ("padding", format!("{head}.{body}.{signature}=="), NOT_COMPACT),
        ("trailing bits", format!("{head}.{body}.{}", with_trailing_bits(&signature)), NOT_COMPACT),
        ("the other alphabet", forge.in_standard_alphabet(), NOT_COMPACT),
    ];
    for (what, token, reason) in cases {
        forge.refuses_token(&token, reason, what).await;
    }
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_that_was_changed_after_signing_is_refused() {
    let forge = forge().await;
    let [head, _, signature] = forge.parts();
    for (name, value) in
        [("sub", json!("mallory")), ("exp", json!(4_000_000_000_u64)), ("scope", json!("openid admin"))]
    {
        let changed = encode(&forge.claims_with(name, value).to_string());
        forge.refuses_token(&format!("{head}.{changed}.{signature}"), BAD_SIGNATURE, name).await;
    }
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    let [head, body, _] = forge.parts();
    forge.refuses_token(&format!("{head}.{body}.{zeros}"), BAD_SIGNATURE, "r and s of zero").await;
    let der = forge.signature(&format!("{head}.{body}")).to_der();
    let der = format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(der.as_bytes()));
    forge.refuses_token(&der, BAD_SIGNATURE, "DER").await;
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn an_algorithm_that_the_key_is_not_for_is_refused() {
    let forge = forge().await;
    let body = encode(&forge.claims.to_string());
    for name in ["none", "None", "nOnE", "HS384", "PS256", "ES512", "es256", ""] {
        let head = encode(&forge.header_with("alg", json!(name)).to_string());
        forge.refuses_token(&format!("{head}.{body}."), UNSUPPORTED, name).await;
    }
    // The old confusion: the public key, which every client has, taken for the secret of an HMAC.
    let head = encode(&forge.header_with("alg", json!("HS256")).to_string());
    let public = forge.key.verifying_key().to_public_key_pem(LineEnding::LF).expect("PEM");
    let mut mac = Hmac::<Sha256>::new_from_slice(public.as_bytes()).expect("a key");
    mac.update(format!("{head}.{body}").as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    forge.refuses_token(&format!("{head}.{body}.{signature}"), UNSUPPORTED, "HS256 with the public key").await;
    for name in ["RS256", "ES384", "EdDSA"] {
        let token = forge.sign(&forge.header_with("alg", json!(name)), &forge.claims);
        forge.refuses_token(&token, UNKNOWN_KEY, name).await;
    }
    let token = forge.sign(&without(&forge.header, "alg"), &forge.claims);
    forge.refuses_token(&token, "the token header is malformed", "no algorithm").await;
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_key_that_is_not_the_gateways_is_refused() {
    let forge = forge().await;
    let stranger = ES256KeyPair::generate().to_pem().expect("PEM");
    let stranger = SigningKey::from_pkcs8_pem(&stranger).expect("a key");
    let own_name = sign_with(&stranger, &forge.header.to_string(), &forge.claims.to_string());
    forge.refuses_token(&own_name, BAD_SIGNATURE, "another key under our name").await;
    for kid in ["unknown", "../../etc/passwd", "' OR 1=1 --", ""] {
        let token = forge.sign(&forge.header_with("kid", json!(kid)), &forge.claims);
        forge.refuses_token(&token, UNKNOWN_KEY, kid).await;
    }
    for kid in [json!(7), json!(null), json!(["a"]), json!("k".repeat(300))] {
        let token = forge.sign(&forge.header_with("kid", kid), &forge.claims);
        forge.refuses_token(&token, "the token header is malformed", "a kid that is none").await;
    }
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_header_that_brings_its_own_key_or_asks_for_more_is_refused() {
    let forge = forge().await;
    let point = forge.key.verifying_key().to_sec1_point(false);
    let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point.as_bytes()[range]);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": coordinate(1..33), "y": coordinate(33..65) });
    let elsewhere = format!("{}/jwks.json", forge.bed.recorder());
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!(elsewhere)),
        ("x5u", json!(elsewhere)),
        ("x5c", json!(["AA=="])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        let token = forge.sign(&forge.header_with(name, value), &forge.claims);
        forge.refuses_token(&token, "the token header has a member that is not allowed", name).await;
    }
    assert_unseen(&forge.bed, "jwks.json").await;
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_member_that_comes_twice_is_refused() {
    let forge = forge().await;
    let twice = |object: &Value, member: &str| object.to_string().replacen('{', &format!("{{{member},"), 1);
    let header = forge.header.to_string();
    for member in [r#""aud":"urn:other""#, r#""sub":"mallory""#, r#""\u0073ub":"mallory""#, r#""exp":4000000000"#] {
        let token = sign_with(&forge.key, &header, &twice(&forge.claims, member));
        forge.refuses_token(&token, "the token claims are malformed", member).await;
    }
    for member in [r#""alg":"none""#, r#""kid":"x""#, r#""\u0061lg":"ES256""#] {
        let token = sign_with(&forge.key, &twice(&forge.header, member), &forge.claims.to_string());
        forge.refuses_token(&token, "the token header is malformed", member).await;
    }
    for claims in ["[]", "7", "null", "{", "{}x", ""] {
        let token = sign_with(&forge.key, &header, claims);
        forge.refuses_token(&token, "the token claims are malformed", claims).await;
    }
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_of_another_time_place_or_kind_is_refused() {
    let forge = forge().await;
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let api = forge.bed.api_resource();
    let issuer = forge.bed.issuer();
    let cases = [
        ("exp", json!(now - 1), "the token has expired"),
        ("exp", json!(1), "the token has expired"),
        ("nbf", json!(now + 300), "the token is not valid yet"),
        ("iat", json!(now + 300), "the token is not valid yet"),
        ("aud", json!(forge.bed.resource()), WRONG_AUDIENCE),
        ("aud", json!(format!("{api}/")), WRONG_AUDIENCE),
        ("aud", json!(forge.bed.gateway()), WRONG_AUDIENCE),
        ("aud", json!(api.to_uppercase()), WRONG_AUDIENCE),
        ("aud", json!([]), "a token claim is malformed"),
        ("aud", json!(7), "a token claim is malformed"),
        ("aud", json!(["urn:other", 7]), "a token claim is malformed"),
        ("iss", json!(format!("{issuer}/")), WRONG_ISSUER),
        ("iss", json!(forge.bed.idp()), WRONG_ISSUER),
        ("iss", json!([issuer]), "a token claim is malformed"),
        ("exp", json!(format!("{}", now + 60)), "a token claim is malformed"),
        ("exp", json!(now as f64 + 60.5), "a token claim is malformed"),
        ("exp", json!(-1), "a token claim is malformed"),
        ("exp", json!(u64::MAX), "a token claim is malformed"),
        ("exp", json!(null), "a token claim is malformed"),
        ("nbf", json!("soon"), "a token claim is malformed"),
        ("sub", json!(7), "a token claim is malformed"),
        ("sub", json!(""), "a token claim is malformed"),
        ("sid", json!("../x"), "a token claim is malformed"),
        ("scope", json!(["openid"]), "a token claim is malformed"),
    ];
    for (name, value, reason) in cases {
        let what = format!("{name} {value}");
        forge.refuses_token(&forge.sign(&forge.header, &forge.claims_with(name, value)), reason, &what).await;
    }
    for name in ["iss", "aud", "exp", "iat", "sub", "client_id", "jti", "sid", "scope"] {
        let token = forge.sign(&forge.header, &without(&forge.claims, name));
        forge.refuses_token(&token, "the token lacks a required claim", name).await;
    }
    for typ in ["JWT", "jwt", "rt+jwt", "logout+jwt", "at+jwt "] {
        let token = forge.sign(&forge.header_with("typ", json!(typ)), &forge.claims);
        forge.refuses_token(&token, "the token is of another type", typ).await;
    }
    let untyped = forge.sign(&without(&forge.header, "typ"), &forge.claims);
    forge.refuses_token(&untyped, "the token is of another type", "no typ").await;
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_of_a_session_that_is_not_there_or_not_its_own_is_refused() {
    let forge = forge().await;
    let (_, other) = log_in(&forge.bed, "bob").await;
    let others_session = other.claims()["sid"].clone();
    for (name, value) in [
        ("sid", json!(URL_SAFE_NO_PAD.encode([7; 16]))),
        ("sid", others_session),
        ("sub", json!("mallory")),
        ("client_id", json!("mallory")),
    ] {
        let token = forge.sign(&forge.header, &forge.claims_with(name, value));
        forge.refuses_token(&token, "the session of this token has ended", name).await;
    }
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_without_the_resources_scope_is_refused_as_such() {
    let forge = forge().await;
    let description = "the token lacks a scope that is needed here";
    for scope in ["", "email", "openid2", "OPENID"] {
        let path = format!("/api/scope-{}", unique());
        let token = forge.sign(&forge.header, &forge.claims_with("scope", json!(scope)));
        let reply = forge.bed.get(&path).bearer(&token).send().await;
        assert_challenged(&forge.bed, &reply, 403, "insufficient_scope", description, scope);
        assert_unseen(&forge.bed, &path).await;
    }
    forge.bed.assert_healthy().await;
}

#[tokio::test]
async fn other_tokens_of_the_same_login_are_no_access_tokens() {
    let forge = forge().await;
    let (_, tokens) = log_in(&forge.bed, "carol").await;
    forge.refuses_token(&tokens.refresh_token, "the token is not a compact JWS", "a refresh token").await;
    // What the backend is given is the provider's token; here it is a stranger's.
    let marker = format!("/api/upstream-{}", unique());
    assert_eq!(forge.bed.get(&marker).bearer(&tokens.access_token).send().await.status, 200);
    let seen = forge.bed.recorded().await.into_iter().find(|request| request.path == marker).expect("the call");
    forge.refuses_token(&seen.bearer().expect("a token"), UNKNOWN_KEY, "the provider's token").await;
    let at_mcp = Request::post(&forge.bed.resource()).bearer(&tokens.access_token).json(&json!({})).send().await;
    assert_error(&at_mcp, 401, "invalid_token", WRONG_AUDIENCE, "the other resource");
    forge.bed.assert_healthy().await;
}

/// Makes tokens with the testbed's own signing key, from those of a real login.
struct Forge {
    bed: Testbed,
    key: SigningKey,
    good: String,
    header: Value,
    claims: Value,
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

    fn header_with(&self, name: &str, value: Value) -> Value {
        with(&self.header, name, value)
    }

    fn claims_with(&self, name: &str, value: Value) -> Value {
        with(&self.claims, name, value)
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        sign_with(&self.key, &header.to_string(), &claims.to_string())
    }

    fn signature(&self, text: &str) -> Signature {
        self.key.sign(text.as_bytes())
    }

    /// The good token's three parts.
    fn parts(&self) -> [String; 3] {
        let parts: Vec<String> = self.good.split('.').map(str::to_owned).collect();
        parts.try_into().expect("three parts")
    }

    /// The good token's claims with something added until the two alphabets differ, in the wrong
    /// one.
    fn in_standard_alphabet(&self) -> String {
        let head = encode(&self.header.to_string());
        let claims = self.claims_with("note", json!("???>>>~~~")).to_string();
        let body = STANDARD.encode(&claims).trim_end_matches('=').to_owned();
        assert!(body.contains(['+', '/']), "{body}");
        let signature = self.signature(&format!("{head}.{body}"));
        format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    async fn refuses_token(&self, token: &str, reason: &str, what: &str) {
        let reply = self.call(|request| request.bearer(token)).await;
        assert_challenged(&self.bed, &reply, 401, "invalid_token", reason, what);
        // Asked again, by way of whatever the first answer left behind.
        let reply = self.call(|request| request.bearer(token)).await;
        assert_challenged(&self.bed, &reply, 401, "invalid_token", reason, what);
    }

    async fn refuses(&self, dress: impl Fn(Request) -> Request, status: u16, reason: &str, what: &str) {
        let reply = self.call(dress).await;
        assert_challenged(&self.bed, &reply, status, "invalid_request", reason, what);
    }

    async fn call(&self, dress: impl Fn(Request) -> Request) -> Response {
        let path = format!("/api/refused-{}", unique());
        let reply = dress(self.bed.get(&path)).send().await;
        assert_unseen(&self.bed, &path).await;
        reply
    }
}

async fn forge() -> &'static Forge {
    static FORGE: OnceCell<Forge> = OnceCell::const_new();
    machine::share();
    FORGE.get_or_init(Forge::start).await
}

fn sign_with(key: &SigningKey, header: &str, claims: &str) -> String {
    let text = format!("{}.{}", encode(header), encode(claims));
    let signature: Signature = key.sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[name] = value;
    changed
}

fn without(object: &Value, name: &str) -> Value {
    let mut changed = object.clone();
    changed.as_object_mut().expect("an object").remove(name);
    changed
}

/// The same 64 bytes written with the unused bits of the last letter set: 86 letters hold 516 bits.
fn with_trailing_bits(signature: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, last) = signature.split_at(signature.len() - 1);
    let at = ALPHABET.iter().position(|letter| last.as_bytes() == [*letter]).expect("a letter");
    format!("{start}{}", char::from(ALPHABET[at + 1]))
}

const ONE_TOKEN: &str = "the Authorization header must be one bearer token";
const NOT_COMPACT: &str = "the token is not a compact JWS";
const BAD_SIGNATURE: &str = "the token signature is invalid";
const UNKNOWN_KEY: &str = "the token was signed with an unknown key";
const UNSUPPORTED: &str = "the token algorithm is not supported";
const WRONG_AUDIENCE: &str = "the token is not for this resource";
const WRONG_ISSUER: &str = "the token issuer is not accepted";
