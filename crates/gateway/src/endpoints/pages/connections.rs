//! The pages on which a user connects providers.

use askama::Template;
use portcullis_protocol::http::message::Response;

use super::{ProviderLabel, STYLE, page};

/// The connections of the user who is signed in, each with the buttons to change it.
// No `Debug`: the CSRF token must not reach a log.
#[derive(Template)]
#[template(path = "connections.html")]
pub struct ConnectionsPage<'a> {
    /// The configured name of this service.
    pub title: &'a str,
    /// The configured logo, a `data:` URI.
    pub logo: Option<&'a str>,
    /// Who is signed in.
    pub user: &'a str,
    /// What can be connected.
    pub connections: &'a [ConnectionItem],
    /// The path that the forms post to.
    pub action: &'a str,
    /// The token that ties a form to this user and page, sent back as `csrf`.
    pub csrf: &'a str,
    /// When the page was shown, in Unix seconds, sent back as `shown_at`.
    pub shown_at: u64,
}

/// A provider that can be connected, and what is connected there.
pub struct ConnectionItem {
    /// Its name in the configuration, sent back as `provider`.
    pub name: String,
    /// The name that users read.
    pub label: String,
    /// The account that is connected; `None` if there is none.
    pub account: Option<String>,
    /// Since which day, as `YYYY-MM-DD` in UTC.
    pub since: Option<String>,
    /// Whether its tokens have run out and cannot be renewed.
    pub is_over: bool,
}

impl ConnectionsPage<'_> {
    /// The page as a `200` answer.
    ///
    /// Each form posts `csrf`, `shown_at`, `provider`, and `action`, which is `connect` or
    /// `disconnect`.
    #[must_use]
    pub fn response(&self) -> Response {
        page(200, self.render())
    }
}

/// A provider has been connected.
#[derive(Debug, Template)]
#[template(path = "connected.html")]
pub struct ConnectedPage<'a> {
    /// The configured name of this service.
    pub title: &'a str,
    /// The name of the provider that users read.
    pub provider: &'a str,
    /// The account there.
    pub account: &'a str,
    /// The path of the page with all connections.
    pub connections: &'a str,
}

impl ConnectedPage<'_> {
    /// The page as a `200` answer.
    #[must_use]
    pub fn response(&self) -> Response {
        page(200, self.render())
    }
}

/// Where a user signs in, where there is a choice.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage<'a> {
    /// The configured name of this service.
    pub title: &'a str,
    /// The providers to choose from.
    pub choices: &'a [ProviderLabel<'a>],
    /// The provider to be connected, by its name in the configuration.
    pub provider: Option<&'a str>,
    /// The path that the form asks for, with `login`.
    pub action: &'a str,
}

impl SignInPage<'_> {
    /// The page as a `200` answer.
    #[must_use]
    pub fn response(&self) -> Response {
        page(200, self.render())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;";

    fn item(account: Option<&str>, is_over: bool) -> ConnectionItem {
        let account = account.map(str::to_owned);
        let since = account.as_ref().map(|_| "2027-01-15".to_owned());
        ConnectionItem { name: "github".to_owned(), label: "GitHub".to_owned(), account, since, is_over }
    }

    fn html(response: &Response) -> String {
        assert_eq!(response.header_value("x-frame-options"), Some("DENY"));
        let page = String::from_utf8(response.body_bytes().to_vec()).unwrap();
        let (before, style) = page.split_once("<style>").unwrap();
        [before, style.split_once("</style>").unwrap().1].concat()
    }

    fn shown(items: &[ConnectionItem], text: &str) -> String {
        let page = ConnectionsPage {
            title: text,
            logo: None,
            user: text,
            connections: items,
            action: "/oauth/connections",
            csrf: text,
            shown_at: 7,
        };
        html(&page.response())
    }

    #[test]
    fn each_provider_has_a_form_with_what_can_be_done_about_it() {
        for (item, state, actions) in [
            (item(None, false), "Not connected", &["connect"][..]),
            (
                item(Some("octocat"), false),
                "Connected. Account: <strong><bdi>octocat</bdi>",
                &["disconnect", "connect"],
            ),
            (item(Some("octocat"), true), "The connection has ended.", &["disconnect", "connect"]),
        ] {
            let page = shown(&[item], "x");
            assert!(page.contains(state), "{page}");
            for action in ["connect", "disconnect"] {
                let has = page.contains(&format!("name=\"action\" value=\"{action}\""));
                assert_eq!(has, actions.contains(&action), "{state} {action}");
            }
            assert!(page.contains("name=\"provider\" value=\"github\"") && page.contains("name=\"csrf\" value=\"x\""));
            assert!(page.contains("<form method=\"post\" action=\"/oauth/connections\""));
        }
    }

    #[test]
    fn markup_in_any_field_stays_text() {
        let named = |text: &str| ConnectionItem {
            name: text.to_owned(),
            label: text.to_owned(),
            account: Some(text.to_owned()),
            since: Some(text.to_owned()),
            is_over: false,
        };
        let connected = |text: &str| {
            html(&ConnectedPage { title: text, provider: text, account: text, connections: text }.response())
        };
        let choose = |text: &str| {
            let choices = [ProviderLabel { name: text, display_name: text }];
            html(&SignInPage { title: text, choices: &choices, provider: Some(text), action: text }.response())
        };
        for (hostile, plain) in [
            (shown(&[named(HOSTILE)], HOSTILE), shown(&[named("x")], "x")),
            (connected(HOSTILE), connected("x")),
            (choose(HOSTILE), choose("x")),
        ] {
            for mark in ["<", ">", "\""] {
                assert_eq!(hostile.matches(mark).count(), plain.matches(mark).count(), "a field added {mark}");
            }
            assert!(!hostile.contains("&amp;") && hostile.contains("&#38;amp;"));
        }
    }
}
