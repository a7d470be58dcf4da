//! A gateway in service with its users, clients and provider.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::config::{Compiled, Config};
use portcullis_gateway::decision::{Credentials, Decision, Forward, Resolved};
use portcullis_gateway::dispatch;
use portcullis_gateway::ports::Clock;
use portcullis_gateway::ports::{TokenOwner, UpstreamTokenRef};
use portcullis_gateway::state::gateway::Gateway;
use portcullis_gateway::upstream::providers;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::http::message::{Method, Request};
use portcullis_protocol::jose::jws::{self, Header};
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::oauth::params;
use portcullis_testkit::example_keys::{ED25519, P256, P384};
use portcullis_testkit::fakes::{FakePorts, FakeStore, FaultyStore, FixedClock, block_on};
use portcullis_testkit::oauth_client::{Authorization, TokenRequest};
use portcullis_testkit::signatures::Sign as _;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
pub(crate) use crate::client::{ISSUER, MCP, REDIRECT, VERIFIER};
use crate::client::{InProcess, oauth_client};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const API: &str = "https://gw.example/api";
pub(crate) const IDP: &str = "https://idp.example";
pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const BROWSER_COOKIE: &str = "__Host-portcullis-browser";
/// The id of the provider.
pub(crate) fn provider_id() -> ProviderId {
    ProviderId::of("idp", IDP)
}

/// The provider's tokens of a session.
pub(crate) fn upstream_of(session: SessionId) -> UpstreamTokenRef {
    UpstreamTokenRef { owner: TokenOwner::Session(session), provider: provider_id() }
}

/// What the names of the cookies of logins begin with.
pub(crate) const LOGIN_COOKIE: &str = "__Host-portcullis-login-";

pub(crate) struct Fixture {
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) ports: FakePorts<FaultyStore>,
    pub(crate) store: FaultyStore,
    idp_key: RefCell<SigningKey>,
}

/// A consent form as a browser has it before it.
#[derive(Clone)]
pub(crate) struct Form {
    pub(crate) transaction: String,
    pub(crate) csrf: String,
}

/// The tokens of a login.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// The configuration of every fixture here, to be changed where a test needs it.
pub(crate) fn document() -> Value {
    json!({
        "issuer": ISSUER,
        "signingKeys": [{ "inline": P256 }],
        "secrets": [{ "inline": "a-development-secret-of-32-bytes-at-least" }],
        "scopesSupported": ["openid", "tools"],
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": {
                "issuerUrl": IDP,
                "cluster": "idp",
                "clientId": "portcullis",
                "clientSecret": { "inline": "the client secret" },
            },
        }],
        "resources": [
            {
                "resource": MCP,
                "match": { "prefix": "/mcp" },
                "scopes": ["openid"],
                "inject": { "type": "upstreamInject", "providerName": "idp" },
            },
            { "resource": API, "match": { "prefix": "/api" }, "scopes": ["openid", "tools"] },
        ],
        "development": true,
    })
}

/// What the provider says about itself.
pub(crate) fn discovery() -> Value {
    json!({
        "issuer": IDP,
        "authorization_endpoint": format!("{IDP}/authorize"),
        "token_endpoint": format!("{IDP}/token"),
        "jwks_uri": format!("{IDP}/keys"),
    })
}

/// The configuration of a document whose secrets are all inside.
pub(crate) fn compiled(document: &Value) -> Config {
    match Config::compile(document.to_string().as_bytes(), &|_| None) {
        Ok(Compiled::Ready(config)) => *config,
        Ok(Compiled::Awaiting(_)) => panic!("no secret is the bridge's"),
        Err(problems) => panic!("{problems:?}"),
    }
}

impl Fixture {
    /// A gateway that knows its provider.
    pub(crate) fn new() -> Self {
        Self::configured(&document())
    }

    pub(crate) fn configured(document: &Value) -> Self {
        let fixture = Self::cold(document);
        fixture.expect_documents();
        fixture.warm();
        assert_eq!(fixture.ports.take_sent().len(), 2);
        fixture
    }

    /// A gateway that has not asked its provider anything yet.
    pub(crate) fn cold(document: &Value) -> Self {
        let clock = FixedClock::new(NOW);
        let store = FaultyStore::new(FakeStore::new(clock.clone()));
        Self {
            gateway: Rc::new(Gateway::new(compiled(document), 7)),
            ports: FakePorts::over(store.clone(), clock),
            store,
            idp_key: RefCell::new(SigningKey::from_pem(ED25519).unwrap()),
        }
    }

    /// Another gateway with the same configuration and store, whose clock shows another time. It
    /// knows its provider when it has asked.
    pub(crate) fn with_clock_at(&self, document: &Value, now: u64) -> Self {
        Self {
            gateway: Rc::new(Gateway::new(compiled(document), 8)),
            ports: FakePorts::over(self.store.clone(), FixedClock::new(now)),
            store: self.store.clone(),
            idp_key: RefCell::new(SigningKey::from_pem(ED25519).unwrap()),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.ports.now()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.ports.clock().advance(seconds);
    }

    // The provider.

    /// The provider signs with a new key from now on.
    pub(crate) fn rotate_idp_key(&self) {
        self.idp_key.replace(SigningKey::from_pem(P384).unwrap());
    }

    pub(crate) fn expect_documents(&self) {
        self.ports.expect_json("idp", DISCOVERY, 200, &discovery().to_string());
        self.expect_keys();
    }

    pub(crate) fn expect_keys(&self) {
        let keys = json!({ "keys": [self.idp_key.borrow().public().to_jwk()] });
        self.ports.expect_json("idp", "/keys", 200, &keys.to_string());
    }

    pub(crate) fn expect_token_answer(&self, status: u16, body: &Value) {
        self.ports.expect_json("idp", "/token", status, &body.to_string());
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let key = self.idp_key.borrow();
        let input = jws::encode(&Header { alg: key.alg(), kid: key.kid(), typ: "JWT" }, claims);
        jws::attach(&input, &key.sign(input.as_bytes()).unwrap())
    }

    /// The claims of a good ID token.
    pub(crate) fn claims(&self, user: &str, nonce: &str) -> Value {
        let now = self.now();
        let expiry = now.saturating_add(300);
        json!({ "iss": IDP, "aud": "portcullis", "sub": user, "nonce": nonce, "iat": now, "exp": expiry })
    }

    /// The provider's answer to a code, with this ID token.
    pub(crate) fn token_answer(id_token: &str) -> Value {
        json!({
            "access_token": "upstream-access-1", "refresh_token": "upstream-refresh-1", "token_type": "Bearer",
            "expires_in": 3600, "id_token": id_token,
        })
    }

    // Requests.

    pub(crate) fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method,
            target: target.as_bytes().to_vec(),
            authority: b"gw.example".to_vec(),
            headers: headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect(),
            peer: "192.0.2.1:4711".to_owned(),
        }
    }

    pub(crate) fn handle(&self, request: Request) -> Decision {
        match block_on(dispatch::handle(Rc::clone(&self.gateway), request, self.ports.clone())) {
            Decision::AwaitProvider { decide, .. } => {
                self.warm();
                decide().into()
            }
            Decision::AwaitKeys { issuer, decide } => self.decide_with_keys(issuer, decide),
            decision @ (Decision::Resolved(_) | Decision::AwaitUpstream { .. }) => decision,
        }
    }

    /// The root task fetches documents of providers that are due.
    pub(crate) fn warm(&self) {
        for provider in self.gateway.providers_due(self.now(), true) {
            block_on(providers::warm(Rc::clone(&self.gateway), provider, self.ports.clone()));
        }
    }

    pub(crate) fn send(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Reply {
        replied(self.handle(Self::request(method, target, headers)))
    }

    /// A browser follows a link.
    pub(crate) fn visit(&self, browser: &Browser, target: &str) -> Reply {
        let cookie = browser.cookie();
        let headers: Vec<_> = cookie.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
        let reply = self.send(Method::Get, target, &headers);
        browser.keep(&reply.response);
        reply
    }

    /// A client posts a form.
    pub(crate) fn post(&self, target: &str, form: &[(&str, &str)]) -> Reply {
        self.ports.set_body(params::encode(form));
        self.send(Method::Post, target, &[("content-type", "application/x-www-form-urlencoded")])
    }

    // A login, step by step.

    pub(crate) fn register(&self) -> String {
        let reply = self.register_with(&json!({ "redirect_uris": [REDIRECT], "client_name": "Client" }));
        assert_eq!(reply.status(), 201, "{}", reply.text());
        reply.json()["client_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn register_with(&self, metadata: &Value) -> Reply {
        self.ports.set_body(metadata.to_string());
        self.send(Method::Post, "/oauth/register", &[("content-type", "application/json")])
    }

    /// The target of a good authorization request with some parameters replaced, or left out when
    /// empty.
    pub(crate) fn authorization(client: &str, changed: &[(&str, &str)]) -> String {
        let request = oauth_client(client).authorization().with("state", "client-state");
        assert_eq!(request.verifier, VERIFIER);
        let change = |request: Authorization<InProcess>, (name, value): &(&str, &str)| match *value {
            "" => request.without(name),
            value => request.with(name, value),
        };
        let url = changed.iter().fold(request, change).url();
        url.strip_prefix(ISSUER).unwrap().to_owned()
    }

    /// Asks for authorization and gets the consent page.
    pub(crate) fn consent_page(&self, browser: &Browser, client: &str, changed: &[(&str, &str)]) -> Form {
        let page = self.visit(browser, &Self::authorization(client, changed));
        assert_eq!(page.reason, "consent_shown", "{}", page.text());
        let form = page.form();
        let field = |name: &str| form.value(name).unwrap_or_else(|| panic!("no {name}: {}", page.text())).to_owned();
        Form { transaction: field("transaction"), csrf: field("csrf") }
    }

    /// Answers the consent page as a browser does, with further headers.
    pub(crate) fn answer_form(
        &self,
        browser: &Browser,
        form: &Form,
        decision: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        self.send_form(browser, form, &[("decision", decision)], headers)
    }

    pub(crate) fn send_form(
        &self,
        browser: &Browser,
        form: &Form,
        buttons: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Reply {
        let fields = [("transaction", form.transaction.as_str()), ("csrf", &form.csrf)];
        self.ports.set_body(params::encode(&[&fields[..], buttons].concat()));
        let cookie = browser.cookie();
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend(cookie.iter().map(|cookie| ("cookie", cookie.as_str())));
        all.extend_from_slice(headers);
        let reply = self.send(Method::Post, "/oauth/consent", &all);
        browser.keep(&reply.response);
        reply
    }

    /// Consents, and gives what the provider is asked.
    pub(crate) fn approve(&self, browser: &Browser, form: &Form) -> BTreeMap<String, String> {
        let headers = [("origin", ISSUER), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")];
        let (base, query) = self.answer_form(browser, form, "approve", &headers).redirect();
        assert_eq!(base, format!("{IDP}/authorize"));
        query
    }

    /// A login up to the provider: what the provider is asked.
    pub(crate) fn start(&self, browser: &Browser, client: &str) -> BTreeMap<String, String> {
        let form = self.consent_page(browser, client, &[]);
        self.approve(browser, &form)
    }

    /// The provider sends the browser back, having logged this user in.
    pub(crate) fn return_from_provider(
        &self,
        browser: &Browser,
        asked: &BTreeMap<String, String>,
        user: &str,
    ) -> Reply {
        self.expect_token_answer(200, &Self::token_answer(&self.sign(&self.claims(user, &asked["nonce"]))));
        self.visit(browser, &Self::callback(asked))
    }

    /// The target of the provider's good answer.
    pub(crate) fn callback(asked: &BTreeMap<String, String>) -> String {
        format!("/oauth/callback?{}", params::encode(&[("state", &asked["state"]), ("code", "idp-code"), ("iss", IDP)]))
    }

    /// A whole login: our code.
    pub(crate) fn code(&self, browser: &Browser, client: &str, user: &str) -> String {
        let asked = self.start(browser, client);
        code_of(&self.return_from_provider(browser, &asked, user))
    }

    pub(crate) fn redeem(&self, client: &str, code: &str, changed: &[(&str, &str)]) -> Reply {
        let request = oauth_client(client).redeem_request(code, VERIFIER).without("resource");
        self.ask_for_tokens(changed.iter().fold(request, |request, (name, value)| request.with(name, value)))
    }

    pub(crate) fn refresh(&self, client: &str, refresh_token: &str, more: &[(&str, &str)]) -> Reply {
        let request = oauth_client(client).refresh_request(refresh_token).without("resource");
        self.ask_for_tokens(more.iter().fold(request, |request, (name, value)| request.repeating(name, value)))
    }

    fn ask_for_tokens(&self, request: TokenRequest<InProcess>) -> Reply {
        let request = request.request();
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.ports.set_body(request.body);
        self.send(Method::Post, request.url.path(), &headers)
    }

    /// A new client of a new browser, with tokens for the MCP server.
    pub(crate) fn logged_in(&self) -> (String, Tokens) {
        self.logged_in_with(&[])
    }

    pub(crate) fn logged_in_with(&self, changed: &[(&str, &str)]) -> (String, Tokens) {
        let (browser, client) = (Browser::default(), self.register());
        let form = self.consent_page(&browser, &client, changed);
        let asked = self.approve(&browser, &form);
        let code = code_of(&self.return_from_provider(&browser, &asked, "alice"));
        (client.clone(), tokens_of(&self.redeem(&client, &code, &[])))
    }

    /// A call to a protected path with this token.
    pub(crate) fn call(&self, target: &str, token: &str) -> Decision {
        self.handle(Self::request(Method::Post, target, &[("authorization", &format!("Bearer {token}"))]))
    }
}

pub(crate) fn replied(decision: Decision) -> Reply {
    match decision {
        Decision::Resolved(resolved) => resolved_reply(resolved),
        Decision::AwaitUpstream { .. } | Decision::AwaitProvider { .. } | Decision::AwaitKeys { .. } => panic!("waits"),
    }
}

pub(crate) fn resolved_reply(resolved: Resolved) -> Reply {
    match resolved {
        Resolved::Respond(response, audit) => Reply { response, reason: audit.reason().as_str(), audit },
        Resolved::Continue(_) => panic!("sent on"),
    }
}

pub(crate) fn forwarded(decision: Decision) -> Forward {
    match decision {
        Decision::Resolved(resolved) => resolved_forward(resolved),
        Decision::AwaitUpstream { .. } | Decision::AwaitProvider { .. } | Decision::AwaitKeys { .. } => panic!("waits"),
    }
}

pub(crate) fn resolved_forward(resolved: Resolved) -> Forward {
    match resolved {
        Resolved::Continue(forward) => forward,
        Resolved::Respond(response, audit) => panic!("{} {}", response.status(), audit.reason().as_str()),
    }
}

/// The header that is injected.
pub(crate) fn injected(forward: &Forward) -> (String, String) {
    match &forward.credentials {
        Credentials::Injected(injection) => {
            (injection.name.to_string(), String::from_utf8(injection.value.expose().clone()).unwrap())
        }
        Credentials::Unchanged | Credentials::Removed => panic!("nothing is injected"),
    }
}

/// The code that a redirect brings to the client.
pub(crate) fn code_of(reply: &Reply) -> String {
    let (base, query) = reply.redirect();
    assert_eq!((base.as_str(), reply.reason), (REDIRECT, "logged_in"));
    assert_eq!((query["state"].as_str(), query["iss"].as_str()), ("client-state", ISSUER));
    query.get("code").unwrap_or_else(|| panic!("{query:?}")).clone()
}

pub(crate) fn tokens_of(reply: &Reply) -> Tokens {
    let tokens = portcullis_testkit::oauth_client::Tokens::read(&reply.read());
    assert!(!tokens.refresh_token.is_empty(), "{}", reply.text());
    Tokens { access: tokens.access_token, refresh: tokens.refresh_token }
}

/// The error that a redirect brings to the client.
pub(crate) fn error_of(reply: &Reply) -> String {
    error_in(reply.redirect())
}

/// The error in an answer to the client.
pub(crate) fn error_in((base, query): (String, BTreeMap<String, String>)) -> String {
    assert_eq!((base.as_str(), query["state"].as_str(), query["iss"].as_str()), (REDIRECT, "client-state", ISSUER));
    assert!(!query.contains_key("code"), "{query:?}");
    query["error"].clone()
}
