//! Dynamic client registration (RFC 7591) of public clients.

use portcullis_protocol::credentials::ClientId;
use portcullis_protocol::http::message::{FieldName, Response};
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::register::Registration;
use portcullis_storage_api::{Bucket, Kind, StoreError, Taken, Ttl};

use crate::audit::{Audit, AuditOutcome};
use crate::clients::registered::{Client, client_key};
use crate::config::RegistrationPolicy;
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::client_address::client_address;
use crate::error::Unavailable;
use crate::ports::{Ports, Store};
use crate::responses::{Cors, cors, not_found, oauth_error, unavailable, uncached};
use crate::store::records;

/// The most that a registration may weigh, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a client that has not got a token yet is remembered, in seconds: registrations cost a
/// stranger nothing, so they must not pile up.
const UNUSED_LIFE: u64 = 24 * 60 * 60;

/// Answers `POST /oauth/register`. The limits are drawn from before anything of the body is looked
/// at, and after it has come: a call to the store outlives the request that made it, so one whose
/// body never ends must not make any.
pub async fn register<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    let Some(policy) = context.config().registration else {
        return not_found("dynamic client registration is turned off here");
    };
    match answer(context, policy).await {
        Ok(settled) => settled,
        Err(Failure::Refused(error)) => {
            Resolved::Respond(oauth_error(&error), Audit::new(AuditOutcome::Deny, "invalid_registration"))
        }
        Err(Failure::TooMany { retry_after }) => {
            let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many registrations; try again later");
            let response = oauth_error(&error.with_status(429)).header("retry-after", &retry_after.to_string());
            Resolved::Respond(response, Audit::new(AuditOutcome::Deny, "registration_rate"))
        }
        Err(Failure::Unavailable(cause)) => {
            let (response, reason) = unavailable(cause);
            Resolved::Respond(response, Audit::new(AuditOutcome::Fail, reason))
        }
    }
}

enum Failure {
    Refused(OAuthError),
    TooMany { retry_after: u32 },
    Unavailable(Unavailable),
}

impl From<Unavailable> for Failure {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(Unavailable::Store(error))
    }
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>, policy: RegistrationPolicy) -> Result<Resolved, Failure> {
    let config = context.config();
    let body = context.ports.body(MAX_BODY_BYTES).await.map_err(|_| {
        Failure::Refused(
            OAuthError::new(ErrorCode::InvalidClientMetadata, "the body is larger than 64 KiB").with_status(413),
        )
    })?;
    draw_from_limits(context, policy).await?;
    let registration =
        Registration::parse(context.request.headers.one(FieldName::ContentType), &body, &config.scopes_supported)
            .map_err(|error| Failure::Refused(OAuthError::new(error.code(), error.to_string())))?;
    let client_id = ClientId::new(context.ports.random().map_err(Unavailable::from)?).to_string();
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
    let audit = Audit { client: Some(client_id.into()), ..Audit::new(AuditOutcome::Serve, "client_registered") };
    Ok(Resolved::Respond(cors(response, Cors::Read), audit))
}

/// One address is limited first, so that a stranger's flood is refused before it draws on what
/// everybody shares.
async fn draw_from_limits<P: Ports>(
    context: &RequestContext<'_, P>,
    policy: RegistrationPolicy,
) -> Result<(), Failure> {
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
            Taken::Empty { retry_after } => return Err(Failure::TooMany { retry_after }),
        }
    }
    Ok(())
}
