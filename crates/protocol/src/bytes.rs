//! Wide-word comparison and checks: several bytes a step, for inputs that are not secret.

/// Returns `true` if both slices are equal. Not for secrets: the time depends on where they
/// differ.
#[must_use]
pub fn eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // perf: decision 8. In wasm the comparison of slices goes byte by byte, which is slow for a
    // token, a URL or a key id. The last sixteen bytes overlap the ones before, so no rest is left.
    let (Some(a_end), Some(b_end)) = (a.last_chunk::<16>(), b.last_chunk::<16>()) else { return a == b };
    let same = |a: &[u8; 16], b: &[u8; 16]| u128::from_ne_bytes(*a) == u128::from_ne_bytes(*b);
    same(a_end, b_end) && a.as_chunks().0.iter().zip(b.as_chunks().0).all(|(a, b)| same(a, b))
}

/// A set of byte values, such as the alphabet of a grammar rule.
pub struct ByteSet([bool; 256]);

impl ByteSet {
    /// Makes a set of these bytes.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the compiler computes every set")]
    pub const fn new(members: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut rest = members;
        while let [member, others @ ..] = rest {
            set[*member as usize] = true;
            rest = others;
        }
        Self(set)
    }

    /// Returns `true` if every byte of the text is in the set.
    #[must_use]
    pub fn contains_all(&self, text: &[u8]) -> bool {
        let is = |byte: &u8| self.0.get(usize::from(*byte)) == Some(&true);
        // perf: decision 8. Eight at a time takes less than half as long in wasm.
        let (words, rest) = text.as_chunks::<8>();
        words.iter().all(|[a, b, c, d, e, f, g, h]| is(a) & is(b) & is(c) & is(d) & is(e) & is(f) & is(g) & is(h))
            && rest.iter().all(is)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_equal_only_when_every_one_is() {
        for length in 0..70_usize {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n).unwrap()).collect();
            assert!(eq(&bytes, &bytes.clone()));
            for changed in 0..length {
                let mut other = bytes.clone();
                other[changed] ^= 0x80;
                assert!(!eq(&bytes, &other), "{changed} of {length}");
            }
            assert!(!eq(&bytes, &[&bytes[..], &[0]].concat()), "{length}");
        }
    }

    #[test]
    fn a_byte_outside_a_set_is_found_at_every_place() {
        let set = ByteSet::new(b"a");
        for length in 1..20 {
            for place in 0..length {
                let mut text = vec![b'a'; length];
                assert!(set.contains_all(&text));
                text[place] = b'"';
                assert!(!set.contains_all(&text), "{place} of {length}");
            }
        }
    }

    proptest! {
        #[test]
        fn equality_is_that_of_slices(a in texts(), b in texts(), same in any::<bool>()) {
            let b = if same { a.clone() } else { b };
            prop_assert_eq!(eq(&a, &b), a == b);
        }

        #[test]
        fn a_set_contains_a_text_as_a_list_contains_each_byte(members in texts(), text in texts()) {
            let expected = text.iter().all(|byte| members.contains(byte));
            prop_assert_eq!(ByteSet::new(&members).contains_all(&text), expected);
        }
    }

    /// Texts of few different bytes, so that equal ones and contained ones are common.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(&[0, b'a', b'b', 0x80, 0xff][..]), 0..40)
    }
}
