//! The encoding of the audit trail: entries of a `google.protobuf.Struct`.
//!
//! A struct is one map, and the entries of a map are repeated fields. So an encoded struct grows by
//! appending to it, and nothing that was encoded before is read again.

use std::borrow::Cow;

/// The most bytes of a value. A client's id is no longer.
pub(super) const MAX_VALUE_BYTES: usize = 1024;

/// Appends a text under a name, which is short. What is longer than [`MAX_VALUE_BYTES`] is cut off
/// and ends with `…`; control characters, by which a line of a log could end early, are replaced.
pub(super) fn append(encoded: &mut Vec<u8>, name: &str, value: &str) {
    append_bytes(encoded, name, shown(value).as_bytes());
}

/// Appends bytes of which the caller knows that they are UTF-8: Envoy reads none of a struct with
/// others.
pub(super) fn append_bytes(encoded: &mut Vec<u8>, name: &str, value: &[u8]) {
    let (key_size, text_size) = (name.len(), value.len());
    let value_size = field_size(text_size);
    let entry_size = field_size(key_size).saturating_add(field_size(value_size));
    append_size(encoded, STRUCT_FIELDS, entry_size);
    append_size(encoded, ENTRY_KEY, key_size);
    encoded.extend_from_slice(name.as_bytes());
    append_size(encoded, ENTRY_VALUE, value_size);
    append_size(encoded, VALUE_STRING, text_size);
    encoded.extend_from_slice(value);
}

/// Returns the last value under a name.
pub(super) fn get<'a>(encoded: &'a [u8], name: &str) -> Option<&'a str> {
    let (mut rest, mut found) = (encoded, None);
    while !rest.is_empty() {
        let (entry, after) = take(rest, STRUCT_FIELDS)?;
        let (key, value) = take(entry, ENTRY_KEY)?;
        if key == name.as_bytes() {
            let (text, _) = take(take(value, ENTRY_VALUE)?.0, VALUE_STRING)?;
            found = std::str::from_utf8(text).ok();
        }
        rest = after;
    }
    found
}

fn shown(value: &str) -> Cow<'_, str> {
    if value.len() <= MAX_VALUE_BYTES && is_plain(value.as_bytes()) {
        return Cow::Borrowed(value);
    }
    let mut shown = String::with_capacity(value.len().min(MAX_VALUE_BYTES).saturating_add(CUT.len()));
    for character in value.chars() {
        let is_line_end = matches!(character, '\u{2028}' | '\u{2029}');
        let character = if character.is_control() || is_line_end { char::REPLACEMENT_CHARACTER } else { character };
        if shown.len().saturating_add(character.len_utf8()) > MAX_VALUE_BYTES {
            shown.push_str(CUT);
            break;
        }
        shown.push(character);
    }
    Cow::Owned(shown)
}

/// Returns `true` if bytes from outside can be taken as they are: visible ASCII without quotes and
/// backslashes.
pub(super) fn is_token(value: &[u8]) -> bool {
    let below_or_quote = |bytes: u64| {
        let is = |byte: u8| (bytes ^ each(byte)).wrapping_sub(each(1));
        unusual(bytes, b'!') | is(b'"') | is(b'\\')
    };
    none_is(value, below_or_quote)
}

/// Whether text is ASCII without control characters.
fn is_plain(value: &[u8]) -> bool {
    none_is(value, |bytes| unusual(bytes, b' '))
}

/// Sets the top bit of a byte that is less than the limit, DEL, or not ASCII, and of others only
/// where there is such a one.
const fn unusual(bytes: u64, limit: u8) -> u64 {
    bytes | bytes.wrapping_sub(each(limit)) | bytes.wrapping_add(each(1))
}

/// Whether a test sets the top bit of no byte. Eight bytes at a time: it is asked of every token
/// that is new, and of every request.
fn none_is(text: &[u8], test: impl Fn(u64) -> u64) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | test(u64::from_ne_bytes(*word)));
    let found = match text.last_chunk() {
        Some(end) => found | test(u64::from_ne_bytes(*end)),
        None => rest.iter().fold(found, |found, byte| found | test(each(*byte))),
    };
    found & each(0x80) == 0
}

const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The size of a field with a value of this size, in bytes.
fn field_size(value: usize) -> usize {
    value.saturating_add(if value < 0x80 { 2 } else { 3 })
}

/// Appends the tag and the size of a value of less than 16 KiB.
fn append_size(encoded: &mut Vec<u8>, tag: u8, size: usize) {
    if size < 0x80 {
        encoded.extend_from_slice(&[tag, size as u8]);
    } else {
        encoded.extend_from_slice(&[tag, size as u8 | 0x80, (size >> 7) as u8]);
    }
}

/// Returns the value of the first field, which must have this tag, and what follows.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes {
        [found, low @ ..0x80, rest @ ..] if *found == tag => (usize::from(*low), rest),
        [found, low, high @ ..0x80, rest @ ..] if *found == tag => {
            (usize::from(*low & 0x7f) | usize::from(*high) << 7, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Tags of length-delimited fields: `Struct.fields`, key and value of its entries,
/// `Value.string_value`.
const STRUCT_FIELDS: u8 = 0x0a;
const ENTRY_KEY: u8 = 0x0a;
const ENTRY_VALUE: u8 = 0x12;
const VALUE_STRING: u8 = 0x1a;

/// The end of a value that was cut off.
const CUT: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> String {
        let mut encoded = Vec::new();
        append(&mut encoded, "name", value);
        append(&mut encoded, "next", "x");
        assert_eq!(get(&encoded, "next"), Some("x"), "{value}");
        get(&encoded, "name").unwrap().to_owned()
    }

    #[test]
    fn the_encoding_is_the_one_of_the_wire_format() {
        let mut encoded = Vec::new();
        append(&mut encoded, "a", "bc");
        assert_eq!(encoded, b"\x0a\x09\x0a\x01a\x12\x04\x1a\x02bc");
        let mut long = Vec::new();
        append(&mut long, "a", &"b".repeat(128));
        let head = b"\x0a\x89\x01\x0a\x01a\x12\x83\x01\x1a\x80\x01b";
        assert_eq!((long.get(..head.len()), long.len()), (Some(&head[..]), 3 + 0x89));
    }

    #[test]
    fn every_text_is_read_as_it_was_but_for_control_characters() {
        for character in (0..=0x100).chain(0x2020..=0x2030).filter_map(char::from_u32) {
            let is_shown = !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}');
            for before in 0..18 {
                for after in [0, 1, 9] {
                    let [before, after] = ["~".repeat(before), " ".repeat(after)];
                    let shown = if is_shown { character } else { char::REPLACEMENT_CHARACTER };
                    assert_eq!(read(&format!("{before}{character}{after}")), format!("{before}{shown}{after}"));
                }
            }
        }
    }

    #[test]
    fn a_value_of_any_length_is_bounded_and_says_that_it_was_cut_off() {
        for length in [0, 1, 0x7f, 0x80, MAX_VALUE_BYTES - 1, MAX_VALUE_BYTES] {
            assert_eq!(read(&"v".repeat(length)).len(), length);
        }
        for value in ["v".repeat(MAX_VALUE_BYTES + 1), "é".repeat(100_000), "\0".repeat(MAX_VALUE_BYTES)] {
            let cut = read(&value);
            assert!(cut.ends_with(CUT) && cut.len() <= MAX_VALUE_BYTES + CUT.len(), "{}", cut.len());
        }
    }

    #[test]
    fn what_is_taken_as_it_is_has_no_character_that_a_log_could_read_as_its_own() {
        for byte in 0..=u8::MAX {
            let is_taken = matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\');
            for before in 0..18 {
                for after in [0, 1, 9] {
                    let value = [&vec![b'~'; before][..], &[byte], &vec![b'a'; after]].concat();
                    assert_eq!(is_token(&value), is_taken, "{value:?}");
                }
            }
        }
    }

    #[test]
    fn no_bytes_are_read_beyond_their_end() {
        let mut encoded = Vec::new();
        append(&mut encoded, "name", &"v".repeat(200));
        for length in 0..encoded.len() {
            assert_eq!(get(&encoded[..length], "name"), None, "{length}");
        }
    }
}
