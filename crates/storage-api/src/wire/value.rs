//! The bytes of a record.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::text::{Malformed, Text, as_text};

/// The bytes of a record, at most [`VALUE_BYTES`]; base64url without padding on the wire (RFC 4648
/// section 5).
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Vec<u8>);

impl Value {
    /// Takes the bytes.
    ///
    /// # Errors
    /// [`Malformed`] when there are more than [`VALUE_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Malformed> {
        if bytes.len() > VALUE_BYTES { Err(Malformed) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Value {
    /// Only the length: a value never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

impl Text for Value {
    const FORM: &'static str = "at most 64 KiB in base64url without padding";

    fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        // Before decoding: a text of four letters to three bytes cannot be longer and still fit.
        if text.len() > VALUE_BYTES.div_ceil(3).saturating_mul(4) {
            return None;
        }
        Self::new(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

as_text!(Value);

/// The most bytes a value may have.
pub const VALUE_BYTES: usize = 64 * 1024;
