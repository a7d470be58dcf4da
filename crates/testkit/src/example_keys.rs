//! Keys for tests: one of each kind in PEM, and the examples of the RFCs as JWKs. They are texts
//! and JSON, so that a crate's unit tests can use them, too.

use serde_json::{Value, json};

/// A P-256 key, PKCS #8.
pub const P256: &str = include_str!("../../protocol/testdata/keys/p256.pkcs8.pem");
/// A P-384 key, PKCS #8.
pub const P384: &str = include_str!("../../protocol/testdata/keys/p384.pkcs8.pem");
/// An RSA key of 2048 bits, PKCS #8.
pub const RSA: &str = include_str!("../../protocol/testdata/keys/rsa2048.pkcs8.pem");
/// An Ed25519 key, PKCS #8.
pub const ED25519: &str = include_str!("../../protocol/testdata/keys/ed25519.pkcs8.pem");

/// The modulus of RFC 7515 A.2.1.
pub const RFC7515_RSA: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// The private half of RFC 8037 A.1.
pub const RFC8037_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
/// The public half of RFC 8037 A.1.
pub const RFC8037_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// Returns the public key of RFC 7515 A.3.1.
#[must_use]
pub fn rfc7515_ec() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

/// Returns an RSA key with this modulus and the usual exponent.
#[must_use]
pub fn rsa(n: &str) -> Value {
    json!({ "kty": "RSA", "n": n, "e": "AQAB" })
}

/// Returns an object with another value of one member.
#[must_use]
pub fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    object
}
