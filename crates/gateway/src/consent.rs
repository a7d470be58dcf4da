//! Consent: what a user is asked before anything else happens, and what the answer is bound to.
//!
//! A client registers itself, so nothing but the user's word stands between a stranger's client and the user's login at
//! the provider (MCP security best practices, "confused deputy"). The form carries the checked request, sealed, so that
//! nothing is stored for a page that nobody answers; its CSRF token is bound to that request and to the browser it was
//! shown in. Only an approval sets the browser cookie that the callback asks for.

use portcullis_protocol::base64url;
use portcullis_protocol::http::{FieldName, Request};
use portcullis_protocol::key_ring::{KeyId, Purpose};
use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::CheckedRedirectUri;
use portcullis_storage_api::{Key, Kind, Ttl};
use serde::{Deserialize, Serialize};

use crate::audit::{Audit, Decision};
use crate::config::Config;
use crate::cookies::{self, Browser, FORM_LIFE};
use crate::gateway::Gateway;
use crate::login::{self, error_page, refuse, unavailable_page};
use crate::pages::ConsentPage;
use crate::ports::Ports;
use crate::records::{self, Authorization, Client, Consent, Records, Unavailable};
use crate::verdict::Settled;

/// A form that approves, without the values of its other fields.
const FORM_NAMES: &str = "transaction=&csrf=&decision=approve";

/// What the form carries: the checked request, and when it was shown.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transaction {
    request: Authorization,
    shown_at: u64,
}

/// Shows the consent page. A request whose form [`consent`] would not read is refused instead, so that no user fills in a
/// page for nothing.
///
/// # Errors
/// [`Unavailable::Entropy`].
pub fn page<P: Ports>(
    config: &Config,
    request: &Request,
    client: &Client,
    redirect_uri: &CheckedRedirectUri,
    authorization: Authorization,
    ports: &P,
) -> Result<Settled, Unavailable> {
    let (csrf_cookie, set_cookie) = cookies::csrf_cookie_for_form(request, &config.issuer, ports)?;
    let transaction = Transaction { request: authorization, shown_at: ports.now() };
    // Serializing plain fields cannot fail; were it to, no page is shown.
    let plain = serde_json::to_vec(&transaction).map_err(|_| Unavailable::Entropy)?;
    let sealed = config.key_ring.seal(ports.random()?, Purpose::Consent, &[], &plain);
    let sealed = base64url::encode(&sealed);
    let csrf = csrf_token(config, &csrf_cookie, &sealed);
    // Neither holds a character that a form escapes.
    let form_bytes = FORM_NAMES.len().saturating_add(sealed.len()).saturating_add(csrf.len());
    if form_bytes > Limits::OAUTH.bytes {
        let asked = &transaction.request;
        return Ok(refuse(
            config,
            asked,
            ErrorCode::InvalidRequest,
            "the request is too long",
            "authorization_too_long",
        ));
    }
    let scopes: Vec<&str> = transaction.request.scope.as_set().iter().collect();
    let page = ConsentPage {
        title: &config.consent.title,
        logo: config.consent.logo.as_deref(),
        client_name: client.name.as_deref().unwrap_or_default(),
        redirect_host: redirect_uri.host_for_display(),
        redirect_uri: redirect_uri.as_str(),
        loopback: redirect_uri.is_loopback(),
        scopes: &scopes,
        resource: &transaction.request.resource,
        provider: &config.provider.name,
        action: &format!("{}/oauth/consent", config.issuer.path),
        transaction: &sealed,
        csrf: &csrf,
    };
    let response = page.response().header("set-cookie", &set_cookie);
    Ok(Settled::Reply(response, Audit::new(Decision::Serve, "consent_shown")))
}

/// Answers `POST /oauth/consent`.
pub async fn consent<P: Ports>(gateway: &Gateway, request: &Request, ports: &P) -> Settled {
    let config = gateway.config();
    let refused = |message: &str, reason| {
        let hint = "Go back to the application and connect again.";
        error_page(config, 403, "This answer cannot be accepted", message, hint, reason)
    };
    if !is_same_origin(request, &config.issuer.origin) {
        return refused("It was sent from another site.", "consent_cross_site");
    }
    let Ok(body) = ports.body(Limits::OAUTH.bytes).await else {
        return error_page(config, 413, "This answer is too large", "The form was changed.", "", "consent_too_large");
    };
    let answer = match read(config, request, &body, ports.now()) {
        Ok(answer) => answer,
        Err(FormError::Csrf) => {
            return refused("It does not belong to a page that was shown in this browser.", "consent_csrf");
        }
        Err(FormError::Expired) => return refused("The page was open for too long.", "consent_expired"),
        Err(FormError::Malformed) => return refused("The form was changed.", "consent_malformed"),
    };
    if !answer.approved {
        let description = "the user did not consent";
        return refuse(config, &answer.request, ErrorCode::AccessDenied, description, "consent_denied");
    }
    match approve(gateway, request, answer.request, ports).await {
        Ok(settled) => settled,
        Err(_) => unavailable_page(config),
    }
}

async fn approve<P: Ports>(
    gateway: &Gateway,
    request: &Request,
    authorization: Authorization,
    ports: &P,
) -> Result<Settled, Unavailable> {
    let config = gateway.config();
    let browser = match Browser::of(request, &config.issuer, &config.key_ring) {
        Some(browser) => browser,
        None => Browser::new(ports)?,
    };
    login::start(gateway, authorization, &browser, None, ports).await
}

/// Whether the user has consented to exactly this before.
///
/// # Errors
/// [`Unavailable::Store`].
pub async fn is_remembered<P: Ports>(
    config: &Config,
    user_id: &str,
    authorization: &Authorization,
    ports: &P,
) -> Result<bool, Unavailable> {
    if config.consent.remember == 0 {
        return Ok(false);
    }
    let records = Records::new(&config.key_ring, ports);
    Ok(records.load::<Consent>(&consent_key(user_id, authorization)).await?.is_some())
}

/// Remembers a consent, now that it is known who gave it.
///
/// # Errors
/// [`Unavailable`].
pub async fn remember<P: Ports>(
    config: &Config,
    user_id: &str,
    authorization: &Authorization,
    ports: &P,
) -> Result<(), Unavailable> {
    if config.consent.remember == 0 {
        return Ok(());
    }
    let records = Records::new(&config.key_ring, ports);
    let key = consent_key(user_id, authorization);
    records.save(&key, &Consent { given_at: ports.now() }, Ttl::Seconds(config.consent.remember)).await
}

/// A consent's name holds all that it was given for: another client, redirect, scope or resource is another consent.
fn consent_key(user_id: &str, authorization: &Authorization) -> Key {
    let scope = authorization.scope.to_string();
    let parts = [user_id, &authorization.client_id, &authorization.redirect_uri, &scope, &authorization.resource];
    records::key(Kind::Consent, &parts.map(str::as_bytes))
}

/// A form that was proven genuine.
struct Answer {
    request: Authorization,
    approved: bool,
}

enum FormError {
    Malformed,
    Csrf,
    Expired,
}

fn read(config: &Config, request: &Request, body: &[u8], now: u64) -> Result<Answer, FormError> {
    let params = Params::parse(body, Limits::OAUTH).map_err(|_| FormError::Malformed)?;
    let field = |name: &str| params.one(name).ok().flatten();
    let transaction = field("transaction").ok_or(FormError::Malformed)?;
    let csrf = field("csrf").ok_or(FormError::Csrf)?;
    let cookie = cookies::csrf_cookie(request, &config.issuer).ok_or(FormError::Csrf)?;
    if !is_csrf_token(config, csrf, &cookie, transaction) {
        return Err(FormError::Csrf);
    }
    let sealed = base64url::decode(transaction).map_err(|_| FormError::Malformed)?;
    let plain = config.key_ring.open_in_place(Purpose::Consent, &[], sealed).map_err(|_| FormError::Malformed)?;
    let transaction: Transaction = serde_json::from_slice(plain.expose()).map_err(|_| FormError::Malformed)?;
    if now >= transaction.shown_at.saturating_add(FORM_LIFE) {
        return Err(FormError::Expired);
    }
    let approved = match field("decision") {
        Some("approve") => true,
        Some("deny") => false,
        Some(_) | None => return Err(FormError::Malformed),
    };
    Ok(Answer { request: transaction.request, approved })
}

/// The CSRF token of a form: a MAC over the browser's cookie and the form's transaction, under a named key.
fn csrf_token(config: &Config, cookie: &str, transaction: &str) -> String {
    let mac = config.key_ring.mac(Purpose::Csrf, &[cookie.as_bytes(), transaction.as_bytes()]);
    format!("{}.{}", config.key_ring.current(), base64url::encode(&mac))
}

fn is_csrf_token(config: &Config, token: &str, cookie: &str, transaction: &str) -> bool {
    let Some((key_id, mac)) = token.split_once('.') else { return false };
    let (Some(key_id), Ok(mac)) = (KeyId::parse(key_id), base64url::decode(mac)) else { return false };
    config.key_ring.verify_mac(Purpose::Csrf, key_id, &[cookie.as_bytes(), transaction.as_bytes()], &mac)
}

/// Whether a form came from a page of ours. Browsers state the origin of every POST; a program that states none is held
/// to the CSRF token alone.
fn is_same_origin(request: &Request, origin: &str) -> bool {
    let same = |name: FieldName, expected: &str| {
        !request.headers.has(name) || request.headers.one(name) == Some(expected.as_bytes())
    };
    same(FieldName::Origin, origin) && same(FieldName::SecFetchSite, "same-origin")
}
