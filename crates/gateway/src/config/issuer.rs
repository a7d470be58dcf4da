//! The gateway's own address.

use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::{Compiler, is_loopback_http};

/// The gateway's own address.
pub struct Issuer {
    /// The issuer identifier, exactly as every document and token states it.
    pub url: String,
    /// Scheme, host and port, as a browser writes them in `Origin`.
    pub origin: String,
    /// Host and port as a client writes them in `Host`, lower case.
    pub authority: String,
    /// The path below which the gateway's endpoints lie; empty at the root.
    pub path: String,
    /// Whether it is served over https, so that cookies can be `Secure`.
    pub https: bool,
}

impl Issuer {
    /// The address of a gateway that issues nothing: that of its first resource.
    pub(super) fn of_resource(resource: &str) -> Option<Self> {
        let url = WebUrl::parse(resource).ok()?;
        let (origin, https) = (url.origin(), url.is_https());
        Some(Self { url: origin.clone(), origin, authority: url.authority(), path: String::new(), https })
    }
}

impl Compiler<'_> {
    pub(super) fn issuer(&mut self, text: &str, development: bool) -> Option<Issuer> {
        let path = "issuer";
        let url = self.web_url(path, text)?;
        let https = url.is_https();
        let allowed = https || (development && is_loopback_http(&url));
        if !allowed {
            return self.problem(path, "must be https; http is only for loopback with \"development\": true");
        }
        // Clients compare issuers byte by byte (RFC 8414 §3.3), so the text itself must be the
        // canonical one.
        let canonical = url.to_string();
        let canonical = canonical.strip_suffix('/').unwrap_or(&canonical);
        if text != canonical {
            return self.problem(path, format!("must be written as {canonical}"));
        }
        if let Err(error) = RoutePath::parse(url.path().as_bytes()) {
            return self.problem(path, format!("no request could reach it: {error}"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        Some(Issuer { url: canonical.to_owned(), origin: url.origin(), authority: url.authority(), path, https })
    }
}
