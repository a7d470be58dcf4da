use serde_json::{Value, json};

use super::*;
use crate::base64url;
use crate::jose::keys::SigningKey;
use crate::json::JsonError;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example";
const CLIENT: &str = "portcullis";
const NONCE: &str = "n-0S6_WzA2Mj";
const EXPECTED: ExpectedIdToken<'static> =
    ExpectedIdToken { issuer: ISSUER, client_id: CLIENT, nonce: NONCE, leeway: 60 };

fn key() -> SigningKey {
    SigningKey::from_pem(include_str!("../../testdata/keys/p256.pkcs8.pem")).unwrap()
}

fn header() -> String {
    json!({ "alg": "ES256", "kid": key().kid(), "typ": "JWT" }).to_string()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": CLIENT, "exp": NOW + 60, "iat": NOW, "nonce": NONCE, "name": "Alice",
    })
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    claims.to_string()
}

fn without(name: &str) -> String {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims.to_string()
}

/// The members of the claims with further text before the closing brace.
fn and(text: &str) -> String {
    format!("{},{text}}}", claims().to_string().strip_suffix('}').unwrap())
}

fn token(header: &str, claims: &str) -> String {
    [header.as_bytes(), claims.as_bytes(), b"signature"].map(base64url::encode).join(".")
}

fn read(header: &str, claims: &str) -> Result<String, ForeignTokenError> {
    let text = token(header, claims);
    let token = IdToken::parse(&text)?;
    let keys = JwkSet::new(vec![key().public().clone()]);
    let signed = token.verify(&keys, &["name"], |_, _, _, signature| signature == b"signature")?;
    Ok(signed.accept(&EXPECTED, NOW)?.name("sub").unwrap())
}

fn accepts(claims: &str) {
    assert_eq!(read(&header(), claims), Ok("alice".to_owned()), "{claims}");
}

fn refusal(claims: &str) -> ForeignTokenError {
    read(&header(), claims).unwrap_err()
}

fn header_refusal(header: &str) -> ForeignTokenError {
    read(header, &claims().to_string()).unwrap_err()
}

fn header_with(more: &str) -> String {
    format!("{},{more}}}", header().strip_suffix('}').unwrap())
}

#[test]
fn what_a_header_brings_besides_is_ignored() {
    for more in [
        r#""jku":"https://evil.example/keys""#,
        r#""jwk":{"kty":"EC"},"x5c":["AAAA"],"x5u":"https://evil.example","x5t":"a","x5t#S256":"a""#,
        r#""cty":"x","zip":"DEF","b64":false,"iat":1e999,"unknown":{"a":1,"a":2}"#,
        r#""unknown":1,"unknown":2"#,
        r#""crit":null"#,
    ] {
        assert_eq!(read(&header_with(more), &claims().to_string()), Ok("alice".to_owned()), "{more}");
    }
}

#[test]
fn what_must_not_be_ignored_in_a_header_is_refused_by_cause() {
    for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "true", r#""b64""#] {
        assert_eq!(header_refusal(&header_with(&format!("\"crit\":{crit}"))), ForeignTokenError::Critical, "{crit}");
    }
    let of = |header: Value| header_refusal(&header.to_string());
    assert_eq!(of(json!({ "kid": "a" })), ForeignTokenError::Missing("alg"));
    assert_eq!(of(json!({ "alg": null })), ForeignTokenError::Missing("alg"));
    assert_eq!(of(json!({ "alg": ["ES256"] })), ForeignTokenError::Malformed("alg"));
    assert_eq!(of(json!({ "alg": "none" })), ForeignTokenError::Unsigned);
    for alg in ["HS256", "HS384", "HS512"] {
        assert_eq!(of(json!({ "alg": alg })), ForeignTokenError::SharedSecret);
    }
    for alg in ["PS256", "PS384", "PS512", "ES512"] {
        let error = of(json!({ "alg": alg }));
        assert_eq!(error, ForeignTokenError::UnverifiedAlg(alg));
        let words = format!("the ID token's `alg` is {alg}, which Envoy does not verify; ");
        assert!(error.reason().starts_with(&words), "{alg}: {error}");
    }
    for alg in ["None", "", "ps256", "ES256K", "es256", "RS1", "dir"] {
        assert_eq!(of(json!({ "alg": alg })), ForeignTokenError::UnsupportedAlg, "{alg}");
    }
    for kid in [json!(1), json!(["a"]), json!("a".repeat(257))] {
        assert_eq!(of(json!({ "alg": "ES256", "kid": kid })), ForeignTokenError::Malformed("kid"));
    }
    assert_eq!(of(json!({ "alg": "ES256", "kid": "another" })), ForeignTokenError::UnknownKey);
    assert_eq!(of(json!({ "alg": "RS256" })), ForeignTokenError::UnknownKey);
    assert_eq!(
        header_refusal(r#"{"alg":"none","alg":"ES256"}"#),
        ForeignTokenError::Header(JsonError::DuplicateMember)
    );
    assert_eq!(header_refusal("[]"), ForeignTokenError::Header(JsonError::NotAnObject));
    assert_eq!(header_refusal(""), ForeignTokenError::Header(JsonError::Syntax));
}

#[test]
fn the_type_is_that_of_a_plain_jwt_or_absent() {
    let of = |typ: &Value| {
        let header = json!({ "alg": "ES256", "kid": key().kid(), "typ": typ });
        read(&header.to_string(), &claims().to_string())
    };
    for typ in [json!("JWT"), json!("jwt"), json!("application/jwt"), json!("Application/JWT"), Value::Null] {
        assert_eq!(of(&typ), Ok("alice".to_owned()), "{typ}");
    }
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "imagination/jwt", "", "JWT ", "application/", "é"] {
        assert_eq!(of(&json!(typ)), Err(ForeignTokenError::WrongType), "{typ}");
    }
    assert_eq!(of(&json!(1)), Err(ForeignTokenError::WrongType));
}

#[test]
fn what_the_claims_bring_besides_is_ignored() {
    accepts(&and(r#""groups":["a","b"],"x":1,"x":2,"deep":[[[[[[[[[[[[{}]]]]]]]]]]]],"big":1e999,"s":"\ud800""#));
    accepts(&and(&format!(r#""deep":{}{}"#, "[".repeat(10_000), "]".repeat(10_000))));
    accepts(&format!("\u{feff} {} \n", claims()));
    accepts(&with("name", json!(7)));
    accepts(&claims().to_string().replace("alice", "\\u0061lice"));
}

#[test]
fn a_token_of_40_kb_is_read_and_one_over_the_bound_is_not() {
    let groups: Vec<_> = (0..300).map(|number| format!("{number:0>36}-{}", "g".repeat(90))).collect();
    let text = with("groups", json!(groups));
    assert!(text.len() > 39_000, "{}", text.len());
    accepts(&text);
    let long = token(&header(), &with("x", json!("x".repeat(200 * 1024))));
    assert_eq!(IdToken::parse(&long).unwrap_err(), ForeignTokenError::TooLong);
    for (length, refusal) in [(256 * 1024, ForeignTokenError::NotCompact), (256 * 1024 + 1, ForeignTokenError::TooLong)]
    {
        assert_eq!(IdToken::parse(&"A".repeat(length)).unwrap_err(), refusal, "{length}");
    }
}

#[test]
fn a_claim_that_is_needed_must_not_be_repeated() {
    for more in [r#""sub":"alice""#, r#""aud":"portcullis""#, r#""\u0069ss":"https://idp.example""#, r#""name":"b""#] {
        assert_eq!(refusal(&and(more)), ForeignTokenError::Claims(JsonError::DuplicateMember), "{more}");
    }
    assert_eq!(refusal("[]"), ForeignTokenError::Claims(JsonError::NotAnObject));
    assert_eq!(refusal("{"), ForeignTokenError::Claims(JsonError::Syntax));
}

#[test]
fn times_are_any_numbers_within_the_leeway() {
    for exp in
        [json!(NOW + 1), json!(1_800_000_060.5), json!(1.8e9 + 60.0), json!(NOW - 59), json!(253_402_300_799_u64)]
    {
        accepts(&with("exp", exp));
    }
    for iat in [json!(1_799_999_999.25), json!(NOW + 60), json!(0), json!(0.5)] {
        accepts(&with("iat", iat.clone()));
        accepts(&with("nbf", iat));
    }
    accepts(&with("nbf", Value::Null));
    assert_eq!(refusal(&with("exp", json!(NOW - 60))), ForeignTokenError::Expired);
    assert_eq!(refusal(&with("exp", json!(0))), ForeignTokenError::Expired);
    assert_eq!(refusal(&with("iat", json!(NOW + 61))), ForeignTokenError::IssuedLater);
    assert_eq!(refusal(&with("nbf", json!(NOW + 61))), ForeignTokenError::NotYetValid);
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!(NOW.to_string()),
            json!(-1),
            json!(1_800_000_060_000_u64),
            json!(1e300),
            json!(true),
            json!([NOW]),
            json!({}),
        ] {
            assert_eq!(refusal(&with(name, value.clone())), ForeignTokenError::Malformed(name), "{name} {value}");
        }
        assert_eq!(
            refusal(&without(name).replace('}', &format!(",\"{name}\":1e999}}"))),
            ForeignTokenError::Malformed(name)
        );
    }
    for name in ["exp", "iat"] {
        assert_eq!(refusal(&without(name)), ForeignTokenError::Missing(name));
        assert_eq!(refusal(&with(name, Value::Null)), ForeignTokenError::Missing(name));
    }
}

#[test]
fn issuer_and_audience_match_exactly() {
    for issuer in ["https://idp.example/", "https://IDP.example", "https://idp.exampl", "", "https://evil.example"] {
        assert_eq!(refusal(&with("iss", json!(issuer))), ForeignTokenError::WrongIssuer, "{issuer}");
    }
    assert_eq!(refusal(&with("iss", json!([ISSUER]))), ForeignTokenError::Malformed("iss"));
    assert_eq!(refusal(&without("iss")), ForeignTokenError::Missing("iss"));
    accepts(&with("aud", json!([CLIENT])));
    for audience in [json!("portculli"), json!("Portcullis"), json!(""), json!(["x"]), json!([])] {
        assert_eq!(refusal(&with("aud", audience.clone())), ForeignTokenError::WrongAudience, "{audience}");
    }
    for audience in [json!([CLIENT, 1]), json!({ CLIENT: 1 }), json!(true), json!([[CLIENT]]), json!(7)] {
        assert_eq!(refusal(&with("aud", audience.clone())), ForeignTokenError::Malformed("aud"), "{audience}");
    }
    assert_eq!(refusal(&without("aud")), ForeignTokenError::Missing("aud"));
}

#[test]
fn a_token_for_several_audiences_names_us_as_its_party() {
    accepts(&with("azp", json!(CLIENT)));
    assert_eq!(refusal(&with("azp", json!("other"))), ForeignTokenError::WrongParty);
    for party in [json!(1), json!([CLIENT]), json!(false)] {
        assert_eq!(refusal(&with("azp", party.clone())), ForeignTokenError::Malformed("azp"), "{party}");
    }
    let mut several = claims();
    several["aud"] = json!([CLIENT, "other"]);
    assert_eq!(refusal(&several.to_string()), ForeignTokenError::Missing("azp"));
    several["azp"] = json!("other");
    assert_eq!(refusal(&several.to_string()), ForeignTokenError::WrongParty);
    several["azp"] = json!(CLIENT);
    accepts(&several.to_string());
    let hundred: Vec<_> = std::iter::repeat_n("x", 99).chain([CLIENT]).collect();
    several["aud"] = json!(hundred);
    accepts(&several.to_string());
}

#[test]
fn a_token_answers_our_request_only() {
    assert_eq!(refusal(&without("nonce")), ForeignTokenError::Missing("nonce"));
    assert_eq!(refusal(&with("nonce", json!(1))), ForeignTokenError::Malformed("nonce"));
    for nonce in ["", "n-0S6_WzA2M", "n-0S6_WzA2Mj ", "other"] {
        assert_eq!(refusal(&with("nonce", json!(nonce))), ForeignTokenError::WrongNonce, "{nonce}");
    }
    for subject in [json!(7), json!(""), json!("a".repeat(256)), json!("a\nb"), json!(["alice"])] {
        assert_eq!(refusal(&with("sub", subject.clone())), ForeignTokenError::Malformed("sub"), "{subject}");
    }
    for claims in [with("sub", Value::Null), without("sub")] {
        assert_eq!(refusal(&claims), ForeignTokenError::Missing("sub"), "{claims}");
    }
}

#[test]
fn a_name_is_a_short_string_and_never_made_of_something_else() {
    let name = |value: Value| {
        let text = token(&header(), &with("name", value));
        let token = IdToken::parse(&text).unwrap();
        let keys = JwkSet::new(vec![key().public().clone()]);
        let signed = token.verify(&keys, &["name"], |_, _, _, _| true).unwrap();
        signed.accept(&EXPECTED, NOW).unwrap().name("name")
    };
    assert_eq!(name(json!("Zoë")).as_deref(), Some("Zoë"));
    for value in [json!(1), json!(null), json!(["a"]), json!(""), json!("a".repeat(256)), json!("a\u{7}")] {
        assert_eq!(name(value.clone()), None, "{value}");
    }
}

#[test]
fn a_token_has_three_parts_of_canonical_base64url() {
    let good = token(&header(), &claims().to_string());
    let cause = |text: &str| IdToken::parse(text).unwrap_err();
    for text in ["", ".", "a.b", &format!("{good}.AA")] {
        assert_eq!(cause(text), ForeignTokenError::NotCompact, "{text}");
    }
    assert_eq!(cause(&format!("{good}.AA.AA")), ForeignTokenError::Encrypted);
    assert_eq!(cause(&format!("{good}.AA.AA.AA")), ForeignTokenError::NotCompact);
    for end in ["=", " ", "\n", "+", "/"] {
        assert_eq!(cause(&format!("{good}{end}")), ForeignTokenError::NotBase64url, "{end:?}");
    }
}

#[test]
fn at_most_four_keys_of_one_name_are_tried_and_none_of_another() {
    let keys: Vec<_> =
        POINTS.iter().map(|(x, y)| json!({ "kty": "EC", "crv": "P-256", "kid": "a", "x": x, "y": y })).collect();
    let keys = JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    assert_eq!(keys.keys().len(), 5);
    for (kid, expected, tries) in [("a", ForeignTokenError::BadSignature, 4), ("b", ForeignTokenError::UnknownKey, 0)] {
        let text = token(&json!({ "alg": "ES256", "kid": kid }).to_string(), &claims().to_string());
        let mut count = 0;
        let token = IdToken::parse(&text).unwrap();
        let refused = token.verify(&keys, &[], |_, _, _, _| {
            count += 1;
            false
        });
        assert_eq!((refused.unwrap_err(), count), (expected, tries), "{kid}");
    }
}

#[test]
fn a_refreshed_token_is_about_the_same_user_of_the_same_issuer_for_us() {
    let about = |claims: &str| {
        let text = token(&header(), claims);
        IdToken::parse(&text).unwrap().about(ISSUER, CLIENT, ("sub", "alice"), &["groups"]).map(|_| ())
    };
    assert_eq!(about(&claims().to_string()), Ok(()));
    assert_eq!(about(&without("nonce")), Ok(()), "it need not repeat the nonce (OpenID Connect Core §12.2)");
    for (other, cause) in [
        (with("iss", json!("https://evil.example")), ForeignTokenError::WrongIssuer),
        (with("sub", json!("bob")), ForeignTokenError::WrongSubject),
        (with("sub", json!(7)), ForeignTokenError::WrongSubject),
        (with("aud", json!("another")), ForeignTokenError::WrongAudience),
        (without("iss"), ForeignTokenError::Missing("iss")),
        (without("sub"), ForeignTokenError::WrongSubject),
        (without("aud"), ForeignTokenError::Missing("aud")),
        (and(r#""sub":"alice""#), ForeignTokenError::Claims(JsonError::DuplicateMember)),
        ("{}".to_owned(), ForeignTokenError::Missing("iss")),
    ] {
        assert_eq!(about(&other), Err(cause), "{other}");
    }
    let text = token(&header(), &with("oid", json!("o-1")));
    let of_oid = |subject| IdToken::parse(&text).unwrap().about(ISSUER, CLIENT, ("oid", subject), &[]).map(|_| ());
    assert_eq!((of_oid("o-1"), of_oid("alice")), (Ok(()), Err(ForeignTokenError::WrongSubject)));
}

#[test]
fn every_cause_has_words_of_its_own() {
    use std::collections::BTreeSet;
    let names = ["alg", "iss", "sub", "aud", "exp", "iat", "nonce", "azp"].map(ForeignTokenError::Missing);
    let malformed =
        ["alg", "kid", "iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp"].map(ForeignTokenError::Malformed);
    let others = [
        ForeignTokenError::TooLong,
        ForeignTokenError::NotCompact,
        ForeignTokenError::Encrypted,
        ForeignTokenError::NotBase64url,
        ForeignTokenError::Header(JsonError::Syntax),
        ForeignTokenError::Header(JsonError::DuplicateMember),
        ForeignTokenError::Critical,
        ForeignTokenError::WrongType,
        ForeignTokenError::Unsigned,
        ForeignTokenError::SharedSecret,
        ForeignTokenError::UnsupportedAlg,
        ForeignTokenError::UnverifiedAlg("PS256"),
        ForeignTokenError::UnknownKey,
        ForeignTokenError::BadSignature,
        ForeignTokenError::Claims(JsonError::Syntax),
        ForeignTokenError::Claims(JsonError::DuplicateMember),
        ForeignTokenError::WrongIssuer,
        ForeignTokenError::WrongAudience,
        ForeignTokenError::WrongParty,
        ForeignTokenError::Expired,
        ForeignTokenError::IssuedLater,
        ForeignTokenError::NotYetValid,
        ForeignTokenError::WrongNonce,
        ForeignTokenError::WrongSubject,
    ];
    let all = [&names[..], &malformed, &others].concat();
    let words: BTreeSet<_> = all.iter().map(|error| error.reason()).collect();
    assert_eq!(words.len(), all.len());
}

/// The first five multiples of the generator of P-256 (SEC 2 §2.4.2).
const POINTS: [(&str, &str); 5] = [
    ("axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"),
    ("fPJ7GI0DT36KUjgDBLUaw8CJaeJ38hs1pgtI_EdmmXg", "B3dVENuO0EApPZrGn3Qw27p9reY86YIpngS3nSJ4c9E"),
    ("Xsvk0aYzCkTI9--VHUvxZebGtyHvramF-0FmG8bn_Ww", "hzRkDEmY_343SwbOGmSi7NgqsDY4T7g9mnmxJ6J9UDI"),
    ("4lNKNTLQj7ugLd5lnuYr0AMf4tt4VZbvUJMCRGsDCFI", "4PFXWkxjPMcZ3-5f2oYtdk78lsPzDuAFXELCPxhO2MY"),
    ("UVkLelFRQNLXhMhWCGaP3--Mgv0fW-UkIVVKDcPQM-0", "4MF9qJBKcn2K4b82v4p5Jg0BLwDU2AiI0dC7RP2hbaQ"),
];
