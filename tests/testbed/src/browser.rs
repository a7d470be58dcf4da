//! A browser without a window: keeps cookies, follows redirects as long as they stay on loopback,
//! reads and posts forms, and remembers every hop.
//!
//! It keeps the rules that decide whether a login works in a real browser: the `Origin` and
//! `Sec-Fetch-Site` it sends with a form, and the page's `form-action` applied to the post and to
//! every redirect after it, as Chromium does.

use url::Url;

use crate::http::{Request, Response};

mod cookies;
mod html;

pub use cookies::{Cookie, Jar};
pub use html::Form;

/// A browser with one user in front of it.
#[derive(Clone)]
pub struct Browser {
    user: String,
    /// The cookies it holds; a story may look at them and change them.
    pub jar: Jar,
    /// Every exchange so far, in order.
    pub hops: Vec<Hop>,
}

/// One exchange.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The method.
    pub method: String,
    /// The address asked.
    pub url: Url,
    /// The answer, redirects included.
    pub response: Response,
}

/// Where a navigation ended.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// At a page that is no redirect.
    Page(Page),
    /// At the address where the browser was to be stopped, or outside loopback; that request was
    /// not sent.
    Left(Url),
}

impl Arrival {
    /// The page.
    ///
    /// # Panics
    /// When the navigation left.
    #[must_use]
    pub fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Left(url) => panic!("expected a page, was sent on to {url}"),
        }
    }

    /// The address it was sent on to.
    ///
    /// # Panics
    /// When it ended at a page.
    #[must_use]
    pub fn left(self) -> Url {
        match self {
            Self::Left(url) => url,
            Self::Page(page) => panic!("expected to be sent on, got a page at {}: {:?}", page.url, page.response),
        }
    }
}

/// A page shown.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// The answer it came in.
    pub response: Response,
}

impl Page {
    /// Its forms, in order.
    #[must_use]
    pub fn forms(&self) -> Vec<Form> {
        html::forms(&self.response.text(), &self.url)
    }

    /// Its first form.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn form(&self) -> Form {
        let first = self.forms().into_iter().next();
        first.unwrap_or_else(|| panic!("no form at {}: {:?}", self.url, self.response))
    }
}

impl Browser {
    /// Opens a browser for a user who will sign in under this name.
    #[must_use]
    pub fn new(user: &str) -> Self {
        Self { user: user.to_owned(), jar: Jar::default(), hops: Vec::new() }
    }

    /// Goes to an address as if it were typed, and follows redirects until a page, or until one
    /// leads to `stop_at` or out of loopback.
    pub async fn open(&mut self, url: &str, stop_at: &str) -> Arrival {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url:?} is no URL: {error}"));
        self.follow(Step { method: "GET", url, body: None, from: None }, stop_at).await
    }

    /// Sends a page's form, as filled in.
    ///
    /// # Panics
    /// When the page's `form-action` forbids it, or a redirect that follows.
    pub async fn submit(&mut self, page: &Page, form: &Form, stop_at: &str) -> Arrival {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        let mut url = form.action.clone();
        let step = if form.is_post {
            Step { method: "POST", url, body: Some(encoded), from: Some(page) }
        } else {
            url.set_query(Some(&encoded));
            Step { method: "GET", url, body: None, from: Some(page) }
        };
        self.follow(step, stop_at).await
    }

    /// Goes through a login: signs in where a page asks for a name, approves where it asks for
    /// consent, until it is sent to `redirect_uri`. Gives back that address with its parameters.
    ///
    /// # Panics
    /// When it ends at a page without a form.
    pub async fn log_in(&mut self, url: &str, redirect_uri: &str) -> Url {
        let mut arrival = self.open(url, redirect_uri).await;
        for _ in 0..MAX_PAGES {
            let page = match arrival {
                Arrival::Left(url) => return url,
                Arrival::Page(page) => page,
            };
            let form = self.fill_in(page.form());
            arrival = self.submit(&page, &form, redirect_uri).await;
        }
        panic!("still not back at {redirect_uri} after {MAX_PAGES} pages")
    }

    /// Fills a form in as the user would: the name into the first text field, and the approving
    /// button pressed.
    #[must_use]
    pub fn fill_in(&self, mut form: Form) -> Form {
        if let Some(name) = form.text_fields.first().cloned() {
            form.set(&name, &self.user);
        }
        if form.buttons.iter().any(|(name, value)| name == "decision" && value == "approve") {
            form.press("decision", "approve");
        }
        form
    }

    async fn follow(&mut self, mut step: Step<'_>, stop_at: &str) -> Arrival {
        let start = step.from.cloned();
        for _ in 0..MAX_REDIRECTS {
            if !is_loopback(&step.url) || is_at(&step.url, stop_at) {
                check_form_action(start.as_ref(), &step.url);
                return Arrival::Left(step.url);
            }
            check_form_action(start.as_ref(), &step.url);
            let response = self.exchange(&step, start.as_ref()).await;
            let target = response.header("location").filter(|_| (301..=308).contains(&response.status));
            let Some(target) = target.map(str::to_owned) else {
                return Arrival::Page(Page { url: step.url, response });
            };
            let keeps_method = matches!(response.status, 307 | 308);
            step.url = step.url.join(&target).unwrap_or_else(|error| panic!("redirect to {target:?}: {error}"));
            if !keeps_method {
                step = Step { method: "GET", url: step.url, body: None, from: None };
            }
        }
        panic!("more than {MAX_REDIRECTS} redirects, last to {}", step.url)
    }

    async fn exchange(&mut self, step: &Step<'_>, start: Option<&Page>) -> Response {
        let mut request = Request::new(step.method, step.url.as_str())
            .header("user-agent", "portcullis-tests")
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", site(start, &step.url));
        if let Some(cookies) = self.jar.header(&step.url) {
            request = request.header("cookie", cookies);
        }
        if let Some(body) = &step.body {
            let origin = step.from.map_or_else(|| "null".to_owned(), origin_sent_by);
            request = request.header("origin", origin).header("content-type", FORM).body(body.clone());
        }
        let response = request.send().await;
        for cookie in response.headers("set-cookie") {
            self.jar.set(cookie, &step.url);
        }
        self.hops.push(Hop { method: step.method.to_owned(), url: step.url.clone(), response: response.clone() });
        response
    }
}

struct Step<'a> {
    method: &'static str,
    url: Url,
    body: Option<String>,
    // The page whose form this is.
    from: Option<&'a Page>,
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

fn is_at(url: &Url, stop_at: &str) -> bool {
    Url::parse(stop_at).is_ok_and(|stop| url[..url::Position::AfterPath] == stop[..url::Position::AfterPath])
}

/// The part of a page's origin that its referrer policy leaves on a form post (Fetch, "append a
/// request `Origin` header").
fn origin_sent_by(page: &Page) -> String {
    match page.response.header("referrer-policy") {
        Some("no-referrer") => "null".to_owned(),
        _ => page.url.origin().ascii_serialization(),
    }
}

fn site(start: Option<&Page>, url: &Url) -> &'static str {
    match start {
        None => "none",
        Some(page) if page.url.origin() == url.origin() => "same-origin",
        Some(page) if page.url.host() == url.host() => "same-site",
        Some(_) => "cross-site",
    }
}

fn check_form_action(start: Option<&Page>, target: &Url) {
    let Some(page) = start else { return };
    let policies = page.response.headers("content-security-policy").flat_map(|policy| policy.split(','));
    for policy in policies {
        let Some(sources) = policy.split(';').find_map(|directive| directive.trim().strip_prefix("form-action")) else {
            continue;
        };
        let allowed = sources.split_ascii_whitespace().any(|source| match source {
            "'self'" => page.url.origin() == target.origin(),
            "'none'" => false,
            "*" => matches!(target.scheme(), "http" | "https"),
            scheme if scheme.ends_with(':') => target.scheme() == scheme.trim_end_matches(':'),
            address => Url::parse(&address.replace(":*", "")).is_ok_and(|allowed| {
                let any_port = address.contains(":*") && allowed.host() == target.host();
                allowed.scheme() == target.scheme() && (any_port || allowed.origin() == target.origin())
            }),
        });
        assert!(allowed, "a browser would stop here: form-action{sources} of {} forbids {target}", page.url);
    }
}

/// The type of a posted form.
const FORM: &str = "application/x-www-form-urlencoded";
/// The most pages that a login may show.
const MAX_PAGES: usize = 10;
/// The most redirects in a row.
const MAX_REDIRECTS: usize = 20;
