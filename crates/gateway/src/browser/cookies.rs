//! The gateway's cookies, and how they are kept from anyone else.
//!
//! `…-login-<name>` belongs to one login and is gone when that is over
//! ([`crate::browser::pending_login`] says what is in it), so several logins can be under way in
//! one browser. `…-browser` is set when a login is finished; it remembers who logged in, so that a
//! remembered consent can be found.

use std::borrow::Cow;

use minicbor::{Decode, Encode};
use portcullis_protocol::base64url;
use portcullis_protocol::credentials::UserId;
use portcullis_protocol::crypto::key_ring::Purpose;
use portcullis_protocol::http::message::{FieldName, Request};

use crate::config::{Config, Issuer, ProviderId, Sealer};
use crate::error::DependencyError;
use crate::ports::Entropy;
use crate::store::encoding::{self, optional_provider_id, user_id};

/// How long a form may be looked at before it is sent, in seconds.
pub const FORM_LIFE: u64 = 600;

/// The most logins under way in one browser, such as the tabs that a client opens for all of its
/// servers at once. A further one ends the oldest.
pub const MAX_LOGINS: usize = 16;

/// The most bytes that the cookies of all logins under way in one browser have together. They are
/// sent with each request, and servers on the way refuse header fields that are much larger.
pub const MAX_LOGIN_BYTES: usize = 8 * 1024;

/// The most bytes in one cookie's value. Browsers take 4096 bytes of name and value (RFC 6265
/// §6.1); what is longer is divided among several cookies.
const MAX_PIECE_BYTES: usize = 3_800;

/// How many characters of a login's `state` its cookie is named by: 66 bits, enough to tell the
/// logins of one browser apart. The cookie's seal names the whole of it.
const LOGIN_NAME_CHARACTERS: usize = 11;

/// The most cookie bytes that are looked at.
const MAX_COOKIE_BYTES: usize = 16 * 1024;

/// The beginnings of the cookies' names. `__Host-` makes browsers refuse them from a sibling domain
/// or over plain http; plain http is served on loopback only, where browsers would refuse the
/// prefix.
const SECURE_PREFIX: &str = "__Host-portcullis-";
const LOOPBACK_PREFIX: &str = "portcullis-";

/// What the browser cookie says. It is sealed: its holder can neither read nor change it.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct Browser {
    /// The user who last logged in with it.
    #[cbor(n(1), with = "user_id")]
    pub user_id: UserId,
    /// The provider that the user chose to log in at, where there was a choice.
    #[cbor(n(2), with = "optional_provider_id", has_nil)]
    pub chosen: Option<ProviderId>,
    /// When the user last logged in with it, in Unix seconds.
    #[cbor(n(3), default)]
    pub signed_in_at: u64,
    /// The name by which the user knows the account, for a page.
    #[n(4)]
    pub name: Option<String>,
}

impl Browser {
    /// The browser that sent a request, if it carries a genuine cookie.
    #[must_use]
    pub fn of(request: &Request, config: &Config) -> Option<Self> {
        let name = browser_name(&config.issuer);
        let sealed = base64url::decode(&cookie(request, &name)?).ok()?;
        Self::open(sealed, &config.sealer)
    }

    /// Returns `true` if the user logged in less than this many seconds before `now`, in Unix
    /// seconds. A later time is from before the clock was set back, and counts as none.
    #[must_use]
    pub fn has_signed_in_since(&self, now: u64, seconds: u64) -> bool {
        now.checked_sub(self.signed_in_at).is_some_and(|passed| passed < seconds)
    }

    /// The `Set-Cookie` that makes a browser keep this for `life` seconds.
    ///
    /// # Errors
    /// [`DependencyError`].
    pub fn set_cookie(&self, config: &Config, life: u64, entropy: &impl Entropy) -> Result<String, DependencyError> {
        let name = browser_name(&config.issuer);
        // The field can be written; were it not, no login is finished.
        let sealed = self.seal(&config.sealer, entropy.random()?).ok_or(DependencyError::Internal)?;
        Ok(set_cookie(&config.issuer, &name, &base64url::encode(&sealed), life))
    }

    pub(crate) fn seal(&self, sealer: &Sealer, nonce: [u8; 24]) -> Option<Vec<u8>> {
        let draft = encoding::to_draft(self).ok()?;
        Some(sealer.seal(nonce, Purpose::Cookie, &[b"browser"], draft))
    }

    pub(crate) fn open(sealed: Vec<u8>, sealer: &Sealer) -> Option<Self> {
        let plain = sealer.open(Purpose::Cookie, &[b"browser"], sealed)?;
        encoding::from_bytes(plain.expose())
    }
}

/// The value of the cookie of the login with this `state`, put together from its pieces.
#[must_use]
pub fn login(request: &Request, issuer: &Issuer, state: &str) -> Option<String> {
    let mut value = String::new();
    let mut pieces = piece_names(issuer, state).map_while(|name| cookie(request, &name)).peekable();
    pieces.peek()?;
    value.extend(pieces);
    Some(value)
}

/// The `Set-Cookie` values that make a browser keep the cookie of a login for `life` seconds, and
/// let the oldest logins go that would be more than [`MAX_LOGINS`] or [`MAX_LOGIN_BYTES`] with it.
///
/// `value` is base64url text.
#[must_use]
pub fn keep_login(request: &Request, issuer: &Issuer, state: &str, value: &str, life: u64) -> Vec<String> {
    let others = logins(request, issuer).into_iter().filter(|login| !state.starts_with(&login.name));
    let mut others: Vec<Login> = others.collect();
    let mut bytes = others.iter().fold(value.len(), |sum, login| sum.saturating_add(login.bytes));
    let mut set = Vec::new();
    while !others.is_empty() && (others.len() >= MAX_LOGINS || bytes > MAX_LOGIN_BYTES) {
        let oldest = others.remove(0);
        bytes = bytes.saturating_sub(oldest.bytes);
        set.extend(oldest.cookies.iter().map(|name| set_cookie(issuer, name, "", 0)));
    }
    let mut rest = value;
    for name in piece_names(issuer, state) {
        let (piece, after) = rest.split_at_checked(MAX_PIECE_BYTES).unwrap_or((rest, ""));
        set.push(set_cookie(issuer, &name, piece, life));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    set
}

/// The `Set-Cookie` values that end the login with this `state` in a browser.
#[must_use]
pub fn end_login(request: &Request, issuer: &Issuer, state: &str) -> Vec<String> {
    let ended = logins(request, issuer).into_iter().filter(|login| state.starts_with(&login.name));
    ended.flat_map(|login| login.cookies).map(|name| set_cookie(issuer, &name, "", 0)).collect()
}

/// A login's cookies in a browser.
struct Login {
    /// What its `state` begins with.
    name: String,
    /// The names of its cookies.
    cookies: Vec<String>,
    /// The bytes of their values.
    bytes: usize,
}

/// The logins that a browser carries, the oldest first: a browser sends cookies in the order in
/// which they were first set (RFC 6265 §5.4).
fn logins(request: &Request, issuer: &Issuer) -> Vec<Login> {
    let prefix = login_prefix(issuer);
    let mut logins: Vec<Login> = Vec::new();
    for (cookie, value) in pairs(request) {
        let Some(name) = cookie.strip_prefix(&prefix).and_then(login_name) else { continue };
        match logins.iter_mut().find(|login| login.name == name) {
            Some(login) => {
                login.cookies.push(cookie.to_owned());
                login.bytes = login.bytes.saturating_add(value.len());
            }
            None => {
                let (name, cookies) = (name.to_owned(), vec![cookie.to_owned()]);
                logins.push(Login { name, cookies, bytes: value.len() });
            }
        }
    }
    logins
}

/// The part of a cookie's name that tells logins apart; `None` where the gateway never gave that
/// name.
fn login_name(suffix: &str) -> Option<&str> {
    let (name, piece) = suffix.split_at_checked(LOGIN_NAME_CHARACTERS)?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is_piece = piece.is_empty() || matches!(piece.as_bytes(), [b'.', b'1'..=b'9']);
    (is_name && is_piece).then_some(name)
}

/// The names of a login's cookies: the first, and those of further pieces.
fn piece_names(issuer: &Issuer, state: &str) -> impl Iterator<Item = String> {
    let name = state.get(..LOGIN_NAME_CHARACTERS).unwrap_or(state);
    let first = [&login_prefix(issuer), name].concat();
    std::iter::once(first.clone()).chain((1..MAX_PIECES).map(move |number| format!("{first}.{number}")))
}

/// The most pieces of one login's cookie.
const MAX_PIECES: usize = MAX_LOGIN_BYTES.div_ceil(MAX_PIECE_BYTES);

/// Every cookie of a request: HTTP/2 lets a client send them in several fields (RFC 9113 §8.2.3).
#[must_use]
pub fn sent(request: &Request) -> Option<Cow<'_, [u8]>> {
    request.headers.all(FieldName::Cookie).fold(None, |before, field| Some(joined(before, field)))
}

/// The `Cookie` fields so far and the next one as one.
#[must_use]
pub fn joined<'a>(before: Option<Cow<'a, [u8]>>, field: &'a [u8]) -> Cow<'a, [u8]> {
    match before {
        None => Cow::Borrowed(field),
        Some(before) => Cow::Owned([&*before, field].join(&b"; "[..])),
    }
}

/// A `Cookie` header without the gateway's own cookies; `None` when it holds none of them.
#[must_use]
pub fn without_own(header: &[u8]) -> Option<Vec<u8>> {
    let is_own = |pair: &&[u8]| {
        let name = pair.trim_ascii_start();
        [SECURE_PREFIX, LOOPBACK_PREFIX].iter().any(|prefix| name.starts_with(prefix.as_bytes()))
    };
    let mut pairs = header.split(|byte| *byte == b';');
    pairs.clone().any(|pair| is_own(&pair)).then(|| {
        let kept: Vec<&[u8]> = pairs.by_ref().filter(|pair| !is_own(pair)).map(<[u8]>::trim_ascii).collect();
        kept.join(&b"; "[..])
    })
}

/// Returns `true` if the value of a `Set-Cookie` field would set one of the gateway's cookies. Only
/// the gateway does: a backend that did could end logins, or have a browser finish the login of
/// another.
///
/// A browser ignores white space before a name, and sends a cookie without a name as its value
/// alone (RFC 6265bis §5.6), which then looks like one with a name.
#[must_use]
pub fn sets_own(set_cookie: &[u8]) -> bool {
    let is_before_name = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || *byte == b'=';
    let start = set_cookie.iter().position(|byte| !is_before_name(byte)).unwrap_or(set_cookie.len());
    let name = set_cookie.get(start..).unwrap_or_default();
    [SECURE_PREFIX, LOOPBACK_PREFIX]
        .iter()
        .any(|prefix| name.get(..prefix.len()).is_some_and(|name| name.eq_ignore_ascii_case(prefix.as_bytes())))
}

fn browser_name(issuer: &Issuer) -> String {
    [prefix(issuer), "browser"].concat()
}

fn login_prefix(issuer: &Issuer) -> String {
    [prefix(issuer), "login-"].concat()
}

fn prefix(issuer: &Issuer) -> &'static str {
    if issuer.https { SECURE_PREFIX } else { LOOPBACK_PREFIX }
}

fn set_cookie(issuer: &Issuer, name: &str, value: &str, life: u64) -> String {
    let secure = if issuer.https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Lax{secure}")
}

/// The value of a cookie that was sent exactly once. Two of one name mean that another party could
/// set one.
fn cookie(request: &Request, name: &str) -> Option<String> {
    let mut found = pairs(request).filter(|(held, _)| *held == name);
    let (_, value) = found.next()?;
    found.next().is_none().then(|| value.to_owned())
}

/// The cookies of a request, name and value, in the order in which they were sent.
fn pairs(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    let fields = request.headers.all(FieldName::Cookie).filter(|field| field.len() <= MAX_COOKIE_BYTES);
    let pairs = fields.flat_map(|field| field.split(|byte| *byte == b';'));
    pairs.filter_map(|pair| std::str::from_utf8(pair.trim_ascii()).ok()?.split_once('='))
}

#[cfg(test)]
#[path = "cookies_tests.rs"]
mod tests;
