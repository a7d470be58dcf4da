//! Header maps as they cross the ABI: the number of pairs, the sizes of each name and value, then
//! the texts with a zero byte after each; all numbers have 32 bits, the least significant byte
//! first.

use proxy_wasm::types::MapType;

use super::header_pairs::header_pairs;

/// The headers of a message, in order. Names and values are bytes; Envoy's names are in lower case.
#[derive(Debug, Default)]
pub(crate) struct HeaderMap(Vec<u8>);

impl HeaderMap {
    /// Wraps a map as the host hands it out.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Iterates over name and value of each header, up to the first that contradicts its size.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (sizes, mut texts) = self.parts().unwrap_or_default();
        sizes.iter().map_while(move |[name, value]| Some((take(&mut texts, *name)?, take(&mut texts, *value)?)))
    }

    /// Iterates over the name of each header, as [`HeaderMap::iter`].
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().map(|(name, _)| name)
    }

    /// Returns the bytes of all names and values, with one more for each.
    pub(crate) fn text_bytes(&self) -> usize {
        self.parts().map_or(0, |(_, texts)| texts.len())
    }

    /// The sizes of names and values, and the texts.
    fn parts(&self) -> Option<(&[Sizes], &[u8])> {
        let (count, rest) = self.0.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (sizes, texts) = rest.split_at_checked(count.checked_mul(8)?)?;
        let (numbers, _) = sizes.as_chunks::<4>();
        Some((numbers.as_chunks::<2>().0, texts))
    }
}

/// Returns all headers of a map; `None` if it is not there now.
pub(super) fn headers(map: MapType) -> Option<HeaderMap> {
    header_pairs(map).map(HeaderMap::new)
}

/// The sizes of a name and its value.
type Sizes = [[u8; 4]; 2];

/// Takes a text and the zero byte after it.
#[inline]
fn take<'a>(texts: &mut &'a [u8], size: [u8; 4]) -> Option<&'a [u8]> {
    let (text, rest) = texts.split_at_checked(usize::try_from(u32::from_le_bytes(size)).ok()?)?;
    *texts = rest.split_first()?.1;
    Some(text)
}

/// The most headers that are read: beyond 1024 the host hands out no map at all.
pub(crate) const MAX_HEADERS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a map as the host does.
    fn encode(headers: &[(&str, &str)]) -> Vec<u8> {
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = Vec::new();
        bytes.extend(number(headers.len()));
        for (name, value) in headers {
            bytes.extend(number(name.len()));
            bytes.extend(number(value.len()));
        }
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        HeaderMap::new(bytes.to_vec()).iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn a_map_is_its_count_its_sizes_and_its_texts() {
        let bytes = encode(&[("a", "bc"), ("d", "")]);
        assert_eq!(bytes, b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0a\0bc\0d\0\0");
        assert_eq!(read(&bytes), [(b"a".to_vec(), b"bc".to_vec()), (b"d".to_vec(), Vec::new())]);
    }

    #[test]
    fn values_are_bytes() {
        assert_eq!(read(b"\x01\0\0\0\x01\0\0\0\x02\0\0\0x\0\xff\0\0"), [(b"x".to_vec(), b"\xff\0".to_vec())]);
    }

    #[test]
    fn no_map_and_an_empty_map_have_no_headers() {
        assert_eq!(read(b""), []);
        assert_eq!(read(&encode(&[])), []);
    }

    #[test]
    fn a_map_that_was_cut_short_has_what_is_whole() {
        let whole = encode(&[("name", "value"), ("other", "text")]);
        let headers = read(&whole);
        for length in 0..whole.len() {
            let cut = read(&whole[..length]);
            assert!(cut.len() < headers.len() && headers.starts_with(&cut), "{length} bytes have {cut:?}");
        }
    }

    #[test]
    fn sizes_beyond_the_map_end_it() {
        assert_eq!(read(b"\xff\xff\xff\xff"), []);
        assert_eq!(read(b"\x01\0\0\0\xff\xff\xff\xff\x01\0\0\0a\0b\0"), []);
        assert_eq!(read(b"\x01\0\0\0\x01\0\0\0\xff\xff\xff\xffa\0b\0"), []);
    }
}
