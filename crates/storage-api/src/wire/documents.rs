//! The verb that fetches a client-id metadata document
//! (draft-ietf-oauth-client-id-metadata-document) from a URL of a stranger.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};

use crate::bounds::refuse_unless;
use crate::text::{Malformed, Text, as_text};

/// The request of `fetch_document`. It changes nothing, and the bridge does not retry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FetchDocument {
    /// The URL as received: at most [`MAX_URL_BYTES`]. The bridge decides whether it is allowed.
    #[serde(deserialize_with = "url")]
    pub url: String,
}

/// The answer to `fetch_document`. A failed fetch is an answer, too; a refusal means that none was
/// tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FetchDocumentAnswer {
    /// A response with status 200 and a JSON content type.
    Document(Document),
    /// The cause of a failure.
    Failure(FetchFailure),
}

/// A fetched document. Its body is not parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// The media type in lower case without parameters: at most [`MAX_CONTENT_TYPE_BYTES`].
    #[serde(deserialize_with = "content_type")]
    pub content_type: String,
    /// The body.
    pub body: DocumentBody,
    /// The freshness lifetime in seconds by `cache-control` (RFC 9111 §5.2.2): 0 for `no-store`,
    /// `no-cache` and `private`; `null` without a directive. The value of the server, unbounded.
    #[serde(deserialize_with = "Option::deserialize")]
    pub max_age_seconds: Option<u64>,
}

/// The bytes of a document, at most [`MAX_DOCUMENT_BYTES`]; base64url without padding on the wire
/// (RFC 4648 section 5).
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentBody(Vec<u8>);

impl DocumentBody {
    /// Checks the size.
    ///
    /// # Errors
    /// [`Malformed`] for more than [`MAX_DOCUMENT_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Malformed> {
        if bytes.len() > MAX_DOCUMENT_BYTES { Err(Malformed) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DocumentBody {
    /// Only the length: the text is a stranger's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentBody({} bytes)", self.0.len())
    }
}

impl Text for DocumentBody {
    const FORM: &'static str = "at most 10 KiB in base64url without padding";

    fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        // As for a value: what cannot fit is not decoded.
        if text.len() > MAX_DOCUMENT_BYTES.div_ceil(3).saturating_mul(4) {
            return None;
        }
        Self::new(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

as_text!(DocumentBody);

/// Why a document was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FetchFailure {
    /// The URL is not https.
    NotHttps,
    /// The URL is malformed or not allowed: user information, a fragment, or an IP address as host.
    BadUrl,
    /// The port is not allowed by the configuration.
    PortRefused,
    /// The host is not allowed by the configuration.
    DomainRefused,
    /// An address of the host is not public.
    AddressRefused,
    /// The host did not resolve.
    Resolve,
    /// No connection, or no HTTP response.
    Connect,
    /// The certificate is not valid for the host, or TLS failed otherwise.
    Tls,
    /// The fetch timed out.
    TimedOut,
    /// The response is a redirect, which is not followed.
    Redirect,
    /// The status is not 200.
    Status,
    /// The content type is not JSON, or the body is compressed.
    ContentType,
    /// The body exceeds [`MAX_DOCUMENT_BYTES`].
    TooLarge,
    /// The rate limit of the host, or of all hosts, is exceeded.
    Budget,
}

impl FetchFailure {
    /// Returns the label in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotHttps => "not_https",
            Self::BadUrl => "bad_url",
            Self::PortRefused => "port_refused",
            Self::DomainRefused => "domain_refused",
            Self::AddressRefused => "address_refused",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::TimedOut => "timed_out",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::ContentType => "content_type",
            Self::TooLarge => "too_large",
            Self::Budget => "budget",
        }
    }

    /// Returns `true` if a later try may succeed without a change of the URL or its server.
    #[must_use]
    pub fn is_passing(self) -> bool {
        match self {
            Self::Resolve | Self::Connect | Self::TimedOut | Self::Status | Self::Budget => true,
            Self::NotHttps
            | Self::BadUrl
            | Self::PortRefused
            | Self::DomainRefused
            | Self::AddressRefused
            | Self::Tls
            | Self::Redirect
            | Self::ContentType
            | Self::TooLarge => false,
        }
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let fits = |url: &String| (1..=MAX_URL_BYTES).contains(&url.len());
    refuse_unless(String::deserialize(deserializer)?, fits, "1 to 2048 bytes")
}

fn content_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let fits = |text: &String| text.len() <= MAX_CONTENT_TYPE_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    refuse_unless(String::deserialize(deserializer)?, fits, "a media type of at most 128 bytes")
}

/// The maximum of bytes in a URL.
pub const MAX_URL_BYTES: usize = 2 * 1024;

/// The maximum of bytes in a document.
pub const MAX_DOCUMENT_BYTES: usize = 10 * 1024;

/// The maximum of bytes in a media type.
pub const MAX_CONTENT_TYPE_BYTES: usize = 128;
