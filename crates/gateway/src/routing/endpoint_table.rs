//! The gateway's endpoints. Routing, 405 with `Allow`, preflights, the bounds of a request and
//! every URL of an endpoint follow from this table; the handler's arm is in
//! [`crate::dispatch::handle`], where the compiler asks for it.

use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params::Limits;

/// Makes [`Endpoint`] of the table. What an entry does not say is as in [`Entry::USUAL`].
macro_rules! endpoints {
    ($($(#[doc = $meaning:literal])+ $name:ident { $($field:ident: $value:expr,)+ })+) => {
        /// An endpoint of the gateway.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Endpoint {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Endpoint {
            /// Every endpoint.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the endpoint's entry in the table.
            pub(crate) const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$name => &const { Entry { $($field: $value,)+ ..Entry::USUAL } },)+
                }
            }

            /// Returns the first endpoint with such an entry.
            // perf: decision 8. Each entry is a constant to the compiler, so that a lookup is a
            // comparison with a few texts.
            #[inline(always)]
            fn find(matches: impl Fn(&Entry) -> bool) -> Option<Self> {
                $(if matches(Self::$name.entry()) { return Some(Self::$name); })+
                None
            }
        }
    };
}

endpoints! {
    /// RFC 8414. Some clients look under its OpenID Connect name first, which OpenID Connect
    /// appends to the issuer where RFC 8414 inserts its own.
    AuthorizationServerMetadata {
        path: Some("/.well-known/openid-configuration"),
        well_known: &["oauth-authorization-server", "openid-configuration"],
        suffix: Suffix::IssuerOrResource,
        methods: Methods::GetAndHead,
        preflight: Some("GET"),
    }

    /// The keys that verify access tokens (RFC 7517 §5).
    Keys {
        path: Some("/.well-known/jwks.json"),
        well_known: &["jwks.json"],
        methods: Methods::GetAndHead,
        preflight: Some("GET"),
    }

    /// RFC 9728.
    ProtectedResourceMetadata {
        well_known: &["oauth-protected-resource"],
        suffix: Suffix::Resource,
        methods: Methods::GetAndHead,
        preflight: Some("GET"),
    }

    /// The authorization endpoint (OAuth 2.1 §3.1).
    Authorize {
        path: Some("/oauth/authorize"),
        default_path: Some("/authorize"),
        methods: Methods::GetAndHead,
        reader: Reader::Person,
    }

    /// Where the consent page sends its form.
    Consent {
        path: Some("/oauth/consent"),
        methods: Methods::Post,
        reader: Reader::Person,
        body_bytes: Limits::OAUTH.bytes,
    }

    /// The redirect URI at the identity provider. Logins are limited by address.
    Callback {
        path: Some("/oauth/callback"),
        methods: Methods::Get,
        reader: Reader::Person,
        asks_for_peer: true,
    }

    /// Where a user connects providers, and disconnects them.
    Connections {
        path: Some("/oauth/connections"),
        methods: Methods::GetAndPost,
        reader: Reader::Person,
        body_bytes: Limits::OAUTH.bytes,
    }

    /// The token endpoint (OAuth 2.1 §3.2).
    Token {
        path: Some("/oauth/token"),
        default_path: Some("/token"),
        methods: Methods::Post,
        preflight: Some("POST"),
        body_bytes: Limits::OAUTH.bytes,
    }

    /// The revocation endpoint (RFC 7009 §2).
    Revoke {
        path: Some("/oauth/revoke"),
        methods: Methods::Post,
        preflight: Some("POST"),
        body_bytes: Limits::OAUTH.bytes,
    }

    /// Dynamic client registration (RFC 7591 §3), limited by address.
    Register {
        path: Some("/oauth/register"),
        default_path: Some("/register"),
        methods: Methods::Post,
        preflight: Some("POST"),
        body_bytes: 64 * 1024,
        asks_for_peer: true,
    }
}

/// What the gateway knows of one endpoint.
pub(crate) struct Entry {
    /// Its path below the issuer's.
    pub(crate) path: Option<&'static str>,
    /// Its path at the root of a host, where clients look that know no metadata: MCP 2025-03-26
    /// has these as defaults at the origin of the MCP server's address.
    pub(crate) default_path: Option<&'static str>,
    /// Its names below [`WELL_KNOWN`] at the root of a host (RFC 8615), the usual one first.
    pub(crate) well_known: &'static [&'static str],
    /// What may follow such a name.
    pub(crate) suffix: Suffix,
    /// The methods that its handler answers.
    pub(crate) methods: Methods,
    /// The methods that a CORS preflight is answered with; `None` where no script of another
    /// origin has any business.
    pub(crate) preflight: Option<&'static str>,
    /// Who reads its answers.
    pub(crate) reader: Reader,
    /// The most bytes of a body that its handler reads.
    pub(crate) body_bytes: usize,
    /// Whether its handler asks for the peer's address, which takes the host longer to tell than a
    /// header.
    pub(crate) asks_for_peer: bool,
}

impl Endpoint {
    /// Returns the endpoint at a path below the issuer's.
    pub(crate) fn at_path(path: &[u8]) -> Option<Self> {
        Self::find(|entry| entry.path.is_some_and(|own| own.as_bytes() == path))
    }

    /// Returns the endpoint whose default is this path at the root of a host.
    pub(crate) fn at_default_path(path: &[u8]) -> Option<Self> {
        Self::find(|entry| entry.default_path.is_some_and(|own| own.as_bytes() == path))
    }

    /// Returns the endpoint with this name below [`WELL_KNOWN`].
    pub(crate) fn well_known(name: &[u8]) -> Option<Self> {
        Self::find(|entry| entry.well_known.iter().any(|own| own.as_bytes() == name))
    }

    /// Returns `true` if `text` begins with the path of an endpoint that asks for the peer.
    pub(crate) fn begins_one_that_asks_for_peer(text: &[u8]) -> bool {
        let begins = |path: Option<&str>| path.is_some_and(|path| text.starts_with(path.as_bytes()));
        Self::find(|entry| entry.asks_for_peer && (begins(entry.path) || begins(entry.default_path))).is_some()
    }

    /// Returns the endpoint's URL, or its path, below the issuer's.
    pub(crate) fn below(self, issuer: &str) -> String {
        [issuer, self.entry().path.unwrap_or_default()].concat()
    }

    /// Returns the path of the endpoint's well-known document, without a suffix.
    pub(crate) fn well_known_path(self) -> String {
        [WELL_KNOWN, "/", self.entry().well_known.first().unwrap_or(&"")].concat()
    }
}

/// What may follow the name of a well-known document, apart from one slash.
#[derive(Clone, Copy)]
pub(crate) enum Suffix {
    /// Nothing.
    None,
    /// The issuer's path (RFC 8414 §3.1), or a resource's, where clients older than RFC 9728 look.
    IssuerOrResource,
    /// The path of a resource (RFC 9728 §3.1).
    Resource,
}

/// Who reads the answers of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A client, which reads JSON. It may be a script of another origin.
    Program,
    /// A person, who is shown pages.
    Person,
}

/// The methods that an endpoint's handler answers.
#[derive(Clone, Copy)]
pub(crate) enum Methods {
    Get,
    GetAndHead,
    GetAndPost,
    Post,
}

impl Methods {
    pub(crate) fn contains(self, method: Method) -> bool {
        match self {
            Self::Get => method == Method::Get,
            Self::GetAndHead => matches!(method, Method::Get | Method::Head),
            Self::GetAndPost => matches!(method, Method::Get | Method::Post),
            Self::Post => method == Method::Post,
        }
    }
}

impl Entry {
    /// Returns what `Allow` says: the methods of the handler, and OPTIONS where preflights are
    /// answered.
    pub(crate) fn allow(&self) -> &'static str {
        match (self.methods, self.preflight) {
            (Methods::Get, None) => "GET",
            (Methods::Get, Some(_)) => "GET, OPTIONS",
            (Methods::GetAndHead, None) => "GET, HEAD",
            (Methods::GetAndHead, Some(_)) => "GET, HEAD, OPTIONS",
            (Methods::GetAndPost, None) => "GET, POST",
            (Methods::GetAndPost, Some(_)) => "GET, POST, OPTIONS",
            (Methods::Post, None) => "POST",
            (Methods::Post, Some(_)) => "POST, OPTIONS",
        }
    }

    /// An endpoint without a path, for programs.
    const USUAL: Self = Self {
        path: None,
        default_path: None,
        well_known: &[],
        suffix: Suffix::None,
        methods: Methods::Get,
        preflight: None,
        reader: Reader::Program,
        body_bytes: 0,
        asks_for_peer: false,
    };
}

/// The path below the issuer's that belongs to the gateway, with all that is below it.
pub(crate) const OWN: &str = "/oauth";

/// The path at the root of a host below which well-known documents are (RFC 8615).
pub(crate) const WELL_KNOWN: &str = "/.well-known";
