//! The subset of protocol buffers that Envoy's `sign` and `verify_signature` use: flat messages of
//! length-delimited fields and one boolean.

/// Encodes length-delimited fields.
pub(crate) fn encode(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let room = fields
        .iter()
        .fold(0, |room: usize, (_, value)| room.saturating_add(MAX_FIELD_HEAD_BYTES.saturating_add(value.len())));
    let mut message = Vec::with_capacity(room);
    for (number, value) in fields {
        message.push(number.wrapping_shl(3) | LENGTH_DELIMITED);
        append_varint(&mut message, value.len());
        message.extend_from_slice(value);
    }
    message
}

/// Returns the last value of a length-delimited field.
pub(crate) fn bytes(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut found = None;
    walk(message, |number, field| {
        if let (true, Field::Bytes(value)) = (number == wanted, field) {
            found = Some(value);
        }
    })?;
    found
}

/// Returns a boolean field; absent means `false`.
pub(crate) fn boolean(message: &[u8], wanted: u8) -> Option<bool> {
    let mut found = false;
    walk(message, |number, field| {
        if let (true, Field::Number(value)) = (number == wanted, field) {
            found = value != 0;
        }
    })?;
    Some(found)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Returns `None` if the message has any other field.
fn walk<'a>(mut message: &'a [u8], mut see: impl FnMut(u8, Field<'a>)) -> Option<()> {
    while let Some((tag, rest)) = message.split_first() {
        let number = tag.wrapping_shr(3);
        message = match tag & 0b111 {
            0 => {
                let (value, rest) = varint(rest)?;
                see(number, Field::Number(value));
                rest
            }
            LENGTH_DELIMITED => {
                let (length, rest) = varint(rest)?;
                let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                see(number, Field::Bytes(value));
                rest
            }
            _ => return None,
        };
    }
    Some(())
}

fn append_varint(message: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        message.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    let mut shift: u32 = 0;
    let mut rest = bytes;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
        shift = shift.checked_add(7).filter(|shift| *shift < 63)?;
    }
}

const LENGTH_DELIMITED: u8 = 2;
/// A tag, and a length of 32 bits, in bytes.
const MAX_FIELD_HEAD_BYTES: usize = 1 + 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_written() {
        let long = vec![7; 300];
        let message = encode(&[(1, b"sha256"), (3, &long), (2, b"")]);
        assert_eq!(bytes(&message, 1), Some(&b"sha256"[..]));
        assert_eq!(bytes(&message, 3), Some(&long[..]));
        assert_eq!(bytes(&message, 2), Some(&b""[..]));
        assert_eq!(bytes(&message, 4), None);
    }

    #[test]
    fn the_encoding_is_the_one_of_the_wire_format() {
        assert_eq!(encode(&[(2, b"testing")]), [&[0x12, 0x07][..], b"testing"].concat());
        assert_eq!(encode(&[(1, &[0; 128])]).get(..3), Some(&[0x0a, 0x80, 0x01][..]));
    }

    #[test]
    fn a_boolean_is_false_unless_it_says_otherwise() {
        assert_eq!(boolean(&[], 1), Some(false));
        assert_eq!(boolean(&[0x08, 0x01], 1), Some(true));
        assert_eq!(boolean(&[0x08, 0x00], 1), Some(false));
        assert_eq!(boolean(&[0x10, 0x01], 1), Some(false));
    }

    /// A field that is a number of eleven bytes, more than a number can have.
    const LONG_NUMBER: [u8; 12] = [0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];

    #[test]
    fn a_message_that_is_cut_or_strange_says_nothing() {
        for message in
            [&[0x0a][..], &[0x0a, 5, 1], &[0x0a, 0x80], &[0x09, 1], &[0x08, 1, 0x0b], &LONG_NUMBER, &[0xff; 40]]
        {
            assert_eq!(boolean(message, 1), None, "{message:?}");
            assert_eq!(bytes(message, 1), None, "{message:?}");
        }
    }
}
