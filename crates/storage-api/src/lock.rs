//! The owner of a lock.

use crate::text::{Text, as_text, hex, of_hex};

/// The owner of a lock: a random value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub [u8; 16]);

impl Text for Owner {
    const FORM: &'static str = "32 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(Self)
    }
}

as_text!(Owner);
