//! Values that must not be printed, compared in variable time, or left in memory.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

/// A secret value. Its memory is wiped on drop, and `Debug` does not show it.
///
/// There is no `Display`, `Serialize` or `PartialEq`: every use goes through [`Secret::expose`] or
/// [`Secret::ct_eq`], so a search for these two finds every place where a secret leaves the type.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value, for the one place that must send, store or compute with it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Returns `true` if the bytes of the secret equal `other`, in time that depends on the lengths
    /// only.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_ref().ct_eq(other).into()
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Overwrites a buffer with zeros, its spare capacity included, and empties it.
///
/// perf: decision 8. For buffers of the size of a record: [`Zeroize`] writes byte by byte.
pub(crate) fn wipe(bytes: &mut Vec<u8>) {
    let room = bytes.capacity();
    bytes.clear();
    bytes.resize(room, 0);
    // The compiler must assume that the zeros are read, so it cannot omit them.
    zeroize::optimization_barrier(bytes.as_slice());
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct Tracked(Rc<Cell<bool>>);

    impl Zeroize for Tracked {
        fn zeroize(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn printing_a_secret_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Secret(..)");
    }

    #[test]
    fn a_dropped_secret_is_wiped() {
        let wiped = Rc::new(Cell::new(false));
        let secret = Secret::new(Tracked(Rc::clone(&wiped)));
        assert!(!wiped.get());
        drop(secret);
        assert!(wiped.get());
    }

    #[test]
    fn a_wiped_buffer_is_empty_and_stays_where_it_is() {
        let mut bytes = Vec::with_capacity(40);
        bytes.extend_from_slice(b"hunter2");
        let place = bytes.as_ptr();
        wipe(&mut bytes);
        assert_eq!((bytes.len(), bytes.capacity(), bytes.as_ptr()), (0, 40, place));
    }

    #[test]
    fn comparison_distinguishes_equal_different_longer_and_shorter() {
        let secret = Secret::new("abc".to_owned());
        assert!(secret.ct_eq(b"abc"));
        assert!(!secret.ct_eq(b"abd"));
        assert!(!secret.ct_eq(b"ab"));
        assert!(!secret.ct_eq(b"abcd"));
        assert!(!secret.ct_eq(b""));
    }
}
