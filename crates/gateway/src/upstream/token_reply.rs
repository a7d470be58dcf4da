//! The answer of a provider's token endpoint (RFC 6749 §5.1, OIDC Core §3.1.3.3).

use std::borrow::Cow;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::json::foreign::{ForeignObject, ForeignValue};

use crate::config::TokenMembers;
use crate::ports::CallReply;
use crate::upstream::endpoint::{Document, MAX_ANSWER_BYTES, is_json};
use crate::upstream::identity::{TokenReply, ToldLife};
use crate::upstream::outage::outage;
use crate::upstream::provider_error::{Outage, ProviderError};
use crate::upstream::refusal::refusal;

/// The grant that a token request exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// RFC 6749 §4.1.3.
    Code,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 8693 §2.1.
    TokenExchange,
}

impl Grant {
    /// Returns its `grant_type`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Code => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }
}

/// Reads the answer, whatever its status, with the tokens where `members` says. A refresh may
/// answer with its tokens where RFC 6749 has them, though the login's were elsewhere: Slack does,
/// which has one token to answer with then, and two at a login.
///
/// # Errors
/// [`ProviderError`]: what a refusal means, or why the answer cannot be used.
pub(super) fn read(reply: &CallReply, members: &TokenMembers, grant: Grant) -> Result<TokenReply, ProviderError> {
    // Some providers refuse with status 200, and some send an `error` that is empty.
    let code = error_code(&reply.body);
    if reply.status != 200 || code.is_some() {
        let refused = refusal(reply.status, code.as_deref());
        let may_be_envoys = refused == ProviderError::Unreachable(Outage::Status(reply.status));
        return Err(if may_be_envoys { outage(reply).into() } else { refused });
    }
    if !is_json(reply) {
        return Err(Document::TokenAnswer.not_json());
    }
    let found = match members {
        TokenMembers::Standard => standard(reply)?,
        TokenMembers::Mapped { access_token, refresh_token, expires_in } => {
            let member = |path| Document::TokenAnswer.member(reply, path);
            match member(access_token)? {
                None if grant == Grant::RefreshToken => outermost(reply)?,
                access_token => Found {
                    access_token,
                    refresh_token: refresh_token.as_ref().map(member).transpose()?.flatten(),
                    expires_in: expires_in.as_ref().map(member).transpose()?.flatten(),
                    id_token: None,
                },
            }
        }
    };
    let access_token = found
        .access_token
        .and_then(ForeignValue::text)
        .ok_or(ProviderError::InvalidAnswer("the provider gave no access token"))?;
    if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "the provider's access token cannot stand in a header: it is empty or has other characters than \
                      printable ASCII";
        return Err(ProviderError::InvalidAnswer(reason));
    }
    let refresh_token = found.refresh_token.and_then(ForeignValue::text).filter(|token| is_form_text(token));
    let bytes = refresh_token.as_ref().map_or(0, |token| token.len()).saturating_add(access_token.len());
    if bytes > MAX_TOKEN_BYTES {
        let reason = "the provider's tokens are larger than a session can keep: 15 KiB for access and refresh token";
        return Err(ProviderError::InvalidAnswer(reason));
    }
    let id_token = found.id_token.and_then(ForeignValue::text).filter(|token| !token.is_empty());
    Ok(TokenReply {
        access_token: Secret::new(access_token.into_owned()),
        refresh_token: refresh_token.map(Cow::into_owned).map(Secret::new),
        life: told_life(found.expires_in),
        id_token: id_token.map(Cow::into_owned).map(Secret::new),
    })
}

/// Returns how many more bytes a record takes besides these tokens.
pub(super) fn room_left(tokens: &TokenReply) -> usize {
    let refresh_token = tokens.refresh_token.as_ref().map_or(0, |token| token.expose().len());
    MAX_TOKEN_BYTES.saturating_sub(tokens.access_token.expose().len()).saturating_sub(refresh_token)
}

/// The members of an answer that are read.
struct Found<'a> {
    access_token: Option<ForeignValue<'a>>,
    refresh_token: Option<ForeignValue<'a>>,
    expires_in: Option<ForeignValue<'a>>,
    id_token: Option<ForeignValue<'a>>,
}

/// Reads the members of an answer that RFC 6749 §5.1 names, whatever type of token it calls them.
fn outermost(reply: &CallReply) -> Result<Found<'_>, ProviderError> {
    let answer = Document::TokenAnswer.members(reply, &MEMBERS)?;
    Ok(Found {
        access_token: answer.get("access_token"),
        refresh_token: answer.get("refresh_token"),
        expires_in: answer.get("expires_in"),
        id_token: None,
    })
}

/// Reads an answer as RFC 6749 §5.1 has it.
fn standard(reply: &CallReply) -> Result<Found<'_>, ProviderError> {
    let answer = Document::TokenAnswer.members(reply, &MEMBERS)?;
    match answer.get("token_type").map(ForeignValue::text) {
        Some(Some(kind)) if kind.eq_ignore_ascii_case("bearer") => {}
        None => return Err(ProviderError::InvalidAnswer("the token endpoint's answer has no `token_type`")),
        Some(_) => return Err(ProviderError::InvalidAnswer("the provider's access token is not a bearer token")),
    }
    Ok(Found {
        access_token: answer.get("access_token"),
        refresh_token: answer.get("refresh_token"),
        expires_in: answer.get("expires_in"),
        id_token: answer.get("id_token"),
    })
}

/// The `error` of an answer, whatever type it claims to have: it is only looked up in a table.
fn error_code(body: &[u8]) -> Option<String> {
    let object = ForeignObject::parse(body, &["error"], MAX_ANSWER_BYTES).ok()?;
    object.text("error").filter(|code| !code.is_empty()).map(Cow::into_owned)
}

/// RFC 6749 §5.1 has a number; some providers write it as a string. What is neither says nothing.
fn told_life(told: Option<ForeignValue<'_>>) -> ToldLife {
    let Some(value) = told else { return ToldLife::Untold };
    let written = |text: Cow<'_, str>| serde_json::from_str::<f64>(text.trim()).ok();
    let Some(seconds) = value.number().or_else(|| value.text().and_then(written)).filter(|seconds| !seconds.is_nan())
    else {
        return ToldLife::Untold;
    };
    if seconds < 1.0 {
        return ToldLife::Over;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    ToldLife::Seconds(seconds.min(MAX_LIFE_SECONDS) as u64)
}

/// Whether a refresh token is what RFC 6749 appendix A.17 allows. It is only ever sent in a form.
fn is_form_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The members that are read of the answer.
const MEMBERS: [&str; 5] = ["access_token", "token_type", "refresh_token", "expires_in", "id_token"];

/// The most bytes of both tokens: a record has 16 KiB ([`crate::ports::VALUE_BYTES`]), the user's
/// names and the seal included.
const MAX_TOKEN_BYTES: usize = 15 * 1024;

/// The longest life that counts, in seconds: a year of 366 days.
const MAX_LIFE_SECONDS: f64 = 31_622_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(more: &str) -> Result<TokenReply, ProviderError> {
        let body = format!(r#"{{"access_token":"a","token_type":"Bearer"{more}}}"#);
        let content_type = Some("application/json".to_owned());
        let reply = CallReply { status: 200, content_type, max_age: None, from_bridge: false, body: body.into_bytes() };
        read(&reply, &TokenMembers::Standard, Grant::Code)
    }

    #[test]
    fn a_life_is_any_number_or_a_number_in_a_string() {
        for (text, life) in [
            ("3600", ToldLife::Seconds(3_600)),
            ("3600.0", ToldLife::Seconds(3_600)),
            ("3600.9", ToldLife::Seconds(3_600)),
            ("3.6e3", ToldLife::Seconds(3_600)),
            ("\"3600\"", ToldLife::Seconds(3_600)),
            ("\" 3600.5 \"", ToldLife::Seconds(3_600)),
            ("1", ToldLife::Seconds(1)),
            ("1e999", ToldLife::Seconds(31_622_400)),
            ("99999999999999999999", ToldLife::Seconds(31_622_400)),
            ("0", ToldLife::Over),
            ("0.5", ToldLife::Over),
            ("-1", ToldLife::Over),
            ("-1e999", ToldLife::Over),
            ("\"0\"", ToldLife::Over),
            ("null", ToldLife::Untold),
            ("\"\"", ToldLife::Untold),
            ("\"soon\"", ToldLife::Untold),
            ("\"NaN\"", ToldLife::Untold),
            ("true", ToldLife::Untold),
            ("[3600]", ToldLife::Untold),
            ("{}", ToldLife::Untold),
        ] {
            assert_eq!(answer(&format!(",\"expires_in\":{text}")).unwrap().life, life, "{text}");
        }
        assert_eq!(answer("").unwrap().life, ToldLife::Untold);
    }

    #[test]
    fn a_refresh_token_that_is_none_is_absent() {
        for text in ["null", "\"\"", "7", "\"a\\nb\"", "\"é\"", "[\"a\"]"] {
            assert!(answer(&format!(",\"refresh_token\":{text}")).unwrap().refresh_token.is_none(), "{text}");
        }
        let with_space = answer(",\"refresh_token\":\"a b\"").unwrap();
        assert_eq!(with_space.refresh_token.unwrap().expose(), "a b");
    }

    #[test]
    fn both_tokens_fit_into_a_record() {
        let with = |bytes: usize| answer(&format!(",\"refresh_token\":\"{}\"", "r".repeat(bytes)));
        // The access token is the last byte of 15 KiB.
        assert!(with(15 * 1024 - 1).is_ok());
        assert!(matches!(with(15 * 1024), Err(ProviderError::InvalidAnswer(_))));
    }
}
