//! The endpoint or resource that a path leads to.

use portcullis_protocol::http::message::Request;
use portcullis_protocol::http::path::{AmbiguousPrefix, RoutePath};
use portcullis_protocol::oauth::params::Limits;

use crate::config::Config;
use crate::endpoints::register;

/// The endpoint or resource that a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    AuthorizationServerMetadata,
    Keys,
    ProtectedResourceMetadata(usize),
    Authorize,
    Consent,
    Callback,
    Token,
    Register,
    Resource(usize),
    /// Below a path of ours, but nothing there.
    Nothing,
    /// A backend could take it for a path of another resource.
    Ambiguous,
    Other,
}

impl Route {
    /// Whether the gateway itself answers there.
    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Self::Resource(_) | Self::Ambiguous | Self::Other)
    }

    /// Whether a person reads the answers, in a browser.
    pub(crate) fn shows_pages(self) -> bool {
        matches!(self, Self::Authorize | Self::Consent | Self::Callback)
    }

    /// The most bytes of a body that the handler reads.
    pub(crate) fn body_bytes(self) -> usize {
        match self {
            Self::Consent | Self::Token => Limits::OAUTH.bytes,
            Self::Register => register::MAX_BODY_BYTES,
            Self::AuthorizationServerMetadata
            | Self::Keys
            | Self::ProtectedResourceMetadata(_)
            | Self::Authorize
            | Self::Callback
            | Self::Resource(_)
            | Self::Ambiguous
            | Self::Nothing
            | Self::Other => 0,
        }
    }
}

/// Where a path leads under our own host names: as [`route`], and to a default endpoint.
pub(crate) fn route_or_default(config: &Config, path: &RoutePath<'_>) -> Route {
    let found = route(config, path);
    default_endpoint(config, path).filter(|_| found == Route::Other).unwrap_or(found)
}

/// The resource that a path leads to; `None` where the gateway itself answers, or nothing is
/// configured.
pub(crate) fn protected(config: &Config, path: &RoutePath<'_>) -> Option<usize> {
    let Route::Resource(index) = route(config, path) else { return None };
    Some(index)
}

/// Whether a handler may ask for the [`Request::peer`] of a request to this target: reading it
/// takes the host longer than reading a header. Registrations and logins are limited by where they
/// come from.
#[must_use]
pub fn asks_for_peer(target: &[u8]) -> bool {
    let segments = target.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut rests = segments.filter_map(|(at, _)| target.get(at..));
    rests.any(|rest| rest.starts_with(REGISTER) || rest.starts_with(CALLBACK))
}

/// Whether a request names a host that the gateway is configured for. Every URL that the gateway
/// states comes from the configuration; answering under another name would only help an attacker
/// who made a client believe that name.
pub(crate) fn is_own_authority(config: &Config, request: &Request) -> bool {
    let Ok(text) = std::str::from_utf8(&request.authority) else { return false };
    let default_port = if config.issuer.https { ":443" } else { ":80" };
    let named = text.strip_suffix(default_port).unwrap_or(text);
    let of_resources = config.resources.iter().filter_map(|resource| resource.authority());
    std::iter::once(config.issuer.authority.as_str()).chain(of_resources).any(|own| own.eq_ignore_ascii_case(named))
}

pub(crate) fn route(config: &Config, path: &RoutePath<'_>) -> Route {
    let sent = path.path();
    if let Some(name) = sent.strip_prefix(b"/.well-known/") {
        return well_known(config, path, name);
    }
    match sent.strip_prefix(config.issuer.path.as_bytes()) {
        Some(b"/oauth/authorize") => Route::Authorize,
        Some(b"/oauth/consent") => Route::Consent,
        Some(CALLBACK) => Route::Callback,
        Some(b"/oauth/token") => Route::Token,
        Some(b"/oauth/register") => Route::Register,
        // OpenID Connect appends the well-known path to the issuer where RFC 8414 inserts it.
        Some(b"/.well-known/openid-configuration") => Route::AuthorizationServerMetadata,
        Some(b"/.well-known/jwks.json") => Route::Keys,
        Some(b"/oauth") => Route::Nothing,
        Some(own) if own.starts_with(b"/oauth/") => Route::Nothing,
        Some(_) | None => elsewhere(config, path),
    }
}

/// A path that is not the gateway's own: the resource with the longest prefix that it lies under
/// has it.
fn elsewhere(config: &Config, path: &RoutePath<'_>) -> Route {
    match path.longest_prefix(config.resources.iter().map(|resource| resource.prefix.as_str())) {
        Ok(Some(index)) => Route::Resource(index),
        Ok(None) => Route::Other,
        Err(AmbiguousPrefix) => Route::Ambiguous,
    }
}

/// The endpoints at the root of a host, where clients look that know no metadata: MCP 2025-03-26
/// has them as defaults at the origin of the MCP server's address, whatever the path of that or of
/// the issuer. They are what those below `/oauth` are, under our own host names only, and give way
/// to whatever else the configuration knows at such a path.
pub(crate) fn default_endpoint(config: &Config, path: &RoutePath<'_>) -> Option<Route> {
    match path.path() {
        _ if !config.default_endpoints => None,
        b"/authorize" => Some(Route::Authorize),
        b"/token" => Some(Route::Token),
        b"/register" => Some(Route::Register),
        _ => None,
    }
}

/// The well-known documents. Those of the authorization server are also found with the issuer's
/// path inserted (RFC 8414 §3.1), and with a resource's path, where clients older than RFC 9728
/// look.
fn well_known(config: &Config, path: &RoutePath<'_>, name: &[u8]) -> Route {
    let (document, suffix) = name.split_at(name.iter().position(|byte| *byte == b'/').unwrap_or(name.len()));
    let suffix = without_slash(suffix);
    let is_resource = || config.resources.iter().any(|resource| resource.prefix.as_bytes() == suffix);
    let known = suffix.is_empty() || suffix == config.issuer.path.as_bytes() || is_resource();
    match document {
        b"oauth-authorization-server" | b"openid-configuration" if known => Route::AuthorizationServerMetadata,
        b"jwks.json" if suffix.is_empty() => Route::Keys,
        b"oauth-protected-resource" if suffix.is_empty() => Route::ProtectedResourceMetadata(0),
        b"oauth-protected-resource" => {
            let asked = without_slash(path.path());
            let index = config.resources.iter().position(|resource| resource.metadata_path.as_bytes() == asked);
            index.map_or(Route::Nothing, Route::ProtectedResourceMetadata)
        }
        b"oauth-authorization-server" | b"openid-configuration" | b"jwks.json" => Route::Nothing,
        // A resource that is the whole host has the other well-known documents, too.
        _ => elsewhere(config, path),
    }
}

/// A path ends in one slash at most.
fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// What the paths of the registration endpoint end with, and hardly any other has in it.
const REGISTER: &[u8] = b"/register";

const CALLBACK: &[u8] = b"/oauth/callback";
