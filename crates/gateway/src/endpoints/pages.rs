//! The pages a person sees: the question before a login, and an error that must not be redirected
//! anywhere.
//!
//! The consent page is what stands between an app that registered itself and a user's account at
//! the identity provider (the confused deputy of the MCP security best practices): it names the
//! app, says where the answer goes, and cannot be framed (RFC 9700 §4.16). No page runs a script or
//! loads anything, so markup that slipped past the escaping would still do nothing.

pub mod connections;

use askama::Template;
use portcullis_protocol::http::message::Response;

use crate::config::Provider;

/// The question put to a user before the login: may this client act for you?
///
/// Every field is escaped where it lands, and is isolated from the text around it, so a
/// right-to-left name cannot reorder the host next to it. The length of a field is bounded where
/// the field is read: at registration, in the client's document, or in the configuration.
// No `Debug`: the CSRF token must not reach a log.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct ConsentPage<'a> {
    /// The configured name of this service.
    pub title: &'a str,
    /// The configured logo, a `data:` URI; the policy of the page lets no other kind load.
    pub logo: Option<&'a str>,
    /// The name the client gave itself (RFC 7591 §2); blank when it gave none. Shown as the
    /// client's own claim.
    pub client_name: &'a str,
    /// Where the app's description is from, for an app whose id is a URL. The host vouches for the
    /// description, and for nothing that it says of others.
    pub document: Option<DocumentAddress<'a>>,
    /// Where the answer goes: the host of the redirect URI. Unlike the name it cannot be made up,
    /// for an app receives nothing at a host that is not its own; but see
    /// [`ConsentPage::redirect_uri`].
    pub redirect_host: &'a str,
    /// The whole redirect URI. With a private-use scheme (RFC 8252 §7.1) it is shown in place of
    /// the host.
    pub redirect_uri: &'a str,
    /// Whether the redirect goes to this computer (RFC 8252 §7.3), where the host says nothing
    /// about the app.
    pub loopback: bool,
    /// The scopes that an approval grants, after narrowing (RFC 6749 §3.3).
    pub scopes: &'a [&'a str],
    /// The resource the token will be for (RFC 8707 §2).
    pub resource: &'a str,
    /// The identity providers that the login goes to, but for those of a choice.
    pub providers: &'a [ProviderLabel<'a>],
    /// The identity providers that the user chooses among; empty where there is no choice.
    pub choices: &'a [ProviderLabel<'a>],
    /// The path that the form posts to.
    pub action: &'a str,
    /// The opaque reference to the pending authorization, sent back as `transaction`.
    pub transaction: &'a str,
    /// The token that ties the answer to this page and browser, sent back as `csrf`.
    pub csrf: &'a str,
}

/// An identity provider as the page has it.
#[derive(Debug, Clone, Copy)]
pub struct ProviderLabel<'a> {
    /// Its name in the configuration, sent back as `provider` by the button that chooses it.
    pub name: &'a str,
    /// The name that users read.
    pub display_name: &'a str,
}

impl<'a> ProviderLabel<'a> {
    /// The label of a provider.
    #[must_use]
    pub fn of(provider: &'a Provider) -> Self {
        Self { name: &provider.name, display_name: &provider.display_name }
    }
}

/// The address of a client-id metadata document.
#[derive(Debug, Clone, Copy)]
pub struct DocumentAddress<'a> {
    /// Its host, in ASCII form.
    pub host: &'a str,
    /// Its URL, which is the client's id.
    pub url: &'a str,
}

impl ConsentPage<'_> {
    /// The page as a `200` answer.
    ///
    /// Its form posts `transaction`, `csrf`, and one of `decision`, which is `approve` or `deny`,
    /// and `provider`, which is an approval with a choice.
    #[must_use]
    pub fn response(&self) -> Response {
        page(200, self.render())
    }

    /// Whether the host is what decides where the answer goes. With a private-use scheme it is the
    /// scheme, and an app may put any trusted name behind it: `evil://bank.example/` does not go to
    /// the bank.
    fn host_is_telling(&self) -> bool {
        self.redirect_uri.starts_with("https://") || self.redirect_uri.starts_with("http://")
    }
}

/// An error told to the user, because there is no verified redirect URI to tell it to (RFC 6749
/// §4.1.2.1).
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// The configured name of this service.
    pub title: &'a str,
    /// What went wrong, in a few words.
    pub heading: &'a str,
    /// What went wrong, in a sentence: text of ours, never a description that arrived with a
    /// request, so that a link cannot make this origin say what its author likes.
    pub message: &'a str,
    /// What the user can do about it; left out when empty.
    pub hint: &'a str,
}

impl ErrorPage<'_> {
    /// The page as an answer with the given status.
    #[must_use]
    pub fn response(&self, status: u16) -> Response {
        page(status, self.render())
    }
}

/// An error that the user may take back to the client: its request cannot be served, and the user
/// was not asked about it.
#[derive(Debug, Template)]
#[template(path = "return.html")]
pub struct ReturnPage<'a> {
    /// The configured name of this service.
    pub title: &'a str,
    /// What is wrong with the request: text of ours, as in [`ErrorPage::message`].
    pub description: &'a str,
    /// The host of the link.
    pub host: &'a str,
    /// The client's redirect URI, a web site, with the error.
    pub link: &'a str,
}

impl ReturnPage<'_> {
    /// The page as an answer with the given status.
    #[must_use]
    pub fn response(&self, status: u16) -> Response {
        page(status, self.render())
    }
}

/// Says what a well-known scope lets the client do (OpenID Connect Core §5.4, §11); any other is
/// shown by its name alone.
fn scope_meaning(scope: &str) -> Option<&'static str> {
    match scope {
        "openid" => Some("Know who you are"),
        "profile" => Some("See your name and profile"),
        "email" => Some("See your email address"),
        "offline_access" => Some("Keep access while you are away"),
        _ => None,
    }
}

fn page(status: u16, rendered: askama::Result<String>) -> Response {
    let (status, content_type, body) = match rendered {
        Ok(html) => (status, "text/html; charset=utf-8", html.into_bytes()),
        Err(_) => (500, "text/plain; charset=utf-8", UNRENDERED.into()),
    };
    // No Cross-Origin-Opener-Policy: a browser client opens the login as a popup and waits for its
    // own callback page to answer through `window.opener`, and any value that does something cuts
    // that link.
    Response::new(status)
        .header("content-type", content_type)
        .header("content-security-policy", CONTENT_SECURITY_POLICY)
        .header("x-frame-options", "DENY")
        .header("x-content-type-options", "nosniff")
        .header("cache-control", "no-store")
        // With `no-referrer` a browser sends `Origin: null` on the form, and the consent endpoint
        // checks Origin. No other site learns the URL either way (RFC 9700 §4.2).
        .header("referrer-policy", "same-origin")
        .header("permissions-policy", PERMISSIONS_POLICY)
        .body(body)
}

/// The style of every page, word for word between the `style` tags: the policy allows it by its
/// hash.
const STYLE: &str = include_str!("../../templates/pages.css");

// No `form-action`: Chromium applies it to every redirect that follows the form, so it would have
// to name the identity provider and the redirect URI of each client. The form's target is ours, and
// `base-uri` keeps it where it is.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
     style-src 'sha256-ibDaJuQT93+2MxfAWf7vmSHvHBq5EgvhIAdII8dJx2I='; \
     img-src data:; base-uri 'none'; frame-ancestors 'none'";

const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

const UNRENDERED: &str = "This page cannot be shown.";

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
