//! The authorization endpoint (OAuth 2.1 §4.1.1): from the client's request to the consent page, or
//! straight on to the login where the same user has consented to the same thing before.

mod error;

use portcullis_protocol::oauth::authorize::{AuthorizationRequest, ClientReference, Prompt, state_for_errors};
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::{CheckedRedirectUri, RedirectUri, match_registered};
use portcullis_protocol::oauth::scope::ScopeSet;

use self::error::{AuthorizeError, RequestError};
use crate::audit::{AuditField, AuditFields};
use crate::browser::cookies::Browser;
use crate::browser::pending_login::{Authorization, PendingLogin, Seed};
use crate::clients::resolve::{ResolvedClient, resolve};
use crate::config::{Config, ProviderId, Resource};
use crate::context::RequestContext;
use crate::decision::Decision;
use crate::endpoints::client_address::client_address;
use crate::endpoints::{consent, start_login};
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::{next_prompt, remembered_consent};

/// Answers `GET /oauth/authorize`. Nothing is stored.
pub async fn authorize<P: Ports>(context: &RequestContext<'_, P>) -> Decision {
    answer(context).await.unwrap_or_else(|error| error.reply(context.config()).into())
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Decision, AuthorizeError> {
    let config = context.config();
    let params = Params::parse(context.path.query().unwrap_or_default(), Limits::OAUTH)?;
    let reference = ClientReference::parse(&params)?;
    let fetches_for = || is_complete(config, &params, &reference).then(|| address_of(context));
    let client = resolve(context, &reference.client_id, fetches_for).await?;
    let redirect_uri =
        proven_redirect(&client, reference.redirect_uri.as_deref()).ok_or(AuthorizeError::WrongRedirectUri)?;

    let mut known = AuditFields::default().with(AuditField::Client, &reference.client_id);
    known.add_known(AuditField::ClientName, client.name());
    // From here on errors go to the client.
    let refused = |cause: RequestError| AuthorizeError::Request {
        cause,
        redirect_uri: redirect_uri.clone(),
        state: state_for_errors(&params).map(str::to_owned),
        known: known.clone(),
    };
    let asked = AuthorizationRequest::parse(&params).map_err(|error| refused(error.into()))?;
    let resource = chosen_resource(config, &asked).map_err(refused)?;
    let scope = ScopeSet::grant(asked.scope, &askable(config, &client, resource), &resource.scopes)
        .map_err(|_| refused(RequestError::UnsupportedScope))?;
    let mut authorization = Authorization {
        client_id: reference.client_id,
        redirect_uri: redirect_uri.as_str().to_owned(),
        state: asked.state,
        challenge: asked.code_challenge.to_string(),
        scope,
        resource: resource.uri.as_str().to_owned(),
        prompt: provider_prompt(asked.prompt).map(str::to_owned),
        refreshable: client.document_url().map(|_| client.may_refresh()),
        client_name: client.name().map(str::to_owned),
    };
    let browser = Browser::of(context.request, config);
    if let Some(browser) = browser.as_ref().filter(|_| authorization.prompt.is_none()) {
        authorization.prompt = next_prompt::due(context.gateway, browser.user_id, context.ports).await?;
    }
    if !PendingLogin::can_carry(&authorization) {
        return Err(refused(RequestError::TooLong));
    }

    // A remembered consent stands in for the page; who logs in must then be the one who gave it
    // (see callback.rs).
    if !asked.prompt.consent
        && client.may_skip_consent(&redirect_uri)
        && let Some(browser) = browser
        && let Some(chosen) = remembered_choice(config, &browser, asked.prompt)
        && remembered_consent::is_remembered(config, browser.user_id, &authorization, context.ports).await?
    {
        let seed = Seed::new(context.ports).map_err(DependencyError::from)?;
        return Ok(start_login::start(context, seed, authorization, Some(browser.user_id), chosen)?);
    }
    Ok(consent::page(context, &client, &redirect_uri, authorization)?.into())
}

/// The address that what a request costs is counted under.
fn address_of<P: Ports>(context: &RequestContext<'_, P>) -> String {
    client_address(context.request, context.config().trusted_proxies)
}

/// Whether a request is right in all that does not depend on who the client is.
fn is_complete(config: &Config, params: &Params, reference: &ClientReference) -> bool {
    let can_be_registered = |uri: &str| RedirectUri::register(uri).is_ok();
    AuthorizationRequest::parse(params).is_ok_and(|asked| {
        chosen_resource(config, &asked).is_ok_and(|resource| {
            reference.redirect_uri.as_deref().is_none_or(can_be_registered)
                && ScopeSet::grant(asked.scope, &config.scopes_supported, &resource.scopes).is_ok()
        })
    })
}

/// The redirect URI, exactly as registered but for a loopback port (OAuth 2.1 §2.3.1, §4.1.1). It
/// may be left out when only one is registered.
fn proven_redirect(client: &ResolvedClient, requested: Option<&str>) -> Option<CheckedRedirectUri> {
    let registered: Vec<RedirectUri> =
        client.redirect_uris().iter().filter_map(|uri| RedirectUri::register(uri).ok()).collect();
    match (requested, client.redirect_uris()) {
        (Some(requested), _) => match_registered(&registered, requested),
        (None, [only]) => match_registered(&registered, only),
        (None, _) => None,
    }
}

/// Returns the scopes that a client may ask for: those of its registration and those that the
/// resource needs. The challenges and metadata of the resource tell clients to ask for the latter,
/// maybe long after they registered.
fn askable(config: &Config, client: &ResolvedClient, resource: &Resource) -> ScopeSet {
    match client.scope() {
        Some(named) => named.union(&resource.scopes).intersection(&config.scopes_supported),
        None => config.scopes_supported.clone(),
    }
}

/// The configured resource that is asked for. Where none is named (RFC 8707 §2), it is the only
/// one, else the one that the scopes tell, else the default.
fn chosen_resource<'a>(config: &'a Config, asked: &AuthorizationRequest) -> Result<&'a Resource, RequestError> {
    let resources = config.resources.as_slice();
    if let Some(named) = &asked.resource {
        return resources.iter().find(|resource| resource.uri == *named).ok_or(RequestError::UnknownResource);
    }
    let default = || config.default_resource.and_then(|place| resources.get(place));
    match resources {
        [only] => Some(only),
        several => asked.scope.as_ref().and_then(|scope| told_by_scope(several, scope)).or_else(default),
    }
    .ok_or(RequestError::NoResource)
}

/// The one resource that has all the scopes which are asked for; those that no resource has, such
/// as `offline_access`, tell nothing.
fn told_by_scope<'a>(resources: &'a [Resource], scope: &ScopeSet) -> Option<&'a Resource> {
    let of_some = resources.iter().fold(ScopeSet::default(), |all, resource| all.union(&resource.scopes));
    let telling = scope.intersection(&of_some);
    let mut having = resources.iter().filter(|resource| !telling.is_empty() && telling.is_subset_of(&resource.scopes));
    having.next().filter(|_| having.next().is_none())
}

/// Returns the provider that the browser's user chose the last time, itself `None` where there is
/// no choice. `None` if the user has to choose: the provider is not offered any more, or the client
/// wants another account or a new login.
fn remembered_choice(config: &Config, browser: &Browser, prompt: Prompt) -> Option<Option<ProviderId>> {
    let Some(leg) = config.providers.choice() else { return Some(None) };
    let chosen = config.providers.at(leg, browser.chosen).filter(|_| !prompt.login && !prompt.select_account)?;
    Some(Some(chosen.id))
}

/// What of the client's `prompt` is the provider's to do. Consent is ours.
fn provider_prompt(prompt: Prompt) -> Option<&'static str> {
    match prompt {
        Prompt { login: true, .. } => Some("login"),
        Prompt { select_account: true, .. } => Some("select_account"),
        Prompt { .. } => None,
    }
}
