//! The exchange of a user's token for one of a backend's own authorization server.

use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::oauth::resource::ResourceUri;
use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::Compiler;
use super::document::{self, Document, LoginMode, SubjectTokenType};
use super::provider::{ProviderId, written_id};
use super::upstream_client::{UpstreamClient, WrittenClient};

/// How a token for a backend is got in exchange for the user's (RFC 8693 §2.1).
pub struct TokenExchange {
    /// What the new tokens are stored under. Exchanges that ask for the same have the same.
    pub id: ProviderId,
    /// The token endpoint as written, by which reports name it.
    pub name: Rc<str>,
    /// The gateway as its client, with the scopes that it asks for.
    pub client: UpstreamClient,
    /// The token endpoint.
    pub endpoint: WebUrl,
    /// The provider whose token is exchanged.
    pub subject: ProviderId,
    /// Which of its tokens.
    pub subject_type: SubjectTokenType,
    /// The `audience`.
    pub audience: Option<String>,
    /// The `resource`.
    pub resource: Option<String>,
    /// The header's name, lower case.
    pub header: Rc<str>,
}

impl SubjectTokenType {
    /// Returns its name (RFC 8693 §3).
    #[must_use]
    pub const fn urn(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

impl Compiler<'_> {
    /// Compiles the exchange at `path`, whose token goes into the header of this name.
    pub(super) fn token_exchange(
        &mut self,
        path: &str,
        written: &document::TokenExchange,
        document: &Document,
        development: bool,
        header: Option<Rc<str>>,
    ) -> Option<TokenExchange> {
        let url_path = format!("{path}.tokenUrl");
        let endpoint = match WebUrl::parse(&written.token_url) {
            Ok(url) => self.provider_url(&url_path, url, development),
            Err(_) => self.problem(&url_path, "must be an absolute https URL without a fragment or user name"),
        };
        let client = WrittenClient {
            client_id: &written.client_id,
            client_secret: written.client_secret.as_ref(),
            client_key: None,
            client_key_id: None,
            assertion_audience: None,
            authentication: written.client_authentication,
            cluster: &written.cluster,
            scopes: &written.scopes,
            default_token_lifespan: DEFAULT_LIFE,
            extra_parameters: &BTreeMap::new(),
            extra_token_parameters: &BTreeMap::new(),
        };
        let client = self.upstream_client(path, &client, endpoint.as_ref(), development);
        let subject = self.subject(&format!("{path}.subjectProviderName"), written, document);
        if written.audience.as_ref().is_some_and(|audience| !(1..=MAX_AUDIENCE).contains(&audience.len())) {
            self.problem::<()>(&format!("{path}.audience"), format!("must have 1 to {MAX_AUDIENCE} bytes"));
        }
        if let Some(Err(error)) = written.resource.as_deref().map(ResourceUri::parse) {
            self.problem::<()>(&format!("{path}.resource"), error.to_string());
        }
        let (client, subject) = (client?, subject?);
        Some(TokenExchange {
            id: id(written, subject),
            name: Rc::from(written.token_url.as_str()),
            client,
            endpoint: endpoint?,
            subject,
            subject_type: written.subject_token_type,
            audience: written.audience.clone(),
            resource: written.resource.clone(),
            header: header?,
        })
    }

    /// The provider whose token is exchanged: one that each login brings a token of.
    fn subject(&mut self, path: &str, written: &document::TokenExchange, document: &Document) -> Option<ProviderId> {
        let providers = &document.upstream_providers;
        let found = match &written.subject_provider_name {
            Some(name) => providers.iter().find(|provider| provider.name == *name),
            None => providers.iter().find(|provider| provider.login == LoginMode::Required),
        };
        let names = (0..providers.len()).map(|index| format!("upstreamProviders[{index}].name"));
        let unsure = self.is_wrong("upstreamProviders") || names.into_iter().any(|name| self.is_wrong(&name));
        match found {
            Some(found) if found.login == LoginMode::Required => written_id(found),
            Some(_) => self.problem(path, "must be a provider that each login is at: of the `login` \"required\""),
            None if unsure => None,
            None => self.problem(path, "is not the name of a configured provider that each login is at"),
        }
    }
}

/// What tells the tokens of one exchange from those of another: everything that is asked for. It is
/// no provider's, whose id is a digest of two parts.
fn id(written: &document::TokenExchange, subject: ProviderId) -> ProviderId {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let (audience, resource, scopes) =
        (optional(&written.audience), optional(&written.resource), written.scopes.join(" "));
    let digest = digest_parts(&[
        b"token-exchange",
        written.token_url.as_bytes(),
        written.client_id.as_bytes(),
        subject.as_bytes(),
        written.subject_token_type.urn().as_bytes(),
        audience.as_bytes(),
        resource.as_bytes(),
        scopes.as_bytes(),
    ]);
    let mut id = [0; 16];
    id.iter_mut().zip(digest.as_bytes()).for_each(|(byte, digest)| *byte = *digest);
    ProviderId::from_bytes(id)
}

/// The life of a token of which the answer says nothing.
const DEFAULT_LIFE: &str = "5m";
/// The longest `audience`, in bytes.
const MAX_AUDIENCE: usize = 512;
