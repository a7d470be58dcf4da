//! The browser's cookies (RFC 6265bis). As in a real browser the port does not tell hosts apart,
//! and loopback counts as secure.

use url::Url;

/// One cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that set it.
    pub host: String,
    /// The path below which it is sent.
    pub path: String,
    /// Its attributes as they came, in lower case.
    pub attributes: Vec<String>,
}

/// All cookies.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    /// In the order set.
    pub cookies: Vec<Cookie>,
}

impl Jar {
    /// Takes a `Set-Cookie` field that came from this address; an expired one removes its cookie.
    pub fn set(&mut self, field: &str, from: &Url) {
        let mut parts = field.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let parts: Vec<&str> = parts.collect();
        let attribute = |wanted: &str| {
            let mut pairs = parts.iter().filter_map(|part| part.split_once('='));
            pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        let attributes = parts.iter().map(|part| part.to_ascii_lowercase()).collect();
        let path = match attribute("path") {
            Some(path) if path.starts_with('/') => path.to_owned(),
            _ => default_path(from.path()),
        };
        let host = from.host_str().unwrap_or_default().to_owned();
        let is_over = attribute("max-age").is_some_and(|age| age.parse::<i64>().is_ok_and(|age| age <= 0))
            || attribute("expires").is_some_and(|when| when.contains("1970"));
        self.cookies.retain(|held| (held.name.as_str(), &held.host, &held.path) != (name, &host, &path));
        if !is_over {
            self.cookies.push(Cookie { name: name.to_owned(), value: value.to_owned(), host, path, attributes });
        }
    }

    /// The `Cookie` field for a request to this address.
    #[must_use]
    pub fn header(&self, url: &Url) -> Option<String> {
        let fits =
            |cookie: &&Cookie| Some(cookie.host.as_str()) == url.host_str() && is_below(url.path(), &cookie.path);
        let pairs: Vec<String> =
            self.cookies.iter().filter(fits).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The cookie of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Cookie> {
        self.cookies.iter().find(|cookie| cookie.name == name)
    }
}

fn default_path(of: &str) -> String {
    match of.rfind('/') {
        Some(end) if end > 0 => of[..end].to_owned(),
        _ => "/".to_owned(),
    }
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || parent.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_cookie_is_sent_below_its_path_only() {
        let mut jar = Jar::default();
        jar.set("a=1; Path=/oauth; HttpOnly", &url("http://127.0.0.1:1/oauth/authorize"));
        jar.set("b=2; PATH=/Ab", &url("http://127.0.0.1:1/"));
        assert_eq!(jar.header(&url("http://127.0.0.1:1/Ab/c")).as_deref(), Some("b=2"));
        assert_eq!(jar.header(&url("http://127.0.0.1:1/ab/c")), None);
        assert_eq!(jar.header(&url("http://127.0.0.1:2/oauth/consent")).as_deref(), Some("a=1"));
        assert_eq!(jar.header(&url("http://127.0.0.1:1/oauthx")), None);
        assert_eq!(jar.header(&url("http://localhost:1/oauth")), None);
    }

    #[test]
    fn an_expired_cookie_is_removed() {
        let mut jar = Jar::default();
        jar.set("a=1; Path=/", &url("http://127.0.0.1/"));
        jar.set("a=; Path=/; Max-Age=0", &url("http://127.0.0.1/"));
        assert_eq!(jar.header(&url("http://127.0.0.1/")), None);
    }
}
