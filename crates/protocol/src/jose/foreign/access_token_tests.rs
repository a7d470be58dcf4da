use serde_json::{Value, json};

use super::*;
use crate::base64url;
use crate::jose::keys::SigningKey;
use crate::json::JsonError;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example/";

fn key() -> SigningKey {
    SigningKey::from_pem(include_str!("../../../testdata/keys/p256.pkcs8.pem")).unwrap()
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": key().kid(), "typ": "at+jwt" })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": ["https://gw.example/mcp", "other"], "exp": NOW + 300, "iat": NOW,
        "scope": "read write", "client_id": "agent",
    })
}

/// A service account token as Kubernetes writes it: no `typ`, and claims of its own.
fn kubernetes() -> (Value, Value) {
    let header = json!({ "alg": "RS256", "kid": "k1" });
    let claims = json!({
        "aud": ["portcullis"], "exp": NOW + 3607, "iat": NOW, "nbf": NOW, "iss": "https://kubernetes.default.svc",
        "jti": "9f1a", "sub": "system:serviceaccount:client-apps:mcp-client",
        "kubernetes.io": {
            "namespace": "client-apps", "node": { "name": "node-1", "uid": "1" }, "pod": { "name": "a", "uid": "2" },
            "serviceaccount": { "name": "mcp-client", "uid": "3" }, "warnafter": NOW + 3000,
        },
    });
    (header, claims)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn text(header: &str, claims: &str) -> String {
    [header.as_bytes(), claims.as_bytes(), b"signature"].map(base64url::encode).join(".")
}

/// What is made of a token: subject, client, end and whether it has the scopes `read` and `admin`.
type Read = (String, Option<String>, u64, [bool; 2]);

fn read_text(text: &str, algorithms: &[Alg]) -> Result<Read, ForeignTokenError> {
    let token = ForeignAccessToken::parse(text)?;
    let claimed = token.claims()?;
    let keys = JwkSet::new(vec![key().public().clone()]);
    let signed = claimed.verify(&keys, algorithms, |_, _, _, signature| signature == b"signature")?;
    let audiences = ["portcullis".to_owned(), "https://gw.example/mcp".to_owned()];
    let expected = ExpectedForeignToken { issuer: ISSUER, audiences: &audiences, leeway: 60 };
    let verified = signed.accept(&expected, NOW)?;
    let client = verified.client().map(Cow::into_owned);
    let scopes = ["read", "admin"].map(|scope| verified.has_scope(scope));
    Ok((verified.subject().to_owned(), client, verified.expires_at(), scopes))
}

fn read(claims: &Value) -> Result<Read, ForeignTokenError> {
    read_text(&text(&header().to_string(), &claims.to_string()), &Alg::ALL)
}

fn header_refusal(header: &Value) -> ForeignTokenError {
    read_text(&text(&header.to_string(), &claims().to_string()), &Alg::ALL).unwrap_err()
}

fn header_with(name: &str, value: Value) -> Value {
    let mut header = header();
    header[name] = value;
    header
}

#[test]
fn a_good_token_says_who_it_is_for_how_long_and_for_what() {
    let expected = ("alice".to_owned(), Some("agent".to_owned()), NOW + 360, [true, false]);
    assert_eq!(read(&claims()), Ok(expected));
}

#[test]
fn a_service_account_token_of_kubernetes_needs_no_type_and_no_scope() {
    let (header, claims) = kubernetes();
    let text = text(&header.to_string(), &claims.to_string());
    let token = ForeignAccessToken::parse(&text).unwrap();
    let claimed = token.claims().unwrap();
    assert_eq!(claimed.issuer().unwrap(), "https://kubernetes.default.svc");
    let jwk = json!({ "keys": [{
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1", "e": "AQAB",
        "n": base64url::encode(&[vec![0xff; 255], vec![1]].concat()),
    }] });
    let keys = JwkSet::parse(jwk.to_string().as_bytes()).unwrap();
    let signed = claimed.verify(&keys, &[Alg::Rs256], |_, alg, _, _| alg == Alg::Rs256).unwrap();
    let audiences = ["portcullis".to_owned()];
    let expected = ExpectedForeignToken { issuer: "https://kubernetes.default.svc", audiences: &audiences, leeway: 0 };
    let verified = signed.accept(&expected, NOW).unwrap();
    assert_eq!(verified.subject(), "system:serviceaccount:client-apps:mcp-client");
    assert_eq!((verified.client(), verified.has_scope("")), (None, false));
}

#[test]
fn only_the_types_of_access_tokens_and_of_untyped_jwts_are_read() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT", "jwt"] {
        let text = text(&header_with("typ", json!(typ)).to_string(), &claims().to_string());
        assert!(read_text(&text, &Alg::ALL).is_ok(), "{typ}");
    }
    for typ in [json!("logout+jwt"), json!("secevent+jwt"), json!("dpop+jwt"), json!(""), json!(1), json!(["JWT"])] {
        assert_eq!(header_refusal(&header_with("typ", typ.clone())), ForeignTokenError::WrongType, "{typ}");
    }
}

#[test]
fn neither_an_unsigned_token_nor_a_shared_secret_nor_an_algorithm_that_is_not_allowed_is_accepted() {
    for (alg, error) in [
        (json!("none"), ForeignTokenError::Unsigned),
        (json!("HS256"), ForeignTokenError::SharedSecret),
        (json!("HS512"), ForeignTokenError::SharedSecret),
        (json!("nOnE"), ForeignTokenError::UnsupportedAlg),
        (json!("PS256"), ForeignTokenError::UnverifiedAlg("PS256")),
        (json!(["ES256"]), ForeignTokenError::Malformed("alg")),
        (Value::Null, ForeignTokenError::Missing("alg")),
        // The key of this `kid` is another kind of key.
        (json!("RS256"), ForeignTokenError::UnknownKey),
    ] {
        assert_eq!(header_refusal(&header_with("alg", alg.clone())), error, "{alg}");
    }
    let text = text(&header().to_string(), &claims().to_string());
    assert_eq!(read_text(&text, &[Alg::Rs256, Alg::Es384]), Err(ForeignTokenError::AlgNotAllowed));
    assert!(read_text(&text, &[Alg::Es256]).is_ok());
}

#[test]
fn a_token_chooses_its_key_by_kid_and_brings_none() {
    assert_eq!(header_refusal(&header_with("kid", json!("other"))), ForeignTokenError::UnknownKey);
    assert_eq!(header_refusal(&header_with("kid", json!(1))), ForeignTokenError::Malformed("kid"));
    assert_eq!(header_refusal(&header_with("kid", json!("k".repeat(257)))), ForeignTokenError::Malformed("kid"));
    assert_eq!(header_refusal(&header_with("crit", json!(["b64"]))), ForeignTokenError::Critical);
    let brought = key().public().to_jwk();
    for (name, value) in [("jwk", brought), ("jku", json!("https://evil.example")), ("x5c", json!(["AAAA"]))] {
        let mut header = header_with(name, value);
        header["kid"] = json!("other");
        assert_eq!(header_refusal(&header), ForeignTokenError::UnknownKey, "{name}");
    }
}

#[test]
fn a_forged_signature_is_refused_and_claims_are_not_read_before_it() {
    let mut claims = claims();
    claims["exp"] = json!("malformed");
    let text = [header().to_string().as_bytes(), claims.to_string().as_bytes(), b"forged"].map(base64url::encode);
    assert_eq!(read_text(&text.join("."), &Alg::ALL), Err(ForeignTokenError::BadSignature));
}

#[test]
fn the_issuer_is_the_same_to_the_last_byte() {
    for issuer in ["https://issuer.example", "https://Issuer.example/", "https://issuer.example//", ""] {
        assert_eq!(read(&with("iss", json!(issuer))), Err(ForeignTokenError::WrongIssuer), "{issuer}");
    }
    assert_eq!(read(&with("iss", json!("https:\\/\\/issuer.example/"))), Err(ForeignTokenError::WrongIssuer));
    for (claims, error) in [
        (without("iss"), ForeignTokenError::Missing("iss")),
        (with("iss", json!([ISSUER])), ForeignTokenError::Malformed("iss")),
    ] {
        let text = text(&header().to_string(), &claims.to_string());
        let token = ForeignAccessToken::parse(&text).unwrap();
        assert_eq!(token.claims().unwrap().issuer().unwrap_err(), error);
    }
}

#[test]
fn one_of_the_audiences_is_needed_exactly() {
    for audience in [json!("portcullis"), json!(["a", "portcullis"]), json!("https://gw.example/mcp")] {
        assert!(read(&with("aud", audience.clone())).is_ok(), "{audience}");
    }
    for audience in
        [json!("Portcullis"), json!("https://gw.example/mcp/"), json!("https://gw.example"), json!([]), json!("")]
    {
        assert_eq!(read(&with("aud", audience.clone())), Err(ForeignTokenError::WrongAudience), "{audience}");
    }
    for audience in [json!(1), json!({}), json!(["portcullis", 1]), json!(true)] {
        assert_eq!(read(&with("aud", audience.clone())), Err(ForeignTokenError::Malformed("aud")), "{audience}");
    }
    assert_eq!(read(&without("aud")), Err(ForeignTokenError::Missing("aud")));
    assert_eq!(read(&with("aud", Value::Null)), Err(ForeignTokenError::Missing("aud")));
}

#[test]
fn its_end_is_required_and_its_start_may_be_absent_each_with_the_leeway() {
    for (end, result) in [(NOW - 59, true), (NOW - 60, false), (0, false)] {
        let read = read(&with("exp", json!(end)));
        assert_eq!(read.is_ok(), result, "{end}");
        assert!(result || read == Err(ForeignTokenError::Expired));
    }
    assert_eq!(read(&without("exp")), Err(ForeignTokenError::Missing("exp")));
    for claim in ["iat", "nbf"] {
        assert!(read(&without(claim)).is_ok());
        assert!(read(&with(claim, json!(NOW + 60))).is_ok());
        let early = if claim == "iat" { ForeignTokenError::IssuedLater } else { ForeignTokenError::NotYetValid };
        assert_eq!(read(&with(claim, json!(NOW + 61))), Err(early));
        for value in [json!("1"), json!(-1), json!([]), json!(1e20), json!(true)] {
            assert_eq!(read(&with(claim, value.clone())), Err(ForeignTokenError::Malformed(claim)), "{claim} {value}");
        }
    }
    for value in [json!("1900000000"), json!(-1), json!(253_402_300_800_u64), json!({})] {
        assert_eq!(read(&with("exp", value.clone())), Err(ForeignTokenError::Malformed("exp")), "{value}");
    }
}

#[test]
fn the_subject_is_required_and_bounded() {
    assert_eq!(read(&without("sub")), Err(ForeignTokenError::Missing("sub")));
    assert!(read(&with("sub", json!("s".repeat(255)))).is_ok());
    for subject in [json!(""), json!("s".repeat(256)), json!("a\nb"), json!("a\u{0}")] {
        assert_eq!(read(&with("sub", subject.clone())), Err(ForeignTokenError::Malformed("sub")), "{subject}");
    }
    assert_eq!(read(&with("sub", json!(7))), Err(ForeignTokenError::Malformed("sub")));
}

#[test]
fn scopes_are_whole_words_of_either_claim() {
    for (name, value, has) in [
        ("scope", json!("read"), true),
        ("scope", json!("reads write"), false),
        ("scp", json!(["x", "read"]), true),
        ("scp", json!("x read"), true),
        ("scp", json!([]), false),
    ] {
        let mut claims = without("scope");
        claims[name] = value.clone();
        assert_eq!(read(&claims).unwrap().3, [has, false], "{name} {value}");
    }
    for value in [json!(1), json!({ "read": true }), json!(["read", 1])] {
        assert_eq!(read(&with("scp", value.clone())), Err(ForeignTokenError::Malformed("scp")), "{value}");
    }
    assert_eq!(read(&without("scope")).unwrap().3, [false, false]);
}

#[test]
fn the_client_is_named_by_either_claim_or_not_at_all() {
    let client = |claims: &Value| read(claims).unwrap().1;
    let mut both = with("azp", json!("party"));
    assert_eq!(client(&both).as_deref(), Some("agent"));
    both.as_object_mut().unwrap().remove("client_id");
    assert_eq!(client(&both).as_deref(), Some("party"));
    for value in [json!(1), json!(""), json!("c".repeat(256)), json!("a\nb")] {
        assert_eq!(client(&with("client_id", value.clone())), None, "{value}");
    }
}

#[test]
fn a_claim_that_decides_must_not_be_repeated() {
    for name in ["iss", "sub", "aud", "exp", "nbf", "scope", "scp", "azp"] {
        let claims = claims().to_string();
        let twice = format!("{},\"{name}\":1,\"{name}\":1}}", claims.strip_suffix('}').unwrap());
        let text = text(&header().to_string(), &twice);
        let token = ForeignAccessToken::parse(&text).unwrap();
        assert_eq!(token.claims().unwrap_err(), ForeignTokenError::Claims(JsonError::DuplicateMember), "{name}");
    }
}

#[test]
fn what_is_not_a_signed_jwt_is_refused_by_its_form() {
    let good = text(&header().to_string(), &claims().to_string());
    for (text, error) in [
        ("opaque".to_owned(), ForeignTokenError::NotCompact),
        (format!("{good}.x"), ForeignTokenError::NotCompact),
        (format!("{good}.x.y"), ForeignTokenError::Encrypted),
        (format!("{good}="), ForeignTokenError::NotBase64url),
        (format!("{good}{}", "A".repeat(MAX_TOKEN_BYTES)), ForeignTokenError::TooLong),
        (text("[]", "{}"), ForeignTokenError::Header(JsonError::NotAnObject)),
    ] {
        assert_eq!(read_text(&text, &Alg::ALL), Err(error), "{text}");
    }
    let text = text(&header().to_string(), "[]");
    let token = ForeignAccessToken::parse(&text).unwrap();
    assert_eq!(token.claims().unwrap_err(), ForeignTokenError::Claims(JsonError::NotAnObject));
}

#[test]
fn each_cause_has_words_for_the_client() {
    for error in [
        ForeignTokenError::TooLong,
        ForeignTokenError::Encrypted,
        ForeignTokenError::AlgNotAllowed,
        ForeignTokenError::UnknownKey,
        ForeignTokenError::WrongParty,
        ForeignTokenError::WrongNonce,
        ForeignTokenError::Missing("exp"),
        ForeignTokenError::Malformed("exp"),
    ] {
        assert!(error.public_reason().starts_with("the token ") || error.public_reason().starts_with("a token "));
    }
}
