//! Credentials for a resource's backend in place of the client's token, and headers about the
//! caller.

use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;

use super::compiler::Compiler;
use super::document::{self, Document, IdentityClaim, Inject, SecretRef};
use super::provider::{ProviderId, written_id};
use super::token_exchange::TokenExchange;
use crate::decision::header_field::{HeaderField, ReservedNames};

/// The credentials that a resource's backend gets in place of the client's token.
pub enum Injection {
    /// Nothing.
    Nothing,
    /// The same field for every caller.
    Static(HeaderField),
    /// The user's own token at a provider.
    Upstream(UpstreamInjection),
    /// A token that the user's own is exchanged for.
    Exchange(Box<TokenExchange>),
}

/// How a resource's backend gets the user's upstream token.
pub struct UpstreamInjection {
    /// The provider whose token it is.
    pub provider: ProviderId,
    /// The header's name, lower case.
    pub header: Rc<str>,
}

impl Injection {
    /// Returns what the stored token is kept under that is injected; `None` where none is.
    #[must_use]
    pub fn token(&self) -> Option<ProviderId> {
        match self {
            Self::Nothing | Self::Static(_) => None,
            Self::Upstream(upstream) => Some(upstream.provider),
            Self::Exchange(exchange) => Some(exchange.id),
        }
    }

    /// Returns the provider without whose tokens no call can be served; `None` where it takes none.
    #[must_use]
    pub fn provider(&self) -> Option<ProviderId> {
        match self {
            Self::Nothing | Self::Static(_) => None,
            Self::Upstream(upstream) => Some(upstream.provider),
            Self::Exchange(exchange) => Some(exchange.subject),
        }
    }

    /// Returns the exchange by which the token is got, if it is by one.
    #[must_use]
    pub fn exchange(&self) -> Option<&TokenExchange> {
        match self {
            Self::Exchange(exchange) => Some(exchange),
            Self::Nothing | Self::Static(_) | Self::Upstream(_) => None,
        }
    }

    /// Returns the name of the header that it is put into.
    #[must_use]
    pub fn header(&self) -> Option<&Rc<str>> {
        match self {
            Self::Nothing => None,
            Self::Static(field) => Some(&field.name),
            Self::Upstream(upstream) => Some(&upstream.header),
            Self::Exchange(exchange) => Some(&exchange.header),
        }
    }
}

/// The headers about the caller that a resource's backend gets.
pub struct IdentitySettings {
    /// The headers, by name in lower case, each with what it has.
    pub headers: Vec<(Rc<str>, IdentityClaim)>,
    /// The signed statement.
    pub token: Option<IdentityTokenSettings>,
}

/// The signed statement about the caller.
pub struct IdentityTokenSettings {
    /// The header's name, lower case.
    pub header: Rc<str>,
    /// Its `aud`.
    pub audience: String,
    /// How long it is valid, in seconds.
    pub lifespan: u64,
}

impl IdentitySettings {
    /// The names of all headers.
    fn names(&self) -> impl Iterator<Item = &Rc<str>> {
        self.headers.iter().map(|(name, _)| name).chain(self.token.as_ref().map(|token| &token.header))
    }
}

impl Compiler<'_> {
    /// Compiles `inject` of the resource at `path`.
    pub(super) fn injection(
        &mut self,
        path: &str,
        written: &Inject,
        document: &Document,
        development: bool,
    ) -> Option<Injection> {
        match written {
            Inject::None => Some(Injection::Nothing),
            Inject::UpstreamInject { provider_name, header } => {
                let provider = self.provider_named(&format!("{path}.providerName"), provider_name, document);
                let header = self.injected_name(&format!("{path}.header"), header);
                Some(Injection::Upstream(UpstreamInjection { provider: provider?, header: header? }))
            }
            Inject::Header { name, value } => {
                let name = self.injected_name(&format!("{path}.name"), name);
                let value = self.field_text(&format!("{path}.value"), value, development, is_field_byte);
                Some(Injection::Static(field(name?, "", &value?)))
            }
            Inject::Bearer { token, header } => {
                let header = self.injected_name(&format!("{path}.header"), header);
                // RFC 6750 §2.1.
                let token = self.field_text(&format!("{path}.token"), token, development, u8::is_ascii_graphic);
                Some(Injection::Static(field(header?, "Bearer ", &token?)))
            }
            Inject::TokenExchange(exchange) => {
                let header = self.injected_name(&format!("{path}.header"), &exchange.header);
                let exchange = self.token_exchange(path, exchange, document, development, header);
                exchange.map(Box::new).map(Injection::Exchange)
            }
        }
    }

    /// Compiles the headers about callers of the resource at `path`; `injected` is the name of the
    /// header that its injection takes.
    pub(super) fn identity(
        &mut self,
        path: &str,
        written: &document::Resource,
        document: &Document,
        injected: Option<&str>,
    ) -> Option<Option<IdentitySettings>> {
        let headers_path = format!("{path}.identityHeaders");
        if written.identity_headers.len() > MAX_IDENTITY_HEADERS {
            return self.problem(&headers_path, format!("must have at most {MAX_IDENTITY_HEADERS} entries"));
        }
        let headers: Vec<Option<(Rc<str>, IdentityClaim)>> = written
            .identity_headers
            .iter()
            .map(|(name, claim)| Some((self.identity_name(&headers_path, name)?, *claim)))
            .collect();
        let token = match &written.identity_token {
            Some(token) => {
                let token_path = format!("{path}.identityToken");
                if document.issuer.is_none() && !self.is_unsure_of("issuer") {
                    self.problem::<()>(&token_path, "needs a gateway with an `issuer` and `signingKeys` to sign it");
                }
                let header = self.identity_name(&format!("{token_path}.header"), &token.header);
                let lifespan = self.duration(&format!("{token_path}.lifespan"), &token.lifespan, 60, 3600);
                let audience = token.audience.clone().unwrap_or_else(|| written.resource.clone());
                if audience.is_empty() || audience.len() > MAX_AUDIENCE {
                    let what = format!("must have 1 to {MAX_AUDIENCE} bytes");
                    self.problem::<()>(&format!("{token_path}.audience"), what);
                }
                Some(IdentityTokenSettings { header: header?, audience, lifespan: lifespan? })
            }
            None => None,
        };
        let settings = IdentitySettings { headers: headers.into_iter().collect::<Option<_>>()?, token };
        let names: Vec<&str> = settings.names().map(|name| &**name).chain(injected).collect();
        if names.iter().enumerate().any(|(place, name)| names.iter().take(place).any(|before| before == name)) {
            let what = "a name is that of another header that the gateway sets for this resource";
            return self.problem(&headers_path, what);
        }
        let is_any = settings.names().next().is_some();
        Some(is_any.then_some(settings))
    }

    fn provider_named(&mut self, path: &str, name: &str, document: &Document) -> Option<ProviderId> {
        let named = document.upstream_providers.iter().find(|provider| provider.name == name);
        let names = (0..document.upstream_providers.len()).map(|index| format!("upstreamProviders[{index}].name"));
        let unsure = self.is_wrong("upstreamProviders") || names.into_iter().any(|name| self.is_wrong(&name));
        if named.is_none() && !unsure {
            self.problem::<()>(path, "is not the name of a configured provider");
        }
        written_id(named?)
    }

    /// The name of a header with a credential, in lower case.
    fn injected_name(&mut self, path: &str, written: &str) -> Option<Rc<str>> {
        self.header_name(path, written, "must be a header that may carry a token", |_| false)
    }

    /// The name of a header about the caller, in lower case.
    fn identity_name(&mut self, path: &str, written: &str) -> Option<Rc<str>> {
        let what = "must be the name of a header of the backend's own, such as \"x-user-id\"";
        self.header_name(path, written, what, |name| ["authorization", "proxy-authorization"].contains(&name))
    }

    fn header_name(
        &mut self,
        path: &str,
        written: &str,
        what: &str,
        refused: impl Fn(&str) -> bool,
    ) -> Option<Rc<str>> {
        let name = written.to_ascii_lowercase();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_short = (1..=MAX_NAME).contains(&name.len());
        let is_of_requests =
            OF_REQUESTS.contains(&name.as_str()) || OF_REQUESTS_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if !is_short || !name.bytes().all(is_token) || is_of_requests || refused(&name) {
            return self.problem(path, what);
        }
        Some(Rc::from(name))
    }

    /// A secret that can stand in a header field.
    fn field_text(
        &mut self,
        path: &str,
        reference: &SecretRef,
        development: bool,
        allowed: impl Fn(&u8) -> bool,
    ) -> Option<Secret<String>> {
        let text = self.one_secret(path, reference, development)?;
        let bytes = text.expose().as_bytes();
        // A space at either end would not reach the backend.
        let is_whole = text.expose().trim().len() == bytes.len();
        if !(1..=MAX_VALUE).contains(&bytes.len()) || !is_whole || !bytes.iter().all(allowed) {
            let what = format!("must have 1 to {MAX_VALUE} characters that a header can have, on one line");
            return self.problem(path, what);
        }
        Some(text)
    }
}

/// Returns the names of all headers that the gateway sets for any of some resources.
pub(super) fn reserved_names<'a>(
    resources: impl Iterator<Item = (&'a Injection, Option<&'a IdentitySettings>)>,
) -> Option<Rc<ReservedNames>> {
    let names = resources.flat_map(|(injection, identity)| {
        let identity = identity.into_iter().flat_map(IdentitySettings::names);
        injection.header().into_iter().chain(identity).map(|name| &**name)
    });
    ReservedNames::of(names)
}

fn field(name: Rc<str>, scheme: &str, text: &Secret<String>) -> HeaderField {
    HeaderField { name, value: Rc::new(Secret::new([scheme.as_bytes(), text.expose().as_bytes()].concat())) }
}

/// Returns `true` for a byte of a field's value (RFC 9110 §5.5) that is no tab and is ASCII.
fn is_field_byte(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Headers that carry the request itself, or that Envoy, a browser or an MCP client speaks by:
/// another value in one of them would change or break it.
const OF_REQUESTS: [&str; 38] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-none-match",
    "keep-alive",
    "last-event-id",
    "origin",
    "proxy-connection",
    "range",
    "referer",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];
const OF_REQUESTS_PREFIXES: [&str; 3] = ["x-envoy-", "mcp-", "sec-"];

const MAX_IDENTITY_HEADERS: usize = 16;
/// The longest name of a header, in bytes.
const MAX_NAME: usize = 64;
/// The longest secret that is put into a header, in bytes.
const MAX_VALUE: usize = 8 * 1024;
/// The longest audience of an identity token, in bytes.
const MAX_AUDIENCE: usize = 512;
