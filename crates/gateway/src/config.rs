//! The configuration: the document as written becomes a [`Config`] that holds only checked,
//! ready-to-use values.
//!
//! A document is refused with every problem found, each named by its path, so that one push mends
//! them all. While Envoy refuses a document, the configuration before it keeps serving.

pub mod document;
mod duration;
mod provider;
mod resource;
mod secrets;
mod sections;
mod storage;

use std::fmt;

use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::oauth::scope::ScopeSet;
use portcullis_protocol::url::web_url::{WebUrl, WebUrlError};
use portcullis_storage_api::wire::{self, BUCKET_CAPACITY, SecretName};

use self::document::Document;
pub use self::document::{ClientAuthentication, DefaultAction, ResourceKind};
use self::duration::seconds;
pub use self::provider::Provider;
pub use self::resource::{Injector, Resource};
pub use self::secrets::{Compiled, Draft};
pub use self::storage::{BridgeSettings, Storage};

/// A configuration that can be served: everything parsed, checked and ready.
pub struct Config {
    /// The gateway itself.
    pub issuer: Issuer,
    /// The first signs; all are published.
    pub signing_keys: Vec<SigningKey>,
    /// Seals records and authenticates codes and refresh tokens.
    pub key_ring: KeyRing,
    /// How long tokens live.
    pub lifespans: Lifespans,
    /// The scopes a client may ask for.
    pub scopes_supported: ScopeSet,
    /// Where logins are kept.
    pub storage: Storage,
    /// Dynamic registration, where it is on.
    pub registration: Option<RegistrationPolicy>,
    /// The consent page.
    pub consent: ConsentPolicy,
    /// Logins a minute that one address may finish.
    pub logins_per_minute: u32,
    /// Where users log in.
    pub provider: Provider,
    /// What is protected, in the document's order; the first is the one that the root metadata
    /// document describes.
    pub resources: Vec<Resource>,
    /// What other paths get.
    pub default: DefaultAction,
    /// Whether the endpoints are also at the root, where nothing else is configured.
    pub default_endpoints: bool,
    /// Proxies in front of Envoy that append to `X-Forwarded-For`.
    pub trusted_proxies: u8,
}

/// The gateway's own address.
pub struct Issuer {
    /// The issuer identifier, exactly as every document and token states it.
    pub url: String,
    /// Scheme, host and port, as a browser writes them in `Origin`.
    pub origin: String,
    /// Host and port as a client writes them in `Host`, lower case.
    pub authority: String,
    /// The path below which the gateway's endpoints lie; empty at the root.
    pub path: String,
    /// Whether it is served over https, so that cookies can be `Secure`.
    pub https: bool,
}

/// How long tokens live, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifespans {
    /// Access tokens.
    pub access_token: u64,
    /// Refresh tokens.
    pub refresh_token: u64,
    /// Authorization codes.
    pub authorization_code: u64,
}

/// What registration allows.
#[derive(Debug, Clone, Copy)]
pub struct RegistrationPolicy {
    /// Seconds that a client is remembered after a successful token request.
    pub lifetime: u64,
    /// Registrations a minute from one address.
    pub per_address: u32,
    /// Registrations a minute from everywhere.
    pub global: u32,
    /// Registrations a day from one address.
    pub per_address_and_day: u32,
    /// Registrations a day from everywhere.
    pub per_day: u32,
}

/// The consent page's settings.
#[derive(Debug, Clone)]
pub struct ConsentPolicy {
    /// Seconds that a consent is remembered; 0 for never.
    pub remember: u64,
    /// The name on the page.
    pub title: String,
    /// The logo on the page, a data URI.
    pub logo: Option<String>,
}

/// One thing wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    path: String,
    what: String,
}

impl Problem {
    fn new(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "configuration: {}", self.what),
            path => write!(f, "{path}: {}", self.what),
        }
    }
}

impl Config {
    /// Compiles a document. `env` looks up a variable of the host's environment.
    ///
    /// # Errors
    /// Every problem found, each with the path of the field it is about; never a secret's value.
    pub fn compile(document: &[u8], env: Environment<'_>) -> Result<Compiled, Vec<Problem>> {
        let mut problems = Vec::new();
        match Document::parse(document, &mut problems) {
            Some(document) if problems.is_empty() => secrets::compile(document, env),
            Some(document) => {
                problems.extend(secrets::compile(document, env).err().unwrap_or_default());
                Err(problems)
            }
            None => Err(problems),
        }
    }
}

/// How a variable of the host's environment is looked up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Goes on after a problem, so that all of them are found.
struct Compiler<'a> {
    env: Environment<'a>,
    /// The bridge's secrets; `None` before it was asked.
    served: Option<&'a [wire::Secret]>,
    /// Whether the document names a bridge.
    bridged: bool,
    /// The bridge, once its section was found good.
    bridge: Option<BridgeSettings>,
    /// The bridge's secrets that are named.
    wanted: Vec<SecretName>,
    problems: &'a mut Vec<Problem>,
}

impl Compiler<'_> {
    fn config(&mut self, document: &Document) -> Option<Config> {
        let development = document.development;
        let issuer = self.issuer(&document.issuer, development);
        let signing_keys = self.signing_keys(&document.signing_keys, development);
        let key_ring = self.key_ring(&document.secrets, development);
        let lifespans = self.lifespans(&document.token_lifespans, development);
        let scopes_supported = self.scopes("scopesSupported", &document.scopes_supported);
        let storage = self.storage(&document.storage);
        let registration = self.registration(&document.clients.dynamic_registration);
        let consent = self.consent(&document.consent);
        let logins_per_minute = self.logins_per_minute(document);
        let provider = self.provider(&document.upstream_providers, development);
        let resources = self.resources(document, issuer.as_ref(), scopes_supported.as_ref());
        Some(Config {
            issuer: issuer?,
            signing_keys: signing_keys?,
            key_ring: key_ring?,
            lifespans: lifespans?,
            scopes_supported: scopes_supported?,
            storage: storage?,
            registration: registration?,
            consent: consent?,
            logins_per_minute: logins_per_minute?,
            provider: provider?,
            resources: resources?,
            default: document.default,
            default_endpoints: document.default_endpoints,
            trusted_proxies: document.trusted_proxies,
        })
    }

    fn problem<T>(&mut self, path: &str, what: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::new(path, what));
        None
    }

    fn issuer(&mut self, text: &str, development: bool) -> Option<Issuer> {
        let path = "issuer";
        let url = self.web_url(path, text)?;
        let https = url.is_https();
        let allowed = https || (development && is_loopback_http(&url));
        if !allowed {
            return self.problem(path, "must be https; http is only for loopback with \"development\": true");
        }
        // Clients compare issuers byte by byte (RFC 8414 §3.3), so the text itself must be the
        // canonical one.
        let canonical = url.to_string();
        let canonical = canonical.strip_suffix('/').unwrap_or(&canonical);
        if text != canonical {
            return self.problem(path, format!("must be written as {canonical}"));
        }
        if let Err(error) = RoutePath::parse(url.path().as_bytes()) {
            return self.problem(path, format!("no request could reach it: {error}"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        Some(Issuer { url: canonical.to_owned(), origin: url.origin(), authority: url.authority(), path, https })
    }

    /// The URL of an issuer: OpenID Connect Discovery §3 and RFC 8414 §2 know neither query nor
    /// fragment there.
    fn web_url(&mut self, path: &str, text: &str) -> Option<WebUrl> {
        match WebUrl::parse(text) {
            Ok(url) if url.query().is_none() => Some(url),
            Ok(_) | Err(WebUrlError::UserOrFragment) => self.problem(path, "must have no query, fragment or user name"),
            Err(WebUrlError::NotAbsolute) => self.problem(path, "must be an absolute https URL"),
        }
    }

    fn lifespans(&mut self, written: &document::TokenLifespans, development: bool) -> Option<Lifespans> {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let least = |seconds: u64| if development { 1 } else { seconds };
        let access_token = self.duration("tokenLifespans.accessToken", &written.access_token, least(MINUTE), DAY);
        let refresh_token = self.duration("tokenLifespans.refreshToken", &written.refresh_token, least(HOUR), 30 * DAY);
        let authorization_code =
            self.duration("tokenLifespans.authorizationCode", &written.authorization_code, least(30), 10 * MINUTE);
        Some(Lifespans {
            access_token: access_token?,
            refresh_token: refresh_token?,
            authorization_code: authorization_code?,
        })
    }

    fn duration(&mut self, path: &str, text: &str, least: u64, most: u64) -> Option<u64> {
        match seconds(text) {
            Some(value) if (least..=most).contains(&value) => Some(value),
            Some(_) => self.problem(path, format!("must be between {least}s and {most}s")),
            None => self.problem(path, "must be a duration such as \"30s\", \"10m\", \"1h\" or \"7d\""),
        }
    }

    fn scopes(&mut self, path: &str, names: &[String]) -> Option<ScopeSet> {
        if names.iter().any(|name| name.is_empty() || name.contains(' ')) {
            return self.problem(path, "a scope is a single word (RFC 6749 section 3.3)");
        }
        match ScopeSet::parse(&names.join(" ")) {
            Ok(scopes) => Some(scopes),
            Err(error) => self.problem(path, error.to_string()),
        }
    }

    fn registration(&mut self, written: &document::DynamicRegistration) -> Option<Option<RegistrationPolicy>> {
        const PATH: &str = "clients.dynamicRegistration";
        let lifetime = self.duration(&format!("{PATH}.lifetime"), &written.lifetime, 60, 365 * 24 * 3600);
        let global =
            written.global_rate_per_minute.unwrap_or(written.rate_per_minute.saturating_mul(10).min(BUCKET_CAPACITY));
        let tenth = written.max.checked_div(10).unwrap_or(0);
        let per_address_and_day =
            written.max_per_address.unwrap_or(tenth.max(written.rate_per_minute).clamp(1, BUCKET_CAPACITY));
        for (name, value) in [
            ("ratePerMinute", written.rate_per_minute),
            ("globalRatePerMinute", global),
            ("max", written.max),
            ("maxPerAddress", per_address_and_day),
        ] {
            if value == 0 {
                self.problem::<()>(&format!("{PATH}.{name}"), "must be at least 1; use \"enabled\": false to close it");
            } else if value > BUCKET_CAPACITY {
                self.problem::<()>(&format!("{PATH}.{name}"), format!("must be at most {BUCKET_CAPACITY}"));
            }
        }
        let policy = RegistrationPolicy {
            lifetime: lifetime?,
            per_address: written.rate_per_minute,
            global,
            per_address_and_day,
            per_day: written.max,
        };
        Some(written.enabled.then_some(policy))
    }

    fn logins_per_minute(&mut self, document: &Document) -> Option<u32> {
        const TIMES_REGISTRATIONS: u32 = 5;
        let registrations = document.clients.dynamic_registration.rate_per_minute;
        let usual = || registrations.saturating_mul(TIMES_REGISTRATIONS).clamp(1, BUCKET_CAPACITY);
        match document.logins.rate_per_minute {
            Some(rate) if (1..=BUCKET_CAPACITY).contains(&rate) => Some(rate),
            Some(_) => self.problem("logins.ratePerMinute", format!("must be between 1 and {BUCKET_CAPACITY}")),
            None => Some(usual()),
        }
    }

    fn consent(&mut self, written: &document::Consent) -> Option<ConsentPolicy> {
        let remember = self.duration("consent.remember", &written.remember, 0, 365 * 24 * 3600);
        if written.title.is_empty() || written.title.chars().count() > 80 {
            self.problem::<()>("consent.title", "must have 1 to 80 characters");
        }
        if let Some(logo) = &written.logo
            && !is_image_data_uri(logo)
        {
            self.problem::<()>("consent.logo", "must be a data:image/…;base64, URI of at most 32 KiB");
        }
        Some(ConsentPolicy { remember: remember?, title: written.title.clone(), logo: written.logo.clone() })
    }
}

/// Whether a URL is plain http to this very machine.
fn is_loopback_http(url: &WebUrl) -> bool {
    !url.is_https() && url.is_loopback()
}

fn is_image_data_uri(text: &str) -> bool {
    const MOST: usize = 32 * 1024;
    let Some(rest) = text.strip_prefix("data:image/") else { return false };
    let Some((kind, data)) = rest.split_once(";base64,") else { return false };
    text.len() <= MOST
        && matches!(kind, "png" | "svg+xml" | "jpeg" | "webp" | "gif")
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

#[cfg(test)]
#[path = "config/config_tests.rs"]
mod config_tests;
