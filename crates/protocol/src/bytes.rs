//! Comparing texts that are long.

/// Whether two texts are equal, of which neither is a secret: what it takes tells where they
/// differ.
///
/// Sixteen bytes at a time: in wasm the comparison of slices goes byte by byte, which a token, a
/// URL or a key's id is too long for.
#[must_use]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // The last sixteen overlap the ones before, so that nothing is left over.
    let (Some(a_end), Some(b_end)) = (a.last_chunk::<16>(), b.last_chunk::<16>()) else { return a == b };
    let same = |a: &[u8; 16], b: &[u8; 16]| u128::from_ne_bytes(*a) == u128::from_ne_bytes(*b);
    same(a_end, b_end) && a.as_chunks().0.iter().zip(b.as_chunks().0).all(|(a, b)| same(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_only_when_every_one_is() {
        for length in 0..70_usize {
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
