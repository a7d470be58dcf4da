//! The section that says who may log in.

use super::compiler::Compiler;
use super::document::{self, AllowedUser, UpstreamProvider};

/// Who may log in.
pub struct AllowedUsers(Vec<Entry>);

/// A user as a provider describes it.
#[derive(Clone, Copy)]
pub struct DescribedUser<'a> {
    /// The provider's name in the configuration.
    pub provider: &'a str,
    /// The provider's name for the user.
    pub subject: &'a str,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// Whether the provider has verified it.
    pub email_verified: bool,
    /// The groups that the user is in.
    pub groups: &'a [String],
}

struct Entry {
    provider: Option<String>,
    rule: Rule,
}

enum Rule {
    Subject(String),
    /// A domain in lower case.
    EmailDomain(String),
    Group(String),
}

impl AllowedUsers {
    /// Returns `true` if one of the entries names the user.
    #[must_use]
    pub fn allows(&self, user: DescribedUser<'_>) -> bool {
        self.0.iter().any(|entry| entry.is_of(user.provider) && entry.rule.names(user))
    }

    /// Returns `true` if one of the entries is about a group of a provider.
    #[must_use]
    pub fn name_group(&self, provider: &str, group: &str) -> bool {
        self.0.iter().any(|entry| entry.is_of(provider) && matches!(&entry.rule, Rule::Group(named) if named == group))
    }
}

impl Entry {
    fn is_of(&self, provider: &str) -> bool {
        self.provider.as_deref().is_none_or(|named| named == provider)
    }
}

impl Rule {
    fn names(&self, user: DescribedUser<'_>) -> bool {
        match self {
            Self::Subject(subject) => user.subject == subject,
            Self::Group(group) => user.groups.contains(group),
            Self::EmailDomain(domain) => {
                let address = user.email.filter(|_| user.email_verified);
                // The last sign, as a local part in quotes may have others (RFC 5321 §4.1.2).
                let parts = address.and_then(|address| address.rsplit_once('@'));
                parts.is_some_and(|(local, at)| !local.is_empty() && at.eq_ignore_ascii_case(domain))
            }
        }
    }
}

impl Compiler<'_> {
    pub(super) fn users(
        &mut self,
        written: Option<&document::Users>,
        providers: &[UpstreamProvider],
    ) -> Option<Option<AllowedUsers>> {
        const PATH: &str = "users.allow";
        let Some(document::Users { allow }) = written else { return Some(None) };
        if !(1..=MAX_ENTRIES).contains(&allow.len()) {
            return self.problem(PATH, format!("must have 1 to {MAX_ENTRIES} entries; leave `users` out to allow all"));
        }
        let compiled: Vec<Option<Entry>> = allow
            .iter()
            .enumerate()
            .map(|(index, written)| self.allowed_user(&format!("{PATH}[{index}]"), written, providers))
            .collect();
        compiled.into_iter().collect::<Option<Vec<_>>>().map(|entries| Some(AllowedUsers(entries)))
    }

    fn allowed_user(&mut self, path: &str, written: &AllowedUser, providers: &[UpstreamProvider]) -> Option<Entry> {
        let is_known = |name: &String| providers.iter().any(|provider| provider.name == *name);
        if !written.provider_name.as_ref().is_none_or(is_known) && !self.is_unsure_of("upstreamProviders") {
            self.problem::<()>(&format!("{path}.providerName"), "is no `name` of `upstreamProviders`");
        }
        let provider = written.provider_name.clone();
        let rule = match (&written.subject, &written.email_domain, &written.group) {
            (Some(subject), None, None) => Rule::Subject(self.user_name(&format!("{path}.subject"), subject)?),
            (None, Some(domain), None) => Rule::EmailDomain(self.email_domain(&format!("{path}.emailDomain"), domain)?),
            (None, None, Some(group)) => Rule::Group(self.user_name(&format!("{path}.group"), group)?),
            _ => return self.problem(path, "must have exactly one of `subject`, `emailDomain` and `group`"),
        };
        Some(Entry { provider, rule })
    }

    fn user_name(&mut self, path: &str, text: &str) -> Option<String> {
        if (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Some(text.to_owned());
        }
        self.problem(
            path,
            format!("must be 1 to {MAX_NAME_BYTES} bytes without control characters, as providers send it"),
        )
    }

    fn email_domain(&mut self, path: &str, text: &str) -> Option<String> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= MAX_NAME_BYTES && text.split('.').count() > 1 && text.split('.').all(is_label) {
            return Some(text.to_ascii_lowercase());
        }
        let what = "must be a domain as in the DNS, such as \"example.com\" or \"xn--bcher-kva.example\": no \"@\", no \
                    \"*\", no dot at an end";
        self.problem(path, what)
    }
}

const MAX_ENTRIES: usize = 1_000;
const MAX_NAME_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> DescribedUser<'static> {
        DescribedUser {
            provider: "idp",
            subject: "alice",
            email: Some("alice@example.com"),
            email_verified: true,
            groups: &[],
        }
    }

    fn allows(rule: Rule, user: DescribedUser<'_>) -> bool {
        AllowedUsers(vec![Entry { provider: None, rule }]).allows(user)
    }

    #[test]
    fn an_address_is_at_a_domain_exactly_and_only_if_it_is_verified() {
        let domain = || Rule::EmailDomain("example.com".to_owned());
        for (email, expected) in [
            ("alice@example.com", true),
            ("alice@EXAMPLE.Com", true),
            ("\"a@b\"@example.com", true),
            ("alice@mail.example.com", false),
            ("alice@notexample.com", false),
            ("alice@example.com.", false),
            ("alice@example.com.evil.example", false),
            ("alice@example.com@evil.example", false),
            ("alice@example.com <alice@evil.example", false),
            ("alice@example.com ", false),
            ("@example.com", false),
            ("example.com", false),
            ("alice@ехample.com", false),
            ("", false),
        ] {
            assert_eq!(allows(domain(), DescribedUser { email: Some(email), ..user() }), expected, "{email}");
        }
        assert!(!allows(domain(), DescribedUser { email_verified: false, ..user() }));
        assert!(!allows(domain(), DescribedUser { email: None, ..user() }));
    }

    #[test]
    fn subjects_and_groups_are_compared_byte_by_byte() {
        for (named, expected) in [("alice", true), ("Alice", false), ("alice ", false), ("ali", false), ("*", false)] {
            assert_eq!(allows(Rule::Subject(named.to_owned()), user()), expected, "{named}");
        }
        let groups = ["engineering".to_owned(), "staff".to_owned()];
        for (named, expected) in [("staff", true), ("Staff", false), ("engineering,staff", false), ("alice", false)] {
            let user = DescribedUser { groups: &groups, ..user() };
            assert_eq!(allows(Rule::Group(named.to_owned()), user), expected, "{named}");
        }
    }

    #[test]
    fn an_entry_of_a_provider_is_about_its_accounts_alone() {
        let entry =
            |provider: &str| Entry { provider: Some(provider.to_owned()), rule: Rule::Subject("alice".to_owned()) };
        assert!(AllowedUsers(vec![entry("other"), entry("idp")]).allows(user()));
        assert!(!AllowedUsers(vec![entry("other")]).allows(user()));
        let group = Entry { provider: Some("idp".to_owned()), rule: Rule::Group("staff".to_owned()) };
        let users = AllowedUsers(vec![group]);
        assert!(users.name_group("idp", "staff") && !users.name_group("other", "staff"));
        assert!(!users.name_group("idp", "alice"));
    }
}
