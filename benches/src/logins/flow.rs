//! One login of a new user with a new browser: the requests that its client and its browser send.

use portcullis_testbed::browser::{Browser, Navigation, Next, Page};
use portcullis_testbed::oauth_client::{Authorization, Callback, OAuthClient, Tokens};
use portcullis_testkit::http::{Request, Response};
use url::Url;

use crate::load::Answer;

/// A login, somewhere on its way.
pub(crate) struct Flow<'a> {
    client: &'a OAuthClient,
    authorization: Authorization,
    browser: Browser,
    /// Where the browser is going; `None` when the client asks.
    navigation: Option<Navigation>,
    /// The page that the browser shows.
    page: Option<Page>,
    tokens: Option<Tokens>,
}

impl<'a> Flow<'a> {
    /// A login that has not begun.
    #[must_use]
    pub(crate) fn new(client: &'a OAuthClient) -> Self {
        let (authorization, browser) = (client.authorization(), Browser::new("measured"));
        Self { client, authorization, browser, navigation: None, page: None, tokens: None }
    }

    /// The browser opens the address that the client sent it to.
    ///
    /// # Errors
    /// When it does not reach that.
    pub(crate) fn authorize(&mut self) -> Result<Vec<u8>, String> {
        self.go(Navigation::to(&self.authorization.url(), &self.client.redirect_uri))
    }

    /// The user agrees.
    ///
    /// # Errors
    /// When what is shown is no consent page.
    pub(crate) fn consent(&mut self) -> Result<Vec<u8>, String> {
        let page = self.page.take().ok_or("no page is shown")?;
        let form = page.forms().into_iter().next().ok_or_else(|| format!("no form in {:?}", page.response))?;
        self.go(Navigation::of(&page, &self.browser.fill_in(form), &self.client.redirect_uri))
    }

    /// The provider sends the browser back. The code of ours is the nonce.
    ///
    /// # Errors
    /// When the browser was not sent to the provider.
    pub(crate) fn call_back(&mut self) -> Result<Vec<u8>, String> {
        let asked = self.sent_to()?;
        let query =
            |name: &str| asked.query_pairs().find(|(held, _)| held == name).map(|(_, value)| value.into_owned());
        let (Some(state), Some(nonce), Some(back)) = (query("state"), query("nonce"), query("redirect_uri")) else {
            return Err(format!("the provider is asked {asked}"));
        };
        let issuer = asked.origin().ascii_serialization();
        let parameters = [("code", nonce), ("state", state), ("iss", issuer)];
        let back = Url::parse_with_params(&back, parameters).map_err(|error| error.to_string())?;
        self.go(Navigation::to(back.as_str(), &self.client.redirect_uri))
    }

    /// The client redeems its code.
    ///
    /// # Errors
    /// When it was sent none.
    pub(crate) fn redeem(&mut self) -> Result<Vec<u8>, String> {
        let callback = Callback::read(&self.sent_to()?);
        let code = callback.code.as_deref().ok_or_else(|| format!("no code in {callback:?}"))?;
        let request = self.client.redeem_request(code, &self.authorization.verifier).request();
        // From here on it is the client that asks, not the browser, of which nothing is kept.
        (self.navigation, self.browser) = (None, Browser::new("measured"));
        Ok(bytes(&request))
    }

    /// The client refreshes its tokens.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn refresh(&mut self) -> Result<Vec<u8>, String> {
        let tokens = self.tokens.as_ref().ok_or("no refresh token")?;
        Ok(bytes(&self.client.refresh_request(&tokens.refresh_token).request()))
    }

    /// Takes the answer to the last request.
    ///
    /// # Errors
    /// When it is a refusal.
    pub(crate) fn keep(&mut self, answer: Answer) -> Result<(), String> {
        if answer.status >= 400 {
            return Err(format!("{}\n{}", answer.head, String::from_utf8_lossy(&answer.body)));
        }
        let fields = answer.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let response = Response { status: answer.status, headers, body: answer.body };
        match &mut self.navigation {
            Some(navigation) => self.page = self.browser.take(navigation, response),
            None => self.tokens = Some(Tokens::read(&response)),
        }
        Ok(())
    }

    /// The access token of the answer before.
    ///
    /// # Errors
    /// When that was no token response.
    pub(crate) fn access_token(&self) -> Result<String, String> {
        self.tokens.as_ref().map(|tokens| tokens.access_token.clone()).ok_or_else(|| "no access token".to_owned())
    }

    fn go(&mut self, navigation: Navigation) -> Result<Vec<u8>, String> {
        let next = self.browser.next(&navigation);
        self.navigation = Some(navigation);
        match next {
            Next::Answer(request) => Ok(bytes(&request)),
            Next::Left(url) => Err(format!("{url} is not asked")),
        }
    }

    /// Where the last answer leads.
    fn sent_to(&self) -> Result<Url, String> {
        if let Some(page) = &self.page {
            return Err(format!("a page is shown: {:?}", page.response));
        }
        match self.browser.next(self.navigation.as_ref().ok_or("nothing was asked yet")?) {
            Next::Answer(Request { url, .. }) | Next::Left(url) => Ok(url),
        }
    }
}

/// A request as it is sent, on a connection that stays.
pub(crate) fn bytes(request: &Request) -> Vec<u8> {
    let Request { method, url, headers, body } = request;
    let (host, target) = (&url[url::Position::BeforeHost..url::Position::AfterPort], &url[url::Position::BeforePath..]);
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if *method == "POST" { format!("content-length: {}\r\n", body.len()) } else { String::new() };
    format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{fields}{length}\r\n{body}").into_bytes()
}

/// The steps of a login, in order.
pub(crate) const STEPS: [&str; 4] = ["authorize", "consent", "callback", "token"];
