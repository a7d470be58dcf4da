//! Dynamic client registration (RFC 7591) of public clients.

use portcullis_protocol::credentials::ClientId;
use portcullis_protocol::http::message::{FieldName, Response};
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::register::{Registration, RegistrationError};
use portcullis_storage_api::{Bucket, Kind, StoreError, Taken, Ttl};
use thiserror::Error;

use crate::audit::{Audit, Reason};
use crate::clients::registered::{Client, client_key};
use crate::config::RegistrationPolicy;
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::client_address::client_address;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::responses::{Cors, cors, not_found, oauth_error, refusal, uncached};
use crate::routing::endpoint_table::Endpoint;
use crate::store::records;

/// How long a client that has not got a token yet is remembered, in seconds: registrations cost a
/// stranger nothing, so they must not pile up.
const UNUSED_LIFE: u64 = 24 * 60 * 60;

/// Answers `POST /oauth/register`. The limits are drawn from before anything of the body is looked
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
        RegisterError::TooLarge | RegisterError::Metadata(_) | RegisterError::Dependency(_) => refusal(error.reply()),
    })
}

/// Why no client is registered.
#[derive(Debug, Error)]
enum RegisterError {
    #[error("dynamic client registration is turned off here")]
    TurnedOff,
    #[error("the body is larger than 64 KiB")]
    TooLarge,
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
        RegistrationError::RedirectUri(_) => Reason::RegistrationRedirectUri,
        RegistrationError::Type(_) => Reason::RegistrationFieldType,
        RegistrationError::Value(_) => Reason::RegistrationFieldValue,
        RegistrationError::AuthMethod => Reason::RegistrationAuthMethod,
        RegistrationError::GrantTypes => Reason::RegistrationGrantTypes,
        RegistrationError::ResponseTypes => Reason::RegistrationResponseTypes,
        RegistrationError::Scope(_) => Reason::RegistrationMalformedScope,
        RegistrationError::UnknownScope => Reason::RegistrationUnknownScope,
    }
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        Self::Dependency(error.into())
    }
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Resolved, RegisterError> {
    let config = context.config();
    let policy = config.registration.ok_or(RegisterError::TurnedOff)?;
    let body = context.ports.body(Endpoint::Register.entry().body_bytes).await.map_err(|_| RegisterError::TooLarge)?;
    draw_from_limits(context, policy).await?;
    let content_type = context.request.headers.one(FieldName::ContentType);
    let registration = Registration::parse(content_type, &body, &config.scopes_supported)?;
    let client_id = ClientId::new(context.ports.random().map_err(DependencyError::from)?).to_string();
    let now = context.now();
    let client = Client {
        id: client_id.clone(),
        name: registration.client_name().map(str::to_owned),
        redirect_uris: registration.redirect_uris().iter().map(|uri| uri.as_str().to_owned()).collect(),
        refresh: registration.has_refresh(),
        registered_at: now,
    };
    let life = Ttl::Seconds(policy.lifetime.min(UNUSED_LIFE));
    context.records().save(&client_key(&client_id), &client, life).await?;
    let response = uncached(Response::json(201, registration.response_json(&client_id, now)));
    let audit = Audit { client: Some(client_id.into()), ..Audit::new(Reason::ClientRegistered) };
    Ok(Resolved::Respond(cors(response, Cors::Read), audit))
}

/// One address is limited first, so that a stranger's flood is refused before it draws on what
/// all clients share.
async fn draw_from_limits<P: Ports>(
    context: &RequestContext<'_, P>,
    policy: RegistrationPolicy,
) -> Result<(), RegisterError> {
    const MINUTE: u32 = 60;
    const DAY: u32 = 24 * 60 * MINUTE;
    let address = client_address(context.request, context.config().trusted_proxies);
    let limits: [(&[&[u8]], u32, u32); 4] = [
        (&[b"register", b"address", address.as_bytes()], policy.per_address, MINUTE),
        (&[b"register", b"address and day", address.as_bytes()], policy.per_address_and_day, DAY),
        (&[b"register", b"minute"], policy.global, MINUTE),
        (&[b"register", b"day"], policy.per_day, DAY),
    ];
    for (name, capacity, period_seconds) in limits {
        let key = records::key(Kind::RateLimit, name);
        match context.ports.store().take_token(&key, Bucket { capacity, period_seconds }).await? {
            Taken::Granted => {}
            Taken::Empty { retry_after } => return Err(RegisterError::TooMany { retry_after }),
        }
    }
    Ok(())
}
