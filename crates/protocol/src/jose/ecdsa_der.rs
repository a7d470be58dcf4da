//! The two forms of ECDSA signatures: the raw `r ‖ s` of JOSE (RFC 7518 §3.4) and the ASN.1 DER of
//! X9.62, which Envoy uses.
//!
//! Both directions are strict, so a signature has one encoding in each form.

/// Why a signature cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcdsaDerError {
    /// The coordinate size is not that of a supported curve, or the raw signature is not two
    /// coordinates long.
    WrongLength,
    /// `r` or `s` is zero, which no valid signature has.
    Zero,
    /// It is not the DER of exactly two positive integers, each at most as long as a coordinate.
    NotDer,
}

/// Converts `r ‖ s`, each `coordinate` bytes (32 for P-256, 48 for P-384), to DER.
///
/// # Errors
/// Returns [`EcdsaDerError::WrongLength`] or [`EcdsaDerError::Zero`].
pub fn to_der(raw: &[u8], coordinate: usize) -> Result<Vec<u8>, EcdsaDerError> {
    check_coordinate(coordinate)?;
    if raw.len() != coordinate.saturating_mul(2) {
        return Err(EcdsaDerError::WrongLength);
    }
    let mut der = Vec::with_capacity(MAX_DER_BYTES);
    // The length of the content is filled in below.
    der.extend_from_slice(&[SEQUENCE, 0]);
    for integer in raw.chunks_exact(coordinate) {
        append_integer(&mut der, integer)?;
    }
    let content = short_length(der.len().saturating_sub(2))?;
    if let Some(length) = der.get_mut(1) {
        *length = content;
    }
    Ok(der)
}

/// Converts DER to `r ‖ s`, each `coordinate` bytes.
///
/// # Errors
/// Returns [`EcdsaDerError`] for anything but one canonical encoding.
pub fn from_der(der: &[u8], coordinate: usize) -> Result<Vec<u8>, EcdsaDerError> {
    check_coordinate(coordinate)?;
    let (content, end) = element(der, SEQUENCE)?;
    let (r, rest) = element(content, INTEGER)?;
    let (s, rest) = element(rest, INTEGER)?;
    if !end.is_empty() || !rest.is_empty() {
        return Err(EcdsaDerError::NotDer);
    }
    Ok([fixed(r, coordinate)?, fixed(s, coordinate)?].concat())
}

/// Above 48 bytes the sequence would need a length in long form, which is not implemented here.
const fn check_coordinate(coordinate: usize) -> Result<(), EcdsaDerError> {
    match coordinate {
        32 | 48 => Ok(()),
        _ => Err(EcdsaDerError::WrongLength),
    }
}

/// Appends a minimal positive INTEGER: no leading zero byte but the one that keeps the sign bit
/// clear.
fn append_integer(der: &mut Vec<u8>, coordinate: &[u8]) -> Result<(), EcdsaDerError> {
    let first = coordinate.iter().position(|byte| *byte != 0).ok_or(EcdsaDerError::Zero)?;
    let magnitude = coordinate.get(first..).ok_or(EcdsaDerError::Zero)?;
    let sign: &[u8] = if magnitude.first().is_some_and(|top| top & SIGN != 0) { &[0] } else { &[] };
    der.extend_from_slice(&[INTEGER, short_length(sign.len().saturating_add(magnitude.len()))?]);
    der.extend_from_slice(sign);
    der.extend_from_slice(magnitude);
    Ok(())
}

/// Returns a length in the short form of DER; longer contents do not occur for the supported
/// curves.
fn short_length(length: usize) -> Result<u8, EcdsaDerError> {
    u8::try_from(length).ok().filter(|length| length & SIGN == 0).ok_or(EcdsaDerError::WrongLength)
}

/// Reads one element of this tag and returns its content and the bytes after it.
fn element(der: &[u8], tag: u8) -> Result<(&[u8], &[u8]), EcdsaDerError> {
    let ([actual, length], rest) = der.split_first_chunk::<2>().ok_or(EcdsaDerError::NotDer)?;
    if *actual != tag || length & SIGN != 0 {
        return Err(EcdsaDerError::NotDer);
    }
    rest.split_at_checked(usize::from(*length)).ok_or(EcdsaDerError::NotDer)
}

/// Returns the value of a minimal positive INTEGER, left-padded to a coordinate.
fn fixed(content: &[u8], coordinate: usize) -> Result<Vec<u8>, EcdsaDerError> {
    let magnitude = match content {
        [] => return Err(EcdsaDerError::NotDer),
        [0] => return Err(EcdsaDerError::Zero),
        [0, rest @ ..] if rest.first().is_some_and(|top| top & SIGN != 0) => rest,
        [top, ..] if *top == 0 || top & SIGN != 0 => return Err(EcdsaDerError::NotDer),
        _ => content,
    };
    let padding = coordinate.checked_sub(magnitude.len()).ok_or(EcdsaDerError::NotDer)?;
    let mut value = vec![0; padding];
    value.extend_from_slice(magnitude);
    Ok(value)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The top bit: the sign of an INTEGER, and the mark of a long-form length.
const SIGN: u8 = 0x80;
/// Two integers of P-384, each with a zero byte before it and a head of two bytes, behind a head of
/// two bytes.
const MAX_DER_BYTES: usize = 2 + 2 * (2 + 1 + 48);

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    }

    fn raw(r: &[u8], s: &[u8]) -> Vec<u8> {
        let pad = |value: &[u8]| [vec![0; 32 - value.len()], value.to_vec()].concat();
        [pad(r), pad(s)].concat()
    }

    #[test]
    fn known_pairs_convert_both_ways() {
        for (r, s, parts) in [
            (&[1][..], &[0x7f][..], [&[2, 1, 1][..], &[2, 1, 0x7f]]),
            (&[0x80], &[0xff, 0], [&[2, 2, 0, 0x80], &[2, 3, 0, 0xff, 0]]),
            (&[1, 0], &[0x7f, 0xff], [&[2, 2, 1, 0], &[2, 2, 0x7f, 0xff]]),
        ] {
            assert_eq!(to_der(&raw(r, s), 32), Ok(der(&parts)));
            assert_eq!(from_der(&der(&parts), 32), Ok(raw(r, s)));
        }
    }

    #[test]
    fn zero_and_wrong_lengths_are_refused() {
        assert_eq!(to_der(&[0; 64], 32), Err(EcdsaDerError::Zero));
        assert_eq!(to_der(&raw(&[1], &[]), 32), Err(EcdsaDerError::Zero));
        assert_eq!(to_der(&raw(&[], &[1]), 32), Err(EcdsaDerError::Zero));
        for length in [0, 1, 32, 63, 65, 96] {
            assert_eq!(to_der(&vec![1; length], 32), Err(EcdsaDerError::WrongLength), "{length}");
        }
        for coordinate in [0, 1, 31, 33, 64, 66, usize::MAX] {
            assert_eq!(to_der(&[1; 64], coordinate), Err(EcdsaDerError::WrongLength), "{coordinate}");
            assert_eq!(from_der(&der(&[&[2, 1, 1], &[2, 1, 1]]), coordinate), Err(EcdsaDerError::WrongLength));
        }
    }

    #[test]
    fn every_other_encoding_is_refused() {
        let one: &[u8] = &[2, 1, 1];
        let too_long = [&[2, 33, 1][..], &[0; 32]].concat();
        let longest_and_one = [&[2, 34, 0, 0x80][..], &[0; 32]].concat();
        for (case, hostile) in [
            ("nothing", vec![]),
            ("a tag alone", vec![0x30]),
            ("an empty sequence", der(&[])),
            ("one integer", der(&[one])),
            ("three integers", der(&[one, one, one])),
            ("bytes after the sequence", [der(&[one, one]), vec![0]].concat()),
            ("bytes in the sequence", der(&[one, one, &[0]])),
            ("a zero too many", der(&[&[2, 2, 0, 1], one])),
            ("two zeros", der(&[one, &[2, 3, 0, 0, 0x80]])),
            ("a negative r", der(&[&[2, 1, 0x80], one])),
            ("a negative s", der(&[one, &[2, 1, 0xff]])),
            ("an empty integer", der(&[&[2, 0], one])),
            ("an octet string", der(&[&[4, 1, 1], one])),
            ("a set", [&[0x31, 6][..], one, one].concat()),
            ("a long-form sequence length", [&[0x30, 0x81, 6][..], one, one].concat()),
            ("a long-form integer length", der(&[&[2, 0x81, 1, 1], one])),
            ("an indefinite length", [&[0x30, 0x80][..], one, one, &[0, 0]].concat()),
            ("a length beyond the end", vec![0x30, 6, 2, 1, 1, 2, 2, 1]),
            ("an integer longer than the curve", der(&[&too_long, one])),
            ("an unsigned integer longer than the curve", der(&[one, &longest_and_one])),
            ("the raw form", raw(&[1], &[1])),
        ] {
            assert_eq!(from_der(&hostile, 32), Err(EcdsaDerError::NotDer), "{case}");
        }
        assert_eq!(from_der(&der(&[&[2, 1, 0], one]), 32), Err(EcdsaDerError::Zero));
        assert_eq!(from_der(&der(&[one, &[2, 1, 0]]), 32), Err(EcdsaDerError::Zero));
    }

    proptest! {
        #[test]
        fn a_raw_signature_survives_the_round_trip(bytes in proptest::collection::vec(any::<u8>(), 96), p384: bool, zeros in 0usize..40) {
            let coordinate = if p384 { 48 } else { 32 };
            let mut raw = bytes[..coordinate * 2].to_vec();
            raw[..zeros.min(coordinate - 1)].fill(0);
            raw[coordinate - 1] |= 1;
            raw[coordinate * 2 - 1] |= 1;
            let der = to_der(&raw, coordinate).unwrap();
            prop_assert_eq!(from_der(&der, coordinate), Ok(raw));
        }

        #[test]
        fn whatever_is_read_as_der_is_written_the_same_way(body in proptest::collection::vec(any::<u8>(), 0..12), tags: bool) {
            let mut der = body;
            if tags && der.len() > 4 {
                der[0] = SEQUENCE;
                der[1] = u8::try_from(der.len() - 2).unwrap();
                der[2] = INTEGER;
            }
            if let Ok(raw) = from_der(&der, 32) {
                prop_assert_eq!(to_der(&raw, 32), Ok(der));
            }
        }
    }
}
