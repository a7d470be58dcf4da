//! The way back from a provider that a user signed in at for the page, or connects.

use portcullis_protocol::credentials::UserId;
use portcullis_protocol::http::message::Response;
use portcullis_protocol::oauth::params::{self, Params};

use crate::audit::{AuditField, AuditFields, Reason};
use crate::browser::cookies::Browser;
use crate::browser::pending_login::{LOGIN_LIFE, Seed};
use crate::browser::pending_visit::{Connect, PendingVisit, SignIn, VisitPurpose};
use crate::config::{Provider, ProviderId};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::browser_error::private;
use crate::endpoints::connections::error::ConnectionsError;
use crate::endpoints::pages::connections::ConnectedPage;
use crate::endpoints::provider_return::{admit, end_in_browser, logged_in, use_up};
use crate::ports::Ports;
use crate::routing::endpoint_table::Endpoint;
use crate::sessions::users;
use crate::upstream::connections::{offer, stored};
use crate::upstream::identity::account_label;

/// Completes a visit that the browser carries, with the parameters of the provider's answer.
pub(in crate::endpoints) async fn complete<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    state: &str,
    (seed, visit): (Seed, PendingVisit),
) -> Resolved {
    let config = context.config();
    // Until it is used up, the browser goes on carrying it.
    if let Err(error) = take(context, state, &visit).await {
        return error.reply(config);
    }
    let completed = complete_once(context, params, &seed, visit).await;
    end_in_browser(context, state, completed.unwrap_or_else(|error| error.reply(config)))
}

async fn take<P: Ports>(
    context: &RequestContext<'_, P>,
    state: &str,
    visit: &PendingVisit,
) -> Result<(), ConnectionsError> {
    admit(context, visit.expires_at).await?;
    Ok(use_up(context, state).await?)
}

async fn complete_once<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    visit: PendingVisit,
) -> Result<Resolved, ConnectionsError> {
    let provider = context.config().providers.get(ProviderId::from_bytes(visit.provider));
    let provider = provider.ok_or(ConnectionsError::UnknownProvider)?;
    match visit.purpose {
        VisitPurpose::SignIn(sign_in) => signed_in(context, params, seed, provider, sign_in).await,
        VisitPurpose::Connect(connect) => connected(context, params, seed, provider, &connect).await,
    }
}

/// Notes in the browser who has signed in, and goes back to the page.
async fn signed_in<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    provider: &Provider,
    sign_in: SignIn,
) -> Result<Resolved, ConnectionsError> {
    let config = context.config();
    let is_first =
        config.providers.legs().first().is_some_and(|leg| config.providers.at(leg, Some(provider.id)).is_some());
    if !is_first {
        return Err(ConnectionsError::UnknownProvider);
    }
    let (_, identity) = logged_in(context, params, seed, provider).await?;
    users::check(config, provider, &identity).map_err(|users::NotAllowed| ConnectionsError::UserNotAllowed)?;
    let user = UserId::derive(provider.account_space(), &identity.subject);
    let label = account_label(identity.email.as_deref(), identity.name.as_deref(), &identity.subject);
    let browser = Browser {
        user_id: user,
        chosen: sign_in.is_chosen.then_some(provider.id),
        signed_in_at: context.now(),
        name: Some(label.to_owned()),
    };
    let cookie = browser.set_cookie(config, config.consent.remember.max(LOGIN_LIFE), context.ports)?;
    let page = Endpoint::Connections.below(&config.issuer.url);
    let about = sign_in.about.as_deref().map(|about| ("provider", about));
    let location = params::append_query(&page, about.as_slice());
    let mut known = AuditFields::default().with(AuditField::User, &user.to_string());
    known.add(AuditField::Subject, &identity.subject);
    known.add_known(AuditField::Email, identity.email.as_deref().filter(|_| config.audits_email));
    let response = private(Response::see_other(&location)).header("set-cookie", &cookie);
    Ok(Resolved::Respond(response, known.decided(Reason::ConnectionsSignedIn)))
}

/// Connects the provider for the user who began it, if no other has signed in to the browser since.
async fn connected<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    provider: &Provider,
    &Connect { user }: &Connect,
) -> Result<Resolved, ConnectionsError> {
    let config = context.config();
    if Browser::of(context.request, config).is_none_or(|browser| browser.user_id != user) {
        return Err(ConnectionsError::OtherUser);
    }
    let (reply, identity) = logged_in(context, params, seed, provider).await?;
    let account = account_label(identity.email.as_deref(), identity.name.as_deref(), &identity.subject).to_owned();
    let known = AuditFields::default().with(AuditField::User, &user.to_string());
    let known = known.with(AuditField::Subject, &identity.subject);
    stored::save(context.gateway, user, provider, reply, identity, context.ports).await?;
    offer::forget(context.gateway, user, provider.id, context.ports).await?;
    let page = ConnectedPage {
        title: &config.consent.title,
        provider: &provider.display_name,
        account: &account,
        connections: &Endpoint::Connections.below(&config.issuer.path),
    };
    Ok(Resolved::Respond(page.response(), known.decided(Reason::Connected)))
}
