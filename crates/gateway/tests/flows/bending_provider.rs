//! The table of the bending provider: what the RFCs allow works from login to refresh, and what
//! would be unsafe to ignore is refused, each with a reason of its own.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_gateway::decision::Decision;
use portcullis_gateway::ports::{CallReply, CallRequest, Clock as _};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::oauth::params;
use portcullis_testkit::bending_provider::{BendingProvider, Expected, Mode, Reply, Request, mode, modes};

use crate::browser::Browser;
use crate::fixture::{Fixture, IDP, code_of, document, error_of, forwarded, injected, tokens_of};
use crate::refresh::{refresh, session, stored, word};

fn provider() -> BendingProvider {
    BendingProvider::new(IDP, "portcullis", "the client secret")
}

/// A gateway whose provider is in this mode, and has not been asked anything yet.
fn fixture(mode: &'static Mode) -> Fixture {
    let fixture = Fixture::cold(&document());
    let (provider, clock) = (provider(), fixture.ports.clock().clone());
    fixture.ports.serve_calls(move |call| {
        assert_eq!((call.cluster.as_str(), call.authority.as_str()), ("idp", "idp.example"), "{}", mode.name);
        Ok(reply(provider.answer(mode, &asked(call), clock.now())))
    });
    fixture
}

fn asked(call: &CallRequest) -> Request<'_> {
    let header = |name: &str| call.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_str());
    Request {
        target: &call.path,
        authorization: header("authorization"),
        accept_encoding: header("accept-encoding"),
        body: &call.body,
    }
}

fn reply(reply: Reply) -> CallReply {
    let content_type = reply.header("content-type").map(str::to_owned);
    CallReply { status: reply.status, content_type, max_age: None, from_bridge: false, body: reply.body }
}

/// Where the provider sends a browser that comes with this query.
fn sent_back(query: &[(&str, &str)]) -> String {
    let target = format!("/authorize?{}", params::encode(query));
    let request = Request { target: &target, authorization: None, accept_encoding: None, body: &[] };
    let plain = mode("as the RFCs write it").unwrap();
    let reply = provider().answer(plain, &request, 0);
    reply.header("location").unwrap_or_else(|| panic!("{target}")).replace("https://gw.example", "")
}

/// A login up to the client's redirect.
fn log_in(fixture: &Fixture, client: &str) -> crate::browser::Reply {
    let browser = Browser::default();
    let form = fixture.consent_page(&browser, client, &[]);
    let answer = fixture.answer_form(&browser, &form, "approve", &[]);
    let (base, query) = answer.redirect();
    if base != format!("{IDP}/authorize") {
        return answer;
    }
    let query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fixture.visit(&browser, &sent_back(&query))
}

#[test]
fn every_mode_that_the_rfcs_allow_works_from_login_to_refresh() {
    for mode in modes().filter(|mode| mode.expected == Expected::Works) {
        let fixture = fixture(mode);
        let client = fixture.register();
        let code = code_of(&log_in(&fixture, &client));
        let mut tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
        let call = |token: &str| {
            let decision = fixture.call("/mcp", token);
            assert!(matches!(decision, Decision::Resolved(_)), "{}: a call waits", mode.name);
            injected(&forwarded(decision)).1
        };
        assert_eq!(call(&tokens.access), "Bearer access-alice-1", "{}", mode.name);
        let session = session(&tokens);
        for number in [2, 3] {
            let record = stored(&fixture, session).unwrap();
            assert!(record.refresh_token.is_some() && record.expires_at.is_some(), "{}: it has an end", mode.name);
            // A life beyond all sessions is no life to wait for.
            let life = record.access().refresh_at - fixture.now();
            if life > 24 * 3_600 {
                continue;
            }
            assert!(life > 0, "{}: it is not refreshed at each call", mode.name);
            fixture.advance(life + 1);
            assert_eq!(word(&refresh(&fixture, session)), "ready", "{}", mode.name);
            tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
            assert_eq!(call(&tokens.access), format!("Bearer access-alice-{}", renewed(mode, number)), "{}", mode.name);
        }
        assert_eq!(failures(&fixture), notes(mode.name), "{}: nothing else is logged", mode.name);
    }
}

/// The operator's log of what failed at the provider, each line once, since the last time of
/// asking.
fn failures(fixture: &Fixture) -> BTreeSet<String> {
    fixture.ports.take_reports().into_iter().filter(|report| report != "idp answered").collect()
}

/// What the log says of a mode that works.
fn notes(mode: &str) -> BTreeSet<String> {
    let cut = "idp notes: a user is in more groups than are kept: 100, of 4 KiB at most".to_owned();
    if mode.starts_with("300 groups") { BTreeSet::from([cut]) } else { BTreeSet::new() }
}

/// The number of the access token that a refresh brings: a refresh token that stays is counted by
/// the provider as the same.
fn renewed(mode: &Mode, number: u32) -> u32 {
    if mode.name.contains("refresh token") { 2 } else { number }
}

#[test]
fn every_mode_that_cannot_be_accepted_is_refused_with_a_line_in_the_log_of_its_own() {
    let mut lines = BTreeMap::new();
    for mode in modes() {
        let Expected::Refused(reason, words) = mode.expected else { continue };
        let fixture = fixture(mode);
        let client = fixture.register();
        let reply = log_in(&fixture, &client);
        assert_eq!((error_of(&reply).as_str(), reply.reason), ("server_error", reason.as_str()), "{}", mode.name);
        let failures: Vec<_> = failures(&fixture).into_iter().collect();
        let [line] = failures.as_slice() else { panic!("{}: {failures:?}", mode.name) };
        let cause = line.split_once(&format!(" {}: ", reason.as_str())).map(|(_, cause)| cause);
        assert!(cause.is_some_and(|cause| cause.contains(words)), "{}: {line}", mode.name);
        assert!(!line.contains("evil") && !line.contains("client secret is"), "{line}");
        let other = lines.insert(line.clone(), mode.name);
        assert!(other.is_none(), "{line}: {} and {other:?}", mode.name);
    }
    assert!(lines.len() > 70, "{}", lines.len());
}

#[test]
fn no_key_or_address_that_a_token_brings_is_asked_for() {
    let fixture = fixture(mode("a header with keys and where to find them").unwrap());
    let client = fixture.register();
    code_of(&log_in(&fixture, &client));
    let asked: Vec<_> = fixture.ports.take_sent().iter().map(|call| (call.method, call.path.clone())).collect();
    let expected = [("GET", "/.well-known/openid-configuration"), ("GET", "/keys"), ("POST", "/token")];
    assert_eq!(asked, expected.map(|(method, path)| (method, path.to_owned())));
}

#[test]
fn a_key_set_without_a_usable_key_replaces_none() {
    for name in
        ["an empty key set", "a key set that is none", "a key set as text", "a key set that names its keys twice"]
    {
        let fixture = fixture(mode("as the RFCs write it").unwrap());
        let client = fixture.register();
        code_of(&log_in(&fixture, &client));
        // An hour later the documents are fetched again, and this is what comes.
        fixture.advance(3_600);
        let (good, bad) = (mode("as the RFCs write it").unwrap(), mode(name).unwrap());
        let (provider, clock) = (provider(), fixture.ports.clock().clone());
        fixture.ports.serve_calls(move |call| {
            let mode = if call.path == "/keys" { bad } else { good };
            Ok(reply(provider.answer(mode, &asked(call), clock.now())))
        });
        assert!(!fixture.ports.take_sent().is_empty());
        fixture.warm();
        assert_eq!(fixture.ports.take_sent().len(), 2, "{name}");
        code_of(&log_in(&fixture, &client));
    }
}

#[test]
fn a_refreshed_id_token_is_about_the_same_user_of_the_same_issuer_for_the_same_client() {
    for (name, outcome) in [
        ("as the RFCs write it", "ready"),
        ("no ID token in a refresh", "ready"),
        ("300 groups in an ID token of 40 KB", "ready"),
        ("an ID token of another login", "ready"),
        ("an ID token of another issuer", "login required"),
        ("an ID token without issuer", "login required"),
        ("an ID token for another client", "login required"),
        ("an ID token whose user is a number", "login required"),
        ("an ID token that names two users", "login required"),
        ("an encrypted ID token", "login required"),
    ] {
        let fixture = fixture(mode("as the RFCs write it").unwrap());
        let client = fixture.register();
        let code = code_of(&log_in(&fixture, &client));
        let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
        fixture.advance(3_595);
        let (provider, clock, bent) = (provider(), fixture.ports.clock().clone(), mode(name).unwrap());
        fixture.ports.serve_calls(move |call| Ok(reply(provider.answer(bent, &asked(call), clock.now()))));
        assert_eq!(failures(&fixture), BTreeSet::new());
        assert_eq!(word(&refresh(&fixture, session(&tokens))), outcome, "{name}");
        let logged: Vec<_> = failures(&fixture).into_iter().collect();
        match (bent.expected, logged.as_slice()) {
            _ if outcome == "ready" => assert_eq!(BTreeSet::from_iter(logged), notes(name), "{name}"),
            (Expected::Refused(_, words), [line]) => {
                // A login asks who it is, a refresh whether it is the same.
                let words = if words.contains("`sub`") { "names another user" } else { words };
                assert!(line.contains(" provider_invalid_id_token: ") && line.contains(words), "{name}: {line}");
            }
            (expected, logged) => panic!("{name}: {expected:?} {logged:?}"),
        }
    }
}

#[test]
fn a_provider_that_says_nothing_of_a_life_gets_the_configured_one() {
    let mut document = document();
    document["upstreamProviders"][0]["oidcConfig"]["defaultTokenLifespan"] = serde_json::json!("5m");
    let silent = mode("no life").unwrap();
    let fixture = Fixture::cold(&document);
    let (provider, clock) = (provider(), fixture.ports.clock().clone());
    fixture.ports.serve_calls(move |call| Ok(reply(provider.answer(silent, &asked(call), clock.now()))));
    let client = fixture.register();
    let code = code_of(&log_in(&fixture, &client));
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    let record = stored(&fixture, session(&tokens)).unwrap();
    assert_eq!(record.expires_at, Some(fixture.now() + 300));
}

#[test]
fn the_provider_itself_checks_what_it_is_sent() {
    let plain = mode("as the RFCs write it").unwrap();
    let token = |body: &str, authorization: Option<&str>| {
        let request =
            Request { target: "/token", authorization, accept_encoding: Some("identity"), body: body.as_bytes() };
        let reply = provider().answer(plain, &request, 0);
        (reply.status, String::from_utf8(reply.body).unwrap())
    };
    let basic = portcullis_protocol::oauth::client_authentication::basic(
        "portcullis",
        &Secret::new("the client secret".to_owned()),
    );
    let basic = basic.expose().as_str();
    let refresh = "grant_type=refresh_token&refresh_token=refresh-alice-1";
    assert_eq!(token(refresh, Some(basic)).0, 200);
    for (body, authorization, error) in [
        (refresh, None, "invalid_client"),
        (refresh, Some("Basic YTpi"), "invalid_client"),
        ("grant_type=refresh_token&refresh_token=x", Some(basic), "invalid_grant"),
        ("grant_type=authorization_code&code=a.b.c&code_verifier=x", Some(basic), "invalid_grant"),
        ("grant_type=password", Some(basic), "unsupported_grant_type"),
    ] {
        let (status, answer) = token(body, authorization);
        assert!(status >= 400 && answer.contains(error), "{body}: {answer}");
    }
    let compressed =
        Request { target: "/keys", authorization: None, accept_encoding: Some("gzip, identity"), body: &[] };
    assert_eq!(provider().answer(plain, &compressed, 0).header("content-encoding"), Some("gzip"));
}
