//! The subset of DER (X.690) that keys use: definite lengths in their shortest form, below 64 KiB.

use zeroize::Zeroizing;

/// A reader of DER: the bytes that are left.
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) const fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    /// Reads the next element, which must have this tag, and returns its content.
    pub(super) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (actual, rest) = self.0.split_first()?;
        let (content, rest) = if *actual == tag { sized(rest)? } else { return None };
        self.0 = rest;
        Some(content)
    }

    /// Reads the next element if it has this tag. The outer `None` means malformed DER.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) { self.element(tag).map(Some) } else { Some(None) }
    }

    /// Reads a SEQUENCE and returns a reader of its content.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.element(SEQUENCE).map(Self)
    }

    /// Reads a non-negative INTEGER: its bytes from the most significant, without leading zeros.
    pub(super) fn unsigned(&mut self) -> Option<&'a [u8]> {
        match self.element(INTEGER)? {
            [0] => Some(&[]),
            [0, magnitude @ ..] if magnitude.first().is_some_and(|top| top & SIGN != 0) => Some(magnitude),
            [0, ..] | [] => None,
            magnitude => magnitude.first().filter(|top| **top & SIGN == 0).map(|_| magnitude),
        }
    }

    /// Reads a BIT STRING of whole bytes.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        whole_bytes(self.element(BIT_STRING)?)
    }

    /// Returns `None` if any bytes are left.
    pub(super) const fn end(self) -> Option<()> {
        if self.0.is_empty() { Some(()) } else { None }
    }
}

/// Returns the bytes in the content of a BIT STRING; `None` if it has unused bits.
pub(super) const fn whole_bytes(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, bytes @ ..] => Some(bytes),
        _ => None,
    }
}

/// Encodes an element whose content is the concatenation of these parts; `None` from 64 KiB on. The
/// result may be secret, so it is wiped on drop.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Option<Zeroizing<Vec<u8>>> {
    let length: usize = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
    let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
    // With its full capacity from the start, so that growing leaves no copy behind.
    let mut der = Zeroizing::new(Vec::with_capacity(length.saturating_add(MAX_HEAD_BYTES)));
    der.push(tag);
    match (high, low) {
        (0, 0..=0x7f) => der.push(low),
        (0, _) => der.extend_from_slice(&[SIGN | 1, low]),
        _ => der.extend_from_slice(&[SIGN | 2, high, low]),
    }
    for part in parts {
        der.extend_from_slice(part);
    }
    Some(der)
}

/// Encodes a non-negative INTEGER, given its bytes from the most significant.
pub(super) fn unsigned(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let magnitude = without_zeros(bytes);
    let positive: &[u8] = if magnitude.first().is_none_or(|top| top & SIGN != 0) { &[0] } else { &[] };
    element(INTEGER, &[positive, magnitude])
}

/// Returns the bytes from the first that is not zero.
pub(super) fn without_zeros(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    bytes.get(first..).unwrap_or_default()
}

/// Splits the bytes after a tag into the content and the rest.
fn sized(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, long @ SIGN..=0xff, rest @ ..] => (usize::from(*long), rest),
        [0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// The sign of an INTEGER, and the mark of a length in long form.
const SIGN: u8 = 0x80;
/// A tag and a length.
const MAX_HEAD_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_at_every_form_of_a_length() {
        for length in [0, 1, 127, 128, 255, 256, 65_535] {
            let content = vec![7; length];
            let der = element(OCTET_STRING, &[&content]).unwrap();
            let mut reader = Der::new(&der);
            assert_eq!(reader.element(OCTET_STRING), Some(&content[..]), "{length}");
            assert_eq!(reader.end(), Some(()));
        }
        assert!(element(OCTET_STRING, &[&[0; 65_535], &[0]]).is_none());
    }

    #[test]
    fn integers_read_back_without_leading_zeros() {
        for (bytes, written) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0, 127], &[2, 1, 127]),
            (&[128], &[2, 2, 0, 128]),
            (&[1, 0], &[2, 2, 1, 0]),
        ] {
            let der = unsigned(bytes).unwrap();
            assert_eq!(&der[..], written);
            assert_eq!(Der::new(&der).unsigned(), Some(without_zeros(bytes)));
        }
    }

    #[test]
    fn a_second_spelling_of_an_integer_or_a_length_is_refused() {
        for der in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1], &[2, 2, 0, 0], &[2, 2, 1], &[4, 1, 1], &[2], &[]] {
            assert_eq!(Der::new(der).unsigned(), None, "{der:?}");
        }
        let content = [0; 200];
        for head in
            [&[4, 0x81, 100][..], &[4, 0x82, 0, 200], &[4, 0x80], &[4, 0x83, 0, 0, 200], &[4, 0x84], &[4, 0x82, 1]]
        {
            assert_eq!(Der::new(&[head, &content].concat()).element(OCTET_STRING), None, "{head:?}");
        }
    }

    #[test]
    fn an_optional_element_is_absent_present_or_broken() {
        assert_eq!(Der::new(&[4, 0]).optional(NULL), Some(None));
        assert_eq!(Der::new(&[5, 0]).optional(NULL), Some(Some(&[][..])));
        assert_eq!(Der::new(&[5, 1]).optional(NULL), None);
        assert_eq!(Der::new(&[]).optional(NULL), Some(None));
    }

    #[test]
    fn bits_come_in_whole_bytes() {
        assert_eq!(Der::new(&[3, 2, 0, 9]).bits(), Some(&[9][..]));
        assert_eq!(Der::new(&[3, 2, 1, 8]).bits(), None);
        assert_eq!(Der::new(&[3, 0]).bits(), None);
    }
}
