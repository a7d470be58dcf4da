//! The answers that a login and a refresh get from a provider, whatever protocol it speaks.

use portcullis_protocol::crypto::secret::Secret;

/// A provider's answer to a token request.
pub struct TokenReply {
    /// The access token.
    pub access_token: Secret<String>,
    /// The refresh token, if it gave one.
    pub refresh_token: Option<Secret<String>>,
    /// The access token's life.
    pub life: ToldLife,
    /// The ID token, if it gave one.
    pub id_token: Option<Secret<String>>,
}

/// The life of an access token, as the provider told it (`expires_in`, RFC 6749 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldLife {
    /// This number of seconds: at least 1, at most a year.
    Seconds(u64),
    /// Zero or less.
    Over,
    /// Nothing that can be read as a number.
    Untold,
}

/// The user who logged in, as the provider says.
pub struct Identity {
    /// The provider's name for the user: 1 to 255 bytes without control characters.
    pub subject: String,
    /// The user's name, likewise, if the provider gave it.
    pub name: Option<String>,
    /// The user's e-mail address, likewise, whether or not the provider has verified it.
    pub email: Option<String>,
    /// Whether the provider has verified that address; `false` where it does not say.
    pub email_verified: bool,
    /// The groups that the user is in: at most 100, of which each is a name as `subject` is.
    pub groups: Vec<String>,
}

/// Returns the name by which a person knows an account: an e-mail address, a name, or what the
/// provider calls the account.
#[must_use]
pub fn account_label<'a>(email: Option<&'a str>, name: Option<&'a str>, subject: &'a str) -> &'a str {
    email.or(name).filter(|told| !told.trim().is_empty()).unwrap_or(subject)
}
