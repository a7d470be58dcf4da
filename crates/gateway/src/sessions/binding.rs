//! What a session binds a token to, read from the beginning of its record.

use serde::Deserialize;

/// What a call with one of a session's tokens asks about it: the beginning of a [`Session`], read
/// in place.
#[derive(Deserialize)]
pub(crate) struct Bound<'a> {
    /// As in [`Session`].
    pub(crate) client_id: &'a str,
    /// As in [`Session`].
    pub(crate) user_id: &'a str,
    /// As in [`Session`].
    pub(crate) resource: &'a str,
    state: Stage,
}

/// [`State`] without what it holds.
#[derive(Deserialize, PartialEq)]
enum Stage {
    Code,
    Active,
}

impl<'a> Bound<'a> {
    /// Reads a session's record; `None` when it is none.
    pub(crate) fn read(record: &'a [u8]) -> Option<Self> {
        postcard::from_bytes(record).ok()
    }

    /// Whether the session's code was redeemed.
    pub(crate) fn is_active(&self) -> bool {
        self.state == Stage::Active
    }
}
