//! The provider's answer (OAuth 2.1 §4.1.2, OIDC Core §3.1.2.5): from its code to a logged-in user,
//! and to the next provider or our own code.

mod connection_leg;
mod error;
mod legs;

use portcullis_protocol::credentials::{AuthorizationCode, SessionId, UserId};
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::{RedirectUri, match_registered};
use portcullis_storage_api::Ttl;

use self::connection_leg::ConnectionLeg;
use self::error::{CallbackError, LoginError};
use self::legs::CompletedLeg;
use crate::audit::{Audit, AuditField, Reason};
use crate::browser::cookies::Browser;
use crate::browser::pending_login::{self, Authorization, DoneLegs, LOGIN_LIFE, PendingLogin, Seed};
use crate::browser::pending_visit;
use crate::clients::registered::Client;
use crate::clients::resolve::{ResolvedClient, recheck, resolve};
use crate::config::{Progress, Provider, ProviderId};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::client_address::client_address;
use crate::endpoints::connections::visit;
use crate::endpoints::provider_return::{AnswerError, admit, end_in_browser, logged_in, use_up};
use crate::endpoints::start_login::Onward;
use crate::endpoints::{browser_error, consent, start_login};
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::keys::session_key;
use crate::sessions::state::{PendingCode, Session, State};
use crate::sessions::{next_prompt, remembered_consent, users};
use crate::upstream::providers;
use crate::upstream::tokens::Upstream;

/// Answers `GET /oauth/callback`.
///
/// The pending login is used up, in one step, before the provider's code is; from then on the same
/// URL leads nowhere. A browser that hangs up half way has to start again; nothing is left half
/// done that anyone could use.
pub async fn callback<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    answer(context).await.unwrap_or_else(|error| error.reply(context.config()))
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Resolved, CallbackError> {
    let config = context.config();
    let params = Params::parse(context.path.query().unwrap_or_default(), Limits::OAUTH)?;
    if params.repeated().is_some() {
        return Err(CallbackError::RepeatedParameter);
    }
    let state = params.one("state").ok().flatten().ok_or(CallbackError::NoState)?;
    if let Some(visit) = pending_visit::carried(context.request, config, state) {
        return Ok(visit::complete(context, &params, state, visit).await);
    }
    let (seed, login, registration) = take(context, state).await?;
    let completed = complete(context, &params, &seed, login, registration).await;
    Ok(end_in_browser(context, state, completed.unwrap_or_else(|error| error.reply(config))))
}

/// Uses up the login that a state names: the browser must carry it with the user's consent, its
/// client must still be known, and of all requests for it only the first goes on. Returns it with
/// the client's registration, which a client with a document has not.
async fn take<P: Ports>(
    context: &RequestContext<'_, P>,
    state: &str,
) -> Result<(Seed, PendingLogin, Option<Client>), CallbackError> {
    let carried = pending_login::carried(context.request, context.config(), state);
    let (seed, login) = carried.ok_or(CallbackError::UnknownLogin)?;
    let login = login.ok_or(CallbackError::NoConsent)?;
    admit(context, login.expires_at).await?;
    let registration = recheck(context, &login.request.client_id).await?;
    use_up(context, state).await?;
    Ok((seed, login, registration))
}

/// From the provider's answer to the next provider, or to the client. A later leg that fails ends
/// the login, and the tokens of the legs before it are deleted.
async fn complete<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    login: PendingLogin,
    registration: Option<Client>,
) -> Result<Resolved, CallbackError> {
    let done = login.done.clone();
    let completed = complete_leg(context, params, seed, login, registration).await;
    if let (Err(_), Some(done)) = (&completed, &done) {
        legs::forget(context, done).await;
    }
    completed
}

async fn complete_leg<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    login: PendingLogin,
    registration: Option<Client>,
) -> Result<Resolved, CallbackError> {
    let config = context.config();
    let failed = |cause| CallbackError::Login { cause, request: Box::new(login.request.clone()) };
    if let Some(provider) = connection_leg::provider(config, &login) {
        return complete_connection(context, params, seed, login, registration, provider).await;
    }
    let provider = legs::provider(config, &login).ok_or_else(|| failed(LoginError::ProvidersChanged))?;
    let first = match &login.done {
        Some(done) => Some(legs::first(context, done).await?.ok_or_else(|| failed(LoginError::FirstLegGone))?),
        None => None,
    };
    let (reply, identity) = logged_in(context, params, seed, provider).await.map_err(|error| failed(error.into()))?;
    // Who the user is says the first leg.
    if login.done.is_none()
        && let Err(users::NotAllowed) = users::check(config, provider, &identity)
    {
        return Err(failed(LoginError::UserNotAllowed { subject: identity.subject, email: identity.email }));
    }
    let (session, user) = match &login.done {
        Some(done) => (done.session(), done.user),
        None => {
            let session = SessionId::new(context.ports.random().map_err(DependencyError::from)?);
            (session, UserId::derive(provider.account_space(), &identity.subject))
        }
    };
    if login.consented_by.is_some_and(|consented_by| consented_by != user) {
        // The consent that was remembered is another user's: this user has not been asked.
        return ask_again(context, registration, login.request).await;
    }
    let asked = &login.request;
    let mut known = asked.audited().with(AuditField::User, &user.to_string());
    known.add(AuditField::Subject, &identity.subject);
    known.add_known(AuditField::Email, identity.email.as_deref().filter(|_| config.audits_email));
    known.add(AuditField::Session, &session.to_string());
    let providers = [login.done(), &[provider.id]].concat();
    let next = match config.providers.progress(&providers) {
        Progress::Next(next) => Some(next),
        Progress::Complete => None,
        Progress::Changed => return Err(failed(LoginError::ProvidersChanged)),
    };
    let connection = match next {
        Some(_) => None,
        None => connection_leg::due(context, asked, user, &providers).await?,
    };
    let left = config.providers.legs().len().saturating_sub(providers.len());
    let left = left.saturating_add(usize::from(connection.is_some()));
    let leg = CompletedLeg { provider, session, user, first: first.as_ref(), left, identity, reply };
    let connects = connection.is_some();
    let done = |providers| DoneLegs { session: *session.as_bytes(), user, providers, connects };
    if let Some(next) = next {
        let next = config.providers.at(next, login.chosen).ok_or_else(|| failed(LoginError::ProvidersChanged))?;
        // Nothing is stored of a login that cannot go on.
        let prepared = providers::prepare(context.gateway, next, context.ports).await;
        prepared.map_err(|error| failed(AnswerError::Provider(error).into()))?;
        leg.store(context, asked).await?;
        let prompt = asked.prompt.clone();
        let onward = Onward { provider: next, prompt: prompt.as_deref(), done: done(providers) };
        return Ok(start_login::go_on(context, onward, login.request, login.chosen, known)?);
    }
    let upstream = leg.store(context, asked).await?;
    if let Some(ConnectionLeg { provider, prompt }) = connection {
        let onward = Onward { provider, prompt: prompt.as_deref(), done: done(providers) };
        return Ok(start_login::go_on(context, onward, login.request, login.chosen, known)?);
    }
    let upstream_ends_at = legs::upstream_ends_at(context, session, asked, &providers, &upstream).await?;
    let opened = Opened { session, user, providers, upstream_ends_at };
    finish(context, login, registration, opened, &upstream, known.decided(Reason::LoggedIn)).await
}

/// From the answer of the provider that the login was sent to for a connection, to the client. No
/// refusal and no failure of that provider fails the login.
async fn complete_connection<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    login: PendingLogin,
    registration: Option<Client>,
    provider: &Provider,
) -> Result<Resolved, CallbackError> {
    let done = login.done.clone().ok_or(DependencyError::Internal)?;
    let first = legs::first(context, &done).await?.ok_or_else(|| CallbackError::Login {
        cause: LoginError::FirstLegGone,
        request: Box::new(login.request.clone()),
    })?;
    let mut known = login.request.audited().with(AuditField::User, &done.user.to_string());
    known.add(AuditField::Subject, &first.subject);
    known.add_known(AuditField::Email, first.email.as_deref().filter(|_| context.config().audits_email));
    known.add(AuditField::Session, &done.session().to_string());
    let is_connected = connection_leg::connect(context, params, seed, provider, done.user).await;
    let reason = if is_connected { Reason::LoggedInConnected } else { Reason::LoggedInNotConnected };
    let (session, user, providers) = (done.session(), done.user, done.providers);
    // The resource injects the tokens of the connection, and none of the session's.
    let opened = Opened { session, user, providers, upstream_ends_at: None };
    finish(context, login, registration, opened, &first, known.decided(reason)).await
}

/// Opens the session of a login whose legs are done, and gives the client its code. `upstream` are
/// the tokens of any of its legs.
async fn finish<P: Ports>(
    context: &RequestContext<'_, P>,
    login: PendingLogin,
    registration: Option<Client>,
    opened: Opened,
    upstream: &Upstream,
    audit: Audit,
) -> Result<Resolved, CallbackError> {
    let (config, asked, user) = (context.config(), &login.request, opened.user);
    remembered_consent::remember(config, user, asked, context.ports).await?;
    next_prompt::forget(context.gateway, user, asked, context.ports).await?;
    let refreshable = asked.refreshable.or(registration.map(|client| client.refresh)).unwrap_or(false);
    let code = open_session(context, asked, refreshable, opened).await?;
    let browser = Browser {
        user_id: user,
        chosen: login.chosen,
        signed_in_at: context.now(),
        name: Some(upstream.user_label().to_owned()),
    };
    Ok(give_code(context, asked, &browser, &code, audit)?)
}

/// The session of a login whose legs are done.
struct Opened {
    session: SessionId,
    user: UserId,
    providers: Vec<ProviderId>,
    upstream_ends_at: Option<u64>,
}

/// Stores the session of a login, whose upstream tokens are stored, and gives the code that opens
/// it.
async fn open_session<P: Ports>(
    context: &RequestContext<'_, P>,
    asked: &Authorization,
    refreshable: bool,
    opened: Opened,
) -> Result<AuthorizationCode, DependencyError> {
    let Opened { session: id, user, providers, upstream_ends_at } = opened;
    let code = AuthorizationCode { session: id, nonce: context.ports.random()? };
    let life = context.config().lifespans.authorization_code;
    let session = Session {
        providers,
        client_id: asked.client_id.clone(),
        user_id: user,
        scope: asked.scope.clone(),
        resource: asked.resource.clone(),
        refreshable,
        upstream_ends_at,
        state: State::Code(PendingCode {
            nonce: code.nonce,
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge.clone(),
            expires_at: context.now().saturating_add(life),
        }),
    };
    context.records().save(&session_key(id), &session, Ttl::Seconds(life)).await?;
    Ok(code)
}

/// Sends the code to the client, and notes in the browser who logged in.
fn give_code<P: Ports>(
    context: &RequestContext<'_, P>,
    asked: &Authorization,
    browser: &Browser,
    code: &AuthorizationCode,
    audit: Audit,
) -> Result<Resolved, DependencyError> {
    let config = context.config();
    let life = config.consent.remember.max(LOGIN_LIFE);
    let cookie = browser.set_cookie(config, life, context.ports)?;
    let code = code.issue(&config.key_ring);
    let parameters = [("code", code.expose().as_str())];
    let response = browser_error::redirect(config, asked.into(), &parameters);
    Ok(Resolved::Respond(response.header("set-cookie", &cookie), audit))
}

async fn ask_again<P: Ports>(
    context: &RequestContext<'_, P>,
    registration: Option<Client>,
    asked: Authorization,
) -> Result<Resolved, CallbackError> {
    let fetches_for = || Some(client_address(context.request, context.config().trusted_proxies));
    let client = match registration {
        Some(client) => ResolvedClient::Registered(client),
        None => resolve(context, &asked.client_id, fetches_for).await?,
    };
    // It was proven to be the client's when the login began, so it can be read.
    let redirect_uri = RedirectUri::register(&asked.redirect_uri)
        .ok()
        .and_then(|uri| match_registered(&[uri], &asked.redirect_uri))
        .ok_or(DependencyError::Internal)?;
    Ok(consent::page(context, &client, &redirect_uri, asked)?)
}
