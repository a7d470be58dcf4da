//! The provider's tokens of one session: as they are stored, and as they are injected.

use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_storage_api::Kind;
use serde::{Deserialize, Serialize};

use crate::store::records::Record;

/// The provider's tokens of one session. What a call needs of them comes first: it reads no
/// further.
#[derive(Clone, Serialize, Deserialize)]
pub struct Upstream {
    /// What the back end is given.
    #[serde(with = "sealed_text")]
    pub access_token: Secret<String>,
    /// When these tokens were obtained, in Unix seconds.
    pub obtained_at: u64,
    /// When the access token expires, in Unix seconds, if the provider said.
    pub expires_at: Option<u64>,
    /// What the next access token is got with.
    #[serde(with = "sealed_optional_text")]
    pub refresh_token: Option<Secret<String>>,
    /// The provider's name for the user, which a refreshed ID token must repeat.
    pub subject: String,
    /// Since when the provider refuses to renew them for a reason that is not the user's grant, in
    /// Unix seconds.
    pub refused_since: Option<u64>,
}

impl Record for Upstream {
    const KIND: Kind = Kind::Upstream;
}

/// An upstream access token as it is injected.
#[derive(Clone)]
pub struct UpstreamAccess {
    /// The header's value, `Bearer <token>`.
    pub value: Rc<Secret<Vec<u8>>>,
    /// From when on it is to be refreshed ahead of its expiry, in Unix seconds.
    pub refresh_at: u64,
    /// From when on it is of no use, in Unix seconds.
    pub stale_at: u64,
}

/// What a refresh came to.
#[derive(Clone)]
pub enum RefreshOutcome {
    /// There is a fresh token.
    Ready(UpstreamAccess),
    /// The provider will not give another: the user has to log in again.
    LoginRequired,
    /// The provider or the store did not answer; it may work later.
    Unavailable,
    /// Another worker is at it.
    Elsewhere,
}

impl UpstreamAccess {
    /// The token of a record, with the times that follow from its life.
    ///
    /// It counts as expired a little early, a tenth of its life and at most 5 s, so that it does
    /// not expire on its way; it is refreshed ahead at a fifth of its life, at most 60 s.
    #[must_use]
    pub fn of(record: &Upstream) -> Self {
        let value = header_value(record.access_token.expose().as_bytes());
        Self::with(value, record.obtained_at, record.expires_at, record.refresh_token.is_some())
    }

    /// As [`UpstreamAccess::of`], from the record as it was sealed, of which only what is injected
    /// is copied; `None` when it is no such record.
    pub(crate) fn from_record(record: &[u8]) -> Option<Self> {
        let read: Injectable = postcard::from_bytes(record).ok()?;
        Some(Self::with(
            header_value(read.access_token),
            read.obtained_at,
            read.expires_at,
            read.refresh_token.is_some(),
        ))
    }

    fn with(value: Secret<Vec<u8>>, obtained_at: u64, expires_at: Option<u64>, refreshable: bool) -> Self {
        let (refresh_at, stale_at) = times(obtained_at, expires_at);
        let refresh_at = if refreshable { refresh_at } else { u64::MAX };
        Self { value: Rc::new(value), refresh_at, stale_at }
    }
}

/// When the tokens of a record are over for good, in Unix seconds; `None` where they can be renewed
/// or have no end.
#[must_use]
pub fn end_of(record: &Upstream) -> Option<u64> {
    let (_, stale_at) = times(record.obtained_at, record.expires_at);
    Some(stale_at).filter(|_| record.refresh_token.is_none() && record.expires_at.is_some())
}

/// When an access token is to be refreshed, and when it is of no use any more, in Unix seconds.
fn times(obtained_at: u64, expires_at: Option<u64>) -> (u64, u64) {
    let Some(expires_at) = expires_at else { return (u64::MAX, u64::MAX) };
    let life = expires_at.saturating_sub(obtained_at);
    (expires_at.saturating_sub((life / 5).min(60)), expires_at.saturating_sub((life / 10).min(5)))
}

/// The beginning of an [`Upstream`] record. Its texts are read as bytes, which are written alike:
/// nobody asks whether they are UTF-8.
#[derive(Deserialize)]
struct Injectable<'a> {
    access_token: &'a [u8],
    obtained_at: u64,
    expires_at: Option<u64>,
    refresh_token: Option<&'a [u8]>,
}

fn header_value(token: &[u8]) -> Secret<Vec<u8>> {
    let mut value = Vec::with_capacity(token.len().saturating_add(SCHEME.len()));
    value.extend_from_slice(SCHEME);
    value.extend_from_slice(token);
    Secret::new(value)
}

/// What stands before an access token in its header (RFC 6750 §2.1).
const SCHEME: &[u8] = b"Bearer ";

/// The one place where a secret becomes text: inside a record that is about to be sealed.
mod sealed_text {
    use portcullis_protocol::crypto::secret::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// As [`sealed_text`], for a secret that may be absent.
mod sealed_optional_text {
    use portcullis_protocol::crypto::secret::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret<String>>, serializer: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(refresh_token: Option<&str>, expires_at: Option<u64>) -> Upstream {
        Upstream {
            access_token: Secret::new("a \"token\"".to_owned()),
            refresh_token: refresh_token.map(|token| Secret::new(token.to_owned())),
            obtained_at: 1_000,
            expires_at,
            subject: "alice".to_owned(),
            refused_since: None,
        }
    }

    #[test]
    fn a_record_gives_the_same_as_it_was_sealed() {
        for (refresh_token, expires_at) in
            [(Some("r"), Some(1_300)), (None, Some(1_010)), (Some("r"), None), (None, None)]
        {
            let record = record(refresh_token, expires_at);
            let (whole, bytes) = (UpstreamAccess::of(&record), postcard::to_stdvec(&record).unwrap());
            let read = UpstreamAccess::from_record(&bytes).unwrap();
            assert_eq!(read.value.expose(), b"Bearer a \"token\"");
            assert_eq!(read.value.expose(), whole.value.expose());
            assert_eq!((read.refresh_at, read.stale_at), (whole.refresh_at, whole.stale_at));
        }
    }

    #[test]
    fn a_record_that_is_cut_off_is_none() {
        let record = record(Some("r"), Some(1_300));
        let bytes = postcard::to_stdvec(&record).unwrap();
        // The subject with its length, and the last member.
        let needed = bytes.len() - 2 - record.subject.len();
        for length in 0..=bytes.len() {
            assert_eq!(UpstreamAccess::from_record(&bytes[..length]).is_some(), length >= needed, "{length}");
        }
    }
}
