//! The gateway's two cookies, and how they are kept from anyone else.
//!
//! `…-csrf` is a random value that ties a consent form to the browser it was shown in. `…-browser` is set only once a user
//! has consented; it names the browser, so that a provider's callback must come to the browser that consented, and it
//! remembers who logged in, so that a remembered consent can be found.

use std::borrow::Cow;

use portcullis_protocol::base64url;
use portcullis_protocol::digest::sha256;
use portcullis_protocol::http::{FieldName, Request};
use portcullis_protocol::key_ring::{KeyRing, Purpose};
use serde::{Deserialize, Serialize};

use crate::bytes_text;
use crate::config::Issuer;
use crate::ports::{Entropy, NoEntropy};

/// How long a form may be looked at before it is sent, in seconds.
pub const FORM_LIFE: u64 = 600;

/// The most cookie bytes that are looked at.
const MOST_COOKIE_BYTES: usize = 16 * 1024;

/// The names of the cookies. `__Host-` makes browsers refuse them from a sibling domain or over plain http; plain http is
/// served on loopback only, where browsers would refuse the prefix.
const SECURE_NAMES: Names = Names { csrf: "__Host-portcullis-csrf", browser: "__Host-portcullis-browser" };
const LOOPBACK_NAMES: Names = Names { csrf: "portcullis-csrf", browser: "portcullis-browser" };

struct Names {
    csrf: &'static str,
    browser: &'static str,
}

/// What the browser cookie says. It is sealed: its holder can neither read nor change it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Browser {
    /// A random name for the browser.
    #[serde(with = "bytes_text")]
    id: [u8; 16],
    /// The user who last logged in with it.
    pub user_id: Option<String>,
}

impl Browser {
    /// A browser seen for the first time.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn new(entropy: &impl Entropy) -> Result<Self, NoEntropy> {
        Ok(Self { id: entropy.random()?, user_id: None })
    }

    /// What a pending login keeps of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.id)
    }

    /// The browser that sent a request, if it carries a genuine cookie.
    #[must_use]
    pub fn of(request: &Request, issuer: &Issuer, ring: &KeyRing) -> Option<Self> {
        let text = cookie(request, names(issuer).browser)?;
        let sealed = base64url::decode(&text).ok()?;
        let plain = ring.open_in_place(Purpose::Cookie, names(issuer).browser.as_bytes(), sealed).ok()?;
        serde_json::from_slice(plain.expose()).ok()
    }

    /// The `Set-Cookie` that makes a browser keep this for `life` seconds.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn set_cookie(
        &self,
        issuer: &Issuer,
        ring: &KeyRing,
        life: u64,
        entropy: &impl Entropy,
    ) -> Result<String, NoEntropy> {
        let name = names(issuer).browser;
        // Serializing two plain fields cannot fail.
        let plain = serde_json::to_vec(self).map_err(|_| NoEntropy)?;
        let sealed = ring.seal(entropy.random()?, Purpose::Cookie, name.as_bytes(), &plain);
        Ok(set_cookie(issuer, name, &base64url::encode(&sealed), life))
    }
}

/// The CSRF cookie's value, when the browser has one that looks like ours.
#[must_use]
pub fn csrf_cookie(request: &Request, issuer: &Issuer) -> Option<String> {
    cookie(request, names(issuer).csrf).filter(|value| base64url::decode_exactly::<32>(value).is_ok())
}

/// The CSRF cookie for a form that is about to be shown: its value, which the browser may have already, and the
/// `Set-Cookie` that keeps it as long as this form may be looked at.
///
/// # Errors
/// [`NoEntropy`].
pub fn csrf_cookie_for_form(
    request: &Request,
    issuer: &Issuer,
    entropy: &impl Entropy,
) -> Result<(String, String), NoEntropy> {
    let value = match csrf_cookie(request, issuer) {
        Some(value) => value,
        None => base64url::encode(&entropy.random::<32>()?),
    };
    let cookie = set_cookie(issuer, names(issuer).csrf, &value, FORM_LIFE);
    Ok((value, cookie))
}

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
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        [SECURE_NAMES.csrf, SECURE_NAMES.browser, LOOPBACK_NAMES.csrf, LOOPBACK_NAMES.browser]
            .iter()
            .any(|own| own.as_bytes() == name)
    };
    let mut pairs = header.split(|byte| *byte == b';');
    pairs.clone().any(|pair| is_own(&pair)).then(|| {
        let kept: Vec<&[u8]> = pairs.by_ref().filter(|pair| !is_own(pair)).map(<[u8]>::trim_ascii).collect();
        kept.join(&b"; "[..])
    })
}

fn names(issuer: &Issuer) -> &'static Names {
    if issuer.https { &SECURE_NAMES } else { &LOOPBACK_NAMES }
}

fn set_cookie(issuer: &Issuer, name: &str, value: &str, life: u64) -> String {
    let secure = if issuer.https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Lax{secure}")
}

/// The value of a cookie that was sent exactly once. Two of one name mean that somebody else could set one.
fn cookie(request: &Request, name: &str) -> Option<String> {
    let mut found = None;
    for header in request.headers.all(FieldName::Cookie).filter(|header| header.len() <= MOST_COOKIE_BYTES) {
        for pair in header.split(|byte| *byte == b';') {
            let pair = std::str::from_utf8(pair.trim_ascii()).ok();
            let Some((pair_name, value)) = pair.and_then(|pair| pair.split_once('=')) else { continue };
            if pair_name == name && found.replace(value.to_owned()).is_some() {
                return None;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_cookies_are_taken_out_of_the_header_and_others_stay() {
        let header = b"a=1; __Host-portcullis-browser=x; b=2;portcullis-csrf=y; c=\xff";
        assert_eq!(without_own(header).as_deref(), Some(&b"a=1; b=2; c=\xff"[..]));
        assert_eq!(without_own(b"__Host-portcullis-csrf=x").as_deref(), Some(&b""[..]));
        assert_eq!(without_own(b"a=1; x__Host-portcullis-csrf=2"), None);
    }
}
