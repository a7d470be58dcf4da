//! base64url without padding (RFC 7515 §2), with exactly one accepted text for each value.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text is not the canonical encoding of any bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotCanonical;

/// Encodes bytes without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes a text that [`encode`] would produce, and nothing else: padding, whitespace, `+`, `/`
/// and nonzero trailing bits are refused, so that a signed or stored text has no second spelling.
/// The output is at most three quarters as long as the input.
///
/// # Errors
/// Returns [`NotCanonical`] for any other text.
pub fn decode(text: &str) -> Result<Vec<u8>, NotCanonical> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotCanonical)
}

/// As [`decode`], for the encoding of exactly `N` bytes.
///
/// # Errors
/// Returns [`NotCanonical`] for any other text.
pub fn decode_exactly<const N: usize>(text: &str) -> Result<[u8; N], NotCanonical> {
    let mut bytes = [0; N];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| NotCanonical)?;
    if length == N { Ok(bytes) } else { Err(NotCanonical) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_text() {
        for bytes in [&b""[..], b"f", b"fo", b"foo", b"foob", &[0xff, 0xfe, 0xfb], &[0; 40]] {
            assert_eq!(decode(&encode(bytes)).as_deref(), Ok(bytes));
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn padding_whitespace_and_the_standard_alphabet_are_refused() {
        for text in ["Zg==", "Zg=", "Zm8=", " Zg", "Zg ", "Zg\n", "Z g", "Zg\r\n", "+_8", "-/8", "Zg\0", "Zé", "="] {
            assert_eq!(decode(text), Err(NotCanonical), "{text:?}");
        }
    }

    #[test]
    fn a_length_that_no_bytes_encode_to_is_refused() {
        assert_eq!(decode("Z"), Err(NotCanonical));
        assert_eq!(decode("Zm9vY"), Err(NotCanonical));
    }

    #[test]
    fn a_text_of_another_number_of_bytes_is_refused() {
        assert_eq!(decode_exactly(&encode(b"four")), Ok(*b"four"));
        for other in [&b""[..], b"fou", b"five!", b"more than four"] {
            assert_eq!(decode_exactly::<4>(&encode(other)), Err(NotCanonical), "{other:?}");
        }
        for other in ["Zm91cg==", "Zm91ch", "Zm91c", "Zm9 cg"] {
            assert_eq!(decode_exactly::<4>(other), Err(NotCanonical), "{other:?}");
        }
    }

    #[test]
    fn one_value_has_one_text() {
        // `Zg` is "f"; the other texts differ from it only in the four bits that decoding would
        // drop.
        let accepted = (b'A'..=b'z').filter(|last| decode(&format!("Z{}", char::from(*last))) == Ok(b"f".to_vec()));
        assert_eq!(accepted.collect::<Vec<_>>(), b"g");
    }
}
