//! Comparing texts that are long.

/// Whether two texts are equal, of which neither is a secret: what it takes tells where they differ.
///
/// Eight bytes at a time: in wasm the comparison of slices goes byte by byte, which a token, a URL or a key's id is too
/// long for.
#[must_use]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    a.len() == b.len()
        && a_words.iter().zip(b_words).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && a_rest == b_rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_only_when_every_one_is() {
        for length in 0..40_usize {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n).unwrap()).collect();
            assert!(same_bytes(&bytes, &bytes.clone()));
            for changed in 0..length {
                let mut other = bytes.clone();
                other[changed] ^= 0x80;
                assert!(!same_bytes(&bytes, &other), "{changed} of {length}");
            }
            assert!(!same_bytes(&bytes, &[&bytes[..], &[0]].concat()), "{length}");
        }
    }
}
