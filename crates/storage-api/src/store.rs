//! The answers and errors of a store.

use std::fmt;

/// The result of a compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Written.
    Swapped,
    /// The record had another version or did not exist; nothing was written.
    Conflict,
}

/// The failure of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// Unreachable, or no answer in time. Whether a write happened is unknown.
    Unavailable,
    /// No room for the record, and no record that may be dropped.
    Full,
    /// The record exceeds the store's limit.
    TooLarge,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the store cannot be reached",
            Self::Full => "the store is full",
            Self::TooLarge => "the record is too large for the store",
        })
    }
}

impl std::error::Error for StoreError {}
