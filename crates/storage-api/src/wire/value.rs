//! The bytes of a record.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::text::{Malformed, Text, as_text};

/// The bytes of a record, at most [`MAX_VALUE_BYTES`]; base64url without padding on the wire (RFC
/// 4648 §5).
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Vec<u8>);

impl Value {
    /// Checks the size.
    ///
    /// # Errors
    /// [`Malformed`] for more than [`MAX_VALUE_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Malformed> {
        if bytes.len() > MAX_VALUE_BYTES { Err(Malformed) } else { Ok(Self(bytes)) }
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
    /// Only the length: a value must not reach a log.
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
        // Before decoding: a longer text cannot decode to a value of the allowed size.
        if text.len() > MAX_VALUE_BYTES.div_ceil(3).saturating_mul(4) {
            return None;
        }
        Self::new(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

as_text!(Value);

/// The maximum of bytes in a value.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
