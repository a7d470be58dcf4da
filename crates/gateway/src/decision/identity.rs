//! Header fields that tell a backend about the caller, and a statement that the gateway signs.
//!
//! Nothing of it is a client's own word. It is made once for a verified token, of what the login or
//! the token's issuer has said, and goes with each call.
//!
//! A user's name is chosen by the user, so values are percent-encoded: visible ASCII and spaces
//! within stay as they are, `%` and every other byte of the UTF-8 text becomes `%XX`, and so does a
//! comma in a group's name. Nothing in a value can thus end a field or stand for two groups, and
//! each has one reading: percent-decode it, the groups after they were split at the commas.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::jws;
use portcullis_protocol::oauth::identity_token::header;
use serde::Serialize;

use crate::config::{Config, IdentityClaim, IdentitySettings, IdentityTokenSettings};
use crate::decision::header_field::{HeaderField, ReservedNames};
use crate::error::DependencyError;
use crate::ports::Crypto;

/// The header fields that tell a backend about a caller, in place of any that the client sent.
pub struct Identity {
    /// The names that no field of the client's may have, however it is spelled.
    reserved: Rc<ReservedNames>,
    /// The fields about the caller; the signed statement is the last, where there is one.
    fields: Vec<HeaderField>,
    statement: Option<Statement>,
}

/// What the signed statement is made from, and when.
struct Statement {
    /// The claims that stay the same: the text of a JSON object.
    claims: Rc<str>,
    /// In Unix seconds.
    made_at: u64,
    /// Until when it is sent, in Unix seconds.
    sent_until: u64,
}

/// What is known about a caller.
#[derive(Debug, Default)]
pub(crate) struct Caller<'a> {
    /// The user's id at this gateway.
    pub(crate) user: &'a str,
    /// The client; empty where the token of a trusted issuer names none.
    pub(crate) client: &'a str,
    /// The name of the user at the provider or the trusted issuer.
    pub(crate) subject: Option<Cow<'a, str>>,
    /// An address that its source says is verified.
    pub(crate) email: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) groups: Vec<Cow<'a, str>>,
}

impl Identity {
    /// No field: the backend learns nothing about the caller.
    pub(crate) fn untold(reserved: Rc<ReservedNames>) -> Self {
        Self { reserved, fields: Vec::new(), statement: None }
    }

    /// Makes the fields for a caller, at `now` in Unix seconds.
    ///
    /// # Errors
    /// [`DependencyError::Signer`].
    pub(crate) fn new(
        settings: &IdentitySettings,
        config: &Config,
        caller: &Caller<'_>,
        now: u64,
        crypto: &dyn Crypto,
    ) -> Result<Self, DependencyError> {
        let mut fields: Vec<HeaderField> =
            settings.headers.iter().filter_map(|(name, claim)| caller.field(name, *claim)).collect();
        // Where any field is set its name is reserved.
        let reserved = config.reserved_names.clone().ok_or(DependencyError::Internal)?;
        let Some(token) = &settings.token else { return Ok(Self { reserved, fields, statement: None }) };
        let claims = Claims {
            iss: &config.issuer.url,
            sub: caller.user,
            aud: &token.audience,
            client_id: caller.client,
            name: caller.name.as_deref(),
            email: caller.email.as_deref(),
            groups: &caller.groups,
        };
        let claims = Rc::from(serde_json::to_string(&claims).map_err(|_| DependencyError::Internal)?);
        fields.push(signed(&claims, token, config, now, crypto)?);
        Ok(Self { reserved, fields, statement: Some(Statement::of(claims, token, now)) })
    }

    /// The names that are removed from the request first.
    #[must_use]
    pub fn reserved(&self) -> &ReservedNames {
        &self.reserved
    }

    /// The fields that the request gets then.
    #[must_use]
    pub fn fields(&self) -> &[HeaderField] {
        &self.fields
    }

    /// Returns `true` if these fields can be sent at `now`, in Unix seconds. A statement that
    /// was made later was made before the clock was set back.
    pub(crate) fn is_current(&self, now: u64) -> bool {
        self.statement.as_ref().is_none_or(|statement| statement.made_at <= now && now < statement.sent_until)
    }

    /// Makes the same with a new statement.
    ///
    /// # Errors
    /// [`DependencyError::Signer`].
    pub(crate) fn renewed(
        &self,
        settings: &IdentitySettings,
        config: &Config,
        now: u64,
        crypto: &dyn Crypto,
    ) -> Result<Self, DependencyError> {
        let (Some(statement), Some(token)) = (&self.statement, &settings.token) else {
            return Err(DependencyError::Internal);
        };
        let claims = Rc::clone(&statement.claims);
        let mut fields = self.fields.clone();
        fields.pop();
        fields.push(signed(&claims, token, config, now, crypto)?);
        let reserved = Rc::clone(&self.reserved);
        Ok(Self { reserved, fields, statement: Some(Statement::of(claims, token, now)) })
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let claims = self.statement.as_ref().map_or(0, |statement| statement.claims.len());
        let values = self.fields.iter().map(|field| field.value.expose().len().saturating_add(FIELD_BYTES));
        values.fold(claims, usize::saturating_add)
    }
}

impl Statement {
    /// It is sent while at least half of its life is left.
    fn of(claims: Rc<str>, settings: &IdentityTokenSettings, now: u64) -> Self {
        Self { claims, made_at: now, sent_until: now.saturating_add(settings.lifespan / 2) }
    }
}

/// The claims of a statement that do not change (RFC 7519 §4.1, OpenID Connect Core §5.1). It has
/// neither `jti` nor `sid`: it belongs to many calls, and ends by its `exp` alone.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [Cow<'a, str>],
}

/// Signs a statement, from `now` on.
fn signed(
    claims: &str,
    settings: &IdentityTokenSettings,
    config: &Config,
    now: u64,
    crypto: &dyn Crypto,
) -> Result<HeaderField, DependencyError> {
    let key = config.signing_keys.first().ok_or(DependencyError::Internal)?;
    let lasting = claims.strip_prefix('{').ok_or(DependencyError::Internal)?;
    let claims = format!("{{\"iat\":{now},\"exp\":{},{lasting}", now.saturating_add(settings.lifespan));
    let signing_input = jws::encode_text(&header(key), &claims);
    let signature = crypto.sign(key, signing_input.as_bytes()).ok_or(DependencyError::Signer)?;
    let value = Secret::new(jws::attach(&signing_input, &signature).into_bytes());
    Ok(HeaderField { name: Rc::clone(&settings.header), value: Rc::new(value) })
}

impl Caller<'_> {
    /// The field of one claim; `None` for what is not known, or too long.
    fn field(&self, name: &Rc<str>, claim: IdentityClaim) -> Option<HeaderField> {
        let value = match claim {
            IdentityClaim::Sub => encoded(self.user, false),
            IdentityClaim::Subject => encoded(self.subject.as_deref()?, false),
            IdentityClaim::Email => encoded(self.email.as_deref()?, false),
            IdentityClaim::Name => encoded(self.name.as_deref()?, false),
            IdentityClaim::Groups => {
                let groups = self.groups.iter().filter(|group| !group.is_empty());
                groups.map(|group| encoded(group, true)).collect::<Vec<_>>().join(&b',')
            }
        };
        let fits = (1..=MAX_VALUE).contains(&value.len());
        fits.then(|| HeaderField { name: Rc::clone(name), value: Rc::new(Secret::new(value)) })
    }
}

/// Encodes a text for a header field; one of a list has no comma then.
fn encoded(text: &str, is_of_list: bool) -> Vec<u8> {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
    let last = text.len().saturating_sub(1);
    let mut encoded = Vec::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        let stays = match byte {
            b'%' => false,
            b',' => !is_of_list,
            // At either end a space would not reach the backend.
            b' ' => place != 0 && place != last,
            byte => byte.is_ascii_graphic(),
        };
        match stays {
            true => encoded.push(byte),
            false => encoded.extend([b'%', digit(byte >> 4), digit(byte & 0xf)]),
        }
    }
    encoded
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// The longest value of a field about a caller, in bytes. A longer one, of a user with hundreds of
/// groups say, is left out rather than cut: half of the groups would be a lie.
const MAX_VALUE: usize = 8 * 1024;
/// The memory of a field besides its value, in bytes.
const FIELD_BYTES: usize = 64;

#[cfg(test)]
#[path = "identity_tests.rs"]
mod identity_tests;
