//! The page on which a user connects providers that are no part of a login, and disconnects them.
//!
//! Its address holds nothing of a user, a session or an application: an application shows it to its
//! user, and a user who opens it connects an account of theirs to themselves. An attacker who sends
//! the address to a victim so gets nothing: what the victim connects is the victim's (MCP, URL
//! elicitation, "Phishing"). Who that is, the browser's cookie says; without a recent one the
//! browser is sent through a login first.

mod error;
mod page;
mod start_visit;
pub(super) mod visit;

use portcullis_protocol::http::media_type::is_media_type;
use portcullis_protocol::http::message::{FieldName, Method, Response};
use portcullis_protocol::oauth::form::FORM_TYPE;
use portcullis_protocol::oauth::params::{Limits, Params};

use self::error::ConnectionsError;
use self::page::{connectable, csrf_parts};
use crate::audit::{AuditField, AuditFields, Reason};
use crate::browser::cookies::{Browser, FORM_LIFE};
use crate::browser::pending_visit::{Connect, SignIn, VisitPurpose};
use crate::config::{LoginMode, Provider, ProviderId};
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::endpoints::browser_error::private;
use crate::endpoints::form::{is_csrf_token, is_same_origin};
use crate::endpoints::pages::ProviderLabel;
use crate::endpoints::pages::connections::SignInPage;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::routing::endpoint_table::Endpoint;
use crate::upstream::connections::{offer, stored};

/// Answers `GET` and `POST` of `/oauth/connections`.
pub async fn connections<P: Ports>(context: &RequestContext<'_, P>) -> Decision {
    let answered = match context.request.method {
        Method::Post => change(context).await,
        Method::Get | Method::Head | Method::Options | Method::Other => show(context).await,
    };
    answered.unwrap_or_else(|error| error.reply(context.config()).into())
}

/// Shows the page to a user who has signed in to this browser a moment ago, and has any other sign
/// in.
async fn show<P: Ports>(context: &RequestContext<'_, P>) -> Result<Decision, ConnectionsError> {
    let params = Params::parse(context.path.query().unwrap_or_default(), Limits::OAUTH)?;
    let parameter = |name: &str| params.one(name).map_err(|_| ConnectionsError::RepeatedParameter);
    let (about, login) = (parameter("provider")?, parameter("login")?);
    let browser = Browser::of(context.request, context.config());
    if let Some(browser) = browser.as_ref().filter(|browser| browser.has_signed_in_since(context.now(), SIGN_IN_LIFE)) {
        return Ok(page::page(context, browser, about).await?.into());
    }
    let all = &context.config().providers;
    let leg = all.legs().first().ok_or(ConnectionsError::NoProviders)?;
    if all.iter().all(|provider| provider.login == LoginMode::Required) {
        return Err(ConnectionsError::NoProviders);
    }
    let before = browser.and_then(|browser| browser.chosen);
    let chosen = login.map_or(before, |name| all.offered(name).map(|provider| provider.id));
    let Some(provider) = all.at(leg, chosen) else {
        let choices: Vec<ProviderLabel<'_>> = all.of(leg).map(ProviderLabel::of).collect();
        let page = SignInPage {
            title: &context.config().consent.title,
            choices: &choices,
            provider: about,
            action: &Endpoint::Connections.below(&context.config().issuer.path),
        };
        return Ok(Resolved::Respond(page.response(), AuditFields::default().decided(Reason::ConnectionsShown)).into());
    };
    let about = about.filter(|about| about.len() <= MAX_NAME_BYTES).map(str::to_owned);
    let purpose = VisitPurpose::SignIn(SignIn { about, is_chosen: leg.is_choice() });
    let audit = AuditFields::default().decided(Reason::ConnectionsSignIn);
    Ok(start_visit::start(context, provider, purpose, None, audit)?)
}

/// Connects or disconnects, as a form of the page asks.
async fn change<P: Ports>(context: &RequestContext<'_, P>) -> Result<Decision, ConnectionsError> {
    let config = context.config();
    if !is_same_origin(context.request, &config.issuer.origin) {
        return Err(ConnectionsError::CrossSite);
    }
    let most = Endpoint::Connections.entry().body_bytes;
    let body = context.ports.body(most).await.map_err(|_| ConnectionsError::TooLarge)?;
    // A page of another site can send text without a preflight, and no form of ours is text.
    if !is_media_type(context.request.headers.one(FieldName::ContentType), FORM_TYPE) {
        return Err(ConnectionsError::ContentType);
    }
    let (browser, action, provider) = read_form(context, &body)?;
    let user = browser.user_id;
    let known = AuditFields::default().with(AuditField::User, &user.to_string());
    match action {
        Action::Connect => {
            let offer = offer::load(context.gateway, user, provider.id, context.ports).await?;
            let purpose = VisitPurpose::Connect(Connect { user });
            let audit = known.decided(Reason::ConnectionStarted);
            Ok(start_visit::start(context, provider, purpose, offer.prompt.as_deref(), audit)?)
        }
        Action::Disconnect => {
            disconnect(context, browser, provider.id).await?;
            let page = Endpoint::Connections.below(&config.issuer.url);
            Ok(Resolved::Respond(private(Response::see_other(&page)), known.decided(Reason::Disconnected)).into())
        }
    }
}

/// Ends a connection. The next call that needs it asks for it again.
async fn disconnect<P: Ports>(
    context: &RequestContext<'_, P>,
    browser: Browser,
    provider: ProviderId,
) -> Result<(), DependencyError> {
    stored::remove(context.gateway, browser.user_id, provider, context.ports).await?;
    offer::forget(context.gateway, browser.user_id, provider, context.ports).await
}

/// The button that was pressed.
enum Action {
    Connect,
    Disconnect,
}

/// Reads a form that is proven to be of the page that this browser's user was shown.
fn read_form<'a, P: Ports>(
    context: &RequestContext<'a, P>,
    body: &[u8],
) -> Result<(Browser, Action, &'a Provider), ConnectionsError> {
    let config = context.config();
    let params = Params::parse(body, Limits::OAUTH)?;
    let field = |name: &str| params.one(name).ok().flatten().ok_or(ConnectionsError::Incomplete);
    let (csrf, shown_at) = (field("csrf")?, field("shown_at")?);
    let shown_at: u64 = shown_at.parse().map_err(|_| ConnectionsError::Incomplete)?;
    let browser = Browser::of(context.request, config).ok_or(ConnectionsError::SignedOut)?;
    if !is_csrf_token(config, csrf, &csrf_parts(&browser, &shown_at.to_be_bytes())) {
        return Err(ConnectionsError::Csrf);
    }
    if context.now() >= shown_at.saturating_add(FORM_LIFE) {
        return Err(ConnectionsError::Expired);
    }
    let action = match field("action")? {
        "connect" => Action::Connect,
        "disconnect" => Action::Disconnect,
        _ => return Err(ConnectionsError::UnknownAction),
    };
    let name = field("provider")?;
    let mut providers = config.providers.iter().filter(|provider| connectable(provider, browser.chosen));
    let provider = providers.find(|provider| *provider.name == *name).ok_or(ConnectionsError::UnknownProvider)?;
    Ok((browser, action, provider))
}

/// How long ago a user may have signed in to a browser, in seconds, for the page to be shown there
/// without a login.
const SIGN_IN_LIFE: u64 = 3_600;

/// The longest name of a provider.
const MAX_NAME_BYTES: usize = 63;
