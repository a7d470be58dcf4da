//! The provider's answer (OAuth 2.1 §4.1.2, OIDC Core §3.1.2.5): from its code to a logged-in user,
//! and to the next provider or our own code.

mod error;
mod legs;

use portcullis_protocol::credentials::{AuthorizationCode, SessionId, UserId};
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::{RedirectUri, match_registered};
use portcullis_storage_api::{Bucket, Kind, Taken, Ttl};

use self::error::{AuthorizationAnswer, CallbackError, LoginError};
use self::legs::CompletedLeg;
use crate::audit::{Audit, AuditField, Reason};
use crate::browser::cookies::{self, Browser};
use crate::browser::pending_login::{
    self, Authorization, DoneLegs, LOGIN_LIFE, PendingLogin, Seed, USED_LIFE, UsedLogin,
};
use crate::clients::registered::Client;
use crate::clients::resolve::{ResolvedClient, recheck, resolve};
use crate::config::{Progress, Provider, ProviderId};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::client_address::client_address;
use crate::endpoints::{browser_error, consent, start_login};
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::sessions::keys::session_key;
use crate::sessions::state::{PendingCode, Session, State};
use crate::sessions::{next_prompt, remembered_consent};
use crate::store::records;
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::providers;

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
    let (seed, login, registration) = use_up(context, state).await?;
    let completed = complete(context, &params, &seed, login, registration).await;
    let resolved = completed.unwrap_or_else(|error| error.reply(config));
    Ok(match resolved {
        Resolved::Respond(response, audit) => {
            let ended = cookies::end_login(context.request, &config.issuer, state);
            let response = ended.iter().fold(response, |response, cookie| response.header("set-cookie", cookie));
            Resolved::Respond(response, audit)
        }
        forward @ Resolved::Continue(_) => forward,
    })
}

/// Uses up the login that a state names: the browser must carry it with the user's consent, its
/// client must still be known, and of all requests for it only the first goes on. Returns it with
/// the client's registration, which a client with a document has not.
///
/// A login is free to start, so what it costs here (a record, a call to the provider) is limited by
/// address first.
async fn use_up<P: Ports>(
    context: &RequestContext<'_, P>,
    state: &str,
) -> Result<(Seed, PendingLogin, Option<Client>), CallbackError> {
    let config = context.config();
    let (seed, login) = pending_login::carried(context.request, config, state).ok_or(CallbackError::UnknownLogin)?;
    let login = login.ok_or(CallbackError::NoConsent)?;
    if context.now() >= login.expires_at {
        return Err(CallbackError::Expired);
    }
    let address = client_address(context.request, config.trusted_proxies);
    let bucket = records::key(Kind::RateLimit, &[b"login", b"address", address.as_bytes()]);
    let limit = Bucket { capacity: config.logins_per_minute, period_seconds: 60 };
    if let Taken::Empty { retry_after } =
        context.ports.store().take_token(&bucket, limit).await.map_err(DependencyError::from)?
    {
        return Err(CallbackError::TooMany { retry_after });
    }
    let registration = recheck(context, &login.request.client_id).await?;
    let key = records::key(Kind::Pending, &[state.as_bytes()]);
    if context.records().create(&key, &UsedLogin, Ttl::Seconds(USED_LIFE)).await? {
        Ok((seed, login, registration))
    } else {
        Err(CallbackError::Reused)
    }
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
    let provider = legs::provider(config, &login).ok_or_else(|| failed(LoginError::ProvidersChanged))?;
    let first = match &login.done {
        Some(done) => Some(legs::first(context, done).await?.ok_or_else(|| failed(LoginError::FirstLegGone))?),
        None => None,
    };
    let (reply, identity) = logged_in(context, params, seed, provider).await.map_err(failed)?;
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
    let left = config.providers.legs().len().saturating_sub(providers.len());
    let leg = CompletedLeg { provider, session, user, first: first.as_ref(), left, identity, reply };
    let next = match config.providers.progress(&providers) {
        Progress::Next(next) => Some(next),
        Progress::Complete => None,
        Progress::Changed => return Err(failed(LoginError::ProvidersChanged)),
    };
    if let Some(next) = next {
        let next = config.providers.at(next, login.chosen).ok_or_else(|| failed(LoginError::ProvidersChanged))?;
        // Nothing is stored of a login that cannot go on.
        let prepared = providers::prepare(context.gateway, next, context.ports).await;
        prepared.map_err(|error| failed(LoginError::Provider(error)))?;
        leg.store(context, asked).await?;
        let done = DoneLegs { session: *session.as_bytes(), user, providers };
        return Ok(start_login::go_on(context, next, login.request, login.chosen, done, known)?);
    }
    let upstream = leg.store(context, asked).await?;
    remembered_consent::remember(config, user, asked, context.ports).await?;
    next_prompt::forget(context.gateway, user, asked, context.ports).await?;
    let refreshable = asked.refreshable.or(registration.map(|client| client.refresh)).unwrap_or(false);
    let upstream_ends_at = legs::upstream_ends_at(context, session, asked, &providers, &upstream).await?;
    let opened = Opened { session, user, providers, refreshable, upstream_ends_at };
    let code = open_session(context, asked, opened).await?;
    let browser = Browser { user_id: user, chosen: login.chosen };
    Ok(give_code(context, asked, &browser, &code, known.decided(Reason::LoggedIn))?)
}

/// Returns who logged in, with the provider's tokens.
async fn logged_in<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    provider: &Provider,
) -> Result<(TokenReply, Identity), LoginError> {
    let parameter = |name: &str| params.one(name).ok().flatten();
    if parameter("iss").zip(provider.issuer()).is_some_and(|(iss, issuer)| iss != issuer) {
        return Err(LoginError::OtherIssuer);
    }
    if let Some(error) = parameter("error") {
        return Err(LoginError::Answered(AuthorizationAnswer::of(error)));
    }
    let code = parameter("code").ok_or(LoginError::NoCode)?;
    providers::log_in(context.gateway, provider, seed, code, context.ports).await.map_err(LoginError::Provider)
}

/// The session of a login whose legs are done.
struct Opened {
    session: SessionId,
    user: UserId,
    providers: Vec<ProviderId>,
    refreshable: bool,
    upstream_ends_at: Option<u64>,
}

/// Stores the session of a login, whose upstream tokens are stored, and gives the code that opens
/// it.
async fn open_session<P: Ports>(
    context: &RequestContext<'_, P>,
    asked: &Authorization,
    opened: Opened,
) -> Result<AuthorizationCode, DependencyError> {
    let Opened { session: id, user, providers, refreshable, upstream_ends_at } = opened;
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
