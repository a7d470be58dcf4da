//! The proof that a form came from a page of the gateway, and that its user sent it.

use portcullis_protocol::base64url;
use portcullis_protocol::crypto::key_ring::{KeyId, Purpose};
use portcullis_protocol::http::message::{FieldName, Request};

use crate::config::Config;

/// Returns the CSRF token of a form: a MAC, under a named key, over what the form and the browser
/// that it is shown in have in common.
pub(super) fn csrf_token(config: &Config, bound_to: &[&[u8]]) -> String {
    let mac = config.key_ring.mac(Purpose::Csrf, bound_to);
    format!("{}.{}", config.key_ring.current(), base64url::encode(&mac))
}

/// Returns `true` if a form's token is the one of [`csrf_token`].
pub(super) fn is_csrf_token(config: &Config, token: &str, bound_to: &[&[u8]]) -> bool {
    let Some((key_id, mac)) = token.split_once('.') else { return false };
    let (Some(key_id), Ok(mac)) = (KeyId::parse(key_id), base64url::decode(mac)) else { return false };
    config.key_ring.verify_mac(Purpose::Csrf, key_id, bound_to, &mac)
}

/// Whether a form came from a page of ours, sent by its button and not by a script. Browsers state
/// the origin of every POST, and those that state the site state the mode, too; a program that
/// states neither is held to the CSRF token alone.
pub(super) fn is_same_origin(request: &Request, origin: &str) -> bool {
    let same = |name: FieldName, expected: &str| {
        !request.headers.has(name) || request.headers.one(name) == Some(expected.as_bytes())
    };
    same(FieldName::Origin, origin)
        && same(FieldName::SecFetchSite, "same-origin")
        && (!request.headers.has(FieldName::SecFetchSite) || same(FieldName::SecFetchMode, "navigate"))
}
