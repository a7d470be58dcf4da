//! An endpoint of the provider that the gateway calls, and the JSON that it answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use portcullis_protocol::json::JsonError;
use portcullis_protocol::json::foreign::{ForeignObject, ForeignValue};
use portcullis_protocol::url::web_url::WebUrl;

use crate::config::{JsonPath, UpstreamClient};
use crate::ports::{CallReply, CallRequest, Ports};
use crate::upstream::outage::outage;
use crate::upstream::provider_error::{Outage, ProviderError};

/// How long one call to the provider may take, in milliseconds.
pub(super) const CALL_TIMEOUT_MS: u64 = 5_000;

/// The longest answer of a provider that is read, in bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The longest userinfo answer that is read, in bytes: some list all groups of a user.
const MAX_USER_INFO_BYTES: usize = 1024 * 1024;

/// An endpoint that the gateway calls.
pub(super) struct Target {
    pub(super) cluster: String,
    pub(super) authority: String,
    pub(super) path: String,
}

impl Target {
    /// The endpoint at a URL, if its authority has a cluster: a document must not be able to send
    /// us elsewhere.
    pub(super) fn at(client: &UpstreamClient, url: &WebUrl) -> Option<Self> {
        if !url.is_https() && !client.plain_http {
            return None;
        }
        Self::through(&client.clusters, url)
    }

    /// The endpoint at a URL, by the clusters that lead to authorities.
    pub(super) fn through(clusters: &BTreeMap<String, String>, url: &WebUrl) -> Option<Self> {
        let authority = url.authority();
        let cluster = clusters.get(&authority)?.clone();
        Some(Self { cluster, authority, path: url.request_target() })
    }

    /// Reads a JSON document, which is this one.
    pub(super) async fn read<P: Ports>(&self, document: Document, ports: &P) -> Result<CallReply, ProviderError> {
        let accept = ("accept".into(), "application/json, application/jwk-set+json;q=0.9".to_owned());
        let reply = self.call("GET", vec![accept], Vec::new(), ports).await?;
        match reply.status {
            200 if is_json(&reply) => Ok(reply),
            200 => Err(document.not_json()),
            _ => Err(outage(&reply).into()),
        }
    }

    /// Sends a request with these headers, and returns the answer, whatever its status.
    pub(super) async fn call<P: Ports>(
        &self,
        method: &'static str,
        mut headers: Vec<(Cow<'static, str>, String)>,
        body: Vec<u8>,
        ports: &P,
    ) -> Result<CallReply, Outage> {
        // Nothing here decompresses. Some providers, GitHub's API for one, answer no request
        // without a user agent.
        headers.extend(
            [("accept-encoding", "identity"), ("user-agent", "portcullis")]
                .map(|(name, value)| (name.into(), value.to_owned())),
        );
        let call = CallRequest {
            cluster: self.cluster.clone(),
            method,
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers,
            body,
            timeout_ms: CALL_TIMEOUT_MS,
        };
        Ok(ports.fetch(call).await?)
    }

    /// Returns the URL for the log, without its query.
    pub(super) fn url(&self, client: &UpstreamClient) -> String {
        self.url_over(client.plain_http)
    }

    /// As [`Target::url`], of an endpoint that is plain http or not.
    pub(super) fn url_over(&self, plain_http: bool) -> String {
        let scheme = if plain_http { "http" } else { "https" };
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
    /// Whose an access token is.
    UserInfo,
}

/// Why such an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It has no body.
    Empty,
    /// It is compressed, though it was asked for as it is.
    Compressed,
    /// It is longer than [`Document::max_bytes`].
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
        ForeignObject::parse(&reply.body, names, self.max_bytes()).map_err(|error| self.unreadable(reply, error))
    }

    /// Returns the member at a path; `None` if it is absent or `null`.
    ///
    /// # Errors
    /// As [`Document::members`].
    pub(super) fn member<'a>(
        self,
        reply: &'a CallReply,
        path: &'a JsonPath,
    ) -> Result<Option<ForeignValue<'a>>, ProviderError> {
        let Some((outermost, inner)) = path.names().split_first() else { return Ok(None) };
        let Some(value) = self.members(reply, &[outermost])?.get(outermost) else { return Ok(None) };
        value.inner(inner).map_err(|_| self.fault(Fault::Repeated))
    }

    /// The longest one that is read, in bytes.
    pub(super) const fn max_bytes(self) -> usize {
        match self {
            Self::Discovery | Self::KeySet | Self::TokenAnswer => MAX_ANSWER_BYTES,
            Self::UserInfo => MAX_USER_INFO_BYTES,
        }
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

    /// Returns the error of an answer that does not call itself JSON.
    pub(super) fn not_json(self) -> ProviderError {
        ProviderError::NotJson(match self {
            Self::Discovery => "the discovery document is not JSON by its content type",
            Self::KeySet => "the key set is not JSON by its content type",
            Self::TokenAnswer => "the token endpoint's answer is not JSON by its content type",
            Self::UserInfo => "the userinfo answer is not JSON by its content type",
        })
    }

    fn fault(self, fault: Fault) -> ProviderError {
        /// The words for each fault of one kind of answer.
        macro_rules! words {
            ($answer:literal, $limit:literal) => {
                match fault {
                    Fault::Empty => concat!($answer, " is empty"),
                    Fault::Compressed => concat!($answer, " is compressed, though `identity` was asked for"),
                    Fault::TooLarge => concat!($answer, " is longer than ", $limit),
                    Fault::NotAnObject => concat!($answer, " is not one JSON object"),
                    Fault::Repeated => concat!($answer, " repeats a member that is needed"),
                }
            };
        }
        match self {
            Self::Discovery => ProviderError::InvalidDocuments(words!("the discovery document", "256 KiB")),
            Self::KeySet => ProviderError::InvalidDocuments(words!("the key set", "256 KiB")),
            Self::TokenAnswer => ProviderError::InvalidAnswer(words!("the token endpoint's answer", "256 KiB")),
            Self::UserInfo => ProviderError::InvalidUserInfo(words!("the userinfo answer", "1 MiB")),
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
