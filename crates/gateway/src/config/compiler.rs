//! Goes through a document and collects every problem; the sections add how each is compiled.

use portcullis_protocol::oauth::scope::ScopeSet;
use portcullis_protocol::url::web_url::{WebUrl, WebUrlError};
use portcullis_storage_api::wire::{self, SecretName};

use super::bridge::BridgeSettings;
use super::document::{self, Document};
use super::duration::seconds;
use super::problem::Problem;

/// How a variable of the host's environment is looked up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Goes on after a problem, so that all of them are found.
pub(super) struct Compiler<'a> {
    /// `None` where secrets are not looked up at all.
    pub(super) env: Option<Environment<'a>>,
    /// The bridge's secrets; `None` before it was asked.
    pub(super) served: Option<&'a [wire::Secret]>,
    /// Whether the document names a bridge.
    pub(super) bridged: bool,
    /// The bridge, once its section was found good.
    pub(super) bridge: Option<BridgeSettings>,
    /// The bridge's secrets that are named.
    pub(super) wanted: Vec<SecretName>,
    /// What was wrong with the document's form. What it covers is known to be wrong, and stand-ins
    /// are in its place.
    pub(super) form: &'a [Problem],
    pub(super) problems: &'a mut Vec<Problem>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        document: &Document,
        env: Option<Environment<'a>>,
        served: Option<&'a [wire::Secret]>,
        form: &'a [Problem],
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        let bridged = matches!(document.storage, document::Storage::Bridge { .. });
        Self { env, served, bridged, bridge: None, wanted: Vec::new(), form, problems }
    }
}

impl Compiler<'_> {
    pub(super) fn problem<T>(&mut self, path: &str, what: impl Into<String>) -> Option<T> {
        if !self.form.iter().any(|known| known.covers(path)) {
            self.problems.push(Problem::new(path, what));
        }
        None
    }

    /// Whether something in a section has a wrong form, so that nothing follows from the rest of
    /// it.
    pub(super) fn is_unsure_of(&self, section: &str) -> bool {
        self.form.iter().any(|problem| problem.is_under(section))
    }

    /// The URL of an issuer: OpenID Connect Discovery §3 and RFC 8414 §2 know neither query nor
    /// fragment there.
    pub(super) fn web_url(&mut self, path: &str, text: &str) -> Option<WebUrl> {
        match WebUrl::parse(text) {
            Ok(url) if url.query().is_none() => Some(url),
            Ok(_) | Err(WebUrlError::UserOrFragment) => self.problem(path, "must have no query, fragment or user name"),
            Err(WebUrlError::NotAbsolute) => self.problem(path, "must be an absolute https URL"),
        }
    }

    pub(super) fn duration(&mut self, path: &str, text: &str, least: u64, most: u64) -> Option<u64> {
        match seconds(text) {
            Some(value) if (least..=most).contains(&value) => Some(value),
            Some(_) => self.problem(path, format!("must be between {least}s and {most}s")),
            None => self.problem(path, "must be a duration such as \"30s\", \"10m\", \"1h\" or \"7d\""),
        }
    }

    pub(super) fn scopes(&mut self, path: &str, names: &[String]) -> Option<ScopeSet> {
        if names.iter().any(|name| name.is_empty() || name.contains(' ')) {
            return self.problem(path, "a scope is a single word (RFC 6749 section 3.3)");
        }
        match ScopeSet::parse(&names.join(" ")) {
            Ok(scopes) => Some(scopes),
            Err(error) => self.problem(path, error.to_string()),
        }
    }
}

/// Whether a URL is plain http to this very machine.
pub(super) fn is_loopback_http(url: &WebUrl) -> bool {
    !url.is_https() && url.is_loopback()
}
