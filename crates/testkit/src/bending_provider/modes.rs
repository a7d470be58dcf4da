//! The modes of the provider: each a row of the table that flows and stories go through.
//!
//! A mode that the RFCs allow works from login to refresh. Any other is refused at login, with a
//! line in the operator's log that no other mode has.

mod allowed;
mod refused;

use portcullis_gateway::audit::Reason;

use super::shape::Shape;

/// One way in which the provider bends its answers.
pub struct Mode {
    /// What it does.
    pub name: &'static str,
    /// What comes of it.
    pub expected: Expected,
    /// Bends the answers.
    pub bend: fn(&mut Shape),
}

/// The outcome of logins at a provider in some mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Login, calls and refreshes work.
    Works,
    /// The login is refused with this audit reason, and with a line in the operator's log that
    /// contains these words.
    Refused(Reason, &'static str),
}

/// Every mode: those that work, then those that are refused.
pub fn all() -> impl Iterator<Item = &'static Mode> {
    allowed::MODES.iter().chain(refused::MODES)
}

/// Returns the mode of this name.
#[must_use]
pub fn mode(name: &str) -> Option<&'static Mode> {
    all().find(|mode| mode.name == name)
}
