//! A backend's own token in exchange for the user's (RFC 8693): the request, the answers that are
//! taken, how long a token serves, and what a refusal means.

use std::collections::BTreeMap;

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::decision::{Decision, RefreshOutcome, Resolved};
use portcullis_gateway::ports::{CallRequest, TokenOwner, UpstreamTokenRef};
use portcullis_gateway::resource_server::backend_refusal;
use portcullis_gateway::sessions::keys::{session_key, tokens_key};
use portcullis_gateway::store::records::Records;
use portcullis_gateway::upstream::refresh::Cause;
use portcullis_gateway::upstream::renew;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::Reply;
use crate::fixture::{
    Fixture, MCP, document, forwarded, injected, replied, resolved_forward, resolved_reply, upstream_of,
};
use crate::protect::{fast, session};
use crate::refresh::{renewed, word};

const STS: &str = "https://sts.example/token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The usual configuration, with this much more about the exchange of the first resource.
fn exchanging(more: &Value) -> Value {
    let mut inject = json!({
        "type": "tokenExchange", "tokenUrl": STS, "cluster": "sts", "clientId": "gateway",
        "clientSecret": { "inline": "the sts secret" },
    });
    for (name, value) in more.as_object().unwrap() {
        inject[name] = value.clone();
    }
    let mut document = document();
    document["resources"][0]["inject"] = inject;
    document
}

/// A gateway in which a user is logged in, and the user's access token.
fn logged_in(more: &Value) -> (Fixture, String) {
    let fixture = Fixture::configured(&exchanging(more));
    let (_, tokens) = fixture.logged_in();
    let _ = (fixture.ports.take_sent(), fixture.ports.take_reports());
    (fixture, tokens.access)
}

/// A good answer with this token.
fn answer(token: &str) -> Value {
    json!({ "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 600 })
}

fn expect(fixture: &Fixture, status: u16, body: &Value) {
    fixture.ports.expect_json("sts", "/token", status, &body.to_string());
}

/// The tokens that a session's calls get.
fn exchanged_of(fixture: &Fixture, token: &str) -> UpstreamTokenRef {
    let provider = fixture.gateway.config().resources[0].injection.token().unwrap();
    UpstreamTokenRef { owner: TokenOwner::Session(session(token)), provider }
}

fn work(fixture: &Fixture, token: UpstreamTokenRef, cause: Cause) -> RefreshOutcome {
    block_on(renew::renew(fixture.gateway.clone(), token, cause, fixture.ports.clone()))
}

/// A call that waits for the root task, which does its work.
fn waited(fixture: &Fixture, token: &str) -> Resolved {
    match fixture.call("/mcp", token) {
        Decision::AwaitUpstream { token: awaited, decide } => {
            assert_eq!(awaited, exchanged_of(fixture, token));
            decide(&work(fixture, awaited, Cause::Due))
        }
        Decision::Resolved(Resolved::Respond(_, audit)) => panic!("{}", audit.reason().as_str()),
        Decision::Resolved(_) | Decision::AwaitProvider { .. } | Decision::AwaitKeys { .. } => panic!("does not wait"),
    }
}

fn served(fixture: &Fixture, token: &str) -> String {
    injected(&forwarded(fixture.call("/mcp", token))).1
}

fn refused(fixture: &Fixture, token: &str) -> Reply {
    resolved_reply(waited(fixture, token))
}

/// The form of a call.
fn form(call: &CallRequest) -> BTreeMap<String, String> {
    let form = Params::parse(&call.body, Limits { bytes: 64 * 1024, ..Limits::OAUTH }).unwrap();
    let value = |name: &str| Some((name.to_owned(), form.one(name).unwrap()?.to_owned()));
    let names = ["grant_type", "subject_token", "subject_token_type", "requested_token_type", "audience", "resource"];
    names.into_iter().chain(["scope", "client_id", "client_secret", "actor_token"]).filter_map(value).collect()
}

fn stored(fixture: &Fixture, token: UpstreamTokenRef) -> Option<Upstream> {
    let records = Records::new(&fixture.gateway.config().sealer, &fixture.ports);
    block_on(records.load::<Upstream>(&tokens_key(token))).unwrap().map(|loaded| loaded.record)
}

#[test]
fn the_users_token_is_exchanged_once_and_the_new_one_serves_until_shortly_before_its_end() {
    let more = json!({ "audience": "backend", "resource": "https://backend.example/", "scopes": ["read", "write"] });
    let (fixture, token) = logged_in(&more);
    expect(&fixture, 200, &answer("exchanged-1"));
    let forward = resolved_forward(waited(&fixture, &token));
    assert_eq!(injected(&forward), ("authorization".to_owned(), "Bearer exchanged-1".to_owned()));
    let sent = fixture.ports.take_sent();
    let [call] = sent.as_slice() else { panic!("{} calls", sent.len()) };
    assert_eq!((call.cluster.as_str(), call.authority.as_str(), call.path.as_str()), ("sts", "sts.example", "/token"));
    let authorization = call.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    assert!(authorization.1.starts_with("Basic "), "the client is authenticated as at any token endpoint");
    let expected = [
        ("audience", "backend"),
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", ACCESS_TOKEN),
        ("resource", "https://backend.example/"),
        ("scope", "read write"),
        ("subject_token", "upstream-access-1"),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    assert_eq!(form(call), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());

    // The next call finds it in the store, and the one after that in memory.
    for _ in 0..3 {
        assert_eq!(served(&fixture, &token), "Bearer exchanged-1");
    }
    assert_eq!(injected(&fast(&fixture, "/mcp", &token).unwrap()).1, "Bearer exchanged-1");
    fixture.advance(539);
    assert_eq!(served(&fixture, &token), "Bearer exchanged-1");
    assert!(fast(&fixture, "/mcp", &token).is_some() && fixture.ports.take_refreshes().is_empty());
    fixture.advance(1);
    assert_eq!(served(&fixture, &token), "Bearer exchanged-1", "it serves, and another is asked for");
    assert_eq!(fixture.ports.take_refreshes().len(), 1);
    assert_eq!(fixture.ports.take_sent().len(), 0);
    expect(&fixture, 200, &answer("exchanged-2"));
    assert_eq!(word(&work(&fixture, exchanged_of(&fixture, &token), Cause::Due)), "ready");
    assert_eq!(injected(&fast(&fixture, "/mcp", &token).unwrap()).1, "Bearer exchanged-2");
}

#[test]
fn another_worker_and_another_gateway_take_what_was_exchanged() {
    let (fixture, token) = logged_in(&json!({}));
    expect(&fixture, 200, &answer("exchanged-1"));
    resolved_forward(waited(&fixture, &token));
    let other = fixture.with_clock_at(&exchanging(&json!({})), fixture.now());
    assert_eq!(served(&other, &token), "Bearer exchanged-1");
    // One that asks for something else has not got it.
    let different = fixture.with_clock_at(&exchanging(&json!({ "audience": "another" })), fixture.now());
    expect(&different, 200, &answer("for-another"));
    assert_eq!(injected(&resolved_forward(waited(&different, &token))).1, "Bearer for-another");
    assert_eq!(served(&other, &token), "Bearer exchanged-1");
}

#[test]
fn a_token_belongs_to_its_session_and_what_was_asked_for() {
    let (fixture, alice) = logged_in(&json!({}));
    expect(&fixture, 200, &answer("of-alice"));
    resolved_forward(waited(&fixture, &alice));
    let (_, bob) = fixture.logged_in();
    let _ = fixture.ports.take_sent();
    expect(&fixture, 200, &answer("of-bob"));
    assert_eq!(injected(&resolved_forward(waited(&fixture, &bob.access))).1, "Bearer of-bob");
    assert_eq!(served(&fixture, &alice), "Bearer of-alice");
    let ids: Vec<ProviderId> = [
        json!({}),
        json!({ "audience": "a" }),
        json!({ "resource": "https://a.example/" }),
        json!({ "scopes": ["a"] }),
        json!({ "tokenUrl": "https://sts.example/other" }),
        json!({ "clientId": "another" }),
        json!({ "subjectTokenType": "jwt" }),
    ]
    .iter()
    .map(|more| crate::fixture::compiled(&exchanging(more)).resources[0].injection.token().unwrap())
    .collect();
    for (place, id) in ids.iter().enumerate() {
        assert!(!ids[..place].contains(id), "{place}");
    }
}

#[test]
fn a_users_token_that_is_due_is_renewed_first() {
    let (fixture, token) = logged_in(&json!({}));
    fixture.advance(3_595);
    fixture.expect_token_answer(200, &renewed());
    expect(&fixture, 200, &answer("exchanged-1"));
    assert_eq!(injected(&resolved_forward(waited(&fixture, &token))).1, "Bearer exchanged-1");
    let sent = fixture.ports.take_sent();
    assert_eq!(form(&sent[1])["subject_token"], "upstream-access-2");

    // Where the provider says that the login is over, it is.
    let (fixture, token) = logged_in(&json!({}));
    fixture.advance(3_595);
    fixture.expect_token_answer(400, &json!({ "error": "invalid_grant" }));
    let reply = refused(&fixture, &token);
    assert_eq!((reply.status(), reply.reason), (401, "upstream_login_required"));
    assert_eq!(replied(fixture.call("/mcp", &token)).reason, "session_ended");
}

#[test]
fn a_refusal_is_no_reason_to_log_in_again_and_the_server_is_not_asked_for_a_while() {
    for (status, error) in [
        (400, "invalid_request"),
        (400, "invalid_grant"),
        (400, "invalid_target"),
        (400, "invalid_scope"),
        (403, "access_denied"),
    ] {
        let (fixture, token) = logged_in(&json!({}));
        expect(&fixture, status, &json!({ "error": error }));
        let reply = refused(&fixture, &token);
        assert_eq!((reply.status(), reply.reason), (403, "exchange_refused"), "{error}");
        assert!(reply.header("www-authenticate").is_none(), "no challenge, or the client would log in again");
        assert_eq!(fixture.ports.take_sent().len(), 1, "a user's token that was just obtained is not renewed");
        for _ in 0..10 {
            assert_eq!(refused(&fixture, &token).reason, "exchange_refused");
        }
        assert_eq!(fixture.ports.take_sent().len(), 0, "{error}");
        fixture.advance(30);
        expect(&fixture, 200, &answer("at-last"));
        assert_eq!(injected(&resolved_forward(waited(&fixture, &token))).1, "Bearer at-last", "{error}");
    }
}

#[test]
fn a_refused_token_of_the_user_is_renewed_once_and_that_may_end_the_login() {
    // The server knows that the token was revoked, and takes the new one.
    let (fixture, token) = logged_in(&json!({}));
    fixture.advance(300);
    expect(&fixture, 400, &json!({ "error": "invalid_request" }));
    fixture.expect_token_answer(200, &renewed());
    expect(&fixture, 200, &answer("exchanged"));
    assert_eq!(injected(&resolved_forward(waited(&fixture, &token))).1, "Bearer exchanged");
    let sent = fixture.ports.take_sent();
    assert_eq!(form(&sent[2])["subject_token"], "upstream-access-2");

    // It does not take the new one either.
    let (fixture, token) = logged_in(&json!({}));
    fixture.advance(300);
    expect(&fixture, 400, &json!({ "error": "invalid_request" }));
    fixture.expect_token_answer(200, &renewed());
    expect(&fixture, 400, &json!({ "error": "invalid_request" }));
    assert_eq!(refused(&fixture, &token).reason, "exchange_refused");
    fixture.advance(30);
    expect(&fixture, 400, &json!({ "error": "invalid_request" }));
    assert_eq!(refused(&fixture, &token).reason, "exchange_refused");
    assert_eq!(fixture.ports.calls_left(), 0, "and the user's token is not renewed again for it");

    // The provider says that the login is over.
    let (fixture, token) = logged_in(&json!({}));
    fixture.advance(300);
    expect(&fixture, 400, &json!({ "error": "invalid_grant" }));
    fixture.expect_token_answer(400, &json!({ "error": "invalid_grant" }));
    let reply = refused(&fixture, &token);
    assert_eq!((reply.status(), reply.reason), (401, "upstream_login_required"));
    assert_eq!(replied(fixture.call("/mcp", &token)).reason, "session_ended");

    // The provider cannot be reached, which says nothing about the login, nor about its token.
    let (fixture, token) = logged_in(&json!({}));
    fixture.advance(300);
    expect(&fixture, 400, &json!({ "error": "invalid_grant" }));
    fixture.expect_token_answer(503, &json!({}));
    assert_eq!(refused(&fixture, &token).reason, "exchange_refused");
    let subject = stored(&fixture, upstream_of(session(&token))).unwrap();
    assert!(subject.expires_at.unwrap() > fixture.now(), "what else uses the user's token goes on");
}

#[test]
fn an_outage_and_an_answer_that_makes_no_sense_are_temporary_and_never_the_users_fault() {
    let with = |name: &str, value: Value| {
        let mut answer = answer("t");
        answer[name] = value;
        answer
    };
    let without = |name: &str| {
        let mut answer = answer("t");
        answer.as_object_mut().unwrap().remove(name);
        answer
    };
    for (status, body, logged) in [
        (503, json!({}), "provider_status"),
        (429, json!({ "error": "invalid_grant" }), "provider_status"),
        (401, json!({ "error": "invalid_client" }), "provider_refused_client"),
        (200, with("token_type", json!("N_A")), "provider_invalid_answer"),
        (200, without("token_type"), "provider_invalid_answer"),
        (200, without("issued_token_type"), "provider_invalid_answer"),
        (200, with("issued_token_type", json!(ID_TOKEN)), "provider_invalid_answer"),
        (
            200,
            with("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")),
            "provider_invalid_answer",
        ),
        (200, with("issued_token_type", json!(7)), "provider_invalid_answer"),
        (200, without("access_token"), "provider_invalid_answer"),
        (200, with("access_token", json!("two words")), "provider_invalid_answer"),
        (200, with("access_token", json!("a\r\nx-user: root")), "provider_invalid_answer"),
        (200, with("access_token", json!("t".repeat(16 * 1024))), "provider_invalid_answer"),
    ] {
        let (fixture, token) = logged_in(&json!({}));
        expect(&fixture, status, &body);
        let reply = refused(&fixture, &token);
        assert_eq!((reply.status(), reply.reason), (503, "upstream_unavailable"), "{logged}");
        assert!(reply.header("www-authenticate").is_none() && reply.header("retry-after").is_some());
        let reports = fixture.ports.take_reports();
        assert!(reports.len() == 1 && reports[0].contains(logged) && reports[0].contains(STS), "{reports:?}");
        assert!(!reports[0].contains("upstream-access"), "{reports:?}");
        fixture.advance(2);
        expect(&fixture, 200, &with("issued_token_type", json!("urn:ietf:params:oauth:token-type:jwt")));
        assert_eq!(injected(&resolved_forward(waited(&fixture, &token))).1, "Bearer t");
    }
}

#[test]
fn a_token_that_still_serves_outlives_an_outage_of_the_server() {
    let (fixture, token) = logged_in(&json!({}));
    expect(&fixture, 200, &answer("exchanged"));
    resolved_forward(waited(&fixture, &token));
    fixture.advance(560);
    expect(&fixture, 503, &json!({}));
    assert_eq!(word(&work(&fixture, exchanged_of(&fixture, &token), Cause::Due)), "ready");
    assert_eq!(served(&fixture, &token), "Bearer exchanged");
}

#[test]
fn a_life_that_nobody_tells_is_short_and_none_is_longer_than_a_day() {
    for (told, life) in [(Value::Null, 300), (json!(0), 10), (json!(1_000_000_000), 86_400), (json!("120"), 120)] {
        let (fixture, token) = logged_in(&json!({}));
        let mut body = answer("t");
        body["expires_in"] = told.clone();
        expect(&fixture, 200, &body);
        resolved_forward(waited(&fixture, &token));
        let record = stored(&fixture, exchanged_of(&fixture, &token)).unwrap();
        assert_eq!(record.expires_at, Some(fixture.now() + life), "{told}");
        assert!(record.refresh_token.is_none() && record.subject == "alice");
    }
}

#[test]
fn the_id_token_is_kept_where_it_is_exchanged_and_nowhere_else() {
    let (fixture, token) = logged_in(&json!({ "subjectTokenType": "id_token" }));
    expect(&fixture, 200, &answer("exchanged"));
    resolved_forward(waited(&fixture, &token));
    let sent = form(&fixture.ports.take_sent()[0]);
    assert_eq!((sent["subject_token_type"].as_str(), sent["subject_token"].split('.').count()), (ID_TOKEN, 3));
    let subject = stored(&fixture, upstream_of(session(&token))).unwrap();
    assert_eq!(subject.id_token.unwrap().expose(), &sent["subject_token"]);
    assert!(stored(&fixture, exchanged_of(&fixture, &token)).unwrap().id_token.is_none());

    let (fixture, token) = logged_in(&json!({ "subjectTokenType": "jwt" }));
    expect(&fixture, 200, &answer("exchanged"));
    resolved_forward(waited(&fixture, &token));
    let sent = form(&fixture.ports.take_sent()[0]);
    assert_eq!(sent["subject_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(sent["subject_token"], "upstream-access-1");
    assert!(stored(&fixture, upstream_of(session(&token))).unwrap().id_token.is_none());
}

#[test]
fn a_backends_401_leads_to_one_new_exchange() {
    let (fixture, token) = logged_in(&json!({}));
    expect(&fixture, 200, &answer("exchanged-1"));
    resolved_forward(waited(&fixture, &token));
    let grant = forwarded(fixture.call("/mcp", &token)).grant.unwrap();
    let _ = fixture.ports.take_sent();
    let rejected = backend_refusal::of(&fixture.gateway, &grant, fixture.now()).unwrap().rejected.unwrap();
    assert_eq!(rejected, exchanged_of(&fixture, &token));
    expect(&fixture, 200, &answer("exchanged-2"));
    let cause = Cause::Rejected { sent_at: fixture.now() };
    assert_eq!(word(&work(&fixture, rejected, cause)), "ready");
    assert_eq!(served(&fixture, &token), "Bearer exchanged-2");
    assert_eq!(backend_refusal::of(&fixture.gateway, &grant, fixture.now()).unwrap().rejected, None);
    assert_eq!(word(&work(&fixture, rejected, cause)), "ready", "of another worker's 401 at the same time");
    let sent = fixture.ports.take_sent();
    assert_eq!(sent.len(), 1, "one exchange, and the user's token is as it was");
    assert_eq!(form(&sent[0])["subject_token"], "upstream-access-1");
}

#[test]
fn a_token_ends_with_its_session() {
    let (fixture, token) = logged_in(&json!({}));
    expect(&fixture, 200, &answer("exchanged"));
    resolved_forward(waited(&fixture, &token));
    assert!(stored(&fixture, exchanged_of(&fixture, &token)).is_some());
    let session = session(&token);
    block_on(portcullis_gateway::sessions::end::end_session(&fixture.gateway, session, &fixture.ports)).unwrap();
    assert!(stored(&fixture, exchanged_of(&fixture, &token)).is_none());

    // Also one that ends while its token is exchanged.
    let (fixture, token) = logged_in(&json!({}));
    let awaited = exchanged_of(&fixture, &token);
    let (gateway, store) = (fixture.gateway.clone(), fixture.store.clone());
    let key = session_key(crate::protect::session(&token));
    fixture.ports.serve_calls(move |_| {
        use portcullis_gateway::ports::Store as _;
        block_on(store.delete(&key)).unwrap();
        let _ = &gateway;
        Ok(portcullis_testkit::fakes::json_reply(200, &answer("too-late").to_string()))
    });
    assert_eq!(word(&work(&fixture, awaited, Cause::Due)), "login required");
    assert!(stored(&fixture, awaited).is_none());
}

#[test]
fn one_exchange_runs_at_a_time() {
    let (fixture, token) = logged_in(&json!({}));
    let awaited = exchanged_of(&fixture, &token);
    let other = fixture.with_clock_at(&exchanging(&json!({})), fixture.now());
    let (gateway, ports) = (other.gateway.clone(), other.ports.clone());
    fixture.ports.serve_calls(move |_| {
        let meanwhile = block_on(renew::renew(gateway.clone(), awaited, Cause::Due, ports.clone()));
        assert_eq!(word(&meanwhile), "elsewhere");
        Ok(portcullis_testkit::fakes::json_reply(200, &answer("exchanged").to_string()))
    });
    assert_eq!(word(&work(&fixture, awaited, Cause::Due)), "ready");
    assert!(other.ports.take_sent().is_empty());
    assert_eq!(word(&work(&other, awaited, Cause::Due)), "ready", "and then it is there for both");
    assert!(other.ports.take_sent().is_empty());
}

#[test]
fn the_headers_about_the_user_go_with_it() {
    let mut document = exchanging(&json!({}));
    document["resources"][0]["identityHeaders"] = json!({ "x-user": "sub", "x-subject": "subject" });
    let fixture = Fixture::configured(&document);
    let (_, tokens) = fixture.logged_in();
    expect(&fixture, 200, &answer("exchanged"));
    let forward = resolved_forward(waited(&fixture, &tokens.access));
    let subject = |forward: &portcullis_gateway::decision::Forward| {
        let fields = forward.identity.as_ref().unwrap().fields();
        fields.iter().find(|field| &*field.name == "x-subject").map(|field| field.value.expose().clone())
    };
    assert_eq!(subject(&forward), Some(b"alice".to_vec()));
    assert_eq!(subject(&forwarded(fixture.call("/mcp", &tokens.access))), Some(b"alice".to_vec()));
    assert_eq!(forward.audit.get(portcullis_gateway::audit::AuditField::Resource).as_deref(), Some(MCP));
}
