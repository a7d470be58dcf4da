//! The way from a checked and consented authorization request to the identity provider, and the errors that go back to
//! the client by redirect.

use portcullis_protocol::base64url;
use portcullis_protocol::http::Response;
use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params;
use portcullis_protocol::oauth::pkce::CodeVerifier;
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::audit::{Audit, Decision};
use crate::config::Config;
use crate::cookies::Browser;
use crate::gateway::Gateway;
use crate::pages::ErrorPage;
use crate::ports::Ports;
use crate::provider;
use crate::records::{self, Authorization, Pending, Records, Unavailable};
use crate::replies::uncached;
use crate::verdict::Settled;

/// How long a user may take to log in at the provider, in seconds.
pub const LOGIN_LIFE: u64 = 600;

/// Sends the browser to the provider. The pending record is what the callback will find; it is written before the browser
/// learns its name.
///
/// # Errors
/// [`Unavailable`] when the record could not be stored. A provider that cannot be reached is told to the client.
pub async fn start<P: Ports>(
    gateway: &Gateway,
    request: Authorization,
    browser: &Browser,
    consented_by: Option<String>,
    ports: &P,
) -> Result<Settled, Unavailable> {
    let config = gateway.config();
    let state = base64url::encode(&ports.random::<32>()?);
    let nonce = base64url::encode(&ports.random::<32>()?);
    let verifier = CodeVerifier::from_random(ports.random()?);
    let Ok(location) =
        provider::authorization_url(gateway, &state, &nonce, &verifier, request.prompt.as_deref(), ports).await
    else {
        return Ok(refuse(
            config,
            &request,
            ErrorCode::TemporarilyUnavailable,
            "the identity provider cannot be reached",
            "provider_unreachable",
        ));
    };
    let pending = Pending {
        request,
        browser: browser.digest(),
        nonce,
        verifier: verifier.expose().to_owned(),
        consented_by,
        expires_at: ports.now().saturating_add(LOGIN_LIFE),
    };
    let records = Records::new(&config.key_ring, ports);
    records.save(&pending_key(&state), &pending, Ttl::Seconds(LOGIN_LIFE)).await?;
    let cookie_life = config.consent.remember.max(LOGIN_LIFE);
    let cookie = browser.set_cookie(&config.issuer, &config.key_ring, cookie_life, ports)?;
    let response = private(Response::see_other(&location)).header("set-cookie", &cookie);
    Ok(Settled::Reply(response, Audit::new(Decision::Serve, "login_started")))
}

/// The key of a login under way, from the `state` that the provider returns.
#[must_use]
pub fn pending_key(state: &str) -> Key {
    records::key(Kind::Pending, &[state.as_bytes()])
}

/// Why an endpoint that a browser visits stops half way.
pub enum Failure {
    /// The request is refused, with this answer.
    Refused(Box<Settled>),
    /// Something of ours is away.
    Unavailable,
}

impl Failure {
    /// A refusal with its answer.
    #[must_use]
    pub fn refused(answer: Settled) -> Self {
        Self::Refused(Box::new(answer))
    }

    /// The answer.
    #[must_use]
    pub fn settle(self, config: &Config) -> Settled {
        match self {
            Self::Refused(answer) => *answer,
            Self::Unavailable => unavailable_page(config),
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// Redirects an error to the client, whose redirect URI has been proven (RFC 6749 §4.1.2.1, RFC 9207 §2).
#[must_use]
pub fn refuse(
    config: &Config,
    request: &Authorization,
    code: ErrorCode,
    description: &str,
    reason: &'static str,
) -> Settled {
    let parameters = [("error", code.as_str()), ("error_description", description)];
    let response = redirect(config, &request.redirect_uri, request.state.as_deref(), &parameters);
    Settled::Reply(response, Audit::new(Decision::Deny, reason))
}

/// A redirect to the client. `iss` and `state` are always ours to add; what the registered URI's query says of them is
/// dropped.
#[must_use]
pub fn redirect(config: &Config, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> Response {
    let mut query = parameters.to_vec();
    query.extend(state.map(|state| ("state", state)));
    query.push(("iss", &config.issuer.url));
    private(Response::see_other(&params::append_query(redirect_uri, &query)))
}

/// A page for a person, where nothing may be redirected.
#[must_use]
pub fn error_page(
    config: &Config,
    status: u16,
    heading: &str,
    message: &str,
    hint: &str,
    reason: &'static str,
) -> Settled {
    let page = ErrorPage { title: &config.consent.title, heading, message, hint };
    Settled::Reply(page.response(status), Audit::new(Decision::Deny, reason))
}

/// The page for a person when something of ours is away.
#[must_use]
pub fn unavailable_page(config: &Config) -> Settled {
    let page = ErrorPage {
        title: &config.consent.title,
        heading: "Not available at the moment",
        message: "The login service cannot answer right now.",
        hint: "Wait a moment, then start again from your application.",
    };
    let response = page.response(503).header("retry-after", "2");
    Settled::Reply(response, Audit::new(Decision::Fail, "unavailable"))
}

/// An answer whose URL holds something secret: kept by no cache and passed on to nobody (RFC 9700 §4.2.4).
fn private(response: Response) -> Response {
    uncached(response).header("referrer-policy", "no-referrer")
}
