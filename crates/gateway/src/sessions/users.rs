//! Who may log in, and stay logged in.

use crate::config::{Config, DescribedUser, Provider};
use crate::upstream::identity::Identity;
use crate::upstream::tokens::Upstream;

/// The user is none of those who may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAllowed;

/// Succeeds if the user whom a provider has just logged in may log in.
///
/// # Errors
/// [`NotAllowed`].
pub fn check(config: &Config, provider: &Provider, identity: &Identity) -> Result<(), NotAllowed> {
    let user = DescribedUser {
        provider: &provider.name,
        subject: &identity.subject,
        email: identity.email.as_deref(),
        email_verified: identity.email_verified,
        groups: &identity.groups,
    };
    check_described(config, user)
}

/// Succeeds if the user of a session may stay logged in, as the record of the provider that the
/// user logged in at has it.
///
/// # Errors
/// [`NotAllowed`].
pub fn check_again(config: &Config, provider: &Provider, record: &Upstream) -> Result<(), NotAllowed> {
    let user = DescribedUser {
        provider: &provider.name,
        subject: &record.subject,
        email: record.email.as_deref(),
        email_verified: record.email_verified,
        groups: &record.groups,
    };
    check_described(config, user)
}

fn check_described(config: &Config, user: DescribedUser<'_>) -> Result<(), NotAllowed> {
    if config.users.as_ref().is_none_or(|users| users.allows(user)) { Ok(()) } else { Err(NotAllowed) }
}
