//! Dynamic client registration (RFC 7591) of public clients. Nothing is stored: a registration is
//! in the `client_id` that answers it.

use portcullis_protocol::credentials::MAX_CLIENT_ID_BYTES;
use portcullis_protocol::http::message::{FieldName, Response};
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::register::{Registration, RegistrationError};
use portcullis_storage_api::{Bucket, Kind, StoreError, Taken};
use thiserror::Error;

use crate::audit::{Audit, AuditField, AuditFields, Reason};
use crate::clients::sealed_id::{CarriedRegistration, SealError};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::client_address::client_address;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::responses::{Cors, cors, not_found, oauth_error, refusal, uncached};
use crate::routing::endpoint_table::Endpoint;
use crate::store::records;

/// Answers `POST /oauth/register`. The limit is drawn from before anything of the body is looked
/// at, and after it has come: a call to the store outlives the request that made it, so one whose
/// body never ends must not make any.
pub async fn register<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    answer(context).await.unwrap_or_else(|error| match error {
        RegisterError::TurnedOff => {
            not_found("dynamic client registration is turned off here", Reason::RegistrationOff)
        }
        RegisterError::TooMany { retry_after } => {
            let (error, reason) = error.reply();
            let response = oauth_error(&error).header("retry-after", &retry_after.to_string());
            Resolved::Respond(response, Audit::new(reason))
        }
        RegisterError::TooLarge
        | RegisterError::TooMuch
        | RegisterError::Metadata(_)
        | RegisterError::Dependency(_) => refusal(error.reply(), AuditFields::default()),
    })
}

/// Why no client is registered.
#[derive(Debug, Error)]
enum RegisterError {
    #[error("dynamic client registration is turned off here")]
    TurnedOff,
    #[error("the body is larger than 64 KiB")]
    TooLarge,
    /// The registration does not fit into a `client_id`.
    #[error("the registration does not fit into a client_id")]
    TooMuch,
    #[error("too many registrations")]
    TooMany {
        /// In how many seconds the limit allows another.
        retry_after: u32,
    },
    #[error(transparent)]
    Metadata(#[from] RegistrationError),
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

impl RegisterError {
    /// Returns what the client is answered, and the reason in the audit trail.
    fn reply(&self) -> (OAuthError, Reason) {
        match self {
            Self::TurnedOff => {
                let description = "dynamic client registration is turned off here";
                (OAuthError::new(ErrorCode::InvalidRequest, description).with_status(404), Reason::RegistrationOff)
            }
            Self::TooLarge => {
                let error = OAuthError::new(ErrorCode::InvalidClientMetadata, "the body is larger than 64 KiB");
                (error.with_status(413), Reason::RegistrationTooLarge)
            }
            Self::TooMuch => {
                let description = format!(
                    "redirect_uris, client_name and scope are too long together: the client_id carries them and has at \
                     most {MAX_CLIENT_ID_BYTES} characters, which is room for some 700 bytes; register fewer or \
                     shorter redirect_uris"
                );
                (OAuthError::new(ErrorCode::InvalidClientMetadata, description), Reason::RegistrationTooLong)
            }
            Self::TooMany { .. } => {
                let description = "too many registrations; try again later";
                let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, description);
                (error.with_status(429), Reason::RegistrationRate)
            }
            Self::Metadata(error) => (OAuthError::new(error.code(), error.to_string()), reason_of_metadata(error)),
            Self::Dependency(error) => error.reply(),
        }
    }
}

fn reason_of_metadata(error: &RegistrationError) -> Reason {
    match error {
        RegistrationError::ContentType => Reason::RegistrationContentType,
        RegistrationError::Json(_) => Reason::RegistrationNotJson,
        RegistrationError::RedirectUris => Reason::RegistrationRedirectUris,
        RegistrationError::RedirectUri { .. } => Reason::RegistrationRedirectUri,
        RegistrationError::Type(_) => Reason::RegistrationFieldType,
        RegistrationError::Value(_) => Reason::RegistrationFieldValue,
        RegistrationError::AuthMethod => Reason::RegistrationAuthMethod,
        RegistrationError::GrantTypes => Reason::RegistrationGrantTypes,
        RegistrationError::ResponseTypes => Reason::RegistrationResponseTypes,
        RegistrationError::Scope(_) => Reason::RegistrationMalformedScope,
    }
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        Self::Dependency(error.into())
    }
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Resolved, RegisterError> {
    let config = context.config();
    if !config.registration.enabled {
        return Err(RegisterError::TurnedOff);
    }
    let body = context.ports.body(Endpoint::Register.entry().body_bytes).await.map_err(|_| RegisterError::TooLarge)?;
    draw_from_limit(context).await?;
    let content_type = context.request.headers.one(FieldName::ContentType);
    let registration = Registration::parse(content_type, &body, &config.scopes_supported)?;
    let now = context.now();
    let carried = CarriedRegistration {
        redirect_uris: registration.redirect_uris().iter().map(|uri| uri.as_str().to_owned()).collect(),
        name: registration.client_name().map(str::to_owned),
        refresh: registration.has_refresh(),
        registered_at: now,
        scope: registration.named_scope().map(ToString::to_string),
    };
    let nonce = context.ports.random().map_err(DependencyError::from)?;
    let client_id = carried.seal(&config.sealer, nonce).map_err(|error| match error {
        SealError::TooLong => RegisterError::TooMuch,
        SealError::NotEncodable => RegisterError::Dependency(DependencyError::Internal),
    })?;
    let response = uncached(Response::json(201, registration.response_json(&client_id, now)));
    let mut known = AuditFields::default().with(AuditField::Client, &client_id);
    known.add_known(AuditField::ClientName, carried.name.as_deref());
    Ok(Resolved::Respond(cors(response, Cors::Read), known.decided(Reason::ClientRegistered)))
}

/// Bounds what one address can make the gateway do. There is no limit that addresses share: what
/// strangers do together must not turn anyone away, and they leave nothing behind.
async fn draw_from_limit<P: Ports>(context: &RequestContext<'_, P>) -> Result<(), RegisterError> {
    let config = context.config();
    let address = client_address(context.request, config.trusted_proxies);
    let key = records::key(Kind::RateLimit, &[b"register", b"address", address.as_bytes()]);
    let limit = Bucket { capacity: config.registration.per_address, period_seconds: 60 };
    match context.ports.store().take_token(&key, limit).await? {
        Taken::Granted => Ok(()),
        Taken::Empty { retry_after } => Err(RegisterError::TooMany { retry_after }),
    }
}
