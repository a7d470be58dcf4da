//! The answers and errors of a store.

use std::fmt;

/// The result of a compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Written.
    Swapped,
    /// The record had another version or was gone; nothing was written.
    Conflict,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached or did not answer in time; whether a write happened is unknown.
    Unavailable,
    /// It has no room for the record, and nothing it may drop.
    Full,
    /// The record is larger than the store takes.
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
