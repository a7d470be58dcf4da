//! The user's name, e-mail address and groups, as a provider tells them in an ID token, a userinfo
//! answer or a token answer.

use std::borrow::Cow;

use portcullis_protocol::json::foreign::{ForeignObject, ForeignValue};

use crate::config::JsonPath;
use crate::upstream::identity::TokenReply;
use crate::upstream::tokens::Upstream;

/// The user's name, e-mail address and groups. What the provider does not say is `None`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    /// The user's name: 1 to 255 bytes without control characters.
    pub(super) name: Option<String>,
    /// The user's e-mail address, likewise, whether or not it was verified.
    pub(super) email: Option<String>,
    /// Whether the provider has verified that address; `false` where it does not say.
    pub(super) email_verified: bool,
    /// The groups that the user is in, each of 1 to 255 bytes without control characters.
    pub(super) groups: Option<Vec<String>>,
}

/// A login at a provider.
pub(super) struct LoggedIn {
    pub(super) tokens: TokenReply,
    /// The provider's name for the user.
    pub(super) subject: String,
    pub(super) profile: Profile,
}

impl Profile {
    /// Reads the claims of an ID token or of a userinfo answer (OIDC Core §5.1), of which those of
    /// [`Profile::claims`] were asked for.
    pub(super) fn of_claims(claims: &ForeignObject<'_>, groups: &JsonPath) -> Self {
        let (outermost, inner) = groups.names().split_first().unzip();
        let groups = outermost.and_then(|outermost| claims.get(outermost));
        // A member that is repeated on the way says nothing.
        let groups = groups.and_then(|value| value.inner(inner.unwrap_or_default()).ok().flatten());
        Self {
            name: claims.get("name").and_then(name),
            email: claims.get("email").and_then(name),
            email_verified: claims.get("email_verified").and_then(ForeignValue::boolean).unwrap_or(false),
            groups: groups.map(group_names),
        }
    }

    /// Returns the claims that a profile is read from.
    pub(super) fn claims(groups: &JsonPath) -> [&str; 4] {
        ["name", "email", "email_verified", groups.names().first().map_or("groups", String::as_str)]
    }

    /// Returns `true` if there is something that it does not say.
    pub(super) const fn has_gaps(&self) -> bool {
        self.name.is_none() || self.email.is_none() || self.groups.is_none()
    }

    /// Takes from another one what this one does not say. Whether an address was verified is taken
    /// with the address.
    pub(super) fn fill(&mut self, other: Self) {
        if self.email.is_none() {
            (self.email, self.email_verified) = (other.email, other.email_verified);
        }
        self.name = self.name.take().or(other.name);
        self.groups = self.groups.take().or(other.groups);
    }

    /// Returns what it says over what was known of the user. What a provider does not say again
    /// stays as it was.
    pub(super) fn over(mut self, known: &Upstream) -> Self {
        self.fill(Self {
            name: known.name.clone(),
            email: known.email.clone(),
            email_verified: known.email_verified,
            groups: Some(known.groups.clone()),
        });
        self
    }

    /// Keeps [`MAX_GROUPS`] groups, as far as they fit into `room` bytes: first those that are
    /// `wanted`, then the first ones. Returns `true` if some were left out.
    pub(super) fn bound_groups(&mut self, room: usize, wanted: impl Fn(&str) -> bool) -> bool {
        let Some(groups) = self.groups.take() else { return false };
        let (before, mut room) = (groups.len(), room.min(MAX_GROUPS_BYTES));
        let (wanted, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| wanted(group));
        let mut kept: Vec<String> = Vec::new();
        for group in wanted.into_iter().chain(others) {
            let Some(left) = room.checked_sub(group.len().saturating_add(GROUP_HEAD_BYTES)) else { continue };
            if kept.len() < MAX_GROUPS {
                room = left;
                kept.push(group);
            }
        }
        let is_cut = kept.len() < before;
        self.groups = Some(kept);
        is_cut
    }
}

/// Returns the text of a name, which may be written as a whole number.
pub(super) fn name(value: ForeignValue<'_>) -> Option<String> {
    value.name().or_else(|| value.digits().map(Cow::Borrowed)).map(Cow::into_owned)
}

/// Returns the groups of a list, or of one text. What is no name of a group is left out.
pub(super) fn group_names(value: ForeignValue<'_>) -> Vec<String> {
    match value.items() {
        Some(items) => items.into_iter().filter_map(name).collect(),
        None => name(value).into_iter().collect(),
    }
}

/// The most groups of a user that are kept.
const MAX_GROUPS: usize = 100;
/// The most bytes of groups that are kept.
const MAX_GROUPS_BYTES: usize = 4 * 1024;
/// The most bytes that are written before a group.
const GROUP_HEAD_BYTES: usize = 2;
