//! A browser without a window: keeps cookies, follows redirects as far as it reaches,
//! reads and posts forms, and remembers every hop.
//!
//! It does no I/O by itself: a [`Navigation`] tells one request after another and takes their
//! answers. [`Browser::open`] and the like drive it over a [`Transport`].
//!
//! It keeps the rules that decide whether a login works in a real browser: the `Origin` and
//! `Sec-Fetch-Site` it sends with a form, and the page's `form-action` applied to the post and to
//! every redirect after it, as Chromium does.

#![expect(
    clippy::panic,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a login that cannot go on fails loudly"
)]

use url::Url;

use crate::http::{Request, Response, Surroundings, Transport};

mod cookies;
mod html;

pub use cookies::{Cookie, Jar};
pub use html::Form;

/// A browser with one user in front of it.
#[derive(Clone)]
pub struct Browser<T> {
    surroundings: T,
    user: String,
    /// The identity provider that the user chooses where a page offers it.
    provider: Option<String>,
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

/// A navigation under way.
#[derive(Clone, Debug)]
pub struct Navigation {
    method: &'static str,
    url: Url,
    /// The form that is posted.
    body: Option<String>,
    /// The page whose form began it.
    start: Option<Page>,
    stop_at: String,
    redirects: usize,
}

/// The next step of a navigation.
#[derive(Clone, Debug)]
pub enum Next {
    /// The answer to this request, by [`Browser::take`].
    Answer(Request),
    /// Nothing: it has left to this address, which was not asked.
    Left(Url),
}

/// Where a navigation ended.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// At a page that is no redirect.
    Page(Page),
    /// At the address where the browser was to be stopped, or where it does not reach; that request
    /// was not sent.
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

impl<T: Surroundings> Browser<T> {
    /// Opens a browser for a user who will sign in under this name.
    #[must_use]
    pub fn new(user: &str) -> Self
    where
        T: Default,
    {
        Self::over(T::default(), user)
    }

    /// As [`Browser::new`], in these surroundings.
    #[must_use]
    pub fn over(surroundings: T, user: &str) -> Self {
        Self { surroundings, user: user.to_owned(), provider: None, jar: Jar::default(), hops: Vec::new() }
    }

    /// The same browser, whose user chooses this identity provider where a page offers it.
    #[must_use]
    pub fn choosing(mut self, provider: &str) -> Self {
        self.provider = Some(provider.to_owned());
        self
    }

    /// Fills a form in as the user would: the name into the first text field, and the approving
    /// button pressed, or the one of the provider that the user chooses.
    #[must_use]
    pub fn fill_in(&self, mut form: Form) -> Form {
        if let Some(name) = form.text_fields.first().cloned() {
            form.set(&name, &self.user);
        }
        if form.buttons.iter().any(|(name, value)| name == "decision" && value == "approve") {
            form.press("decision", "approve");
        }
        let chosen =
            form.buttons.iter().find(|(name, value)| name == "provider" && self.provider.as_ref() == Some(value));
        if let Some((name, value)) = chosen.cloned() {
            form.press(&name, &value);
        }
        form
    }

    /// Returns the next step of a navigation.
    ///
    /// # Panics
    /// When the `form-action` of the page that began it forbids its next address.
    #[must_use]
    pub fn next(&self, navigation: &Navigation) -> Next {
        let Navigation { method, url, body, start, .. } = navigation;
        check_form_action(start.as_ref(), url);
        if !self.surroundings.reaches(url) || is_at(url, &navigation.stop_at) {
            return Next::Left(url.clone());
        }
        let mut request = Request::new(method, url.clone())
            .header("user-agent", "portcullis-tests")
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", site(start.as_ref(), url));
        if let Some(cookies) = self.jar.header(url) {
            request = request.header("cookie", cookies);
        }
        if let Some(body) = body {
            let origin = start.as_ref().map_or_else(|| "null".to_owned(), origin_sent_by);
            request = request.header("origin", origin).header("content-type", FORM);
            request.body.clone_from(body);
        }
        Next::Answer(request)
    }

    /// Takes the answer to a navigation's request. Returns the page if it ends there.
    ///
    /// # Panics
    /// After 20 redirects in a row, and at one to no address.
    pub fn take(&mut self, navigation: &mut Navigation, response: Response) -> Option<Page> {
        for cookie in response.headers("set-cookie") {
            self.jar.set(cookie, &navigation.url);
        }
        let (method, url) = (navigation.method.to_owned(), navigation.url.clone());
        self.hops.push(Hop { method, url: url.clone(), response: response.clone() });
        let target = response.header("location").filter(|_| (301..=308).contains(&response.status));
        let Some(target) = target.map(str::to_owned) else {
            return Some(Page { url, response });
        };
        navigation.redirects = navigation.redirects.saturating_add(1);
        assert!(navigation.redirects < MAX_REDIRECTS, "{MAX_REDIRECTS} redirects, the last to {target}");
        navigation.url = url.join(&target).unwrap_or_else(|error| panic!("redirect to {target:?}: {error}"));
        if !matches!(response.status, 307 | 308) {
            (navigation.method, navigation.body) = ("GET", None);
        }
        None
    }
}

impl<T: Transport> Browser<T> {
    /// Goes to an address as if it were typed, and follows redirects until a page, or until one
    /// leads to `stop_at` or out of reach.
    pub async fn open(&mut self, url: &str, stop_at: &str) -> Arrival {
        self.follow(Navigation::to(url, stop_at)).await
    }

    /// Sends a page's form, as filled in.
    ///
    /// # Panics
    /// When the page's `form-action` forbids it, or a redirect that follows.
    pub async fn submit(&mut self, page: &Page, form: &Form, stop_at: &str) -> Arrival {
        self.follow(Navigation::of(page, form, stop_at)).await
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

    async fn follow(&mut self, mut navigation: Navigation) -> Arrival {
        loop {
            let request = match self.next(&navigation) {
                Next::Answer(request) => request,
                Next::Left(url) => return Arrival::Left(url),
            };
            let response = self.surroundings.exchange(request).await;
            if let Some(page) = self.take(&mut navigation, response) {
                return Arrival::Page(page);
            }
        }
    }
}

impl Navigation {
    /// To an address, as if it were typed.
    ///
    /// # Panics
    /// If it is no URL.
    #[must_use]
    pub fn to(url: &str, stop_at: &str) -> Self {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url:?} is no URL: {error}"));
        Self { method: "GET", url, body: None, start: None, stop_at: stop_at.to_owned(), redirects: 0 }
    }

    /// By a page's form, as filled in.
    #[must_use]
    pub fn of(page: &Page, form: &Form, stop_at: &str) -> Self {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        let mut url = form.action.clone();
        let (method, body) = if form.is_post {
            ("POST", Some(encoded))
        } else {
            url.set_query(Some(&encoded));
            ("GET", None)
        };
        Self { method, url, body, start: Some(page.clone()), stop_at: stop_at.to_owned(), redirects: 0 }
    }
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
