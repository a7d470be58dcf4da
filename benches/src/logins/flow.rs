//! One login of a new user with a new browser: the requests that its client and its browser send.

use portcullis_protocol::oauth::params;
use portcullis_testbed::oauth_client::{Authorization, OAuthClient};
use serde_json::Value;
use url::Url;

use crate::load::Answer;

/// A login, somewhere on its way.
pub(crate) struct Flow<'a> {
    client: &'a OAuthClient,
    authorization: Authorization,
    /// The browser's cookies by name.
    cookies: Vec<(String, String)>,
    /// The refresh token, once there is one.
    refresh_token: Option<String>,
    /// The answer to the request before.
    answer: Option<Answer>,
}

impl<'a> Flow<'a> {
    /// A login that has not begun.
    #[must_use]
    pub(crate) fn new(client: &'a OAuthClient) -> Self {
        Self { client, authorization: client.authorization(), cookies: Vec::new(), refresh_token: None, answer: None }
    }

    /// The browser opens the address that the client sent it to.
    ///
    /// # Errors
    /// When that is no address.
    pub(crate) fn authorize(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.request("GET", &address(&self.authorization.url())?, "", ""))
    }

    /// The user agrees.
    ///
    /// # Errors
    /// When what is shown is no consent page.
    pub(crate) fn consent(&mut self) -> Result<Vec<u8>, String> {
        let page = self.answered(200)?;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        let field = |name: &str| {
            let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let (Some(transaction), Some(csrf)) = (field("transaction"), field("csrf")) else {
            return Err(format!("no form in {page}"));
        };
        let form = params::encode(&[("transaction", &transaction), ("csrf", &csrf), ("decision", "approve")]);
        let at = address(&self.authorization.url())?;
        let target = Url::parse(&self.client.endpoint("authorization_endpoint")).map_err(|error| error.to_string())?;
        let target = target.join("consent").map_err(|error| error.to_string())?;
        let fields = format!("origin: {}\r\nsec-fetch-site: same-origin\r\n{FORM}", at.origin().ascii_serialization());
        Ok(self.request("POST", &target, &fields, &form))
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
        Ok(self.request("GET", &back, "", ""))
    }

    /// The client redeems its code.
    ///
    /// # Errors
    /// When it was sent none.
    pub(crate) fn redeem(&mut self) -> Result<Vec<u8>, String> {
        let back = self.sent_to()?;
        let code = back.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
        let code = code.ok_or_else(|| format!("no code in {back}"))?;
        // From here on it is the client that asks, not the browser.
        self.cookies.clear();
        self.token_request(&self.client.redeem_request(&code, &self.authorization.verifier).parameters.0)
    }

    /// The client refreshes its tokens.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn refresh(&mut self) -> Result<Vec<u8>, String> {
        let token = self.refresh_token.as_deref().ok_or("no refresh token")?;
        self.token_request(&self.client.refresh_request(token).parameters.0)
    }

    /// Takes the answer to the last request.
    ///
    /// # Errors
    /// When it is a refusal.
    pub(crate) fn keep(&mut self, answer: Answer) -> Result<(), String> {
        if answer.status >= 400 {
            return Err(format!("{}\n{}", answer.head, String::from_utf8_lossy(&answer.body)));
        }
        for cookie in answer.headers("set-cookie") {
            let Some((name, value)) = cookie.split(';').next().and_then(|pair| pair.split_once('=')) else { continue };
            self.cookies.retain(|(held, _)| held != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        if let Ok(tokens) = serde_json::from_slice::<Value>(&answer.body)
            && let Some(token) = tokens["refresh_token"].as_str()
        {
            self.refresh_token = Some(token.to_owned());
        }
        self.answer = Some(answer);
        Ok(())
    }

    /// The access token of the answer before.
    ///
    /// # Errors
    /// When that was no token response.
    pub(crate) fn access_token(&self) -> Result<String, String> {
        let tokens: Value = serde_json::from_slice(&self.answered(200)?.body).unwrap_or_default();
        tokens["access_token"].as_str().map(str::to_owned).ok_or_else(|| "no access token".to_owned())
    }

    fn token_request(&self, parameters: &[(String, String)]) -> Result<Vec<u8>, String> {
        let pairs: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let target = address(&self.client.endpoint("token_endpoint"))?;
        Ok(self.request("POST", &target, FORM, &params::encode(&pairs)))
    }

    fn answered(&self, status: u16) -> Result<&Answer, String> {
        let answer = self.answer.as_ref().ok_or("nothing was asked yet")?;
        if answer.status == status { Ok(answer) } else { Err(answer.head.clone()) }
    }

    /// Where the last answer leads.
    fn sent_to(&self) -> Result<Url, String> {
        let answer = self.answer.as_ref().ok_or("nothing was asked yet")?;
        address(answer.header("location").ok_or_else(|| answer.head.clone())?)
    }

    fn request(&self, method: &str, to: &Url, fields: &str, body: &str) -> Vec<u8> {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = if pairs.is_empty() { String::new() } else { format!("cookie: {}\r\n", pairs.join("; ")) };
        let (host, target) =
            (&to[url::Position::BeforeHost..url::Position::AfterPort], &to[url::Position::BeforePath..]);
        let length = if method == "POST" { format!("content-length: {}\r\n", body.len()) } else { String::new() };
        format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: portcullis-benches\r\naccept: */*\r\n\
             {cookie}{fields}{length}\r\n{body}"
        )
        .into_bytes()
    }
}

fn address(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("{text}: {error}"))
}

/// The steps of a login, in order.
pub(crate) const STEPS: [&str; 4] = ["authorize", "consent", "callback", "token"];
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
