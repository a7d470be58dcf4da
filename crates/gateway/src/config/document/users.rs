//! Who may log in, as written.

use serde::{Deserialize, Serialize};

/// Who may log in. Absent: every user whom the identity provider logs in.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Users {
    /// A user may log in whom one of these entries names: 1 to 1,000. It is asked at each login,
    /// and each time that a client refreshes its tokens; then the session of a user ends whom none
    /// names any more.
    pub allow: Vec<AllowedUser>,
}

/// Users who may log in, by exactly one of `subject`, `emailDomain` and `group`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AllowedUser {
    /// One account, by the provider's name for it, such as the `sub` of its ID tokens: what
    /// `portcullis admin users list` shows.
    pub subject: Option<String>,
    /// Accounts whose e-mail address the provider has verified (`email_verified`) and is at this
    /// domain; a domain below it is another one. A domain of other letters than a-z is written
    /// as in the DNS, `xn--…`.
    pub email_domain: Option<String>,
    /// Accounts that are in this group, as the provider names it.
    pub group: Option<String>,
    /// The provider, by its `name`, of whose accounts this is true. Absent: each one's.
    pub provider_name: Option<String>,
}
