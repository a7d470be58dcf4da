use serde_json::json;

use super::*;
use crate::base64url;
use crate::jose::keys::SigningKey;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://gateway.example";
const AUDIENCE: &str = "https://gateway.example/mcp";

fn expected(typ: Typ) -> Expected<'static> {
    Expected { issuer: ISSUER, audience: AUDIENCE, typ, start_leeway: 0, expiry_leeway: 0 }
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
        "nonce": "n-0S6_WzA2Mj",
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
    Box::leak(Box::new(signed(Some("at+jwt"), &claims))).access_token(&expected(Typ::AccessToken), NOW)
}

fn id_token(claims: Value) -> Result<VerifiedIdToken, ClaimError> {
    signed(Some("JWT"), &claims).id_token(&expected(Typ::IdToken), "n-0S6_WzA2Mj", NOW)
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
fn the_kinds_of_token_do_not_pass_for_each_other() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert!(signed(Some(typ), &claims()).access_token(&expected(Typ::AccessToken), NOW).is_ok(), "{typ}");
        let as_id = signed(Some(typ), &claims()).id_token(&expected(Typ::IdToken), "n-0S6_WzA2Mj", NOW);
        assert_eq!(as_id.unwrap_err(), ClaimError::WrongType, "{typ}");
    }
    for typ in [None, Some("JWT"), Some("jwt")] {
        let either = signed(typ, &claims());
        let as_access = either.access_token(&expected(Typ::AccessToken), NOW);
        assert_eq!(as_access.unwrap_err(), ClaimError::WrongType, "{typ:?}");
        assert!(signed(typ, &claims()).id_token(&expected(Typ::IdToken), "n-0S6_WzA2Mj", NOW).is_ok(), "{typ:?}");
    }
    for typ in ["", "at+jwt ", "at jwt", "logout+jwt", "application/jwt", "dpop+jwt"] {
        let either = signed(Some(typ), &claims());
        assert!(either.clone().access_token(&expected(Typ::AccessToken), NOW).is_err(), "{typ}");
        assert!(either.id_token(&expected(Typ::IdToken), "n-0S6_WzA2Mj", NOW).is_err(), "{typ}");
    }
    // The type follows from the method, not from `typ` in the requirements.
    assert!(signed(None, &claims()).access_token(&expected(Typ::IdToken), NOW).is_err());
    assert!(signed(Some("at+jwt"), &claims()).id_token(&expected(Typ::AccessToken), "n-0S6_WzA2Mj", NOW).is_err());
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
        let expected = Expected { start_leeway, expiry_leeway, ..expected(Typ::AccessToken) };
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
fn an_id_token_answers_our_request_only() {
    assert_eq!(id_token(claims()).unwrap().subject(), "user");
    assert_eq!(id_token(with("email", json!("a@b.example"))).unwrap().claims()["email"], "a@b.example");
    assert_eq!(id_token(without("nonce")).unwrap_err(), ClaimError::Missing("nonce"));
    assert_eq!(id_token(with("nonce", json!(1))).unwrap_err(), ClaimError::Malformed("nonce"));
    for nonce in ["", "n-0S6_WzA2M", "n-0S6_WzA2Mj ", "other"] {
        assert_eq!(id_token(with("nonce", json!(nonce))).unwrap_err(), ClaimError::WrongNonce, "{nonce}");
    }
    assert_eq!(id_token(with("exp", json!(NOW))).unwrap_err(), ClaimError::Expired);
    assert_eq!(id_token(with("iss", json!("https://evil.example"))).unwrap_err(), ClaimError::WrongIssuer);
}

#[test]
fn an_id_token_for_several_audiences_names_us_as_its_party() {
    assert!(id_token(with("azp", json!(AUDIENCE))).is_ok());
    assert_eq!(id_token(with("azp", json!("other"))).unwrap_err(), ClaimError::WrongAuthorizedParty);
    assert_eq!(id_token(with("azp", json!(null))).unwrap_err(), ClaimError::Malformed("azp"));
    let mut several = with("aud", json!([AUDIENCE, "other"]));
    assert_eq!(id_token(several.clone()).unwrap_err(), ClaimError::Missing("azp"));
    several["azp"] = json!("other");
    assert_eq!(id_token(several.clone()).unwrap_err(), ClaimError::WrongAuthorizedParty);
    several["azp"] = json!(AUDIENCE);
    assert!(id_token(several).is_ok());
}
