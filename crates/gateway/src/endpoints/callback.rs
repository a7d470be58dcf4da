//! The provider's answer (OAuth 2.1 §4.1.2, OIDC Core §3.1.2.5): from its code to a logged-in user
//! and our own code.

mod error;

use portcullis_protocol::credentials::{AuthorizationCode, SessionId, UserId};
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::{RedirectUri, match_registered};
use portcullis_storage_api::{Bucket, Kind, Taken, Ttl};

use self::error::{AuthorizationAnswer, CallbackError, LoginError};
use crate::audit::{Audit, AuditField, Reason};
use crate::browser::cookies::{self, Browser};
use crate::browser::pending_login::{self, Authorization, LOGIN_LIFE, PendingLogin, Seed, USED_LIFE, UsedLogin};
use crate::clients::registered::Client;
use crate::clients::resolve::{ResolvedClient, recheck, resolve};
use crate::config::Provider;
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::browser_error;
use crate::endpoints::client_address::client_address;
use crate::endpoints::consent;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::sessions::keys::session_keys;
use crate::sessions::state::{PendingCode, Session, State};
use crate::sessions::{last_grant, next_prompt, remembered_consent};
use crate::store::records;
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::tokens::{self, Upstream};
use crate::upstream::{life, providers};

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

/// From the provider's answer to the client's.
async fn complete<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    login: PendingLogin,
    registration: Option<Client>,
) -> Result<Resolved, CallbackError> {
    let config = context.config();
    let provider = config.providers.login().ok_or(DependencyError::Internal)?;
    let (reply, identity) = match logged_in(context, params, seed, provider).await {
        Ok(login) => login,
        Err(cause) => return Err(CallbackError::Login { cause, request: Box::new(login.request) }),
    };
    let asked = &login.request;
    let user = UserId::derive(provider.account_space(), &identity.subject);
    if login.consented_by.is_some_and(|consented_by| consented_by != user) {
        // The consent that was remembered is another user's: this user has not been asked.
        return ask_again(context, registration, login.request).await;
    }
    remembered_consent::remember(config, user, asked, context.ports).await?;
    next_prompt::forget(context.gateway, user, asked, context.ports).await?;
    let mut known = asked.audited().with(AuditField::User, &user.to_string());
    known.add(AuditField::Subject, &identity.subject);
    known.add_known(AuditField::Email, identity.email.as_deref().filter(|_| config.audits_email));
    let refreshable = asked.refreshable.or(registration.map(|client| client.refresh)).unwrap_or(false);
    let code = open_session(context, asked, refreshable, user, identity, reply).await?;
    known.add(AuditField::Session, &code.session.to_string());
    Ok(give_code(context, asked, user, &code, known.decided(Reason::LoggedIn))?)
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

/// Stores the session with its upstream tokens and gives the code that opens it.
async fn open_session<P: Ports>(
    context: &RequestContext<'_, P>,
    asked: &Authorization,
    refreshable: bool,
    user: UserId,
    identity: Identity,
    reply: TokenReply,
) -> Result<AuthorizationCode, DependencyError> {
    let config = context.config();
    let provider = config.providers.login().ok_or(DependencyError::Internal)?;
    let records = context.records();
    let code = AuthorizationCode { session: SessionId::new(context.ports.random()?), nonce: context.ports.random()? };
    let refresh_token = match reply.refresh_token {
        Some(refresh_token) => Some(refresh_token),
        None => last_grant::refresh_token(&records, user, &asked.client_id, provider.id, &identity.subject).await?,
    };
    let now = context.now();
    let life = config.lifespans.authorization_code;
    let upstream = Upstream {
        access_token: reply.access_token,
        obtained_at: now,
        expires_at: life::expires_at(
            reply.life,
            refresh_token.is_some(),
            None,
            provider.client().default_token_life,
            now,
        ),
        refresh_token,
        subject: identity.subject,
        refused_since: None,
        session: *code.session.as_bytes(),
        name: identity.name,
        email: identity.email,
        client_name: asked.client_name.clone(),
        connected: None,
        groups: identity.groups,
        email_verified: identity.email_verified,
    };
    let session = Session {
        providers: vec![provider.id],
        client_id: asked.client_id.clone(),
        user_id: user,
        scope: asked.scope.clone(),
        resource: asked.resource.clone(),
        refreshable,
        upstream_ends_at: tokens::end_of(&upstream),
        state: State::Code(PendingCode {
            nonce: code.nonce,
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge.clone(),
            expires_at: now.saturating_add(life),
        }),
    };
    // Upstream tokens first: a session that is found has its tokens. Until the code is redeemed
    // they last hardly longer than the code (see token.rs).
    let [session_key, upstream_key] = session_keys(code.session, provider.id);
    records.save(&upstream_key, &upstream, Ttl::Seconds(life.saturating_add(EXTENSION_SECONDS))).await?;
    records.save(&session_key, &session, Ttl::Seconds(life)).await?;
    Ok(code)
}

/// Sends the code to the client, and notes in the browser who logged in.
fn give_code<P: Ports>(
    context: &RequestContext<'_, P>,
    asked: &Authorization,
    user: UserId,
    code: &AuthorizationCode,
    audit: Audit,
) -> Result<Resolved, DependencyError> {
    let config = context.config();
    let browser = Browser { user_id: user };
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

/// How much longer than their session's code the upstream tokens last, in seconds, so that a code
/// that is redeemed in its last second finds them.
const EXTENSION_SECONDS: u64 = 60;
