//! An endpoint of the provider that the gateway calls, and the JSON that it answers.

use portcullis_protocol::json::JsonError;
use portcullis_protocol::json::foreign::ForeignObject;
use portcullis_protocol::url::web_url::WebUrl;

use crate::config::IssuerSite;
use crate::ports::{CallReply, CallRequest, Ports};
use crate::upstream::outage::outage;
use crate::upstream::provider_error::{Outage, ProviderError};

/// How long one call to the provider may take, in milliseconds.
pub(super) const CALL_TIMEOUT_MS: u64 = 5_000;

/// The longest answer of a provider that is read, in bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Asks for an answer as it is: nothing here decompresses.
pub(super) const UNCOMPRESSED: (&str, &str) = ("accept-encoding", "identity");

/// An endpoint that the gateway calls.
pub(super) struct Target {
    pub(super) cluster: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) plain_http: bool,
}

impl Target {
    /// The endpoint at a URL, if its authority has a cluster: a document must not be able to send
    /// us elsewhere.
    pub(super) fn at(site: &IssuerSite, url: &WebUrl) -> Option<Self> {
        let authority = url.authority();
        let cluster = site.clusters.get(&authority)?.clone();
        Some(Self { cluster, authority, path: url.request_target(), plain_http: !url.is_https() })
    }

    /// The discovery document of an issuer.
    pub(super) fn of_discovery(site: &IssuerSite) -> Self {
        Self {
            cluster: site.clusters.get(&site.authority).cloned().unwrap_or_default(),
            authority: site.authority.clone(),
            path: site.discovery_path.clone(),
            plain_http: site.plain_http,
        }
    }

    /// Reads a JSON document.
    pub(super) async fn read<P: Ports>(&self, ports: &P) -> Result<CallReply, ProviderError> {
        let call = CallRequest {
            cluster: self.cluster.clone(),
            method: "GET",
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: vec![
                ("accept", "application/json, application/jwk-set+json;q=0.9".to_owned()),
                (UNCOMPRESSED.0, UNCOMPRESSED.1.to_owned()),
            ],
            body: Vec::new(),
            timeout_ms: CALL_TIMEOUT_MS,
        };
        let reply = ports.fetch(call).await.map_err(Outage::from)?;
        match reply.status {
            200 if is_json(&reply) => Ok(reply),
            200 => Err(ProviderError::NotJson),
            _ => Err(outage(&reply).into()),
        }
    }

    /// Returns the URL for the log, without its query.
    pub(super) fn url(&self) -> String {
        let scheme = if self.plain_http { "http" } else { "https" };
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{scheme}://{}{path}", self.authority)
    }
}

/// An answer of a provider that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    /// OpenID Connect Discovery §4.2.
    Discovery,
    /// RFC 7517 §5.
    KeySet,
    /// RFC 6749 §5.1.
    TokenAnswer,
}

/// Why such an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It has no body.
    Empty,
    /// It is compressed, though it was asked for as it is.
    Compressed,
    /// It is longer than [`MAX_ANSWER_BYTES`].
    TooLarge,
    /// It is not one JSON object in UTF-8.
    NotAnObject,
    /// It repeats a member that is needed.
    Repeated,
}

impl Document {
    /// Returns the members with these names.
    ///
    /// # Errors
    /// [`ProviderError::InvalidDocuments`] or [`ProviderError::InvalidAnswer`], with a [`Fault`].
    pub(super) fn members<'a>(
        self,
        reply: &'a CallReply,
        names: &[&'a str],
    ) -> Result<ForeignObject<'a>, ProviderError> {
        ForeignObject::parse(&reply.body, names, MAX_ANSWER_BYTES).map_err(|error| self.unreadable(reply, error))
    }

    /// Returns the error of an answer whose JSON is refused.
    pub(super) fn unreadable(self, reply: &CallReply, error: JsonError) -> ProviderError {
        let is_compressed = COMPRESSED.iter().any(|magic| reply.body.starts_with(magic));
        self.fault(match error {
            _ if reply.body.is_empty() => Fault::Empty,
            _ if is_compressed => Fault::Compressed,
            JsonError::TooLarge => Fault::TooLarge,
            JsonError::DuplicateMember => Fault::Repeated,
            JsonError::TooDeep | JsonError::NotUtf8 | JsonError::NotAnObject | JsonError::Syntax => Fault::NotAnObject,
        })
    }

    fn fault(self, fault: Fault) -> ProviderError {
        /// The words for each fault of one kind of answer.
        macro_rules! words {
            ($answer:literal) => {
                match fault {
                    Fault::Empty => concat!($answer, " is empty"),
                    Fault::Compressed => concat!($answer, " is compressed, though `identity` was asked for"),
                    Fault::TooLarge => concat!($answer, " is longer than 256 KiB"),
                    Fault::NotAnObject => concat!($answer, " is not one JSON object"),
                    Fault::Repeated => concat!($answer, " repeats a member that is needed"),
                }
            };
        }
        match self {
            Self::Discovery => ProviderError::InvalidDocuments(words!("the discovery document")),
            Self::KeySet => ProviderError::InvalidDocuments(words!("the key set")),
            Self::TokenAnswer => ProviderError::InvalidAnswer(words!("the token endpoint's answer")),
        }
    }
}

/// Whether an answer calls itself JSON (RFC 8259 §11, RFC 6839 §3.1). Text and pages are no
/// documents, whatever is in them.
pub(super) fn is_json(reply: &CallReply) -> bool {
    let content_type = reply.content_type.as_deref().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json")
        || essence.strip_prefix("application/").is_some_and(|subtype| subtype.ends_with("+json"))
}

/// The first bytes of gzip (RFC 1952 §2.3.1) and of Zstandard (RFC 8878 §3.1.1).
const COMPRESSED: [&[u8]; 2] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd]];
