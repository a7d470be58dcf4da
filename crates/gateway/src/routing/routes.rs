//! Where a path leads in a configuration.

use portcullis_protocol::http::message::Request;
use portcullis_protocol::http::path::{AmbiguousPrefix, RoutePath};

use crate::config::{Config, Resource};
use crate::routing::endpoint_table::{Endpoint, OWN, Reader, Suffix, WELL_KNOWN};

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To an endpoint of the gateway, and there to what is said of the resource at this place in
    /// the configuration, where the path names one.
    Endpoint(Endpoint, Option<usize>),
    /// To the resource at this place in the configuration.
    Resource(usize),
    /// Nowhere, below a path of the gateway.
    Nothing,
    /// A backend could take it for a path of another resource.
    Ambiguous,
    /// Nowhere that the configuration knows.
    Other,
}

impl Route {
    /// Returns `true` if the gateway itself answers there.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Endpoint(..) | Self::Nothing)
    }

    /// Returns who reads the answers.
    pub(crate) fn reader(self) -> Reader {
        self.endpoint().map_or(Reader::Program, |endpoint| endpoint.entry().reader)
    }

    /// Returns the most bytes of a body that the handler reads.
    pub(crate) fn body_bytes(self) -> usize {
        self.endpoint().map_or(0, |endpoint| endpoint.entry().body_bytes)
    }

    fn endpoint(self) -> Option<Endpoint> {
        let Self::Endpoint(endpoint, _) = self else { return None };
        Some(endpoint)
    }
}

/// Returns where a path leads under the gateway's own host names: as [`route`], and to a default
/// endpoint.
pub(crate) fn route_or_default(config: &Config, path: &RoutePath<'_>) -> Route {
    let found = route(config, path);
    let default = default_endpoint(config, path).filter(|_| found == Route::Other);
    default.map_or(found, |endpoint| Route::Endpoint(endpoint, None))
}

/// Returns the resource that a path leads to; `None` where the gateway itself answers, or nothing
/// is configured.
pub(crate) fn protected(config: &Config, path: &RoutePath<'_>) -> Option<usize> {
    let Route::Resource(index) = route(config, path) else { return None };
    Some(index)
}

/// Returns `true` if a handler may ask for the [`Request::peer`] of a request to this target:
/// reading it takes the host longer than reading a header.
#[must_use]
pub fn asks_for_peer(target: &[u8]) -> bool {
    let segments = target.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut rests = segments.filter_map(|(at, _)| target.get(at..));
    rests.any(Endpoint::begins_one_that_asks_for_peer)
}

/// Returns `true` if a request names a host that the gateway is configured for. Every URL that the
/// gateway states comes from the configuration; answering under another name would only help
/// an attacker who made a client believe that name.
pub(crate) fn is_own_authority(config: &Config, request: &Request) -> bool {
    let Ok(text) = std::str::from_utf8(&request.authority) else { return false };
    let default_port = if config.issuer.https { ":443" } else { ":80" };
    let named = text.strip_suffix(default_port).unwrap_or(text);
    let of_resources = config.resources.iter().filter_map(|resource| resource.authority());
    std::iter::once(config.issuer.authority.as_str()).chain(of_resources).any(|own| own.eq_ignore_ascii_case(named))
}

/// Returns where a path leads under every host name.
#[must_use]
pub fn route(config: &Config, path: &RoutePath<'_>) -> Route {
    let sent = path.path();
    if let Some(name) = below(WELL_KNOWN, sent) {
        return well_known(config, path, name);
    }
    match sent.strip_prefix(config.issuer.path.as_bytes()).filter(|_| config.is_server) {
        Some(own) if own.starts_with(OWN.as_bytes()) || own.starts_with(WELL_KNOWN.as_bytes()) => {
            match Endpoint::at_path(own) {
                Some(endpoint) => Route::Endpoint(endpoint, None),
                None if own == OWN.as_bytes() || below(OWN, own).is_some() => Route::Nothing,
                None => elsewhere(config, path),
            }
        }
        Some(_) | None => elsewhere(config, path),
    }
}

/// Returns the endpoint at the root of a host that a path leads to. Such an endpoint is what the
/// one below `/oauth` is, under the gateway's own host names only, and gives way to whatever else
/// the configuration knows at its path.
pub(crate) fn default_endpoint(config: &Config, path: &RoutePath<'_>) -> Option<Endpoint> {
    if config.default_endpoints { Endpoint::at_default_path(path.path()) } else { None }
}

/// Returns where `/.well-known/<name>` leads.
fn well_known(config: &Config, path: &RoutePath<'_>, name: &[u8]) -> Route {
    let (document, suffix) = name.split_at(name.iter().position(|byte| *byte == b'/').unwrap_or(name.len()));
    // A resource that is the whole host has the other well-known documents, too.
    let found = Endpoint::well_known(document);
    let is_served = |endpoint: &Endpoint| config.is_server || *endpoint == Endpoint::ProtectedResourceMetadata;
    let Some(endpoint) = found.filter(is_served) else { return elsewhere(config, path) };
    let suffix = without_slash(suffix);
    let is_resource = || config.resources.iter().any(|resource| resource.prefix.as_bytes() == suffix);
    let is_there = match endpoint.entry().suffix {
        Suffix::None => suffix.is_empty(),
        Suffix::IssuerOrResource => suffix.is_empty() || suffix == config.issuer.path.as_bytes() || is_resource(),
        Suffix::Resource => {
            let index = described_resource(config, path, suffix);
            return index.map_or(Route::Nothing, |index| Route::Endpoint(endpoint, Some(index)));
        }
    };
    if is_there { Route::Endpoint(endpoint, None) } else { Route::Nothing }
}

/// Returns the resource that the path of a document names after the document; the first one where
/// it names none.
fn described_resource(config: &Config, path: &RoutePath<'_>, suffix: &[u8]) -> Option<usize> {
    let asked = without_slash(path.path());
    let is_asked = |resource: &Resource| resource.metadata_path.as_bytes() == asked;
    if suffix.is_empty() { Some(0) } else { config.resources.iter().position(is_asked) }
}

/// Returns where a path leads that is not the gateway's own: to the resource with the longest
/// prefix that it lies under.
fn elsewhere(config: &Config, path: &RoutePath<'_>) -> Route {
    match path.longest_prefix(config.resources.iter().map(|resource| resource.prefix.as_str())) {
        Ok(Some(index)) => Route::Resource(index),
        Ok(None) => Route::Other,
        Err(AmbiguousPrefix) => Route::Ambiguous,
    }
}

/// Returns what follows the slash after a folder.
fn below<'a>(folder: &str, path: &'a [u8]) -> Option<&'a [u8]> {
    path.strip_prefix(folder.as_bytes())?.strip_prefix(b"/")
}

/// A path ends in one slash at most.
fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod routes_tests;
