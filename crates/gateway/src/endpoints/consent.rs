//! Consent: what a user is asked before anything else happens, and what the answer is bound to.
//!
//! A client registers itself, so nothing but the user's word stands between a stranger's client and
//! the user's login at the provider (MCP security best practices, "confused deputy"). The form
//! carries the checked request, sealed, so that nothing is stored for a page that is never
//! answered; its CSRF token is bound to that request and to the browser it was shown in. Only an
//! approval puts the login that the callback asks for into the browser's cookie.

use minicbor::{Decode, Encode};
use portcullis_protocol::base64url;
use portcullis_protocol::crypto::key_ring::{KeyId, Purpose};
use portcullis_protocol::http::message::{FieldName, Request};
use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::CheckedRedirectUri;

use crate::audit::{Audit, Reason};
use crate::browser::cookies::FORM_LIFE;
use crate::browser::pending_login::{self, Authorization, Seed};
use crate::clients::resolve::ResolvedClient;
use crate::config::{Config, Sealer};
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::endpoints::browser_error::{error_page, refuse, unavailable_page};
use crate::endpoints::pages::{ConsentPage, DocumentAddress};
use crate::endpoints::start_login;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::routing::endpoint_table::Endpoint;
use crate::store::encoding;

/// What the form carries: the login that it would start, the checked request, and when it was
/// shown.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct Transaction {
    #[n(1)]
    pub(crate) seed: Seed,
    #[n(2)]
    pub(crate) request: Authorization,
    #[n(3)]
    pub(crate) shown_at: u64,
}

/// Shows the consent page. A request whose form [`consent`] would not read is refused instead, so
/// that no user fills in a page for nothing.
///
/// # Errors
/// [`DependencyError::Entropy`].
pub fn page<P: Ports>(
    context: &RequestContext<'_, P>,
    client: &ResolvedClient,
    redirect_uri: &CheckedRedirectUri,
    authorization: Authorization,
) -> Result<Resolved, DependencyError> {
    let config = context.config();
    let transaction = Transaction { seed: Seed::new(context.ports)?, request: authorization, shown_at: context.now() };
    let set_cookies = pending_login::cookies(&transaction.seed, None, context.request, config, context.ports)?;
    let sealed = transaction.seal(&config.sealer, context.ports.random()?).ok_or(DependencyError::Internal)?;
    let sealed = base64url::encode(&sealed);
    let csrf = csrf_token(config, &transaction.seed, &sealed);
    let scopes: Vec<&str> = transaction.request.scope.as_set().iter().collect();
    let page = ConsentPage {
        title: &config.consent.title,
        logo: config.consent.logo.as_deref(),
        client_name: client.name().unwrap_or_default(),
        document: client.document_url().map(|url| DocumentAddress { host: url.host(), url: url.as_str() }),
        redirect_host: redirect_uri.host_for_display(),
        redirect_uri: redirect_uri.as_str(),
        loopback: redirect_uri.is_loopback(),
        scopes: &scopes,
        resource: &transaction.request.resource,
        provider: &config.providers.login().name,
        action: &Endpoint::Consent.below(&config.issuer.path),
        transaction: &sealed,
        csrf: &csrf,
    };
    let response = set_cookies.iter().fold(page.response(), |page, cookie| page.header("set-cookie", cookie));
    Ok(Resolved::Respond(response, Audit::new(Reason::ConsentShown)))
}

/// Answers `POST /oauth/consent`.
pub async fn consent<P: Ports>(context: &RequestContext<'_, P>) -> Decision {
    match answer(context).await {
        Ok(Answer { transaction, approved: true }) => {
            let Transaction { seed, request: authorization, .. } = transaction;
            let started = start_login::start(context, seed, authorization, None);
            started.unwrap_or_else(|error| unavailable_page(context.config(), error).into())
        }
        Ok(Answer { transaction, approved: false }) => {
            let description = "the user did not consent";
            let code = ErrorCode::AccessDenied;
            refuse(context.config(), &transaction.request, code, description, Reason::ConsentDenied).into()
        }
        Err(refused) => refused.into(),
    }
}

/// The user's answer; the refusal where it does not count.
async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Answer, Resolved> {
    let config = context.config();
    let refused = |message: &str, reason| {
        let hint = "Go back to the application and connect again.";
        error_page(config, 403, "This answer cannot be accepted", message, hint, reason)
    };
    if !is_same_origin(context.request, &config.issuer.origin) {
        return Err(refused("It was sent from another site.", Reason::ConsentCrossSite));
    }
    let body = context.ports.body(Endpoint::Consent.entry().body_bytes).await.map_err(|_| {
        error_page(config, 413, "This answer is too large", "The form was changed.", "", Reason::ConsentTooLarge)
    })?;
    read(context, &body).map_err(|error| match error {
        FormError::Csrf => refused("It does not belong to a page that was shown in this browser.", Reason::ConsentCsrf),
        FormError::Expired => refused("The page was open for too long.", Reason::ConsentExpired),
        FormError::Malformed => refused("The form was changed.", Reason::ConsentMalformed),
    })
}

/// A form that was proven genuine.
struct Answer {
    transaction: Transaction,
    approved: bool,
}

enum FormError {
    Malformed,
    Csrf,
    Expired,
}

fn read<P: Ports>(context: &RequestContext<'_, P>, body: &[u8]) -> Result<Answer, FormError> {
    let params = Params::parse(body, Limits::OAUTH).map_err(|_| FormError::Malformed)?;
    let field = |name: &str| params.one(name).ok().flatten();
    let sealed = field("transaction").ok_or(FormError::Malformed)?;
    let csrf = field("csrf").ok_or(FormError::Csrf)?;
    let opened = base64url::decode(sealed).ok().and_then(|sealed| Transaction::open(sealed, &context.config().sealer));
    let transaction = opened.ok_or(FormError::Csrf)?;
    let (shown, _) =
        pending_login::carried(context.request, context.config(), &transaction.seed.state()).ok_or(FormError::Csrf)?;
    if !is_csrf_token(context.config(), csrf, &shown, sealed) {
        return Err(FormError::Csrf);
    }
    if context.now() >= transaction.shown_at.saturating_add(FORM_LIFE) {
        return Err(FormError::Expired);
    }
    let approved = match field("decision") {
        Some("approve") => true,
        Some("deny") => false,
        Some(_) | None => return Err(FormError::Malformed),
    };
    Ok(Answer { transaction, approved })
}

impl Transaction {
    pub(crate) fn seal(&self, sealer: &Sealer, nonce: [u8; 24]) -> Option<Vec<u8>> {
        let draft = encoding::to_draft(self).ok()?;
        Some(sealer.seal(nonce, Purpose::Consent, &[], draft))
    }

    pub(crate) fn open(sealed: Vec<u8>, sealer: &Sealer) -> Option<Self> {
        let plain = sealer.open(Purpose::Consent, &[], sealed)?;
        encoding::from_bytes(plain.expose())
    }
}

/// The CSRF token of a form: a MAC over the seed in the browser's cookie and the form's
/// transaction, under a named key.
fn csrf_token(config: &Config, shown: &Seed, transaction: &str) -> String {
    let mac = config.key_ring.mac(Purpose::Csrf, &[shown.as_bytes(), transaction.as_bytes()]);
    format!("{}.{}", config.key_ring.current(), base64url::encode(&mac))
}

fn is_csrf_token(config: &Config, token: &str, shown: &Seed, transaction: &str) -> bool {
    let Some((key_id, mac)) = token.split_once('.') else { return false };
    let (Some(key_id), Ok(mac)) = (KeyId::parse(key_id), base64url::decode(mac)) else { return false };
    config.key_ring.verify_mac(Purpose::Csrf, key_id, &[shown.as_bytes(), transaction.as_bytes()], &mac)
}

/// Whether a form came from a page of ours. Browsers state the origin of every POST; a program that
/// states none is held to the CSRF token alone.
fn is_same_origin(request: &Request, origin: &str) -> bool {
    let same = |name: FieldName, expected: &str| {
        !request.headers.has(name) || request.headers.one(name) == Some(expected.as_bytes())
    };
    same(FieldName::Origin, origin) && same(FieldName::SecFetchSite, "same-origin")
}
