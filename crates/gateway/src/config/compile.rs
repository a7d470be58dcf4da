//! From a document to a configuration that can be served.

use std::rc::Rc;

use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::oauth::scope::ScopeSet;
use portcullis_storage_api::wire::{self, MAX_SECRETS, SecretName};

use super::bridge::BridgeSettings;
use super::client_documents::ClientDocumentPolicy;
use super::compiler::{Compiler, Environment};
use super::document::{DefaultAction, Document, SubjectTokenType};
use super::injection::reserved_names;
use super::issuer::Issuer;
use super::policies::{ConsentPolicy, Lifespans, RegistrationPolicy};
use super::problem::Problem;
use super::provider::ProviderId;
use super::providers::Providers;
use super::resource::Resource;
use super::sealer::Sealer;
use super::storage::Storage;
use super::token_exchange::TokenExchange;
use super::trusted_issuer::TrustedIssuer;
use super::users::AllowedUsers;
use crate::decision::header_field::ReservedNames;

/// A configuration that can be served: everything parsed, checked and ready.
pub struct Config {
    /// Whether the gateway is an authorization server. Otherwise it accepts tokens of trusted
    /// issuers and answers nothing but the metadata of its resources: it has no keys, no secrets
    /// and no provider.
    pub is_server: bool,
    /// The gateway itself.
    pub issuer: Issuer,
    /// The first signs; all are published.
    pub signing_keys: Vec<SigningKey>,
    /// Authenticates codes, refresh tokens and forms.
    pub key_ring: Rc<KeyRing>,
    /// Seals records, cookies and forms, with the secrets of the key ring.
    pub sealer: Sealer,
    /// How long tokens live.
    pub lifespans: Lifespans,
    /// The scopes a client may ask for.
    pub scopes_supported: ScopeSet,
    /// Where logins are kept.
    pub storage: Storage,
    /// Dynamic registration.
    pub registration: RegistrationPolicy,
    /// Client-id metadata documents, where they are on.
    pub client_documents: Option<ClientDocumentPolicy>,
    /// The consent page.
    pub consent: ConsentPolicy,
    /// Logins a minute that one address may finish.
    pub logins_per_minute: u32,
    /// Whether the audit trail has e-mail addresses.
    pub audits_email: bool,
    /// The identity providers.
    pub providers: Providers,
    /// Who may log in; `None` for every user.
    pub users: Option<AllowedUsers>,
    /// The issuers whose tokens resources accept.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// What is protected, in the document's order; the first is the one that the root metadata
    /// document describes.
    pub resources: Vec<Resource>,
    /// The names of the headers that the gateway sets for any of them; `None` where it sets none
    /// but `Authorization`.
    pub reserved_names: Option<Rc<ReservedNames>>,
    /// The resource of requests that name none, by its place.
    pub default_resource: Option<usize>,
    /// What other paths get.
    pub default: DefaultAction,
    /// Whether the endpoints are also at the root, where nothing else is configured.
    pub default_endpoints: bool,
    /// Proxies in front of Envoy that append to `X-Forwarded-For`.
    pub trusted_proxies: u8,
}

/// The result of compiling a document.
pub enum Compiled {
    /// It can be served.
    Ready(Box<Config>),
    /// It can be served once the bridge has given the secrets that it names.
    Awaiting(Box<Draft>),
}

/// A document that is good as far as it can be told without the bridge's secrets, and names at
/// least one of them.
pub struct Draft {
    document: Document,
    names: Vec<SecretName>,
    bridge: BridgeSettings,
}

impl Draft {
    /// The secrets that it names, each once: 1 to [`MAX_SECRETS`].
    #[must_use]
    pub fn names(&self) -> &[SecretName] {
        &self.names
    }

    /// The bridge that has them.
    #[must_use]
    pub fn bridge(&self) -> &BridgeSettings {
        &self.bridge
    }

    /// Compiles it with these secrets of the bridge. `env` looks up a variable of the host's
    /// environment.
    ///
    /// # Errors
    /// Every problem found, each with the path of the field it is about; never a secret's value.
    pub fn compile(&self, env: Environment<'_>, served: &[wire::Secret]) -> Result<Config, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut compiler = Compiler::new(&self.document, Some(env), Some(served), &[], &mut problems);
        match compiler.config(&self.document) {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }
}

impl Config {
    /// Returns the exchange whose tokens are stored under this id; `None` if it is a provider's, or
    /// of no exchange of the configuration.
    #[must_use]
    pub fn exchange(&self, id: ProviderId) -> Option<&TokenExchange> {
        self.exchanges().find(|exchange| exchange.id == id)
    }

    /// Every exchange of tokens, by resource.
    pub fn exchanges(&self) -> impl Iterator<Item = &TokenExchange> {
        self.resources.iter().filter_map(|resource| resource.injection.exchange())
    }

    /// Returns `true` if ID tokens of this provider are exchanged, and so must be kept.
    #[must_use]
    pub fn keeps_id_token(&self, provider: ProviderId) -> bool {
        let of_id_token = |exchange: &TokenExchange| exchange.subject_type == SubjectTokenType::IdToken;
        self.exchanges().any(|exchange| exchange.subject == provider && of_id_token(exchange))
    }

    /// Returns every key that signs something: the gateway's own, and those of its clients.
    pub fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        let of_clients = self.providers.iter().filter_map(|provider| Some(&provider.client().key.as_ref()?.key));
        self.signing_keys.iter().chain(of_clients)
    }

    /// Compiles a document. `env` looks up a variable of the host's environment.
    ///
    /// # Errors
    /// Every problem found, each with the path of the field it is about; never a secret's value.
    pub fn compile(document: &[u8], env: Environment<'_>) -> Result<Compiled, Vec<Problem>> {
        match compile(document, Some(env)) {
            (Some(compiled), problems) if problems.is_empty() => Ok(compiled),
            (_, problems) => Err(problems),
        }
    }

    /// Returns every problem of a document, each with the path of the field it is about; never a
    /// secret's value. With `env`, the variables that it names are looked up, and the keys and
    /// secrets in them are checked; without, they are left out. The bridge's secrets always are.
    #[must_use]
    pub fn check(document: &[u8], env: Option<Environment<'_>>) -> Vec<Problem> {
        compile(document, env).1
    }
}

/// Compiles a document as far as it goes without the bridge. With problems, or without `env`, what
/// is compiled can be nothing.
fn compile(document: &[u8], env: Option<Environment<'_>>) -> (Option<Compiled>, Vec<Problem>) {
    let mut form = Vec::new();
    let Some(document) = Document::parse(document, &mut form) else { return (None, form) };
    let mut problems = Vec::new();
    let mut compiler = Compiler::new(&document, env, None, &form, &mut problems);
    let config = compiler.config(&document);
    let (names, bridge) = (std::mem::take(&mut compiler.wanted), compiler.bridge.take());
    if names.len() > MAX_SECRETS {
        let what = format!("names {} secrets of the bridge; at most {MAX_SECRETS} may be", names.len());
        problems.push(Problem::new("", what));
    }
    form.append(&mut problems);
    let compiled = match (config, bridge) {
        (Some(config), _) => Some(Compiled::Ready(Box::new(config))),
        (None, Some(bridge)) => Some(Compiled::Awaiting(Box::new(Draft { document, names, bridge }))),
        (None, None) => None,
    };
    (compiled, form)
}

impl Compiler<'_> {
    fn config(&mut self, document: &Document) -> Option<Config> {
        let development = document.development || self.is_unsure_of("development");
        let is_server = document.issuer.is_some();
        let issuer = match &document.issuer {
            Some(issuer) => self.issuer(issuer, development),
            None => Issuer::of_resource(document.resources.first().map_or("", |resource| &resource.resource)),
        };
        let signing_keys = self.signing_keys(&document.signing_keys, development);
        let key_ring = if is_server { self.key_ring(&document.secrets, development) } else { Some(KeyRing::closed()) };
        let lifespans = self.lifespans(&document.token_lifespans, development);
        let scopes_supported = self.scopes("scopesSupported", &document.scopes_supported);
        let storage = self.storage(&document.storage);
        let registration = self.registration(&document.clients.dynamic_registration);
        let client_documents = self.client_documents(&document.clients.metadata_documents);
        let consent = self.consent(&document.consent);
        let logins_per_minute = self.logins_per_minute(document);
        let providers = self.providers(&document.upstream_providers, development);
        let users = self.users(document.users.as_ref(), &document.upstream_providers);
        let trusted_issuers = self.trusted_issuers(document, issuer.as_ref().filter(|_| is_server), development);
        let scopes = scopes_supported.as_ref().filter(|_| is_server && !self.is_unsure_of("scopesSupported"));
        let resources = self.resources(document, issuer.as_ref().filter(|_| is_server), scopes, development);
        let default_resource = self.default_resource(document, resources.as_deref());
        let (issuer, key_ring, storage) = (issuer?, Rc::new(key_ring?), storage?);
        let space = match &storage {
            Storage::Memory { .. } => None,
            Storage::Bridge(bridge) => Some(&bridge.space),
        };
        Some(Config {
            sealer: Sealer::new(&key_ring, &issuer.url, space),
            is_server,
            issuer,
            signing_keys: signing_keys?,
            key_ring,
            lifespans: lifespans?,
            scopes_supported: scopes_supported?,
            storage,
            registration: registration?,
            client_documents: client_documents?,
            consent: consent?,
            logins_per_minute: logins_per_minute?,
            audits_email: document.audit.email,
            providers: providers?,
            users: users?,
            trusted_issuers: trusted_issuers?,
            reserved_names: reserved_names(
                resources.iter().flatten().map(|resource| (&resource.injection, resource.identity.as_ref())),
            ),
            resources: resources?,
            default_resource: default_resource?,
            default: document.default,
            default_endpoints: is_server && document.default_endpoints,
            trusted_proxies: document.trusted_proxies,
        })
    }
}
