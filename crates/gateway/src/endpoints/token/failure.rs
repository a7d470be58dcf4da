//! Why a token request is refused.

use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};

use crate::error::Unavailable;

pub(crate) enum Failure {
    Refused(OAuthError, &'static str),
    Unavailable(Unavailable),
}

impl From<Unavailable> for Failure {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

pub(super) fn invalid_grant(description: &'static str, reason: &'static str) -> Failure {
    Failure::Refused(OAuthError::new(ErrorCode::InvalidGrant, description), reason)
}
