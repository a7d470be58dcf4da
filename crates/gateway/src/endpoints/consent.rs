//! Consent: what a user is asked before anything else happens, and what the answer is bound to.
//!
//! A client registers itself, so nothing but the user's word stands between a stranger's client and
//! the user's login at the provider (MCP security best practices, "confused deputy"). The form
//! carries the checked request, sealed, so that nothing is stored for a page that is never
//! answered; its CSRF token is bound to that request and to the browser it was shown in. Only an
//! approval puts the login that the callback asks for into the browser's cookie.

mod error;

use minicbor::{Decode, Encode};
use portcullis_protocol::base64url;
use portcullis_protocol::crypto::key_ring::Purpose;
use portcullis_protocol::http::media_type::is_media_type;
use portcullis_protocol::http::message::FieldName;
use portcullis_protocol::oauth::form::FORM_TYPE;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_protocol::oauth::redirect::CheckedRedirectUri;

use self::error::ConsentError;
use crate::audit::Reason;
use crate::browser::cookies::FORM_LIFE;
use crate::browser::pending_login::{self, Authorization, Seed};
use crate::clients::resolve::{ResolvedClient, recheck, recheck_without_store};
use crate::config::{Config, ProviderId, Sealer};
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::endpoints::form::{csrf_token, is_csrf_token, is_same_origin};
use crate::endpoints::pages::{ConsentPage, DocumentAddress, ProviderLabel};
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
    let csrf = csrf_token(config, &csrf_parts(&transaction.seed, &sealed));
    let scopes: Vec<&str> = transaction.request.scope.as_set().iter().collect();
    let providers = &config.providers;
    let choices = providers.choice().into_iter().flat_map(|leg| providers.of(leg));
    let choices: Vec<ProviderLabel<'_>> = choices.map(ProviderLabel::of).collect();
    let others = providers.legs().iter().filter(|leg| !leg.is_choice()).flat_map(|leg| providers.of(leg));
    let others: Vec<ProviderLabel<'_>> = others.map(ProviderLabel::of).collect();
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
        providers: &others,
        choices: &choices,
        action: &Endpoint::Consent.below(&config.issuer.path),
        transaction: &sealed,
        csrf: &csrf,
    };
    let response = set_cookies.iter().fold(page.response(), |page, cookie| page.header("set-cookie", cookie));
    Ok(Resolved::Respond(response, transaction.request.audited().decided(Reason::ConsentShown)))
}

/// Answers `POST /oauth/consent`.
pub async fn consent<P: Ports>(context: &RequestContext<'_, P>) -> Decision {
    answer(context).await.unwrap_or_else(|error| error.reply(context.config()).into())
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Decision, ConsentError> {
    if !is_same_origin(context.request, &context.config().issuer.origin) {
        return Err(ConsentError::CrossSite);
    }
    let most = Endpoint::Consent.entry().body_bytes;
    let body = context.ports.body(most).await.map_err(|_| ConsentError::TooLarge)?;
    // A page of another site can send text without a preflight, and no form of ours is text.
    if !is_media_type(context.request.headers.one(FieldName::ContentType), FORM_TYPE) {
        return Err(ConsentError::ContentType);
    }
    let (Transaction { seed, request, .. }, answer) = answered(context, &body)?;
    match answer {
        // A form can be sent any number of times, so an approval asks the store nothing. It brings
        // the client nothing either: the callback looks a registration up.
        Answer::Approved { chosen } => {
            recheck_without_store(context.config(), &request.client_id)?;
            Ok(start_login::start(context, seed, request, None, chosen)?)
        }
        Answer::Denied => {
            recheck(context, &request.client_id).await?;
            Err(ConsentError::Denied(Box::new(request)))
        }
    }
}

/// What the user answered.
enum Answer {
    Approved {
        /// The provider to log in at, where there is a choice.
        chosen: Option<ProviderId>,
    },
    Denied,
}

/// Returns what the user was asked and answered, by a form that is proven genuine.
fn answered<P: Ports>(context: &RequestContext<'_, P>, body: &[u8]) -> Result<(Transaction, Answer), ConsentError> {
    let config = context.config();
    let params = Params::parse(body, Limits::OAUTH)?;
    let field = |name: &str| params.one(name).ok().flatten().ok_or(ConsentError::Incomplete);
    let (sealed, csrf) = (field("transaction")?, field("csrf")?);
    let opened = base64url::decode(sealed).ok().and_then(|sealed| Transaction::open(sealed, &config.sealer));
    let transaction = opened.ok_or(ConsentError::Forged)?;
    let (shown, _) =
        pending_login::carried(context.request, config, &transaction.seed.state()).ok_or(ConsentError::OtherBrowser)?;
    if !is_csrf_token(config, csrf, &csrf_parts(&shown, sealed)) {
        return Err(ConsentError::Csrf);
    }
    if context.now() >= transaction.shown_at.saturating_add(FORM_LIFE) {
        return Err(ConsentError::Expired);
    }
    Ok((transaction, read_answer(config, &params)?))
}

/// Reads which button was pressed: one of `decision`, or of `provider` where there is a choice, and
/// none of the other.
fn read_answer(config: &Config, params: &Params) -> Result<Answer, ConsentError> {
    let field = |name: &str| params.one(name).map_err(|_| ConsentError::Incomplete);
    match (field("decision")?, field("provider")?) {
        (None, Some(name)) => match config.providers.offered(name) {
            Some(provider) => Ok(Answer::Approved { chosen: Some(provider.id) }),
            None => Err(ConsentError::UnknownProvider),
        },
        (Some("approve"), None) if config.providers.choice().is_some() => Err(ConsentError::NoProvider),
        (Some("approve"), None) => Ok(Answer::Approved { chosen: None }),
        (Some("deny"), None) => Ok(Answer::Denied),
        (Some(_), _) => Err(ConsentError::UnknownDecision),
        (None, None) => Err(ConsentError::Incomplete),
    }
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

/// The parts that a form has in common with the browser that it was shown in: the seed in its
/// cookie, and the transaction.
fn csrf_parts<'a>(shown: &'a Seed, transaction: &'a str) -> [&'a [u8]; 2] {
    [shown.as_bytes(), transaction.as_bytes()]
}
