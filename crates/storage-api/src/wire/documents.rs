//! The documents that the bridge fetches for the filter from addresses that strangers name:
//! client-id metadata documents (draft-ietf-oauth-client-id-metadata-document).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};

use crate::bounds::refuse_unless;
use crate::text::{Malformed, Text, as_text};

/// `fetch_document`. Changes nothing, keeps nothing, and is not retried by the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FetchDocument {
    /// From where, as the stranger wrote it: at most [`URL_BYTES`]. Whether it is an address that
    /// may be fetched from is the bridge's to say.
    #[serde(deserialize_with = "url")]
    pub url: String,
}

/// To `fetch_document`: a fetch that failed is an answer too. A refusal means that none was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FetchDocumentAnswer {
    /// It was answered with status 200 and a JSON content type.
    Document(Document),
    /// Why there is none.
    Failure(FetchFailure),
}

/// A document as fetched; whether it is JSON was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// The media type as sent, in lower case and without its parameters: at most
    /// [`CONTENT_TYPE_BYTES`].
    #[serde(deserialize_with = "content_type")]
    pub content_type: String,
    /// The body.
    pub body: DocumentBody,
    /// How long it may be kept, in seconds, by `cache-control` (RFC 9111 section 5.2.2): 0 for
    /// `no-store`, `no-cache` and `private`; `null` when nothing is said. It is what the server
    /// says, in no bounds.
    #[serde(deserialize_with = "Option::deserialize")]
    pub max_age_seconds: Option<u64>,
}

/// The bytes of a document, at most [`DOCUMENT_BYTES`]; base64url without padding on the wire (RFC
/// 4648 section 5).
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentBody(Vec<u8>);

impl DocumentBody {
    /// Takes the bytes.
    ///
    /// # Errors
    /// [`Malformed`] when there are more than [`DOCUMENT_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Malformed> {
        if bytes.len() > DOCUMENT_BYTES { Err(Malformed) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DocumentBody {
    /// Only the length: it is a stranger's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentBody({} bytes)", self.0.len())
    }
}

impl Text for DocumentBody {
    const FORM: &'static str = "at most 8 KiB in base64url without padding";

    fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        // As for a value: what cannot fit is not decoded.
        if text.len() > DOCUMENT_BYTES.div_ceil(3).saturating_mul(4) {
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
    /// The address is no https URL.
    NotHttps,
    /// The address has no form that may be fetched from: user information, a fragment, an IP
    /// address for a host, or something that is no URL.
    BadUrl,
    /// The operator allows no such port.
    PortRefused,
    /// The operator allows no such host.
    DomainRefused,
    /// The host stands for an address inside a network, or for none that may be spoken to.
    AddressRefused,
    /// The host's address could not be found out.
    Resolve,
    /// No server answers at that address, or not in HTTP.
    Connect,
    /// The server's certificate is not good for the host, or TLS failed otherwise.
    Tls,
    /// It took too long.
    TimedOut,
    /// The answer is a redirect. None is followed.
    Redirect,
    /// The answer has another status than 200.
    Status,
    /// The answer is not JSON by its content type, or is compressed.
    ContentType,
    /// The answer is longer than the bridge takes.
    TooLarge,
    /// Too many documents were asked for lately, of this host or altogether.
    Budget,
}

impl FetchFailure {
    /// Whether a later try may do better. If `false`, the party that named the address has to
    /// change something.
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
    let fits = |url: &String| (1..=URL_BYTES).contains(&url.len());
    refuse_unless(String::deserialize(deserializer)?, fits, "1 to 2048 bytes")
}

fn content_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let fits = |text: &String| text.len() <= CONTENT_TYPE_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    refuse_unless(String::deserialize(deserializer)?, fits, "a media type of at most 128 bytes")
}

/// The most bytes a document's address may have.
pub const URL_BYTES: usize = 2 * 1024;

/// The most bytes a document may have.
pub const DOCUMENT_BYTES: usize = 8 * 1024;

/// The most bytes a document's media type may have.
pub const CONTENT_TYPE_BYTES: usize = 128;
