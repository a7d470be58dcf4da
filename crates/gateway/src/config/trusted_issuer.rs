//! The section of trusted issuers, and which of them a resource trusts.

use std::collections::BTreeMap;

use portcullis_protocol::jose::alg::{Alg, UNVERIFIED_ALGS};
use portcullis_protocol::oauth::scope::ScopeSet;
use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::Compiler;
use super::document::{self, Document, Inject};
use super::issuer::Issuer;
use super::issuer_site::{IssuerSite, clusters};

/// An issuer whose access tokens some resources accept.
pub struct TrustedIssuer {
    /// Where its documents are, and its name.
    pub site: IssuerSite,
    /// Its key set; `None` where its discovery document names it.
    pub jwks_url: Option<WebUrl>,
    /// The audiences of which a token must have one.
    pub audiences: Vec<String>,
    /// The subjects that are let through; empty for all.
    subjects: Vec<SubjectPattern>,
    /// The algorithms that its tokens may be signed with.
    pub algorithms: Vec<Alg>,
    /// The scopes that each of its tokens has, whatever it states.
    pub scopes: ScopeSet,
    /// How far its clock may be from ours, in seconds.
    pub leeway: u64,
    /// How long its keys are used at most after they were fetched, in seconds.
    pub max_key_age: u64,
}

impl TrustedIssuer {
    /// Returns `true` if a token of this subject is let through.
    #[must_use]
    pub fn allows(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|pattern| pattern.matches(subject))
    }
}

/// One subject, or all that begin with a text.
enum SubjectPattern {
    Exactly(String),
    StartsWith(String),
}

impl SubjectPattern {
    /// Returns `None` for a text that is neither a subject nor the beginning of one and a star.
    fn parse(text: &str) -> Option<Self> {
        let (text, pattern): (&str, fn(String) -> Self) = match text.strip_suffix('*') {
            Some(start) => (start, Self::StartsWith),
            None => (text, Self::Exactly),
        };
        (!text.is_empty() && !text.contains('*')).then(|| pattern(text.to_owned()))
    }

    fn matches(&self, subject: &str) -> bool {
        match self {
            Self::Exactly(text) => subject == text,
            Self::StartsWith(text) => subject.starts_with(text),
        }
    }
}

/// Whose access tokens a resource accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedIssuers {
    /// Whether it accepts this gateway's own.
    pub own: bool,
    /// The trusted issuers, by their places in the configuration.
    pub trusted: Vec<usize>,
}

impl Compiler<'_> {
    pub(super) fn trusted_issuers(
        &mut self,
        document: &Document,
        own: Option<&Issuer>,
        development: bool,
    ) -> Option<Vec<TrustedIssuer>> {
        const PATH: &str = "trustedIssuers";
        let written = &document.trusted_issuers;
        if written.len() > MAX_ISSUERS {
            return self.problem(PATH, format!("must have at most {MAX_ISSUERS} entries"));
        }
        let compiled: Vec<Option<TrustedIssuer>> = written
            .iter()
            .enumerate()
            .map(|(index, issuer)| self.trusted_issuer(&format!("{PATH}[{index}]"), issuer, development))
            .collect();
        for (index, issuer) in written.iter().enumerate() {
            let path = format!("{PATH}[{index}].issuer");
            if own.is_some_and(|own| own.url == issuer.issuer) {
                self.problem::<()>(&path, "is this gateway's own issuer: write \"self\" in `issuers` of a resource");
            }
            if written.iter().take(index).any(|other| other.issuer == issuer.issuer) {
                self.problem::<()>(&path, "is another trusted issuer, too");
            }
            let is_named = document.resources.iter().any(|resource| match &resource.issuers {
                Some(issuers) => issuers.contains(&issuer.issuer),
                None => document.issuer.is_none(),
            });
            if !is_named && !self.is_unsure_of("resources") {
                self.problem::<()>(&path, "is in no resource's `issuers`");
            }
        }
        compiled.into_iter().collect()
    }

    fn trusted_issuer(
        &mut self,
        path: &str,
        written: &document::TrustedIssuer,
        development: bool,
    ) -> Option<TrustedIssuer> {
        let issuer_path = format!("{path}.issuer");
        let url = self.web_url(&issuer_path, &written.issuer);
        let url = url.and_then(|url| self.provider_url(&issuer_path, url, development));
        let jwks_url = match &written.jwks_url {
            Some(text) => self.jwks_url(&format!("{path}.jwksUrl"), text, development).map(Some),
            None => Some(None),
        };
        if written.cluster.is_empty() {
            let what = "must name Envoy's cluster for the host of `jwksUrl`, or else of the issuer";
            self.problem::<()>(&format!("{path}.cluster"), what);
        }
        if written.jwks_url.is_some() && !written.clusters.is_empty() {
            self.problem::<()>(&format!("{path}.clusters"), "is only for discovery: leave it out next to `jwksUrl`");
        }
        let is_listed = |list: &[String]| (1..=MAX_ENTRIES).contains(&list.len());
        if !is_listed(&written.audiences) || written.audiences.iter().any(String::is_empty) {
            let what = format!("must have 1 to {MAX_ENTRIES} entries, none of them empty");
            self.problem::<()>(&format!("{path}.audiences"), what);
        }
        let subjects = self.subjects(&format!("{path}.allowedSubjects"), &written.allowed_subjects);
        let algorithms = self.algorithms(&format!("{path}.algorithms"), written.algorithms.as_deref());
        let scopes = self.scopes(&format!("{path}.scopes"), &written.scopes);
        let leeway = self.duration(&format!("{path}.leeway"), &written.leeway, 0, MAX_LEEWAY_SECONDS);
        let least = if development { 1 } else { MIN_KEY_AGE_SECONDS };
        let max_key_age = self.duration(&format!("{path}.maxKeyAge"), &written.max_key_age, least, MAX_KEY_AGE_SECONDS);
        let (url, jwks_url) = (url?, jwks_url?);
        let authority = jwks_url.as_ref().map_or_else(|| url.authority(), WebUrl::authority);
        let clusters = clusters(&written.clusters, authority, &written.cluster);
        Some(TrustedIssuer {
            site: IssuerSite::new(&written.issuer, &url, clusters),
            jwks_url,
            audiences: written.audiences.clone(),
            subjects: subjects?,
            algorithms: algorithms?,
            scopes: scopes?,
            leeway: leeway?,
            max_key_age: max_key_age?,
        })
    }

    fn jwks_url(&mut self, path: &str, text: &str, development: bool) -> Option<WebUrl> {
        match WebUrl::parse(text) {
            Ok(url) => self.provider_url(path, url, development),
            Err(_) => self.problem(path, "must be an absolute https URL without fragment and user name"),
        }
    }

    fn subjects(&mut self, path: &str, written: &[String]) -> Option<Vec<SubjectPattern>> {
        if written.len() > MAX_SUBJECTS {
            return self.problem(path, format!("must have at most {MAX_SUBJECTS} entries"));
        }
        let parsed: Option<Vec<_>> = written.iter().map(|text| SubjectPattern::parse(text)).collect();
        parsed.or_else(|| {
            let what = "each must be a subject, or the beginning of one and \"*\"; leave the list out to allow all";
            self.problem(path, what)
        })
    }

    fn algorithms(&mut self, path: &str, written: Option<&[String]>) -> Option<Vec<Alg>> {
        let Some(written) = written else { return Some(Alg::ALL.to_vec()) };
        let known: Option<Vec<_>> = written.iter().map(|name| Alg::from_name(name)).collect();
        match known.filter(|known| !known.is_empty()) {
            Some(known) => Some(known),
            None => {
                let unverified = UNVERIFIED_ALGS.into_iter().find(|name| written.iter().any(|written| written == name));
                let why = unverified.map(|name| format!(": Envoy does not verify {name}")).unwrap_or_default();
                self.problem(path, format!("must be some of RS256, RS384, RS512, ES256, ES384 and EdDSA{why}"))
            }
        }
    }

    /// Which issuers a resource accepts.
    pub(super) fn accepted_issuers(
        &mut self,
        path: &str,
        written: &document::Resource,
        document: &Document,
    ) -> Option<AcceptedIssuers> {
        let Some(issuers) = &written.issuers else {
            let own = document.issuer.is_some();
            let trusted = if own { Vec::new() } else { (0..document.trusted_issuers.len()).collect() };
            return Some(AcceptedIssuers { own, trusted });
        };
        if issuers.is_empty() {
            return self.problem(path, "must have at least one entry: \"self\", or an issuer of `trustedIssuers`");
        }
        let mut accepted = AcceptedIssuers { own: false, trusted: Vec::new() };
        let places: BTreeMap<&str, usize> = document
            .trusted_issuers
            .iter()
            .enumerate()
            .map(|(place, issuer)| (issuer.issuer.as_str(), place))
            .collect();
        for (index, name) in issuers.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match places.get(name.as_str()) {
                _ if name == OWN && document.issuer.is_none() => {
                    return self.problem(&path, "there are no tokens of this gateway: it has no `issuer`");
                }
                _ if name == OWN => accepted.own = true,
                Some(place) if accepted.trusted.contains(place) => return self.problem(&path, "is listed twice"),
                Some(place) => accepted.trusted.push(*place),
                None if self.is_unsure_of("trustedIssuers") => return None,
                None => {
                    return self.problem(&path, "is neither \"self\" nor the `issuer` of an entry of `trustedIssuers`");
                }
            }
        }
        if !accepted.trusted.is_empty()
            && matches!(written.inject, Inject::UpstreamInject { .. } | Inject::TokenExchange(_))
        {
            let what = "a token of a trusted issuer comes without a login here, so there is no upstream token to \
                        inject or to exchange: only \"self\" can be accepted with `inject` of type \
                        \"upstreamInject\" or \"tokenExchange\"";
            return self.problem(path, what);
        }
        Some(accepted)
    }
}

/// The name of this gateway in the list of issuers.
const OWN: &str = "self";
const MAX_ISSUERS: usize = 32;
/// The most audiences of an issuer.
const MAX_ENTRIES: usize = 16;
const MAX_SUBJECTS: usize = 256;
const MAX_LEEWAY_SECONDS: u64 = 300;
const MIN_KEY_AGE_SECONDS: u64 = 60 * 60;
const MAX_KEY_AGE_SECONDS: u64 = 30 * 24 * 60 * 60;
