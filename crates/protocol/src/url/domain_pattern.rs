//! Patterns of host names, as a configuration lists the hosts that it trusts.

/// A pattern of host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// `*`: every name of the public DNS. A name that only a private network gives a meaning is
    /// none: one without a dot, and one below a special-use domain (RFC 6761, RFC 6762, RFC 7686,
    /// RFC 8375, RFC 9476) or below those that networks use as if they were.
    Public,
    /// `name`: this name.
    One(String),
    /// `*.name`: every name below a domain; the text begins with the dot.
    Below(String),
}

impl DomainPattern {
    /// Parses `*`, `name` or `*.name`, in lower case and in ASCII form. Returns `None` for any
    /// other text, also for an IP address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('*') {
            Some("") => Some(Self::Public),
            Some(end) => end.strip_prefix('.').filter(|name| is_name(name)).map(|_| Self::Below(end.to_owned())),
            None => is_name(text).then(|| Self::One(text.to_owned())),
        }
    }

    /// Returns `true` if the pattern matches a host, in lower case and without a final dot.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Public => is_public_name(host),
            Self::One(name) => host == name,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end),
        }
    }
}

fn is_name(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letters);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_public_name(host: &str) -> bool {
    host.rsplit_once('.').is_some_and(|(_, last)| !PRIVATE_DOMAINS.contains(&last))
}

/// The top-level domains that no public DNS has, and what networks, clouds and clusters resolve.
const PRIVATE_DOMAINS: [&str; 16] = [
    "alt",
    "arpa",
    "cluster",
    "consul",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "svc",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_hosts_that_it_names() {
        let is = |pattern: &str, host: &str| DomainPattern::parse(pattern).unwrap().matches(host);
        assert!(is("*", "a.example") && is("a.example", "a.example") && is("*.example", "a.example"));
        assert!(is("*.example", "b.a.example") && is("localhost", "localhost") && is("*.internal", "a.internal"));
        assert!(!is("*.example", "badexample") && !is("*.example", ".example") && !is("*.example", "example"));
        assert!(
            !is("a.example", "b.a.example") && !is("a.example", "a.example.evil") && !is("*.a.example", "a.example")
        );
    }

    #[test]
    fn a_name_of_a_private_network_is_matched_only_where_it_is_named() {
        for host in [
            "localhost",
            "router",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "instance-data.ec2.internal",
            "kubernetes.default.svc",
            "redis.default.svc.cluster.local",
            "vault.service.consul",
            "a.localdomain",
            "router.lan",
            "intranet.corp",
            "a.home",
            "a.home.arpa",
            "1.0.0.127.in-addr.arpa",
            "abc.onion",
        ] {
            assert!(!DomainPattern::Public.matches(host), "{host}");
        }
    }

    #[test]
    fn what_is_no_name_is_no_pattern() {
        for text in
            ["", ".", "*.", "**", "*a", "a.*", "a..b", "A.example", "a.example.", "10.0.0.1", "a.1", "a b", "a/b"]
        {
            assert_eq!(DomainPattern::parse(text), None, "{text}");
        }
    }
}
