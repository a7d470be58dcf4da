//! The checks of a URL before any connection.

use portcullis_storage_api::wire::FetchFailure;
use url::{Host, Url};

use crate::config::Fetch;

/// A URL of the allowed form, with an allowed host and port. Only [`Target::new`] creates one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    host: String,
    port: u16,
    /// The value of the `host` header: the host, and the port unless it is 443.
    authority: String,
    /// Path and query.
    path: String,
}

impl Target {
    /// Parses the URL of a stranger.
    ///
    /// It must equal its own serialization (WHATWG URL), so that backslashes, dot segments, numeric
    /// IP addresses and confusable letters have no second reading, and comparing it as text is
    /// safe.
    pub(super) fn new(text: &str, rules: &Fetch) -> Result<Self, FetchFailure> {
        let url = Url::parse(text).map_err(|_| FetchFailure::BadUrl)?;
        if url.scheme() != "https" {
            return Err(FetchFailure::NotHttps);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.fragment().is_some() || url.as_str() != text {
            return Err(FetchFailure::BadUrl);
        }
        let Some(Host::Domain(host)) = url.host() else { return Err(FetchFailure::BadUrl) };
        // A final dot names the same host and would bypass every list of names.
        if host.len() > 253 || host.ends_with('.') {
            return Err(FetchFailure::BadUrl);
        }
        let port = url.port_or_known_default().ok_or(FetchFailure::BadUrl)?;
        if !rules.ports.contains(&port) {
            return Err(FetchFailure::PortRefused);
        }
        if !rules.domains.iter().any(|domains| domains.contains(host)) {
            return Err(FetchFailure::DomainRefused);
        }
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self { host: host.to_owned(), port, authority, path: format!("{}{query}", url.path()) })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::tests::rules;

    #[test]
    fn a_url_is_split_into_its_parts() {
        let target = Target::new("https://client.example/a/b.json?c=d", &rules()).unwrap();
        assert_eq!((target.host(), target.port()), ("client.example", 443));
        assert_eq!((target.authority(), target.path()), ("client.example", "/a/b.json?c=d"));
        let target = Target::new("https://client.example:8443/", &rules()).unwrap();
        assert_eq!((target.authority(), target.path()), ("client.example:8443", "/"));
    }

    #[test]
    fn only_https_is_allowed() {
        for text in ["http://client.example/", "ftp://client.example/", "file:///etc/passwd", "gopher://a/", "data:,x"]
        {
            assert_eq!(Target::new(text, &rules()), Err(FetchFailure::NotHttps), "{text}");
        }
    }

    #[test]
    fn a_url_has_one_spelling_and_names_a_host() {
        for text in [
            "",
            "client.example/a",
            "//client.example/a",
            "https://",
            "https:///a",
            "https:client.example/a",
            "https://client.example",
            "HTTPS://client.example/a",
            "https://Client.example/a",
            "https://user@client.example/a",
            "https://user:password@client.example/a",
            "https://@client.example/a",
            "https://:@client.example/a",
            "https://a.example\\@client.example/a",
            "https://client.example\\a",
            "https://client.example/a#",
            "https://client.example/a#b",
            "https://client.example./a",
            "https://client.example:443/a",
            "https://client.example:/a",
            "https://client.example:0443/a",
            "https://client.example:99999/a",
            "https://client.example/a/../b",
            "https://client.example/./a",
            "https://client.example/%2e%2e/b",
            "https://client.example/a b",
            "https://client.example/a\r\nx: y",
            "https://client.exa\tmple/a",
            " https://client.example/a",
            "https://client.example/a\n",
            "https://client.example/a\0",
            "https://cl\u{ef}ent.example/a",
            "https://client\u{3002}example/a",
            "https://client%2eexample/a",
            "https://client.example/\u{e4}",
            "https://127.0.0.1/a",
            "https://127.1/a",
            "https://2130706433/a",
            "https://0x7f000001/a",
            "https://0177.0.0.1/a",
            "https://8.8.8.8/a",
            "https://[::1]/a",
            "https://[::ffff:127.0.0.1]/a",
            "https://[fe80::1%25eth0]/a",
        ] {
            assert_eq!(Target::new(text, &rules()), Err(FetchFailure::BadUrl), "{text:?}");
        }
    }

    #[test]
    fn only_configured_ports_and_hosts_are_allowed() {
        let mut rules = rules();
        rules.domains = vec![crate::config::Domains::Below(".example".to_owned())];
        assert!(Target::new("https://client.example/", &rules).is_ok());
        for text in ["https://client.example:22/", "https://client.example:6379/", "https://client.example:80/"] {
            assert_eq!(Target::new(text, &rules), Err(FetchFailure::PortRefused), "{text}");
        }
        for text in ["https://example/", "https://client.elsewhere/", "https://badexample/", "https://localhost/"] {
            assert_eq!(Target::new(text, &rules), Err(FetchFailure::DomainRefused), "{text}");
        }
    }
}
