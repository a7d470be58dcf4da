use serde_json::json;

use super::*;

fn token(header: &str) -> String {
    format!("{}.{}.{}", base64url::encode(header.as_bytes()), base64url::encode(b"{}"), base64url::encode(b"sig"))
}

fn refusal(text: &str) -> JwsError {
    Jws::parse(text).unwrap_err()
}

#[test]
fn a_written_token_is_read_back() {
    let claims = json!({"sub": "a"});
    let input = encode(&Header { alg: Alg::Es256, kid: "k", typ: "at+jwt" }, &claims);
    let text = attach(&input, b"signature");
    let jws = Jws::parse(&text).unwrap();
    assert_eq!((jws.alg(), jws.kid(), jws.typ()), (Alg::Es256, Some("k"), Some("at+jwt")));
    assert_eq!((jws.signing_input(), jws.signature()), (input.as_str(), &b"signature"[..]));
    assert_eq!(jws.payload_bytes(), claims.to_string().as_bytes());
}

#[test]
fn a_known_header_is_what_parsing_it_returns() {
    let known = ["k", "other"].map(|kid| Header { alg: Alg::Es256, kid, typ: "at+jwt" }.known().unwrap());
    let good = attach(&encode_text(&Header { alg: Alg::Es256, kid: "other", typ: "at+jwt" }, "{}"), b"signature");
    let (header, rest) = good.split_once('.').unwrap();
    let others = [
        good.clone(),
        token(r#"{"alg":"RS256","kid":"k","typ":"at+jwt"}"#),
        token(r#"{"alg":"none"}"#),
        header.to_owned(),
        format!("{header}."),
        format!("{header}.e30"),
        format!("{header}.{rest}.e30"),
        format!("{header}A.{rest}"),
        format!("{}.{rest}", header.split_at(1).1),
        format!("{}.{rest}", header.split_at(header.len() - 1).0),
    ];
    for text in others {
        let said = |jws: Jws<'_>| {
            let (alg, kid, typ) = (jws.alg(), jws.kid().map(str::to_owned), jws.typ().map(str::to_owned));
            (alg, kid, typ, jws.signing_input().to_owned(), jws.payload_bytes().to_vec(), jws.signature().to_vec())
        };
        assert_eq!(Jws::parse_among(&text, &known).map(said), Jws::parse(&text).map(said), "{text}");
    }
    assert!(matches!(Jws::parse_among(&good, &known).unwrap().header, Cow::Borrowed(_)));
}

#[test]
fn no_key_id_can_end_its_own_string() {
    let kid = "k\",\"alg\":\"none\\\n";
    let text = attach(&encode_text(&Header { alg: Alg::Es256, kid, typ: "a\"b" }, "{}"), b"signature");
    let jws = Jws::parse(&text).unwrap();
    assert_eq!((jws.alg(), jws.kid(), jws.typ()), (Alg::Es256, Some(kid), Some("a\"b")));
    assert_eq!(jws.payload_bytes(), b"{}");
}

#[test]
fn unsafe_algorithms_are_refused_in_every_spelling() {
    for alg in
        ["none", "None", "NONE", "nOnE", "noNE", "", "HS256", "HS384", "HS512", "hs256", "ES512", "PS256", "es256"]
    {
        assert_eq!(refusal(&token(&json!({ "alg": alg }).to_string())), JwsError::UnsupportedAlg, "{alg}");
    }
    for alg in ["null", "1", "[\"ES256\"]", "{\"ES256\":1}", "true"] {
        assert_eq!(refusal(&token(&format!("{{\"alg\":{alg}}}"))), JwsError::UnsupportedAlg, "{alg}");
    }
    assert_eq!(refusal(&token("{}")), JwsError::MissingAlg);
    let unsigned = format!("{}.{}.", base64url::encode(br#"{"alg":"none"}"#), base64url::encode(b"{}"));
    assert_eq!(refusal(&unsigned), JwsError::UnsupportedAlg);
}

#[test]
fn keys_in_the_token_and_extensions_are_refused() {
    for name in ["crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"] {
        for value in [json!({}), json!("https://a.example"), json!([]), json!(null), json!(false)] {
            let header = json!({ "alg": "ES256", name: value }).to_string();
            assert_eq!(refusal(&token(&header)), JwsError::RefusedMember(name), "{header}");
        }
    }
    assert!(Jws::parse(&token(r#"{"alg":"ES256","x5t":"abc","cty":"x","unknown":1}"#)).is_ok());
}

#[test]
fn a_header_that_is_not_strict_json_is_refused() {
    let header = |text: &str| refusal(&token(text));
    assert_eq!(header(r#"{"alg":"ES256","alg":"none"}"#), JwsError::Header(JsonError::DuplicateMember));
    assert_eq!(header(r#"{"alg":"ES256","\u0061lg":"RS256"}"#), JwsError::Header(JsonError::DuplicateMember));
    assert_eq!(header("[]"), JwsError::Header(JsonError::NotAnObject));
    assert_eq!(header("{\"alg\":\"ES256\"} x"), JwsError::Header(JsonError::Syntax));
    assert_eq!(header(""), JwsError::Header(JsonError::Syntax));
}

#[test]
fn kid_and_typ_are_bounded_strings() {
    for name in ["kid", "typ"] {
        for value in [json!(1), json!(null), json!(["a"]), json!("a".repeat(257))] {
            let header = json!({ "alg": "ES256", name: value }).to_string();
            assert_eq!(refusal(&token(&header)), JwsError::MalformedMember(name), "{header}");
        }
        let longest = json!({ "alg": "ES256", name: "a".repeat(256) }).to_string();
        assert!(Jws::parse(&token(&longest)).is_ok());
    }
}

#[test]
fn a_token_has_exactly_three_parts() {
    let whole = token(r#"{"alg":"ES256"}"#);
    let two = whole.rsplit_once('.').unwrap().0;
    for text in [
        "",
        ".",
        "..",
        "...",
        two,
        &format!("{whole}."),
        &format!("{whole}.AA"),
        &format!("{whole}.AA.AA"),
        &format!(".{whole}"),
    ] {
        assert!(Jws::parse(text).is_err(), "{text}");
    }
    assert_eq!(refusal(two), JwsError::NotCompact);
    assert_eq!(refusal(&format!("{whole}.AA")), JwsError::NotCompact);
    assert_eq!(refusal(&format!("{whole}.AA.AA")), JwsError::NotCompact);
}

#[test]
fn every_part_must_be_canonical_base64url() {
    let parts = [base64url::encode(br#"{"alg":"ES256"}"#), "e30".to_owned(), "c2ln".to_owned()];
    for place in 0..3 {
        for end in ["=", "==", " ", "\n", "+", "/", "é"] {
            let mut changed = parts.clone();
            changed[place].push_str(end);
            let text = changed.join(".");
            if Jws::parse(&text).is_ok() {
                panic!("accepted {text:?}");
            }
        }
    }
    // `e31` decodes to the same two bytes as `e30` when trailing bits are dropped.
    assert_eq!(refusal(&format!("{}.e31.{}", parts[0], parts[2])), JwsError::NotBase64url);
    assert_eq!(refusal(&format!("{}.e30.Zh", parts[0])), JwsError::NotBase64url);
    assert_eq!(refusal(&format!(" {}", parts.join("."))), JwsError::NotBase64url);
}

#[test]
fn the_length_is_bounded_before_anything_else() {
    let head = format!("{}.e30.", base64url::encode(br#"{"alg":"ES256"}"#));
    let of_length = |length: usize| format!("{head}{}", "A".repeat(length - head.len()));
    assert_eq!(refusal(&of_length(16 * 1024 + 1)), JwsError::TooLong);
    assert_ne!(Jws::parse(&of_length(16 * 1024)).err(), Some(JwsError::TooLong));
    assert_eq!(refusal(&".".repeat(16 * 1024)), JwsError::NotCompact);
}

#[test]
fn a_refusal_says_its_kind_and_nothing_of_the_token() {
    for (error, text) in [
        (JwsError::TooLong, "the token is too long"),
        (JwsError::NotCompact, "the token is not a compact JWS"),
        (JwsError::NotBase64url, "the token is not a compact JWS"),
        (JwsError::Header(JsonError::TooDeep), "the token header is malformed"),
        (JwsError::MissingAlg, "the token header is malformed"),
        (JwsError::MalformedMember("kid"), "the token header is malformed"),
        (JwsError::UnsupportedAlg, "the token algorithm is not supported"),
        (JwsError::RefusedMember("jku"), "the token header has a member that is not allowed"),
    ] {
        assert_eq!((error.public_reason(), error.to_string().as_str()), (text, text), "{error:?}");
    }
}
