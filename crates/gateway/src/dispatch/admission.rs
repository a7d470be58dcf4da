//! How much a request may make a worker hold, and how one is refused that would hold more.
//!
//! A stranger needs no credentials to make a request wait: the head of `POST /oauth/token` is
//! enough, and HPACK lets one byte stand for a header of 4 KB. So what a request holds is bounded
//! before anything of it is kept.

use std::rc::Rc;

use portcullis_protocol::http::message::Response;
use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::mcp::url_elicitation;
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};

use crate::audit::{Audit, Reason};
use crate::config::{Config, LoginMode, ResourceKind};
use crate::decision::Resolved;
use crate::endpoints::pages::ErrorPage;
use crate::responses::{RETRY_AFTER, oauth_error, try_later};
use crate::routing::endpoint_table::Reader;
use crate::routing::routes::{Route, route_or_default};
use crate::runtime::BODY_HELD_BYTES;
use crate::state::gateway::Gateway;

/// The most bytes that the headers of a request to an endpoint of the gateway may have, names and
/// values together. Envoy's own default limit is 60 KiB.
pub const MAX_OWN_HEADER_BYTES: usize = 16 * 1024;

/// The bounds of a request to one path.
pub struct Admission {
    /// The most bytes of all names and values of its headers; `usize::MAX` where Envoy's own bound
    /// is enough.
    pub header_bytes: usize,
    /// The most bytes of its body that are kept; 0 where no handler reads one.
    pub body_bytes: usize,
    /// Whose page a person is shown; `None` where a program reads the refusal.
    page_of: Option<Rc<Gateway>>,
}

/// Why a request is refused that may be right in every other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// It has more than [`Admission::header_bytes`] of headers.
    Headers,
    /// The worker holds as much for paused requests as it may.
    Full,
    /// It waited for its body while the worker needed the memory for others.
    Evicted,
    /// Its body did not come in time.
    SlowBody,
}

impl Admission {
    /// The bounds of a request to this target (its `:path`).
    #[must_use]
    pub fn of(gateway: &Rc<Gateway>, target: &[u8]) -> Self {
        // A target that cannot be read is refused with its headers. Under a foreign host name a
        // default endpoint is not ours; such a request is bounded all the same.
        let route = RoutePath::parse(target).map(|path| route_or_default(gateway.config(), &path));
        let (is_ours, reader, body_bytes) = match route {
            Ok(Route::Resource(index)) => (false, Reader::Program, call_bytes(gateway.config(), index)),
            Ok(route) => (route.is_ours(), route.reader(), route.body_bytes()),
            Err(_) => (true, Reader::Program, 0),
        };
        Self {
            header_bytes: if is_ours { MAX_OWN_HEADER_BYTES } else { usize::MAX },
            body_bytes,
            page_of: (reader == Reader::Person).then(|| Rc::clone(gateway)),
        }
    }

    /// The bounds as long as no gateway is in service that knows its paths: any of them may be a
    /// resource's.
    #[must_use]
    pub fn without_gateway() -> Self {
        Self { header_bytes: usize::MAX, body_bytes: BODY_HELD_BYTES, page_of: None }
    }

    /// The refusal, in the form that the path's other answers have.
    #[must_use]
    pub fn refuse(&self, excess: Excess) -> Resolved {
        let reason = match excess {
            Excess::Headers => Reason::HeadersTooLarge,
            Excess::Full => Reason::TooManyWaiting,
            Excess::Evicted => Reason::BodyWaitEvicted,
            Excess::SlowBody => Reason::BodyTooSlow,
        };
        let response = match &self.page_of {
            None => excess.json(),
            Some(gateway) => excess.page(&gateway.config().consent.title),
        };
        Resolved::Respond(response, Audit::new(reason))
    }
}

/// The most bytes of the body of a call to a resource that are kept: a call that needs a connection
/// of the user which is not there is answered in its own protocol.
fn call_bytes(config: &Config, resource: usize) -> usize {
    let resource = config.resources.get(resource).filter(|resource| resource.kind == ResourceKind::Mcp);
    let provider = resource.and_then(|resource| config.providers.get(resource.injection.provider()?));
    match provider.map(|provider| provider.login) {
        Some(LoginMode::OnDemand | LoginMode::Choice) => url_elicitation::MAX_BODY_BYTES,
        Some(LoginMode::Required) | None => 0,
    }
}

impl Excess {
    fn json(self) -> Response {
        let refused = |status, description| {
            oauth_error(&OAuthError::new(ErrorCode::InvalidRequest, description).with_status(status))
        };
        match self {
            Self::Headers => refused(431, "the headers are larger than 16 KiB"),
            Self::SlowBody => refused(408, "the body did not come in time"),
            Self::Full | Self::Evicted => try_later("too many requests wait here at the moment; try again"),
        }
    }

    fn page(self, title: &str) -> Response {
        let page = |status, heading, message, hint| ErrorPage { title, heading, message, hint }.response(status);
        match self {
            Self::Headers => page(
                431,
                "This request is too large",
                "The browser sent more than 16 KiB of headers, most of them cookies.",
                "Remove the cookies of this site, then start again from your application.",
            ),
            Self::SlowBody => page(
                408,
                "This answer did not arrive",
                "It took too long on its way.",
                "Go back to the application and connect again.",
            ),
            Self::Full | Self::Evicted => page(
                503,
                "Not available at the moment",
                "Too many requests wait here at the moment.",
                "Wait a moment, then start again from your application.",
            )
            .header("retry-after", RETRY_AFTER),
        }
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod admission_tests;
