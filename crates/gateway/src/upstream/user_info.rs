//! Who logged in at a provider that issues no ID tokens: a userinfo endpoint as OAuth 2.0 providers
//! have it, or members of the token endpoint's answer.

use std::borrow::Cow;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::json::foreign::ForeignValue;

use crate::config::{IdentityMembers, JsonPath};
use crate::ports::{CallReply, Ports};
use crate::upstream::endpoint::{Document, Target, is_json};
use crate::upstream::outage::outage;
use crate::upstream::profile::{Profile, group_names, name};
use crate::upstream::provider_error::ProviderError;

/// A userinfo endpoint.
pub(super) struct UserInfo<'a> {
    pub(super) target: &'a Target,
    pub(super) method: &'static str,
    /// The configured headers; the names are in lower case.
    pub(super) headers: &'a [(String, String)],
}

impl UserInfo<'_> {
    /// Asks whose an access token is (RFC 6750 §2.1).
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn ask<P: Ports>(
        &self,
        access_token: &Secret<String>,
        ports: &P,
    ) -> Result<CallReply, ProviderError> {
        let bearer = format!("Bearer {}", access_token.expose());
        let mut headers: Vec<(Cow<'static, str>, String)> = vec![("authorization".into(), bearer)];
        if !self.headers.iter().any(|(name, _)| name == "accept") {
            headers.push(("accept".into(), "application/json".to_owned()));
        }
        headers.extend(self.headers.iter().map(|(name, value)| (Cow::Owned(name.clone()), value.clone())));
        let reply = self.target.call(self.method, headers, Vec::new(), ports).await?;
        match reply.status {
            200 if is_json(&reply) => Ok(reply),
            200 => Err(Document::UserInfo.not_json()),
            401 | 403 => Err(ProviderError::InvalidUserInfo(
                "the userinfo endpoint does not accept the access token: check `scopes`",
            )),
            _ => Err(outage(&reply).into()),
        }
    }
}

/// Reads who logged in: the provider's name for the user, and what else it says.
///
/// # Errors
/// [`ProviderError::InvalidUserInfo`] if the answer does not name the account, or if what should
/// name it is no name; other members that are no names are left out.
pub(super) fn identity(
    document: Document,
    reply: &CallReply,
    members: &IdentityMembers,
) -> Result<(String, Profile), ProviderError> {
    let subject = first(document, reply, &members.subject)?;
    let subject = subject.ok_or(ProviderError::InvalidUserInfo("the provider does not say whose the login is"))?;
    let unusable = "what names the account is neither a string of 1 to 255 bytes nor a whole number";
    let subject = name(subject).ok_or(ProviderError::InvalidUserInfo(unusable))?;
    let is_verified = first(document, reply, &members.email_verified)?.and_then(ForeignValue::boolean);
    let profile = Profile {
        name: first(document, reply, &members.name)?.and_then(name),
        email: first(document, reply, &members.email)?.and_then(name),
        email_verified: is_verified.unwrap_or(false),
        groups: first(document, reply, &members.groups)?.map(group_names),
    };
    Ok((subject, profile))
}

/// The first of some members that is there.
fn first<'a>(
    document: Document,
    reply: &'a CallReply,
    paths: &'a [JsonPath],
) -> Result<Option<ForeignValue<'a>>, ProviderError> {
    for path in paths {
        if let Some(value) = document.member(reply, path)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
