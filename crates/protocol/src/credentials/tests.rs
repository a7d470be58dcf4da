//! Tests of codes and refresh tokens, and of the text form that they share.
#![expect(clippy::string_slice, reason = "the texts are ASCII")]

use super::text_form::TextForm;
use super::{AuthorizationCode, CredentialError, RefreshToken, SessionId};
use crate::base64url;
use crate::crypto::key_ring::{KeyRing, Purpose};
use crate::crypto::secret::Secret;

fn ring(secrets: &[u8]) -> KeyRing {
    KeyRing::new(secrets.iter().map(|byte| Secret::new(vec![*byte; 32])).collect()).unwrap()
}

fn refresh() -> RefreshToken {
    RefreshToken { session: SessionId::new([3; 16]), generation: 0x0102_0304, nonce: [9; 16] }
}

fn code() -> AuthorizationCode {
    AuthorizationCode { session: SessionId::new([3; 16]), nonce: [9; 16] }
}

#[test]
fn issued_tokens_are_read_back() {
    let ring = ring(&[1]);
    assert_eq!(RefreshToken::parse(refresh().issue(&ring).expose(), &ring), Ok(refresh()));
    assert_eq!(AuthorizationCode::parse(code().issue(&ring).expose(), &ring), Ok(code()));
    assert_eq!(refresh().issue(&ring).expose().len(), super::text_form::MAX_TEXT_BYTES);
    assert!(code().issue(&ring).expose().starts_with(&format!("pcac.1.{}.", ring.current())));
}

#[test]
fn every_changed_bit_of_the_text_is_refused() {
    let ring = ring(&[1]);
    let text = refresh().issue(&ring).expose().clone();
    for bit in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(RefreshToken::parse(&changed, &ring).is_err(), "{changed}");
        }
    }
}

#[test]
fn every_other_character_in_every_place_is_refused() {
    let ring = ring(&[1]);
    let text = code().issue(&ring).expose().clone();
    for place in 0..text.len() {
        for other in (b' '..=b'~').filter(|other| *other != text.as_bytes()[place]) {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = other;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(AuthorizationCode::parse(&changed, &ring).is_err(), "{changed}");
        }
    }
}

#[test]
fn the_last_character_of_payload_and_mac_has_one_spelling() {
    // A 16-byte or 32-byte value leaves unused bits in its last character; another spelling of
    // the same bytes must fail.
    let ring = ring(&[1]);
    let text = code().issue(&ring).expose().clone();
    let respelled = |character: char| match character {
        c @ ('A'..='Y' | 'a'..='y' | '0'..='8') => char::from(c as u8 + 1),
        'Z' => 'a',
        'z' => '0',
        '9' => '-',
        _ => 'B',
    };
    let parts: Vec<&str> = text.split('.').collect();
    for changed in [3, 4] {
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let last = parts[changed].pop().unwrap();
        parts[changed].push(respelled(last));
        assert_eq!(AuthorizationCode::parse(&parts.join("."), &ring), Err(CredentialError::Malformed));
    }
}

#[test]
fn truncated_and_extended_texts_are_refused() {
    let ring = ring(&[1]);
    let text = code().issue(&ring).expose().clone();
    for length in 0..text.len() {
        assert_eq!(AuthorizationCode::parse(&text[..length], &ring), Err(CredentialError::Malformed), "{length}");
    }
    for end in ["A", ".", ".A", "=", " ", "\n", "\0"] {
        assert_eq!(AuthorizationCode::parse(&format!("{text}{end}"), &ring), Err(CredentialError::Malformed));
        assert_eq!(AuthorizationCode::parse(&format!("{end}{text}"), &ring), Err(CredentialError::Malformed));
    }
    assert_eq!(AuthorizationCode::parse(&"A".repeat(1 << 20), &ring), Err(CredentialError::Malformed));
}

#[test]
fn one_type_of_token_never_passes_for_the_other() {
    let ring = ring(&[1]);
    let code = code().issue(&ring).expose().clone();
    let refresh = refresh().issue(&ring).expose().clone();
    assert_eq!(RefreshToken::parse(&code, &ring), Err(CredentialError::Malformed));
    assert_eq!(AuthorizationCode::parse(&refresh, &ring), Err(CredentialError::Malformed));
    // With equal payload lengths the MAC alone must tell them apart.
    let as_code = TextForm { prefix: "pcac", purpose: Purpose::AuthorizationCode };
    let relabelled = as_code.issue(&[0; 36], &ring).expose().replace("pcac", "pcrt");
    assert_eq!(RefreshToken::parse(&relabelled, &ring), Err(CredentialError::Forged));
}

#[test]
fn the_prefix_and_the_version_are_under_the_mac() {
    let ring = ring(&[1]);
    let other = TextForm { prefix: "pcxx", purpose: Purpose::AuthorizationCode };
    let renamed = other.issue(&[0; 32], &ring).expose().replace("pcxx", "pcac");
    assert_eq!(AuthorizationCode::parse(&renamed, &ring), Err(CredentialError::Forged));
    let unversioned = ring.mac(Purpose::AuthorizationCode, &[b"pcac", b"2", &[0; 32]]);
    let text = format!("pcac.1.{}.{}.{}", ring.current(), base64url::encode(&[0; 32]), base64url::encode(&unversioned));
    assert_eq!(AuthorizationCode::parse(&text, &ring), Err(CredentialError::Forged));
    let version_two = code().issue(&ring).expose().replacen(".1.", ".2.", 1);
    assert_eq!(AuthorizationCode::parse(&version_two, &ring), Err(CredentialError::Malformed));
}

#[test]
fn a_rotated_ring_reads_old_tokens_until_the_old_secret_is_gone() {
    let old = ring(&[1]);
    let text = refresh().issue(&old).expose().clone();
    assert_eq!(RefreshToken::parse(&text, &ring(&[2, 1])), Ok(refresh()));
    assert_eq!(RefreshToken::parse(&text, &ring(&[2])), Err(CredentialError::UnknownKey));
    let other = ring(&[2]);
    let moved = text.replace(&old.current().to_string(), &other.current().to_string());
    assert_eq!(RefreshToken::parse(&moved, &other), Err(CredentialError::Forged));
}
