//! The authorization endpoint (OAuth 2.1 §4.1.1): from the client's request to the consent page, or
//! straight on to the login where the same user has consented to the same thing before.

mod error;

use portcullis_protocol::oauth::authorize::{AuthorizationRequest, ClientReference, Prompt, state_for_errors};
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::{CheckedRedirectUri, RedirectUri, match_registered};
use portcullis_protocol::oauth::resource::ResourceUri;
use portcullis_protocol::oauth::scope::ScopeSet;

use self::error::{AuthorizeError, RequestError};
use crate::browser::cookies::Browser;
use crate::browser::pending_login::{Authorization, PendingLogin, Seed};
use crate::clients::resolve::{ResolvedClient, resolve};
use crate::config::{Config, Resource};
use crate::context::RequestContext;
use crate::decision::Decision;
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
    let client = resolve(context, &reference.client_id).await?.ok_or(AuthorizeError::UnknownClient)?;
    let redirect_uri =
        proven_redirect(&client, reference.redirect_uri.as_deref()).ok_or(AuthorizeError::WrongRedirectUri)?;

    // From here on errors go to the client.
    let refused = |cause: RequestError| AuthorizeError::Request {
        cause,
        redirect_uri: redirect_uri.as_str().to_owned(),
        state: state_for_errors(&params).map(str::to_owned),
    };
    let asked = AuthorizationRequest::parse(&params).map_err(|error| refused(error.into()))?;
    let resource = chosen_resource(config, asked.resource.as_ref()).map_err(refused)?;
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
        && let Some(browser) = browser
        && remembered_consent::is_remembered(config, browser.user_id, &authorization, context.ports).await?
    {
        let seed = Seed::new(context.ports).map_err(DependencyError::from)?;
        return Ok(start_login::start(context, seed, authorization, Some(browser.user_id))?);
    }
    Ok(consent::page(context, &client, &redirect_uri, authorization)?.into())
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

/// The configured resource that is asked for; the only one, when none is named (RFC 8707 §2).
fn chosen_resource<'a>(config: &'a Config, asked: Option<&ResourceUri>) -> Result<&'a Resource, RequestError> {
    match (asked, config.resources.as_slice()) {
        (Some(asked), resources) => {
            resources.iter().find(|resource| resource.uri == *asked).ok_or(RequestError::UnknownResource)
        }
        (None, [only]) => Ok(only),
        (None, _) => Err(RequestError::NoResource),
    }
}

/// What of the client's `prompt` is the provider's to do. Consent is ours.
fn provider_prompt(prompt: Prompt) -> Option<&'static str> {
    match prompt {
        Prompt { login: true, .. } => Some("login"),
        Prompt { select_account: true, .. } => Some("select_account"),
        Prompt { .. } => None,
    }
}
