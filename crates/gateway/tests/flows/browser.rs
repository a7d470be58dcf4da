//! A user's browser before the gateway's handlers, and what it reads off a page.

use std::cell::RefCell;
use std::collections::BTreeMap;

use portcullis_gateway::audit::Audit;
use portcullis_protocol::http::message::Response;
use portcullis_testkit::browser::{Form, Jar, Page};
use portcullis_testkit::http;
use url::Url;

use crate::client::ISSUER;

/// The cookies of one browser, the oldest first. A clone is the same user's other tab at this
/// moment, not a shared jar.
#[derive(Clone, Default)]
pub(crate) struct Browser(RefCell<Jar>);

impl Browser {
    /// The `Cookie` header it would send.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.0.borrow().header(&gateway())
    }

    /// Keeps what an answer sets.
    pub(crate) fn keep(&self, response: &Response) {
        for (_, cookie) in response.headers().iter().filter(|(name, _)| *name == "set-cookie") {
            assert!(cookie.contains("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
            assert!(cookie.contains("; Path=/;") && !cookie.contains("Domain"), "{cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{cookie}");
            assert!(name.len().saturating_add(value.len()) <= 4096, "no browser keeps more: {cookie}");
            self.0.borrow_mut().set(cookie, &gateway());
        }
    }

    /// Takes the cookies away whose names begin so.
    pub(crate) fn lose(&self, prefix: &str) {
        let before = self.names().len();
        self.0.borrow_mut().cookies.retain(|cookie| !cookie.name.starts_with(prefix));
        assert!(self.names().len() < before, "no cookie begins with {prefix}");
    }

    /// Gets the cookies of another tab that was opened at the same time.
    pub(crate) fn take_over(&self, tab: &Self) {
        self.0.borrow_mut().cookies.extend(tab.0.borrow().cookies.iter().cloned());
    }

    /// The names of its cookies.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.borrow().cookies.iter().map(|cookie| cookie.name.clone()).collect()
    }
}

/// An answer of the gateway.
pub(crate) struct Reply {
    pub(crate) response: Response,
    pub(crate) reason: &'static str,
    pub(crate) audit: Audit,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.response.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.header_value(name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.response.body_bytes()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.response.body_bytes()).unwrap()
    }

    /// The error code of a JSON answer.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// Where it redirects to, without the query, and the query's parameters.
    pub(crate) fn redirect(&self) -> (String, BTreeMap<String, String>) {
        assert_eq!(self.status(), 303, "{} {}", self.reason, self.text());
        let mut url = Url::parse(self.header("location").unwrap()).unwrap();
        let query = url.query_pairs().into_owned().collect();
        url.set_query(None);
        (url.to_string(), query)
    }

    /// Where the only link of an error page leads, without the query, and the query's parameters.
    pub(crate) fn link(&self) -> (String, BTreeMap<String, String>) {
        assert_eq!((self.status(), self.header("location")), (400, None), "{} {}", self.reason, self.text());
        let (_, rest) = self.text().split_once("<a href=\"").unwrap();
        let (link, rest) = rest.split_once('"').unwrap();
        assert!(!rest.contains("<a "), "{}", self.text());
        let mut url = Url::parse(&link.replace("&#39;", "'").replace("&#38;", "&")).unwrap();
        let query = url.query_pairs().into_owned().collect();
        url.set_query(None);
        (url.to_string(), query)
    }

    /// The value of a hidden field of the page's form.
    pub(crate) fn field(&self, name: &str) -> String {
        assert_eq!(self.status(), 200, "{} {}", self.reason, self.text());
        self.form().value(name).unwrap_or_else(|| panic!("no field {name}: {}", self.text())).to_owned()
    }

    /// The form of the page.
    pub(crate) fn form(&self) -> Form {
        Page { url: gateway(), response: self.read() }.form()
    }

    /// The answer as a client reads it.
    pub(crate) fn read(&self) -> http::Response {
        let headers = self.response.headers().iter();
        http::Response {
            status: self.status(),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: self.response.body_bytes().to_vec(),
        }
    }
}

fn gateway() -> Url {
    Url::parse(ISSUER).unwrap()
}
