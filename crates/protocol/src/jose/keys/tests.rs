use portcullis_testkit::example_keys::{
    ED25519, P256, P384, RFC7515_RSA, RFC8037_D, RFC8037_X, RSA, rfc7515_ec, rsa, with,
};
use serde_json::{Map, Value, json};

use super::*;
use crate::base64url;
use crate::jose::alg::Alg;

const PUBLIC: &str = include_str!("../../../testdata/keys/p256.public.pem");

/// RFC 7638 §3.1.
const RFC7638_RSA: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn read(jwk: &Value) -> Result<Option<PublicKey>, JwkError> {
    PublicKey::from_jwk(jwk.as_object().unwrap())
}

fn key(jwk: &Value) -> PublicKey {
    read(jwk).unwrap().unwrap()
}

fn signing(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem).unwrap()
}

fn every_kind() -> [SigningKey; 4] {
    [P256, P384, RSA, ED25519].map(signing)
}

#[test]
fn the_thumbprint_of_rfc_7638_ignores_optional_members() {
    let jwk = with(with(rsa(RFC7638_RSA), "alg", json!("RS256")), "kid", json!("2011-04-29"));
    assert_eq!(key(&jwk).thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn a_published_key_has_no_private_member() {
    for ours in every_kind() {
        let jwk = ours.public().to_jwk();
        let names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        for name in &names {
            assert!(["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"].contains(name), "{name}");
        }
        assert_eq!(
            (&jwk["use"], &jwk["alg"], &jwk["kid"]),
            (&json!("sig"), &json!(ours.alg().name()), &json!(ours.kid()))
        );
    }
}

#[test]
fn printing_a_signing_key_shows_its_name_only() {
    let ours = signing(P256);
    assert_eq!(format!("{ours:?}"), format!("SigningKey(ES256 {})", ours.kid()));
}

#[test]
fn one_key_is_the_same_in_every_pem_form() {
    let sec1 = signing(include_str!("../../../testdata/keys/p256.sec1.pem"));
    assert_eq!(
        (sec1.kid(), sec1.alg(), sec1.pkcs8_der()),
        (signing(P256).kid(), Alg::Es256, signing(P256).pkcs8_der())
    );
    let sec1 = signing(include_str!("../../../testdata/keys/p384.sec1.pem"));
    assert_eq!((sec1.kid(), sec1.alg()), (signing(P384).kid(), Alg::Es384));
    let pkcs1 = signing(include_str!("../../../testdata/keys/rsa2048.pkcs1.pem"));
    assert_eq!((pkcs1.kid(), pkcs1.pkcs8_der()), (signing(RSA).kid(), signing(RSA).pkcs8_der()));
    let after_parameters = include_str!("../../../testdata/keys/p256.with-parameters.pem");
    assert_eq!(signing(after_parameters).alg(), Alg::Es256);
    assert_eq!(signing(&P256.replace('\n', "\r\n")).kid(), signing(P256).kid());
    assert_eq!(signing(P256.trim_end()).kid(), signing(P256).kid());
}

#[test]
fn an_unfit_private_key_is_refused_by_cause() {
    let cause = |pem: &str| SigningKey::from_pem(pem).unwrap_err();
    assert_eq!(cause(""), KeyError::NoPrivateKey);
    assert_eq!(cause("key"), KeyError::NoPrivateKey);
    assert_eq!(cause(include_str!("../../../testdata/keys/p256.public.pem")), KeyError::NoPrivateKey);
    assert_eq!(cause(include_str!("../../../testdata/keys/p256.encrypted.pem")), KeyError::Encrypted);
    assert_eq!(cause(include_str!("../../../testdata/keys/p521.pkcs8.pem")), KeyError::UnsupportedAlgorithm);
    assert_eq!(cause(include_str!("../../../testdata/keys/k256.pkcs8.pem")), KeyError::UnsupportedAlgorithm);
    assert_eq!(cause(include_str!("../../../testdata/keys/k256.sec1.pem")), KeyError::UnsupportedAlgorithm);
    assert_eq!(cause(include_str!("../../../testdata/keys/x25519.pkcs8.pem")), KeyError::UnsupportedAlgorithm);
    assert_eq!(cause(include_str!("../../../testdata/keys/rsa1024.pkcs8.pem")), KeyError::RsaSize);
    assert_eq!(cause(include_str!("../../../testdata/keys/rsa2048.exponent3.pem")), KeyError::RsaExponent);
    let (head, _) = P256.split_at(60);
    assert_eq!(cause(head), KeyError::Pem);
    assert_eq!(cause(&P256.replace("MIG", "M!G")), KeyError::Pem);
    assert_eq!(cause(&P256.replace("PRIVATE", "RSA PRIVATE")), KeyError::Der);
    assert_eq!(cause("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), KeyError::Pem);
    assert_eq!(cause("-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n"), KeyError::Der);
}

/// Returns a PEM text with the first occurrence of some bytes of its DER replaced by as many
/// others.
fn changed(pem: &str, from: &[u8], to: &[u8]) -> String {
    let (label, mut der) = pem_rfc7468::decode_vec(pem.as_bytes()).unwrap();
    let place = der.windows(from.len()).position(|bytes| bytes == from).unwrap();
    der[place..].iter_mut().zip(to).for_each(|(byte, new)| *byte = *new);
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, &der).unwrap()
}

#[test]
fn a_key_whose_parts_contradict_each_other_is_refused() {
    let cause = |pem: &str| SigningKey::from_pem(pem).unwrap_err();
    // The first bytes of the public half: the head of the BIT STRING and the mark of an
    // uncompressed point.
    assert_eq!(cause(&changed(P256, &[3, 0x42, 0, 4], &[3, 0x42, 0, 5])), KeyError::Inconsistent);
    assert_eq!(cause(&changed(P384, &[3, 0x62, 0, 4], &[3, 0x62, 0, 2])), KeyError::Inconsistent);
    assert_eq!(cause(&changed(P256, &[3, 0x42, 0, 4], &[3, 0x42, 1, 4])), KeyError::Der);
    let sec1 = include_str!("../../../testdata/keys/p256.sec1.pem");
    assert_eq!(cause(&changed(sec1, &[3, 0x42, 0, 4], &[3, 0x42, 0, 5])), KeyError::Inconsistent);
    assert_eq!(cause(&changed(sec1, &[2, 1, 1], &[2, 1, 2])), KeyError::Der);
    assert_eq!(cause(&changed(P256, &[2, 1, 0], &[2, 1, 2])), KeyError::Der);
    let several_primes = include_str!("../../../testdata/keys/rsa2048.pkcs1.pem");
    assert_eq!(cause(&changed(several_primes, &[2, 1, 0], &[2, 1, 1])), KeyError::Der);
    let zeros = changed(ED25519, &[4, 0x22, 4, 0x20], &[4, 0x22, 4, 0x1f]);
    assert_eq!(cause(&zeros), KeyError::Der);
}

#[test]
fn a_scalar_outside_the_curve_is_refused() {
    let (label, mut der) = pem_rfc7468::decode_vec(P256.as_bytes()).unwrap();
    let place = der.windows(2).position(|bytes| bytes == [4, 0x20]).unwrap();
    for byte in [0, 0xff] {
        der[place..].iter_mut().skip(2).take(32).for_each(|scalar| *scalar = byte);
        let pem = pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, &der).unwrap();
        assert_eq!(SigningKey::from_pem(&pem).unwrap_err(), KeyError::Inconsistent, "{byte}");
    }
}

#[test]
fn the_second_version_of_pkcs8_names_the_public_half_too() {
    let seed = base64url::decode(RFC8037_D).unwrap();
    let pem = |public: &[u8]| {
        let head = [2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let content = [&head, &seed[..], &[0x81, 0x21, 0], public].concat();
        let der = crate::jose::der::element(0x30, &[&content]).unwrap();
        pem_rfc7468::encode_string("PRIVATE KEY", pem_rfc7468::LineEnding::LF, &der).unwrap()
    };
    let public = base64url::decode(RFC8037_X).unwrap();
    assert_eq!(signing(&pem(&public)).public().to_jwk()["x"], RFC8037_X);
    assert_eq!(SigningKey::from_pem(&pem(&[7; 32])).unwrap_err(), KeyError::Inconsistent);
}

#[test]
fn keys_that_are_not_for_us_are_passed_over() {
    for jwk in [
        with(rfc7515_ec(), "use", json!("enc")),
        with(rfc7515_ec(), "key_ops", json!(["sign"])),
        with(rfc7515_ec(), "key_ops", json!([])),
        with(rfc7515_ec(), "alg", json!("ES384")),
        with(rfc7515_ec(), "alg", json!("RS256")),
        with(rfc7515_ec(), "alg", json!("ECDH-ES")),
        with(rfc7515_ec(), "crv", json!("secp256k1")),
        with(rfc7515_ec(), "kty", json!("oct")),
        with(rfc7515_ec(), "kty", json!("ec")),
        with(rsa(RFC7515_RSA), "alg", json!("RSA-OAEP")),
        with(rsa(RFC7515_RSA), "alg", json!("HS256")),
        json!({ "kty": "OKP", "crv": "X25519", "x": RFC8037_X }),
        json!({ "kty": "oct", "k": "AAAA" }),
    ] {
        assert!(read(&jwk).unwrap().is_none(), "{jwk}");
    }
    for jwk in [
        with(rfc7515_ec(), "use", json!("sig")),
        with(rfc7515_ec(), "key_ops", json!(["verify"])),
        with(rfc7515_ec(), "d", json!("ignored")),
        with(rfc7515_ec(), "x5c", json!(["ignored"])),
    ] {
        assert!(read(&jwk).unwrap().is_some(), "{jwk}");
    }
}

#[test]
fn broken_and_weak_keys_are_refused_by_cause() {
    let cause = |jwk: &Value| read(jwk).unwrap_err();
    for (name, value) in [
        ("x", json!(1)),
        ("x", json!("AA")),
        ("y", json!("")),
        ("kid", json!(7)),
        ("kid", json!("k".repeat(257))),
        ("use", json!(null)),
        ("alg", json!(1)),
        ("key_ops", json!("verify")),
        ("kty", json!(1)),
        ("crv", json!(1)),
    ] {
        assert_eq!(cause(&with(rfc7515_ec(), name, value)), JwkError::Member(name), "{name}");
    }
    assert_eq!(cause(&json!({})), JwkError::Member("kty"));
    let padded = format!("{}=", rfc7515_ec()["x"].as_str().unwrap());
    assert_eq!(cause(&with(rfc7515_ec(), "x", json!(padded))), JwkError::Member("x"));
    assert_eq!(cause(&with(rfc7515_ec(), "y", rfc7515_ec()["x"].clone())), JwkError::NotOnCurve);
    assert_eq!(cause(&with(rfc7515_ec(), "x", json!(base64url::encode(&[0xff; 32])))), JwkError::NotOnCurve);
    let small_order = base64url::encode(&[[1].as_slice(), &[0; 31]].concat());
    assert_eq!(cause(&json!({ "kty": "OKP", "crv": "Ed25519", "x": small_order })), JwkError::NotOnCurve);

    let modulus = |bits: usize, last: u8| {
        let mut bytes = vec![0xff; bits / 8];
        *bytes.last_mut().unwrap() = last;
        rsa(&base64url::encode(&bytes))
    };
    assert!(read(&modulus(2048, 0xff)).unwrap().is_some());
    assert!(read(&modulus(8192, 0xff)).unwrap().is_some());
    assert_eq!(cause(&modulus(2040, 0xff)), JwkError::RsaModulus);
    assert_eq!(cause(&modulus(8200, 0xff)), JwkError::RsaModulus);
    assert_eq!(cause(&modulus(65536, 0xff)), JwkError::Member("n"));
    assert_eq!(cause(&modulus(2048, 0xfe)), JwkError::RsaModulus);
    for e in [&[][..], &[1], &[3], &[17], &[0xff, 0xff], &[1, 0, 2], &[1, 0, 0, 0, 1]] {
        let jwk = with(rsa(RFC7515_RSA), "e", json!(base64url::encode(e)));
        assert_eq!(cause(&jwk), JwkError::RsaExponent, "{e:?}");
    }
}

fn set(keys: &[Value]) -> JwkSet {
    JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn named(key: &SigningKey, kid: Option<&str>) -> Value {
    let mut jwk: Map<String, Value> = key.public().to_jwk().as_object().unwrap().clone();
    jwk.remove("kid");
    jwk.extend(kid.map(|kid| ("kid".to_owned(), json!(kid))));
    Value::Object(jwk)
}

#[test]
fn a_token_is_matched_to_its_key_by_kid_and_algorithm() {
    let (p256, ed) = (signing(P256), signing(ED25519));
    let set = set(&[named(&p256, Some("a")), named(&ed, Some("b"))]);
    let found = |kid, alg| set.candidates(kid, alg).map(|key| key.kid().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(found(Some("a"), Alg::Es256), ["a"]);
    assert_eq!(found(Some("b"), Alg::EdDsa), ["b"]);
    assert!(found(Some("a"), Alg::EdDsa).is_empty());
    assert!(found(Some("c"), Alg::Es256).is_empty());
    assert!(found(Some(""), Alg::Es256).is_empty());
    assert_eq!(found(None, Alg::Es256), ["a"]);
    assert!(found(None, Alg::Rs256).is_empty());
}

#[test]
fn a_token_without_kid_needs_the_choice_to_be_clear() {
    let (one, other) = (signing(P256), signing(include_str!("../../../testdata/keys/p256.with-parameters.pem")));
    let two = set(&[named(&one, Some("a")), named(&other, Some("b"))]);
    assert_eq!(two.candidates(None, Alg::Es256).count(), 0);
    let unnamed = set(&[named(&one, None)]);
    assert_eq!(unnamed.candidates(None, Alg::Es256).count(), 1);
    assert_eq!(unnamed.candidates(Some("a"), Alg::Es256).count(), 0);
}

#[test]
fn keys_that_share_a_kid_are_told_apart_by_their_algorithm_or_all_tried() {
    let (one, other) = (signing(P256), signing(include_str!("../../../testdata/keys/p256.with-parameters.pem")));
    let (ed, rsa) = (signing(ED25519), signing(RSA));
    let set = set(&[&one, &other, &ed, &rsa].map(|key| named(key, Some("a"))));
    let found = |alg| set.candidates(Some("a"), alg).map(|key| key.thumbprint()).collect::<Vec<_>>();
    assert_eq!(found(Alg::EdDsa), [ed.kid()]);
    assert_eq!(found(Alg::Rs256), [rsa.kid()]);
    assert_eq!(found(Alg::Es256), [one.kid(), other.kid()]);
    assert!(found(Alg::Es384).is_empty());
    assert_eq!(set.candidates(None, Alg::Es256).count(), 0);
}

#[test]
fn a_key_that_is_listed_twice_is_one_key() {
    let key = signing(P256);
    let twice = set(&[named(&key, None), named(&key, None)]);
    assert_eq!(twice.candidates(None, Alg::Es256).count(), 1);
    let two_names = set(&[named(&key, Some("a")), named(&key, Some("b"))]);
    assert_eq!(two_names.candidates(Some("b"), Alg::Es256).count(), 1);
}

#[test]
fn one_bad_key_does_not_spoil_a_set() {
    let good = named(&signing(P256), Some("a"));
    let twice = r#"{"kty":"EC","kid":"x","kid":"y"}"#;
    let document = format!(
        r#"{{"keys":[{{}},1,null,"x",[],{twice},{},{},{},{good}],"keys2":[],"x":1,"x":2}}"#,
        json!({ "kty": "RSA", "n": "AQ", "e": "AQAB" }),
        with(good.clone(), "x", json!(1)),
        json!({ "kty": "RSA", "kid": "only-a-chain", "x5c": ["AAAA"] }),
    );
    assert_eq!(JwkSet::parse(document.as_bytes()).unwrap().keys().len(), 1);
}

#[test]
fn what_a_key_does_not_need_is_ignored() {
    let good = named(&signing(P256), Some("a")).to_string();
    let more = r#""x5c":["AAAA"],"x5t":"a","x5u":"https://evil.example","iat":1.5,"exp":1e999,"alg":null,"z":1,"z":2"#;
    let text = format!(
        "\u{feff}{{\"keys\":[{},{more}}}]}}",
        good.strip_suffix('}').unwrap().replace("\"alg\":\"ES256\",", "")
    );
    let set = JwkSet::parse(text.as_bytes()).unwrap();
    assert_eq!(set.candidates(Some("a"), Alg::Es256).count(), 1, "{text}");
}

#[test]
fn a_document_that_is_no_key_set_is_refused() {
    use crate::json::JsonError;

    let cause = |document: &str| JwkSet::parse(document.as_bytes()).unwrap_err();
    assert_eq!(cause("[]"), JwkSetError::Json(JsonError::NotAnObject));
    assert_eq!(cause(r#"{"keys":[],"keys":[]}"#), JwkSetError::Json(JsonError::DuplicateMember));
    assert_eq!(cause(&format!("{{\"keys\":[]{}}}", " ".repeat(256 * 1024))), JwkSetError::Json(JsonError::TooLarge));
    assert_eq!(cause("{}"), JwkSetError::NotASet);
    assert_eq!(cause(r#"{"keys":{}}"#), JwkSetError::NotASet);
    assert_eq!(cause(r#"{"keys":null}"#), JwkSetError::NotASet);
    assert_eq!(cause(&json!({ "keys": vec![json!({}); 1025] }).to_string()), JwkSetError::TooManyKeys);
    let empty = JwkSet::parse(json!({ "keys": vec![json!({}); 1024] }).to_string().as_bytes()).unwrap();
    assert!(empty.is_empty());
    let keys = |count: usize| (0..count).map(|number| named(&signing(ED25519), Some(&number.to_string()))).collect();
    let document = |count| json!({ "keys": Value::Array(keys(count)) }).to_string();
    assert_eq!(JwkSet::parse(document(64).as_bytes()).unwrap().keys().len(), 64);
    assert_eq!(cause(&document(65)), JwkSetError::TooManyKeys);
}

#[test]
fn every_private_key_of_a_text_is_read_in_its_order() {
    let text = format!("a note\n{P256}{PUBLIC}\n{ED25519}\n# the end");
    let keys = SigningKey::all_from_pem(&text).unwrap();
    let kids: Vec<_> = keys.iter().map(SigningKey::kid).collect();
    assert_eq!(kids, [signing(P256).kid(), signing(ED25519).kid()]);
}

#[test]
fn the_error_has_the_index_of_the_bad_key() {
    let encrypted = include_str!("../../../testdata/keys/p256.encrypted.pem");
    for (text, place, error) in [
        (String::new(), 0, KeyError::NoPrivateKey),
        (PUBLIC.to_owned(), 0, KeyError::NoPrivateKey),
        (format!("{P256}{encrypted}{ED25519}"), 1, KeyError::Encrypted),
        (format!("{P256}{ED25519}-----BEGIN PRIVATE KEY-----\n"), 2, KeyError::Pem),
    ] {
        assert_eq!(SigningKey::all_from_pem(&text).err(), Some((place, error)));
    }
}
