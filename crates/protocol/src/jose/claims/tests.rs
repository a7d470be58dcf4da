use serde_json::{Value, json};

use super::*;
use crate::base64url;
use crate::jose::keys::SigningKey;
use crate::json::JsonError;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://gateway.example";
const AUDIENCE: &str = "https://gateway.example/mcp";

fn expected() -> Expected<'static> {
    Expected { issuer: ISSUER, audience: AUDIENCE, start_leeway: 0, expiry_leeway: 0 }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "user",
        "aud": AUDIENCE,
        "exp": NOW + 60,
        "iat": NOW - 60,
        "jti": "id",
        "scope": "mcp:read mcp:write",
        "client_id": "client",
        "sid": SessionId::new([5; 16]).to_string(),
    })
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

fn signed(typ: Option<&'static str>, claims: &Value) -> SignedClaims<'static> {
    let payload = claims.to_string().leak().as_bytes();
    SignedClaims { typ, claims: ObjectMembers::parse(payload, Limits::TOKEN).unwrap() }
}

fn access(claims: Value) -> Result<VerifiedToken<'static>, ClaimError> {
    Box::leak(Box::new(signed(Some("at+jwt"), &claims))).access_token(&expected(), NOW)
}

fn refusal(claims: Value) -> ClaimError {
    access(claims).unwrap_err()
}

fn key() -> SigningKey {
    SigningKey::from_pem(include_str!("../../../testdata/keys/p256.pkcs8.pem")).unwrap()
}

fn trusted() -> JwkSet {
    JwkSet::new(vec![key().public().clone()])
}

#[test]
fn an_unknown_kid_or_an_unfit_algorithm_costs_no_signature_check() {
    for header in [
        json!({ "alg": "ES256", "kid": "unknown" }),
        json!({ "alg": "ES384", "kid": key().kid() }),
        json!({ "alg": "RS256", "kid": key().kid() }),
        json!({ "alg": "EdDSA" }),
    ] {
        let text = format!("{}.e30.AAAA", base64url::encode(header.to_string().as_bytes()));
        let mut checks = 0;
        let jws = Jws::parse(&text).unwrap();
        let result = verify(&jws, &trusted(), |_, _, _, _| {
            checks += 1;
            true
        });
        assert_eq!((result.unwrap_err(), checks), (SignatureError::UnknownKey, 0), "{header}");
    }
}

#[test]
fn no_other_kind_of_token_passes_for_an_access_token() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert!(signed(Some(typ), &claims()).access_token(&expected(), NOW).is_ok(), "{typ}");
    }
    for typ in ["JWT", "jwt", "", "at+jwt ", "at jwt", "logout+jwt", "application/jwt", "dpop+jwt"] {
        let other = signed(Some(typ), &claims());
        assert_eq!(other.access_token(&expected(), NOW).unwrap_err(), ClaimError::WrongType, "{typ}");
    }
    assert_eq!(signed(None, &claims()).access_token(&expected(), NOW).unwrap_err(), ClaimError::WrongType);
}

#[test]
fn a_time_that_is_not_a_sane_integer_is_malformed_not_absent() {
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!((NOW + 60).to_string()),
            json!(1_800_000_060.0),
            json!(1.5),
            json!(-1),
            json!(1_u64 << 63),
            json!(u64::MAX),
            json!(1e300),
            json!(253_402_300_800_u64),
            json!(null),
            json!(true),
            json!([NOW]),
            json!({}),
        ] {
            assert_eq!(refusal(with(name, value.clone())), ClaimError::Malformed(name), "{name} {value}");
        }
    }
    assert_eq!(refusal(without("exp")), ClaimError::Missing("exp"));
    assert_eq!(refusal(without("iat")), ClaimError::Missing("iat"));
    assert!(access(with("exp", json!(253_402_300_799_u64))).is_ok());
}

#[test]
fn times_turn_at_the_exact_second() {
    let at = |start_leeway, expiry_leeway, claims| {
        let signed = signed(Some("at+jwt"), &claims);
        let expected = Expected { start_leeway, expiry_leeway, ..expected() };
        signed.access_token(&expected, NOW).map(|_| ())
    };
    // Start and expiry have separate leeways.
    for other in [0, 60] {
        assert!(at(other, 0, with("exp", json!(NOW + 1))).is_ok());
        assert_eq!(at(other, 0, with("exp", json!(NOW))).unwrap_err(), ClaimError::Expired);
        assert!(at(other, 5, with("exp", json!(NOW - 4))).is_ok());
        assert_eq!(at(other, 5, with("exp", json!(NOW - 5))).unwrap_err(), ClaimError::Expired);
        for name in ["nbf", "iat"] {
            assert!(at(0, other, with(name, json!(NOW))).is_ok());
            assert_eq!(at(0, other, with(name, json!(NOW + 1))).unwrap_err(), ClaimError::NotYetValid, "{name}");
            assert!(at(5, other, with(name, json!(NOW + 5))).is_ok());
            assert_eq!(at(5, other, with(name, json!(NOW + 6))).unwrap_err(), ClaimError::NotYetValid, "{name}");
        }
    }
    assert!(at(u64::MAX, u64::MAX, with("exp", json!(0))).is_ok(), "no overflow");
}

#[test]
fn issuer_and_audience_match_exactly() {
    for issuer in
        ["https://gateway.example/", "https://GATEWAY.example", "https://gateway.exampl", "", "https://evil.example"]
    {
        assert_eq!(refusal(with("iss", json!(issuer))), ClaimError::WrongIssuer, "{issuer}");
    }
    assert_eq!(refusal(with("iss", json!([ISSUER]))), ClaimError::Malformed("iss"));
    assert_eq!(refusal(without("iss")), ClaimError::Missing("iss"));

    let sixteen: Vec<&str> = std::iter::repeat_n("x", 15).chain([AUDIENCE]).collect();
    assert!(access(with("aud", json!([AUDIENCE]))).is_ok());
    assert!(access(with("aud", json!(sixteen))).is_ok());
    for audience in [json!("https://gateway.example"), json!("https://gateway.example/mcp/"), json!(""), json!(["x"])] {
        assert_eq!(refusal(with("aud", audience.clone())), ClaimError::WrongAudience, "{audience}");
    }
    for audience in [
        json!([]),
        json!([AUDIENCE, 1]),
        json!({ AUDIENCE: 1 }),
        json!(null),
        json!([[AUDIENCE]]),
        json!(vec![AUDIENCE; 17]),
    ] {
        assert_eq!(refusal(with("aud", audience.clone())), ClaimError::Malformed("aud"), "{audience}");
    }
    assert_eq!(refusal(without("aud")), ClaimError::Missing("aud"));
}

#[test]
fn the_claims_of_an_access_token_are_required_and_bounded() {
    for (name, longest) in [("sub", "é".repeat(255)), ("jti", "é".repeat(255)), ("client_id", "a".repeat(1024))] {
        assert_eq!(refusal(without(name)), ClaimError::Missing(name));
        for value in [json!(""), json!(format!("{longest}a")), json!(1), json!(null), json!(["a"])] {
            assert_eq!(refusal(with(name, value.clone())), ClaimError::Malformed(name), "{name} {value}");
        }
        assert!(access(with(name, json!(longest))).is_ok(), "{name}");
    }
    assert_eq!(refusal(without("sid")), ClaimError::Missing("sid"));
    assert_eq!(refusal(with("sid", json!("short"))), ClaimError::Malformed("sid"));
    assert_eq!(refusal(without("scope")), ClaimError::Missing("scope"));
    for scope in [
        json!(["a"]),
        json!(" "),
        json!("a  b"),
        json!(" a"),
        json!("a "),
        json!("a\"b"),
        json!("a\\b"),
        json!("a\tb"),
        json!("é"),
    ] {
        assert_eq!(refusal(with("scope", scope.clone())), ClaimError::Malformed("scope"), "{scope}");
    }
    assert_eq!(access(with("scope", json!(""))).unwrap().scopes().count(), 0);
}

#[test]
fn a_refusal_says_its_kind_and_nothing_of_the_token() {
    for (error, text) in [
        (SignatureError::UnknownKey, "the token was signed with an unknown key"),
        (SignatureError::BadSignature, "the token signature is invalid"),
        (SignatureError::NotClaims(JsonError::TooDeep), "the token claims are malformed"),
    ] {
        assert_eq!((error.public_reason(), error.to_string().as_str()), (text, text), "{error:?}");
    }
    for (error, text) in [
        (ClaimError::Expired, "the token has expired"),
        (ClaimError::NotYetValid, "the token is not valid yet"),
        (ClaimError::WrongIssuer, "the token issuer is not accepted"),
        (ClaimError::WrongAudience, "the token is not for this resource"),
        (ClaimError::WrongType, "the token is of another type"),
        (ClaimError::Missing("exp"), "the token lacks a required claim"),
        (ClaimError::Malformed("aud"), "a token claim is malformed"),
    ] {
        assert_eq!((error.public_reason(), error.to_string().as_str()), (text, text), "{error:?}");
    }
}
