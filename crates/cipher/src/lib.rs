//! XChaCha20-Poly1305 in place.
//!
//! perf: decision 8. A crate of its own for how it is compiled: the code of the cipher is generic,
//! so it is compiled where it is used, with the optimisation of that crate. The crates of the
//! filter are optimised for size, this one is not.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, Tag, XChaCha20Poly1305, XNonce};

/// The text, the tag, the nonce, the key or the associated data is not that of the sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// The text is longer than the maximum of the cipher, 256 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Encrypts `text` in place and returns the tag, which also covers `aad`. `nonce` must be fresh
/// random bytes.
///
/// # Errors
/// Returns [`TooLong`] above 256 GiB.
#[inline(never)]
pub fn encrypt(key: &[u8; 32], nonce: [u8; 24], aad: &[u8], text: &mut [u8]) -> Result<[u8; 16], TooLong> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher.encrypt_inout_detached(&XNonce::from(nonce), aad, text.into());
    tag.map(Into::into).map_err(|_| TooLong)
}

/// Decrypts `text` in place if the tag is right for it and for `aad`, compared in constant time;
/// otherwise leaves it unchanged.
///
/// # Errors
/// Returns [`Forged`] if the tag is wrong.
#[inline(never)]
pub fn decrypt(key: &[u8; 32], nonce: [u8; 24], aad: &[u8], text: &mut [u8], tag: [u8; 16]) -> Result<(), Forged> {
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(&XNonce::from(nonce), aad, text.into(), &Tag::from(tag)).map_err(|_| Forged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encrypted_decrypts_under_the_same_key_nonce_and_data_only() {
        let mut text = *b"plain";
        let tag = encrypt(&[1; 32], [2; 24], b"name", &mut text).unwrap();
        let sealed = text;
        assert_ne!(&sealed, b"plain");
        for (key, nonce, aad, tag) in [
            ([9; 32], [2; 24], &b"name"[..], tag),
            ([1; 32], [9; 24], b"name", tag),
            ([1; 32], [2; 24], b"other", tag),
            ([1; 32], [2; 24], b"name", [0; 16]),
        ] {
            assert_eq!(decrypt(&key, nonce, aad, &mut text, tag), Err(Forged));
            assert_eq!(text, sealed);
        }
        assert_eq!(decrypt(&[1; 32], [2; 24], b"name", &mut text, tag), Ok(()));
        assert_eq!(&text, b"plain");
    }
}
