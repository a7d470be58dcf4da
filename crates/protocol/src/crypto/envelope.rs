//! A sealed value: version byte, key id (4 bytes), nonce (24 bytes), ciphertext and tag, in one
//! buffer from beginning to end.

use std::fmt;
use std::io;

use crate::crypto::secret::wipe;

/// A value that is written where it will be sealed. Every other copy is wiped.
///
/// INVARIANT: it begins with space for the head.
pub struct Draft(Vec<u8>);

impl Draft {
    /// Makes an empty value with capacity for `bytes` bytes; a longer one is reallocated.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        let mut start = Vec::with_capacity(bytes.saturating_add(HEAD_BYTES).saturating_add(TAG_BYTES));
        start.resize(HEAD_BYTES, 0);
        Self(start)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len()).saturating_add(TAG_BYTES);
        if needed > self.0.capacity() {
            // A vector that grows by itself leaves a copy of the value behind.
            let mut larger = Vec::with_capacity(needed.saturating_mul(2));
            larger.extend_from_slice(&self.0);
            wipe(&mut self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn into_envelope(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl io::Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// A value opened in place: a secret, which is wiped together with its envelope.
pub struct Opened(pub(super) Vec<u8>);

impl Opened {
    /// Returns the value.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        // INVARIANT: only envelopes with a head and a tag are opened.
        let end = self.0.len().saturating_sub(TAG_BYTES);
        self.0.get(HEAD_BYTES..end).unwrap_or_default()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(..)")
    }
}

pub(super) const VERSION: u8 = 2;
pub(super) const HEAD_BYTES: usize = 1 + 4 + 24;
pub(super) const TAG_BYTES: usize = 16;
