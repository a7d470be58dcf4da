//! The provider's tokens of one session, or of a user's connection: as they are stored, and as they
//! are injected.

use std::borrow::Cow;
use std::rc::Rc;

use minicbor::{Decode, Encode};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_storage_api::Kind;

use crate::audit::{AuditField, AuditFields};
use crate::decision::UpstreamAccess;
use crate::decision::identity::Caller;
use crate::store::encoding::{Fields, optional_secret, secret};
use crate::store::records::Record;
use crate::upstream::identity::account_label;

/// The provider's tokens of one session, or of a user's connection.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct Upstream {
    /// Sent to the backend.
    #[cbor(n(1), with = "secret")]
    pub access_token: Secret<String>,
    /// When these tokens were obtained, in Unix seconds.
    #[cbor(n(2), default)]
    pub obtained_at: u64,
    /// When the access token expires, in Unix seconds, if the provider said.
    #[n(3)]
    pub expires_at: Option<u64>,
    /// What the next access token is got with.
    #[cbor(n(4), with = "optional_secret", has_nil)]
    pub refresh_token: Option<Secret<String>>,
    /// The provider's name for the user, which a refreshed ID token must repeat.
    #[n(5)]
    pub subject: String,
    /// Since when the provider refuses to renew them for a reason that is not the user's grant, in
    /// Unix seconds.
    #[n(6)]
    pub refused_since: Option<u64>,
    /// The session's [`SessionId`](portcullis_protocol::credentials::SessionId), or the user's
    /// [`UserId`](portcullis_protocol::credentials::UserId) for a connection, for operators: the
    /// names of the records are only digests of it.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub session: [u8; 16],
    /// The user's name in the ID token of the login, which is its first provider's, for operators.
    #[n(8)]
    pub name: Option<String>,
    /// The user's e-mail address there, whether or not it was verified.
    #[n(9)]
    pub email: Option<String>,
    /// The name that the client of the login gave itself, for operators.
    #[n(10)]
    pub client_name: Option<String>,
    /// The groups that the user is in, as the provider said last: at most 100.
    #[cbor(n(11), default)]
    pub groups: Vec<String>,
    /// Whether the provider has verified the e-mail address.
    #[cbor(n(12), default)]
    pub email_verified: bool,
    /// The first provider's name for the user, for operators, where these are tokens of a later one
    /// ([`crate::config::Leg`]).
    #[n(13)]
    pub login_subject: Option<String>,
    /// The provider's ID token, kept only where a resource has it exchanged.
    #[cbor(n(14), with = "optional_secret", has_nil, default)]
    pub id_token: Option<Secret<String>>,
    /// What tells a connection from the tokens of a session.
    #[n(15)]
    pub connected: Option<Connected>,
}

/// When and where a user has connected.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Connected {
    /// When, in Unix seconds.
    #[cbor(n(1), default)]
    pub at: u64,
    /// The provider's name in the configuration, for operators.
    #[n(2)]
    pub provider: String,
}

impl Record for Upstream {
    const KIND: Kind = Kind::Upstream;
    const TYPE: &'static str = "upstream-tokens";
}

impl Upstream {
    /// The name for the user at the provider that says who the user is.
    #[must_use]
    pub fn login_subject(&self) -> &str {
        self.login_subject.as_ref().unwrap_or(&self.subject)
    }

    /// The name by which the user knows the account that the login was with: an e-mail address, a
    /// name, or the provider's name for the user.
    #[must_use]
    pub fn user_label(&self) -> &str {
        let subject = self.login_subject.as_deref().unwrap_or(&self.subject);
        account_label(self.email.as_deref(), self.name.as_deref(), subject)
    }

    /// The access token as it is injected, with the times that follow from its life.
    ///
    /// It counts as expired a little early, a tenth of its life and at most 5 s, so that it does
    /// not expire on its way; it is refreshed ahead at a fifth of its life, at most 60 s.
    #[must_use]
    pub fn access(&self) -> UpstreamAccess {
        let value = header_value(self.access_token.expose().as_bytes());
        access(value, self.obtained_at, self.expires_at, self.refresh_token.is_some())
    }

    /// The access token of an exchange as it is injected: another can always be got for it.
    #[must_use]
    pub fn access_in_exchange(&self) -> UpstreamAccess {
        access(header_value(self.access_token.expose().as_bytes()), self.obtained_at, self.expires_at, true)
    }

    /// What is known of the user, who is `user` here, and calls with a token of `client`.
    pub(crate) fn caller<'a>(&'a self, user: &'a str, client: &'a str) -> Caller<'a> {
        Caller {
            user,
            client,
            subject: Some(Cow::Borrowed(self.login_subject.as_deref().unwrap_or(&self.subject))),
            email: self.email.as_deref().filter(|_| self.email_verified).map(Cow::Borrowed),
            name: self.name.as_deref().map(Cow::Borrowed),
            groups: self.groups.iter().map(|group| Cow::Borrowed(group.as_str())).collect(),
        }
    }
}

/// Returns the ID token that is kept with these tokens; `None` for one that a record has no room
/// for.
pub(crate) fn kept_id_token(
    id_token: Option<Secret<String>>,
    access_token: &Secret<String>,
    refresh_token: Option<&Secret<String>>,
) -> Option<Secret<String>> {
    let others = [Some(access_token), refresh_token].into_iter().flatten();
    let bytes = others.map(|token| token.expose().len()).fold(0, usize::saturating_add);
    id_token.filter(|id_token| bytes.saturating_add(id_token.expose().len()) <= MAX_TOKENS_BYTES)
}

/// Whether the tokens of a record, as it was sealed, can be renewed; `None` when it is no such
/// record.
pub(crate) fn is_renewable(record: &[u8]) -> Option<bool> {
    UpstreamFields::read(record).map(|read| read.has_refresh_token)
}

/// When the tokens of a record are over for good, in Unix seconds; `None` where they can be renewed
/// or have no end.
#[must_use]
pub fn end_of(record: &Upstream) -> Option<u64> {
    let (_, stale_at) = times(record.obtained_at, record.expires_at);
    Some(stale_at).filter(|_| record.refresh_token.is_none() && record.expires_at.is_some())
}

fn access(value: Secret<Vec<u8>>, obtained_at: u64, expires_at: Option<u64>, refreshable: bool) -> UpstreamAccess {
    // A record of a release that took a provider's silence for an endless life.
    let expires_at = expires_at.or_else(|| refreshable.then(|| obtained_at.saturating_add(UNTOLD_LIFE_SECONDS)));
    let (refresh_at, stale_at) = times(obtained_at, expires_at);
    let refresh_at = if refreshable { refresh_at } else { u64::MAX };
    UpstreamAccess { value: Rc::new(value), refresh_at, stale_at }
}

/// When an access token is to be refreshed, and when it is of no use any more, in Unix seconds.
fn times(obtained_at: u64, expires_at: Option<u64>) -> (u64, u64) {
    let Some(expires_at) = expires_at else { return (u64::MAX, u64::MAX) };
    let life = expires_at.saturating_sub(obtained_at);
    (expires_at.saturating_sub((life / 5).min(60)), expires_at.saturating_sub((life / 10).min(5)))
}

/// The fields of an [`Upstream`] record that a call needs, read in place.
#[derive(Default)]
pub(crate) struct UpstreamFields<'a> {
    access_token: &'a [u8],
    obtained_at: u64,
    expires_at: Option<u64>,
    has_refresh_token: bool,
    subject: &'a [u8],
    email: &'a [u8],
    client_name: &'a [u8],
}

impl<'a> UpstreamFields<'a> {
    /// Reads a record; `None` when it is none. Fields after the last one that is needed are not
    /// looked at: the record was sealed by a gateway that wrote them.
    pub(crate) fn read(record: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::of(record)?;
        let access_token = fields.required(1)?.bytes()?;
        let mut read = Self { access_token, ..Self::default() };
        loop {
            match fields.next()? {
                2 => read.obtained_at = fields.uint()?,
                3 => read.expires_at = Some(fields.uint()?),
                4 => {
                    fields.bytes()?;
                    read.has_refresh_token = true;
                }
                5 => read.subject = fields.text()?,
                6 => drop(fields.uint()?),
                7 => drop(fields.bytes()?),
                8 => drop(fields.text()?),
                9 => read.email = fields.text()?,
                10 => read.client_name = fields.text()?,
                11 => {
                    for _ in 0..fields.array()? {
                        fields.text()?;
                    }
                }
                12 => drop(fields.boolean()?),
                // What the audit trail calls the user is the login's.
                13 => read.subject = fields.text()?,
                _ => return Some(read),
            }
        }
    }

    /// As [`Upstream::access`]; only what is injected is copied.
    pub(crate) fn access(&self) -> UpstreamAccess {
        access(header_value(self.access_token), self.obtained_at, self.expires_at, self.has_refresh_token)
    }

    /// As [`Upstream::access_in_exchange`].
    pub(crate) fn access_in_exchange(&self) -> UpstreamAccess {
        access(header_value(self.access_token), self.obtained_at, self.expires_at, true)
    }

    /// Adds the names by which an operator knows user and client.
    pub(crate) fn add_names(&self, known: &mut AuditFields, with_email: bool) {
        let email = if with_email { self.email } else { Default::default() };
        for (field, value) in [
            (AuditField::ClientName, self.client_name),
            (AuditField::Subject, self.subject),
            (AuditField::Email, email),
        ] {
            let value = std::str::from_utf8(value).ok().filter(|value| !value.is_empty());
            known.add_known(field, value);
        }
    }
}

fn header_value(token: &[u8]) -> Secret<Vec<u8>> {
    let mut value = Vec::with_capacity(token.len().saturating_add(SCHEME.len()));
    value.extend_from_slice(SCHEME);
    value.extend_from_slice(token);
    Secret::new(value)
}

/// The most bytes of a session's tokens at a provider with its ID token: the rest of a record's 16
/// KiB is for names, groups and the seal.
const MAX_TOKENS_BYTES: usize = 11 * 1024;

/// The life of a token that can be renewed and of which nothing was told, in seconds.
const UNTOLD_LIFE_SECONDS: u64 = 3_600;

/// What stands before an access token in its header (RFC 6750 §2.1).
const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Reason;

    fn record(refresh_token: Option<&str>, expires_at: Option<u64>) -> Upstream {
        Upstream {
            access_token: Secret::new("a \"token\"".to_owned()),
            refresh_token: refresh_token.map(|token| Secret::new(token.to_owned())),
            obtained_at: 1_000,
            expires_at,
            subject: "alice".to_owned(),
            refused_since: None,
            session: [9; 16],
            name: None,
            email: None,
            client_name: None,
            connected: None,
            groups: Vec::new(),
            email_verified: false,
            login_subject: None,
            id_token: None,
        }
    }

    #[test]
    fn a_record_gives_the_same_as_it_was_sealed() {
        for (refresh_token, expires_at) in
            [(Some("r"), Some(1_300)), (None, Some(1_010)), (Some("r"), None), (None, None)]
        {
            let record = record(refresh_token, expires_at);
            let (whole, bytes) = (record.access(), minicbor::to_vec(&record).unwrap());
            let read = UpstreamFields::read(&bytes).unwrap().access();
            assert_eq!(read.value.expose(), b"Bearer a \"token\"");
            assert_eq!(read.value.expose(), whole.value.expose());
            assert_eq!((read.refresh_at, read.stale_at), (whole.refresh_at, whole.stale_at));
        }
    }

    #[test]
    fn what_can_be_renewed_has_an_end_and_what_cannot_may_have_none() {
        let times = |record: Upstream| (record.access().refresh_at, record.access().stale_at);
        assert_eq!(times(record(Some("r"), None)), (1_000 + 3_540, 1_000 + 3_595));
        assert_eq!(times(record(None, None)), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_token_is_due_a_minute_before_its_end_and_stale_five_seconds_before_or_sooner_in_a_short_life() {
        for (life, due, stale) in [
            (3_600, 60, 5),
            (300, 60, 5),
            (299, 59, 5),
            (50, 10, 5),
            (49, 9, 4),
            (10, 2, 1),
            (9, 1, 0),
            (4, 0, 0),
            (0, 0, 0),
        ] {
            let end = 1_000 + life;
            let renewable = record(Some("r"), Some(end));
            let access = renewable.access();
            assert_eq!((end - access.refresh_at, end - access.stale_at), (due, stale), "{life}");
            assert_eq!(end_of(&renewable), None, "{life}");
            let last = record(None, Some(end));
            assert_eq!((last.access().refresh_at, last.access().stale_at), (u64::MAX, end - stale), "{life}");
            assert_eq!(end_of(&last), Some(end - stale), "{life}");
        }
        assert_eq!(end_of(&record(None, None)), None);
    }

    #[test]
    fn a_record_that_is_cut_off_is_none() {
        let record = record(Some("r"), Some(1_300));
        let bytes = minicbor::to_vec(&record).unwrap();
        for length in 0..=bytes.len() {
            assert_eq!(UpstreamFields::read(&bytes[..length]).is_some(), length == bytes.len(), "{length}");
        }
    }

    #[test]
    fn the_names_of_a_record_are_told_and_the_email_address_only_where_it_may_be() {
        let (name, email) = (Some("Alice".to_owned()), Some("alice@example.com".to_owned()));
        let named = Upstream { name, email, client_name: Some("Client".to_owned()), ..record(Some("r"), None) };
        for (record, with_email, expected) in [
            (&named, true, [Some("Client"), Some("alice"), Some("alice@example.com")]),
            (&named, false, [Some("Client"), Some("alice"), None]),
            (
                &Upstream { login_subject: Some("alice@first".to_owned()), ..record(None, None) },
                true,
                [None, Some("alice@first"), None],
            ),
            (&Upstream { refused_since: Some(7), ..record(None, Some(9)) }, true, [None, Some("alice"), None]),
        ] {
            let (bytes, mut known) = (minicbor::to_vec(record).unwrap(), AuditFields::default());
            UpstreamFields::read(&bytes).unwrap().add_names(&mut known, with_email);
            let audit = known.decided(Reason::ValidToken);
            let told = [AuditField::ClientName, AuditField::Subject, AuditField::Email].map(|field| audit.get(field));
            assert_eq!(told.each_ref().map(Option::as_deref), expected);
        }
    }
}
