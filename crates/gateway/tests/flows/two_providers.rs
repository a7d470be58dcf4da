//! A gateway with two providers: `idp`, which speaks OpenID Connect, and `hub`, which speaks OAuth
//! 2.0 alone; and browsers that go from one to the other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_gateway::audit::AuditField;
use portcullis_gateway::config::ProviderId;
use portcullis_gateway::ports::{CallReply, CallRequest, Clock as _};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::store::records::Records;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::oauth::params;
use portcullis_testkit::bending_provider::{BendingProvider, Request, mode};
use portcullis_testkit::fakes::{block_on, json_reply};
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{API, Fixture, Form, IDP, Tokens, code_of, document, tokens_of};

pub(crate) const HUB: &str = "https://hub.example";

/// The providers' ids.
pub(crate) fn idp() -> ProviderId {
    ProviderId::of("idp", IDP)
}

pub(crate) fn hub() -> ProviderId {
    ProviderId::of("hub", &format!("{HUB}/authorize"))
}

/// A document with the providers of these names, in this order, each with its part in a login.
/// `/mcp` gets the token of `idp` and `/api` that of `hub`.
pub(crate) fn with_providers(written: &[(&str, &str)]) -> Value {
    let mut document = document();
    let oidc = document["upstreamProviders"][0].take();
    let provider = |(name, login): &(&str, &str)| {
        let mut provider = if *name == "hub" { hub_provider() } else { oidc.clone() };
        provider["name"] = json!(name);
        provider["displayName"] = json!(format!("The {name} <b>"));
        provider["login"] = json!(login);
        provider
    };
    document["upstreamProviders"] = written.iter().map(provider).collect();
    document["resources"][1]["inject"] = json!({ "type": "upstreamInject", "providerName": "hub" });
    document
}

/// Users log in at `idp`, and then at `hub`.
pub(crate) fn chain() -> Value {
    with_providers(&[("idp", "required"), ("hub", "required")])
}

fn hub_provider() -> Value {
    json!({
        "type": "oauth2",
        "oauth2Config": {
            "authorizationEndpoint": format!("{HUB}/authorize"),
            "tokenEndpoint": format!("{HUB}/token"),
            "cluster": "hub",
            "clientId": "portcullis",
            "clientSecret": { "inline": "the client secret" },
            "userInfo": {
                "endpointUrl": format!("{HUB}/user"),
                "fieldMapping": { "subjectFields": ["id"], "nameFields": ["login"] },
            },
        },
    })
}

/// Answers to calls in place of the provider's, by cluster and path.
type Instead = Rc<RefCell<BTreeMap<(String, String), (u16, Value)>>>;

pub(crate) struct TwoProviders {
    pub(crate) fixture: Fixture,
    instead: Instead,
}

impl TwoProviders {
    pub(crate) fn new(document: &Value) -> Self {
        Self::over(Fixture::cold(document))
    }

    /// Another gateway over the same store, with this configuration.
    pub(crate) fn reconfigured(&self, document: &Value) -> Self {
        Self::over(self.fixture.with_clock_at(document, self.fixture.now()))
    }

    fn over(fixture: Fixture) -> Self {
        let instead = Instead::default();
        let (answers, clock) = (Rc::clone(&instead), fixture.ports.clock().clone());
        fixture.ports.serve_calls(move |call| {
            let place = (call.cluster.clone(), call.path.clone());
            if let Some((status, body)) = answers.borrow().get(&place) {
                return Ok(json_reply(*status, &body.to_string()));
            }
            Ok(answer(call, clock.now()))
        });
        Self { fixture, instead }
    }

    /// Has a provider answer a path so from now on.
    pub(crate) fn answer(&self, cluster: &str, path: &str, status: u16, body: Value) {
        self.instead.borrow_mut().insert((cluster.to_owned(), path.to_owned()), (status, body));
    }

    /// Presses a button of the consent page for this resource.
    pub(crate) fn press(&self, browser: &Browser, client: &str, resource: &str, button: (&str, &str)) -> Reply {
        let page = self.fixture.visit(browser, &Fixture::authorization(client, &asking(resource)));
        self.press_on(browser, &page, &[button])
    }

    /// Presses buttons of a consent page that is shown.
    pub(crate) fn press_on(&self, browser: &Browser, page: &Reply, buttons: &[(&str, &str)]) -> Reply {
        let form = Form { transaction: page.field("transaction"), csrf: page.field("csrf") };
        self.fixture.send_form(browser, &form, buttons, &[])
    }

    /// Consents to a client's request.
    pub(crate) fn consent(&self, browser: &Browser, client: &str, resource: &str) -> Reply {
        self.press(browser, client, resource, ("decision", "approve"))
    }

    /// Asks for authorization, and consents where that is not remembered.
    pub(crate) fn start(&self, browser: &Browser, client: &str, resource: &str) -> Reply {
        let reply = self.fixture.visit(browser, &Fixture::authorization(client, &asking(resource)));
        if reply.reason == "login_started" {
            return reply;
        }
        self.press_on(browser, &reply, &[("decision", "approve")])
    }

    /// Goes through one provider after the other, as `alice` at the first and `octocat` at the
    /// other.
    pub(crate) fn walk(&self, browser: &Browser, mut reply: Reply) -> Reply {
        for _ in 0..2 {
            if !["login_started", "login_continued"].contains(&reply.reason) {
                break;
            }
            reply = self.fixture.visit(browser, &back_from(&reply));
        }
        reply
    }

    /// A whole login for a resource.
    pub(crate) fn log_in(&self, client: &str, resource: &str) -> Tokens {
        let browser = Browser::default();
        let reply = self.walk(&browser, self.consent(&browser, client, resource));
        tokens_of(&self.fixture.redeem(client, &code_of(&reply), &[]))
    }

    /// A login whose first leg is done: the reply that leads to the second.
    pub(crate) fn half_way(&self, browser: &Browser, client: &str) -> Reply {
        let first = self.consent(browser, client, API);
        let reply = self.fixture.visit(browser, &back_from(&first));
        assert_eq!(reply.reason, "login_continued", "{}", reply.text());
        reply
    }

    /// The tokens of a session at a provider.
    pub(crate) fn stored(&self, session: SessionId, provider: ProviderId) -> Option<Upstream> {
        let records = Records::new(&self.fixture.gateway.config().sealer, &self.fixture.ports);
        let found = block_on(records.load::<Upstream>(&upstream_key(&session_key(session), provider)));
        found.unwrap().map(|loaded| loaded.record)
    }
}

/// The parameters by which a client asks for a resource.
pub(crate) fn asking(resource: &str) -> [(&str, &str); 2] {
    [("resource", resource), ("scope", if resource == API { "openid tools" } else { "openid" })]
}

/// The session of a login's audit trail.
pub(crate) fn session_of(reply: &Reply) -> SessionId {
    SessionId::parse(&reply.audit.get(AuditField::Session).unwrap()).unwrap()
}

/// The callback that the provider sends a browser to which was redirected there.
pub(crate) fn back_from(reply: &Reply) -> String {
    let is_idp = reply.redirect().0.starts_with(IDP);
    back_as(reply, if is_idp { "alice" } else { "octocat" })
}

/// As [`back_from`], for this user.
pub(crate) fn back_as(reply: &Reply, user: &str) -> String {
    let (base, query) = reply.redirect();
    let issuer = if base.starts_with(IDP) { IDP } else { HUB };
    let mut query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    query.push(("login_hint", user));
    let target = format!("/authorize?{}", params::encode(&query));
    let request = Request { target: &target, authorization: None, accept_encoding: None, body: &[] };
    let sent = provider(issuer).answer(mode(PLAIN).unwrap(), &request, 0);
    sent.header("location").unwrap_or_else(|| panic!("{target}")).replace("https://gw.example", "")
}

fn provider(issuer: &str) -> BendingProvider {
    BendingProvider::new(issuer, "portcullis", "the client secret")
}

fn answer(call: &CallRequest, now: u64) -> CallReply {
    let header = |name: &str| call.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_str());
    let issuer = if call.cluster == "hub" { HUB } else { IDP };
    let request = Request {
        target: &call.path,
        authorization: header("authorization"),
        accept_encoding: header("accept-encoding"),
        body: &call.body,
    };
    let reply = provider(issuer).answer(mode(PLAIN).unwrap(), &request, now);
    let content_type = reply.header("content-type").map(str::to_owned);
    CallReply { status: reply.status, content_type, max_age: None, from_bridge: false, body: reply.body }
}

const PLAIN: &str = "as the RFCs write it";
