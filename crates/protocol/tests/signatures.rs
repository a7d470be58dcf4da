//! Signatures: the examples of the RFCs, every kind of key, every damage, and the claims that a
//! signature protects.
#![cfg(test)]

use base64::Engine as _;
use portcullis_protocol::base64url;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::claims::{self, Expected, SignatureError};
use portcullis_protocol::jose::ecdsa_der::to_der;
use portcullis_protocol::jose::jws::{Header, Jws, attach, encode};
use portcullis_protocol::jose::keys::{JwkError, JwkSet, PublicKey, SigningKey};
use portcullis_protocol::json::JsonError;
use portcullis_testkit::example_keys::{
    ED25519, P256, P384, RFC7515_RSA, RFC8037_D, RFC8037_X, RSA, rfc7515_ec, rsa, with,
};
use portcullis_testkit::signatures::{Sign as _, Verify as _};
use serde_json::{Value, json};

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

fn split(jws: &str) -> (&[u8], Vec<u8>) {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    (input.as_bytes(), base64url::decode(signature).unwrap())
}

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

fn token(claims: &Value) -> String {
    let key = signing(P256);
    let input = encode(&Header { alg: key.alg(), kid: key.kid(), typ: "at+jwt" }, claims);
    attach(&input, &key.sign(input.as_bytes()).unwrap())
}

fn trusted() -> JwkSet {
    JwkSet::new(vec![signing(P256).public().clone()])
}

#[test]
fn the_rsa_example_of_rfc_7515_verifies() {
    let (input, signature) = split(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    let key = key(&rsa(RFC7515_RSA));
    assert!(key.verify(Alg::Rs256, input, &signature));
    assert!(!key.verify(Alg::Rs384, input, &signature));
    assert!(!key.verify(Alg::Rs512, input, &signature));
}

#[test]
fn the_ecdsa_example_of_rfc_7515_verifies() {
    let (input, signature) = split(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    assert!(key(&rfc7515_ec()).verify(Alg::Es256, input, &signature));
}

#[test]
fn the_ed25519_example_of_rfc_8037_is_signed_and_verified() {
    let (input, signature) = split(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [head.as_slice(), &base64url::decode(RFC8037_D).unwrap()].concat();
    let body = base64::engine::general_purpose::STANDARD.encode(&der);
    let ours = signing(&format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"));
    assert_eq!(ours.sign(input).unwrap(), signature);
    assert_eq!(ours.public().to_jwk()["x"], RFC8037_X);
    assert_eq!(ours.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(ours.pkcs8_der(), der);
    assert!(key(&json!({ "kty": "OKP", "crv": "Ed25519", "x": RFC8037_X })).verify(Alg::EdDsa, input, &signature));
}

#[test]
fn every_kind_of_key_signs_what_its_public_half_accepts() {
    for ours in every_kind() {
        let signature = ours.sign(b"message").unwrap();
        let published = key(&ours.public().to_jwk());
        for public in [ours.public(), &published] {
            assert!(public.verify(ours.alg(), b"message", &signature), "{ours:?}");
            assert!(!public.verify(ours.alg(), b"messagf", &signature), "{ours:?}");
        }
        assert_eq!(published.kid(), Some(ours.kid()));
        assert_eq!(published.spki_der(), ours.public().spki_der());
        assert_eq!(ours.sign(b"message").unwrap(), signature, "signatures are deterministic");
        assert_ne!(ours.sign(b"other").unwrap(), signature);
    }
}

#[test]
fn a_damaged_signature_is_refused_whatever_its_form() {
    for ours in every_kind() {
        let signature = ours.sign(b"message").unwrap();
        let refused = |bytes: &[u8], case: &str| {
            assert!(!ours.public().verify(ours.alg(), b"message", bytes), "{case} {ours:?}");
        };
        refused(&[], "empty");
        refused(&vec![0; signature.len()], "zeros");
        refused(&vec![0xff; signature.len()], "ones");
        refused(&signature[1..], "without its first byte");
        refused(&signature[..signature.len() - 1], "without its last byte");
        refused(&[&signature[..], &[0]].concat(), "with a byte after");
        refused(&[&[0], &signature[..]].concat(), "with a zero before");
        refused(&vec![1; 4096], "far too long");
        for place in (0..signature.len()).step_by(16) {
            let mut changed = signature.clone();
            changed[place] ^= 1;
            refused(&changed, "with a changed bit");
        }
    }
}

#[test]
fn ecdsa_signatures_in_der_and_with_a_zero_half_are_refused() {
    let ours = signing(P256);
    let raw = ours.sign(b"message").unwrap();
    let der = to_der(&raw, 32).unwrap();
    assert!(!ours.public().verify(Alg::Es256, b"message", &der));
    let zero = [0; 32];
    assert!(!ours.public().verify(Alg::Es256, b"message", &[&zero, &raw[32..]].concat()));
    assert!(!ours.public().verify(Alg::Es256, b"message", &[&raw[..32], &zero].concat()));
}

#[test]
fn a_key_checks_signatures_of_its_own_algorithms_only() {
    let fitting: [&[Alg]; 4] = [&[Alg::Es256], &[Alg::Es384], &[Alg::Rs256], &[Alg::EdDsa]];
    for (ours, fitting) in every_kind().iter().zip(fitting) {
        let signature = ours.sign(b"message").unwrap();
        for alg in Alg::ALL {
            assert_eq!(ours.public().accepts(alg), fitting.contains(&alg), "{ours:?} {alg}");
            assert_eq!(ours.public().verify(alg, b"message", &signature), alg == ours.alg(), "{ours:?} {alg}");
        }
    }
    let unbound = key(&rsa(RFC7515_RSA));
    for alg in Alg::ALL {
        assert_eq!(unbound.accepts(alg), matches!(alg, Alg::Rs256 | Alg::Rs384 | Alg::Rs512), "{alg}");
    }
    let bound = key(&with(rsa(RFC7515_RSA), "alg", json!("RS512")));
    assert!(bound.accepts(Alg::Rs512) && !bound.accepts(Alg::Rs256));
}

#[test]
fn a_token_we_signed_comes_back_with_everything_it_says() {
    let text = token(&claims());
    let jws = Jws::parse(&text).unwrap();
    let signed = claims::verify(&jws, &trusted(), PublicKey::verify).unwrap();
    let token = signed.access_token(&expected(), NOW).unwrap();
    assert_eq!((token.subject(), token.client_id(), token.token_id()), ("user", "client", "id"));
    assert_eq!((token.session(), token.expires_at()), (SessionId::new([5; 16]), NOW + 60));
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["mcp:read", "mcp:write"]);
}

#[test]
fn a_changed_payload_or_header_is_a_bad_signature() {
    let text = token(&claims());
    let parts: Vec<&str> = text.split('.').collect();
    let other_claims = base64url::encode(with(claims(), "sub", json!("admin")).to_string().as_bytes());
    let header = json!({ "alg": "ES256", "kid": signing(P256).kid(), "typ": "AT+JWT" }).to_string();
    for changed in [
        format!("{}.{other_claims}.{}", parts[0], parts[2]),
        format!("{}.{}.{}", base64url::encode(header.as_bytes()), parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
    ] {
        let jws = Jws::parse(&changed).unwrap();
        assert_eq!(claims::verify(&jws, &trusted(), PublicKey::verify).unwrap_err(), SignatureError::BadSignature);
    }
}

#[test]
fn signed_claims_that_are_not_strict_json_are_refused() {
    for (payload, cause) in [
        (r#"{"sub":"a","sub":"b"}"#, JsonError::DuplicateMember),
        (r#"{"sub":"a","s\u0075b":"b"}"#, JsonError::DuplicateMember),
        ("[]", JsonError::NotAnObject),
        ("", JsonError::Syntax),
        ("{} ,", JsonError::Syntax),
    ] {
        let header = base64url::encode(br#"{"alg":"ES256"}"#);
        let input = format!("{header}.{}", base64url::encode(payload.as_bytes()));
        let text = attach(&input, &signing(P256).sign(input.as_bytes()).unwrap());
        let jws = Jws::parse(&text).unwrap();
        let result = claims::verify(&jws, &trusted(), PublicKey::verify);
        assert_eq!(result.unwrap_err(), SignatureError::NotClaims(cause), "{payload}");
    }
}
