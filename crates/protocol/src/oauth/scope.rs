//! Scopes: requested, allowed and granted (RFC 6749 §3.3 and §6).

use std::collections::BTreeSet;
use std::fmt;

/// A set of scope names that keeps the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeSet(Vec<String>);

/// The scopes of a session. INVARIANT: only [`ScopeSet::grant`] and [`GrantedScope::narrow`] make
/// one, and [`GrantedScope::restore`] from a sealed record, so holding it proves that every name
/// was allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedScope(ScopeSet);

/// Why text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeError {
    /// Longer than 4 KiB.
    TooLong,
    /// More than 64 names.
    TooMany,
    /// A character outside RFC 6749 §3.3, or an empty name.
    BadName,
}

/// The client may not have the scope of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownScope(pub String);

/// A refresh request names a scope that was not granted (RFC 6749 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeWidening(pub String);

impl ScopeSet {
    /// Parses names separated by single spaces. Duplicates are dropped. The empty text is the empty
    /// set.
    ///
    /// # Errors
    /// Returns a [`ScopeError`] for a malformed name, more than 64 names or more than 4 KiB.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.len() > MAX_BYTES {
            return Err(ScopeError::TooLong);
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        Self::from_names(text.split(' '))
    }

    /// Makes a set of these names, under the same rules as [`ScopeSet::parse`].
    ///
    /// # Errors
    /// Returns a [`ScopeError`] for a malformed name, more than 64 names or more than 4 KiB.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        let mut bytes = 0_usize;
        for name in names {
            bytes = bytes.saturating_add(name.len()).saturating_add(1);
            // One byte more than the text form, which has no space after the last name.
            if bytes > MAX_BYTES.saturating_add(1) {
                return Err(ScopeError::TooLong);
            }
            if name.is_empty() || !name.bytes().all(is_scope_byte) {
                return Err(ScopeError::BadName);
            }
            if seen.insert(name) {
                if kept.len() >= MAX_NAMES {
                    return Err(ScopeError::TooMany);
                }
                kept.push(name.to_owned());
            }
        }
        Ok(Self(kept))
    }

    /// Returns the names in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns `true` if the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `true` if the set has this name, compared exactly (RFC 6749 §3.3).
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|kept| kept == name)
    }

    /// Returns `true` if every name of this set is in the other.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.first_outside(other).is_none()
    }

    /// Returns the names that are also in the other set.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|name| other.contains(name)).cloned().collect())
    }

    /// Returns the names of both sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(other.0.iter().filter(|name| !self.contains(name))).cloned().collect())
    }

    /// Grants the requested scopes if all of them are allowed. Without a request grants those of
    /// `default` that are allowed (RFC 6749 §3.3).
    ///
    /// # Errors
    /// Returns [`UnknownScope`] with the first name that is not allowed.
    pub fn grant(requested: Option<Self>, allowed: &Self, default: &Self) -> Result<GrantedScope, UnknownScope> {
        match requested {
            Some(requested) => match requested.first_outside(allowed) {
                Some(name) => Err(UnknownScope(name.to_owned())),
                None => Ok(GrantedScope(requested)),
            },
            None => {
                let names = default.0.iter().filter(|name| allowed.contains(name)).cloned().collect();
                Ok(GrantedScope(Self(names)))
            }
        }
    }

    fn first_outside(&self, other: &Self) -> Option<&str> {
        self.iter().find(|name| !other.contains(name))
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl GrantedScope {
    /// Returns the scope of a refreshed token: the requested one if all of it was granted, else
    /// everything (RFC 6749 §6).
    ///
    /// # Errors
    /// Returns [`ScopeWidening`] with the first name that was not granted.
    pub fn narrow(&self, requested: Option<&ScopeSet>) -> Result<Self, ScopeWidening> {
        match requested {
            Some(requested) => match requested.first_outside(&self.0) {
                Some(name) => Err(ScopeWidening(name.to_owned())),
                None => Ok(Self(requested.clone())),
            },
            None => Ok(self.clone()),
        }
    }

    /// Returns the scope that a sealed record holds in its text form. Text from anywhere else
    /// proves nothing.
    ///
    /// # Errors
    /// [`ScopeError`] if the text is not a scope.
    pub fn restore(text: &str) -> Result<Self, ScopeError> {
        ScopeSet::parse(text).map(Self)
    }

    /// Returns the names.
    #[must_use]
    pub fn as_set(&self) -> &ScopeSet {
        &self.0
    }
}

impl fmt::Display for GrantedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the scope is too long",
            Self::TooMany => "the scope has too many names",
            Self::BadName => "the scope is malformed",
        })
    }
}

impl std::error::Error for ScopeError {}

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the scope {} is not available to this client", self.0)
    }
}

impl std::error::Error for UnknownScope {}

impl fmt::Display for ScopeWidening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the scope {} was not granted", self.0)
    }
}

impl std::error::Error for ScopeWidening {}

fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

const MAX_BYTES: usize = 4 * 1024;
const MAX_NAMES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    #[test]
    fn names_keep_their_order_and_count_once() {
        let scopes = set("write read write https://h/x");
        assert_eq!(scopes.to_string(), "write read https://h/x");
        assert!(scopes.contains("read") && !scopes.contains("Read"));
        assert!(set("").is_empty());
    }

    #[test]
    fn text_outside_the_grammar_is_refused() {
        for text in [" ", "a ", " a", "a  b", "a\tb", "a\nb", "a\"b", "a\\b", "é", "a\u{7f}", "a\u{0}"] {
            assert_eq!(ScopeSet::parse(text), Err(ScopeError::BadName), "{text:?}");
        }
    }

    #[test]
    fn limits_hold_for_bytes_and_names() {
        assert!(ScopeSet::parse(&"a".repeat(4096)).is_ok());
        assert_eq!(ScopeSet::parse(&"a".repeat(4097)), Err(ScopeError::TooLong));
        let names: Vec<String> = (0..65).map(|n| format!("s{n}")).collect();
        assert!(ScopeSet::from_names(names.iter().take(64).map(String::as_str)).is_ok());
        assert_eq!(ScopeSet::parse(&names.join(" ")), Err(ScopeError::TooMany));
        assert_eq!(ScopeSet::from_names([&*"a".repeat(4000), "b", &"c".repeat(100)]), Err(ScopeError::TooLong));
    }

    #[test]
    fn a_scope_is_granted_only_when_every_name_is_allowed() {
        let (allowed, default) = (set("read write"), set("read admin"));
        let grant = |text: &str| ScopeSet::grant(Some(set(text)), &allowed, &default);
        assert_eq!(grant("write").unwrap().to_string(), "write");
        assert_eq!(grant("read admin write"), Err(UnknownScope("admin".into())));
        assert_eq!(grant("*"), Err(UnknownScope("*".into())));
        assert_eq!(grant("READ"), Err(UnknownScope("READ".into())));
    }

    #[test]
    fn without_a_request_the_allowed_part_of_the_default_is_granted() {
        let granted = ScopeSet::grant(None, &set("read write"), &set("read admin")).unwrap();
        assert_eq!(granted.to_string(), "read");
    }

    #[test]
    fn a_refresh_may_narrow_but_never_widen() {
        let granted = ScopeSet::grant(Some(set("read write")), &set("read write admin"), &set("")).unwrap();
        assert_eq!(granted.narrow(Some(&set("read"))).unwrap().to_string(), "read");
        assert_eq!(granted.narrow(None).unwrap(), granted);
        assert_eq!(granted.narrow(Some(&set("read admin"))), Err(ScopeWidening("admin".into())));
        assert!(granted.as_set().is_subset_of(&set("x write read")) && !granted.as_set().is_subset_of(&set("read")));
    }

    #[test]
    fn a_granted_scope_survives_a_record() {
        let granted = ScopeSet::grant(None, &set("read write"), &set("read write")).unwrap();
        assert_eq!(granted.to_string(), "read write");
        assert_eq!(GrantedScope::restore("read write"), Ok(granted));
        assert_eq!(GrantedScope::restore("a\nb"), Err(ScopeError::BadName));
    }
}
