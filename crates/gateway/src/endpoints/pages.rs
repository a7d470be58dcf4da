//! The pages a person sees: the question before a login, and an error that must not be redirected
//! anywhere.
//!
//! The consent page is what stands between an app that registered itself and a user's account at
//! the identity provider (the confused deputy of the MCP security best practices): it names the
//! app, says where the answer goes, and cannot be framed (RFC 9700 §4.16). No page runs a script or
//! loads anything, so markup that slipped past the escaping would still do nothing.

use askama::Template;
use portcullis_protocol::http::message::Response;

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
    /// The name of the identity provider that the login goes to next.
    pub provider: &'a str,
    /// The path that the form posts to.
    pub action: &'a str,
    /// The opaque reference to the pending authorization, sent back as `transaction`.
    pub transaction: &'a str,
    /// The token that ties the answer to this page and browser, sent back as `csrf`.
    pub csrf: &'a str,
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
    /// Its form posts `transaction`, `csrf`, and `decision`, which is `approve` or `deny`.
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
     style-src 'sha256-0IIF2xoqq6dCoOrOSWNXEso5Msl56uqEwsjXA5fmVjY='; \
     img-src data:; base-uri 'none'; frame-ancestors 'none'";

const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

const UNRENDERED: &str = "This page cannot be shown.";

#[cfg(test)]
mod tests {
    use portcullis_protocol::base64url;
    use portcullis_protocol::crypto::digest;

    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;";

    fn consent<'a>() -> ConsentPage<'a> {
        ConsentPage {
            title: "Example MCP",
            logo: Some("data:image/png;base64,AAAA"),
            client_name: "Desk Assistant",
            document: None,
            redirect_host: "app.example",
            redirect_uri: "https://app.example/callback",
            loopback: false,
            scopes: &["openid", "tickets:read"],
            resource: "https://mcp.example.com/mcp",
            provider: "okta",
            action: "/oauth/consent",
            transaction: "transaction-1",
            csrf: "csrf-1",
        }
    }

    fn error<'a>() -> ErrorPage<'a> {
        ErrorPage {
            title: "Example MCP",
            heading: "Unknown app",
            message: "The app is not registered here.",
            hint: "Start again.",
        }
    }

    fn html(response: &Response) -> String {
        String::from_utf8(response.body_bytes().to_vec()).unwrap()
    }

    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        text.split_once(start).unwrap().1.split_once(end).unwrap().0
    }

    /// The page with its styles left out, whose text no test about content should match.
    fn markup(response: &Response) -> String {
        let page = html(response);
        page.replace(between(&page, "<style>", "</style>"), "")
    }

    #[test]
    fn the_policy_allows_exactly_the_style_that_the_pages_carry() {
        for response in [consent().response(), error().response(400)] {
            let page = html(&response);
            let style = between(&page, "<style>", "</style>");
            let hash = base64url::encode(&digest::sha256(style.as_bytes())).replace('-', "+").replace('_', "/");
            let policy = response.header_value("content-security-policy").unwrap();
            assert!(policy.contains(&format!("style-src 'sha256-{hash}=';")), "the style now hashes to {hash}=");
            assert_eq!(page.matches("<style").count(), 1);
            assert!(!page.contains("style="), "the policy refuses style attributes");
        }
    }

    #[test]
    fn every_page_carries_the_headers_that_keep_it_unframed_uncached_and_inert() {
        let unrendered = page(200, Err(askama::Error::Fmt));
        for response in [consent().response(), error().response(400), unrendered] {
            let policy = response.header_value("content-security-policy").unwrap();
            for directive in ["default-src 'none'", "img-src data:", "base-uri 'none'", "frame-ancestors 'none'"] {
                assert!(policy.split(';').any(|one| one.trim() == directive), "{directive} is missing");
            }
            assert!(!policy.contains("unsafe"));
            assert!(!policy.contains("form-action"), "it would block the redirect to the provider");
            for (name, value) in [
                ("x-frame-options", "DENY"),
                ("x-content-type-options", "nosniff"),
                ("cache-control", "no-store"),
                ("referrer-policy", "same-origin"),
                ("permissions-policy", PERMISSIONS_POLICY),
            ] {
                assert_eq!(response.header_value(name), Some(value));
            }
            assert_eq!(response.header_value("cross-origin-opener-policy"), None);
        }
    }

    #[test]
    fn the_pages_are_html_in_utf_8_with_the_status_asked_for() {
        for (response, status) in [(consent().response(), 200), (error().response(403), 403)] {
            assert_eq!(response.status(), status);
            assert_eq!(response.header_value("content-type"), Some("text/html; charset=utf-8"));
            assert!(html(&response).starts_with("<!doctype html>\n<html lang=\"en\">"));
        }
    }

    #[test]
    fn a_page_that_does_not_render_is_a_server_error_in_plain_text() {
        let response = page(200, Err(askama::Error::Fmt));
        assert_eq!(response.status(), 500);
        assert_eq!(response.header_value("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(html(&response), UNRENDERED);
    }

    #[test]
    fn the_form_posts_the_transaction_the_csrf_token_and_one_of_two_decisions() {
        let page = markup(&consent().response());
        assert_eq!(page.matches("<form").count(), 1);
        let form = between(&page, "<form method=\"post\" action=\"/oauth/consent\"", "</form>");
        assert!(form.contains("<input type=\"hidden\" name=\"transaction\" value=\"transaction-1\">"));
        assert!(form.contains("<input type=\"hidden\" name=\"csrf\" value=\"csrf-1\">"));
        assert!(form.contains("<button type=\"submit\" name=\"decision\" value=\"approve\""));
        assert!(form.contains("<button type=\"submit\" name=\"decision\" value=\"deny\""));
        assert_eq!(form.matches("<input").count(), 2);
        assert_eq!(form.matches("<button").count(), 2);
    }

    #[test]
    fn markup_in_any_field_of_the_consent_page_stays_text() {
        let scopes = &["tickets:read", "tickets:write"];
        for redirect_uri in ["https://app.example/", "com.example.app:/"] {
            let plain = markup(&ConsentPage { scopes, redirect_uri, ..consent() }.response());
            let hostile = ConsentPage {
                title: HOSTILE,
                logo: Some(HOSTILE),
                client_name: HOSTILE,
                redirect_host: HOSTILE,
                redirect_uri: &format!("{redirect_uri}{HOSTILE}"),
                scopes: &[HOSTILE, HOSTILE],
                resource: HOSTILE,
                provider: HOSTILE,
                action: HOSTILE,
                transaction: HOSTILE,
                csrf: HOSTILE,
                ..consent()
            };
            assert_same_structure(&markup(&hostile.response()), &plain);
        }
    }

    #[test]
    fn markup_in_any_field_of_the_error_page_stays_text() {
        let plain = markup(&error().response(400));
        let hostile = ErrorPage { title: HOSTILE, heading: HOSTILE, message: HOSTILE, hint: HOSTILE };
        assert_same_structure(&markup(&hostile.response(400)), &plain);
    }

    /// No field added a tag or ended an attribute, and the ampersands of the fields are escaped
    /// too.
    fn assert_same_structure(page: &str, plain: &str) {
        assert!(!page.to_ascii_lowercase().contains("<script"));
        for mark in ["<", ">", "\""] {
            assert_eq!(page.matches(mark).count(), plain.matches(mark).count(), "a field added {mark}");
        }
        assert!(!page.contains('\''));
        assert!(!page.contains("&amp;") && page.contains("&#38;amp;"));
    }

    #[test]
    fn no_page_runs_a_script_or_loads_anything_from_elsewhere() {
        for response in [consent().response(), error().response(400)] {
            let page = html(&response).to_ascii_lowercase();
            for forbidden in ["<script", "javascript:", "<iframe", "<object", "@import", "url(", " onload", " onclick"]
            {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
            let sources = page.split("src=\"").skip(1).chain(page.split("href=\"").skip(1));
            assert!(sources.into_iter().all(|source| source.starts_with("data:")));
        }
    }

    #[test]
    fn the_consent_page_says_who_asks_for_what_and_where_the_answer_goes() {
        let page = markup(&consent().response());
        assert!(page.contains("<dt>It calls itself</dt>\n<dd><strong><bdi>Desk Assistant</bdi></strong>"));
        assert!(page.contains("<strong class=\"host\"><bdi dir=\"ltr\">app.example</bdi></strong>"));
        assert!(page.contains("<bdi dir=\"ltr\">https://app.example/callback</bdi>"));
        assert!(page.contains("<bdi dir=\"ltr\">https://mcp.example.com/mcp</bdi>"));
        assert!(page.contains("sign in with <strong><bdi>okta</bdi></strong>"));
        assert!(page.contains("<img src=\"data:image/png;base64,AAAA\" alt=\"\">"));
    }

    #[test]
    fn only_a_loopback_redirect_is_called_an_app_on_this_computer() {
        let elsewhere = markup(&consent().response());
        let here = ConsentPage { loopback: true, ..consent() };
        assert!(!elsewhere.contains("on this computer"));
        assert!(markup(&here.response()).contains("an app on this computer"));
    }

    #[test]
    fn a_private_use_redirect_is_shown_whole_and_not_by_the_host_it_borrows() {
        for redirect_uri in ["evil://bank.example/callback", "com.example.app:/callback", "httpsx://bank.example/"] {
            let page = markup(&ConsentPage { redirect_host: "bank.example", redirect_uri, ..consent() }.response());
            assert!(page.contains(&format!("<strong class=\"host\"><bdi dir=\"ltr\">{redirect_uri}</bdi></strong>")));
            assert!(!page.contains(">bank.example<"));
        }
    }

    #[test]
    fn a_client_without_a_name_is_not_shown_as_calling_itself_anything() {
        for client_name in ["", "  "] {
            let page = markup(&ConsentPage { client_name, ..consent() }.response());
            assert!(page.contains("the app gives no name"));
            assert!(!page.contains("chose this name"));
        }
    }

    #[test]
    fn well_known_scopes_are_explained_and_all_are_shown_by_name() {
        let scopes = &["openid", "profile", "email", "offline_access", "tickets:read", "OpenID"];
        let page = markup(&ConsentPage { scopes, ..consent() }.response());
        let items: Vec<&str> = page.split("<li>").skip(1).map(|rest| rest.split_once("</li>").unwrap().0).collect();
        assert_eq!(items.len(), scopes.len());
        for (item, scope) in items.iter().zip(scopes) {
            assert!(item.ends_with(&format!("<bdi>{scope}</bdi></code>")), "{item}");
            let explained = !matches!(*scope, "tickets:read" | "OpenID");
            assert_eq!(item.starts_with("<span>"), explained, "{item}");
        }
    }

    #[test]
    fn a_request_without_scopes_says_so() {
        let page = markup(&ConsentPage { scopes: &[], ..consent() }.response());
        assert!(page.contains("no separate permissions"));
        assert!(!page.contains("<ul"));
    }

    #[test]
    fn parts_that_are_absent_leave_no_empty_element() {
        let page = markup(&ConsentPage { logo: None, ..consent() }.response());
        assert!(!page.contains("<img"));
        assert!(!markup(&ErrorPage { hint: "", ..error() }.response(400)).contains("class=\"hint\""));
    }

    #[test]
    fn long_fields_are_shown_whole_and_add_no_more_than_their_escaped_length() {
        let name = "<".repeat(10_000);
        let uri = format!("https://app.example/{}", "a".repeat(10_000));
        let page = html(&ConsentPage { client_name: &name, redirect_uri: &uri, ..consent() }.response());
        assert!(page.contains(&"&#60;".repeat(10_000)));
        assert!(page.contains(&uri));
        assert!(page.len() < html(&consent().response()).len() + 5 * name.len() + uri.len());
    }

    #[test]
    fn the_error_page_says_what_went_wrong_and_what_to_do() {
        let page = markup(&error().response(400));
        assert!(page.contains("<title>Unknown app - Example MCP</title>"));
        assert!(page.contains("<h1>Unknown app</h1>"));
        assert!(page.contains("<p>The app is not registered here.</p>"));
        assert!(page.contains("<p class=\"hint\">Start again.</p>"));
        assert!(!page.contains("<form"));
    }
}
