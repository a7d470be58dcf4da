//! Percent-encoding (RFC 3986 §2.1).

/// Decodes every `%XX` once and leaves `+` alone. Returns `None` at a malformed escape.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.contains(&b'%') {
        return Some(bytes.to_vec());
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

/// Returns `true` if some decoder would find an escape in this text: `%2f`, or the beginning of
/// `%u002f`, a form that Microsoft's decoders know.
pub(crate) fn has_escape(text: &[u8]) -> bool {
    text.windows(3).any(|three| match three {
        [b'%', b'u' | b'U', digit] => digit.is_ascii_hexdigit(),
        [b'%', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    })
}

/// Appends `text` to `encoded` with everything but unreserved characters escaped, a space as `%20`.
pub(crate) fn encode_into(encoded: &mut String, text: &str) {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' } else { b'A' - 10 }.wrapping_add(nibble));
    let mut rest = text;
    // Unescaped runs are copied in one piece. Only ASCII is unescaped, so each run ends at a
    // character boundary.
    while let Some(escaped) = rest.bytes().position(|byte| !is_unreserved(byte)) {
        let (plain, from_escaped) = rest.split_at_checked(escaped).unwrap_or((rest, ""));
        encoded.push_str(plain);
        let Some(first) = from_escaped.chars().next() else { return };
        for byte in first.encode_utf8(&mut [0; 4]).bytes() {
            encoded.push('%');
            encoded.push(digit(byte >> 4));
            encoded.push(digit(byte & 0xf));
        }
        rest = from_escaped.get(first.len_utf8()..).unwrap_or_default();
    }
    encoded.push_str(rest);
}

/// Returns `true` for an unreserved character (RFC 3986 §2.3).
#[inline]
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_decoded_once_and_malformed_ones_refused() {
        assert_eq!(decode(b"a%2Fb%2f+%2541").as_deref(), Some(&b"a/b/+%41"[..]));
        for malformed in ["%", "%2", "%zz", "a%2", "%%41", "%4 ", "%u002f"] {
            assert_eq!(decode(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn an_escape_is_found_in_either_form_of_decoders() {
        for text in ["%2f", "x%2Fx", "%u0", "%U0", "%%41"] {
            assert!(has_escape(text.as_bytes()), "{text}");
        }
        for text in ["", "%", "%2", "%zz", "2f", "%ug"] {
            assert!(!has_escape(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_unreserved_or_escaped_and_decodes_to_the_same(text in ".{0,40}") {
            let mut encoded = String::new();
            encode_into(&mut encoded, &text);
            prop_assert!(encoded.bytes().all(|byte| is_unreserved(byte) || byte == b'%'));
            prop_assert_eq!(decode(encoded.as_bytes()), Some(text.into_bytes()));
        }
    }
}
