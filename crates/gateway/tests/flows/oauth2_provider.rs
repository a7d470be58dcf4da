//! A provider that speaks OAuth 2.0 alone: the login, whose it is, and what is refused.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_gateway::decision::RefreshOutcome;
use portcullis_gateway::ports::{CallReply, CallRequest, TokenOwner, UpstreamTokenRef};
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_testkit::fakes::{block_on, json_reply};
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{Fixture, ISSUER, code_of, document, error_of, forwarded, injected, tokens_of};
use crate::refresh::{session, word};

/// The document of a gateway whose users log in at GitHub.
fn github() -> Value {
    let mut document = document();
    document["upstreamProviders"] = json!([{
        "name": "github",
        "type": "oauth2",
        "oauth2Config": {
            "authorizationEndpoint": "https://github.example/login/oauth/authorize?from=gateway",
            "tokenEndpoint": "https://github.example/login/oauth/access_token",
            "cluster": "github",
            "clientId": "a-client",
            "clientSecret": { "inline": "the client secret" },
            "scopes": ["user:email", "read:user"],
            "userInfo": {
                "endpointUrl": "https://api.github.example/user?fields=all",
                "cluster": "github-api",
                "additionalHeaders": { "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28" },
                "fieldMapping": { "subjectFields": ["id", "login"], "nameFields": ["name", "login"], "emailFields": ["email"] },
            },
        },
    }]);
    document["resources"][0]["inject"]["providerName"] = json!("github");
    document
}

/// What the provider answers, to be changed by a test.
#[derive(Clone)]
struct GitHub {
    token: Rc<RefCell<(u16, Value)>>,
    user: Rc<RefCell<(u16, Value)>>,
    refreshes: Rc<Cell<u32>>,
}

impl GitHub {
    /// As it answers an application whose tokens do not expire.
    fn new() -> Self {
        let token = json!({ "access_token": "gho_1", "scope": "read:user,user:email", "token_type": "bearer" });
        let user = json!({ "login": "octocat", "id": 583_231, "name": "The Octocat", "email": null, "type": "User" });
        Self {
            token: Rc::new(RefCell::new((200, token))),
            user: Rc::new(RefCell::new((200, user))),
            refreshes: Rc::default(),
        }
    }

    fn serve(&self, fixture: &Fixture) {
        let github = self.clone();
        fixture.ports.serve_calls(move |call| Ok(github.answer(call)));
    }

    fn answer(&self, call: &CallRequest) -> CallReply {
        let header = |name: &str| call.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_str());
        assert_eq!(header("user-agent"), Some("portcullis"), "GitHub answers no request without one");
        assert_eq!(header("accept-encoding"), Some("identity"));
        match (call.cluster.as_str(), call.authority.as_str(), call.method, call.path.as_str()) {
            ("github", "github.example", "POST", "/login/oauth/access_token") => {
                assert_eq!(header("authorization"), Some("Basic YS1jbGllbnQ6dGhlJTIwY2xpZW50JTIwc2VjcmV0"));
                assert_eq!(header("accept"), Some("application/json"), "it would answer with a form");
                let form = Params::parse(&call.body, Limits::OAUTH).unwrap();
                let one = |name: &str| form.one(name).unwrap();
                match one("grant_type") {
                    Some("authorization_code") => {
                        assert_eq!(one("redirect_uri"), Some("https://gw.example/oauth/callback"));
                        assert!(one("code_verifier").is_some_and(|verifier| verifier.len() >= 43));
                        assert_eq!((one("client_id"), one("client_secret")), (None, None));
                    }
                    Some("refresh_token") => self.refreshes.update(|count| count.saturating_add(1)),
                    other => panic!("{other:?}"),
                }
                let (status, body) = &*self.token.borrow();
                json_reply(*status, &body.to_string())
            }
            ("github-api", "api.github.example", "GET", "/user?fields=all") => {
                assert!(header("authorization").is_some_and(|value| value.starts_with("Bearer gho_")));
                let accept: Vec<_> = call.headers.iter().filter(|(name, _)| *name == "accept").collect();
                assert_eq!(accept, [&("accept".into(), "application/vnd.github+json".to_owned())]);
                assert_eq!(header("x-github-api-version"), Some("2022-11-28"));
                let (status, body) = &*self.user.borrow();
                json_reply(*status, &body.to_string())
            }
            other => panic!("an unexpected call: {other:?}"),
        }
    }
}

fn started(document: &Value, github: &GitHub) -> Fixture {
    let fixture = Fixture::cold(document);
    github.serve(&fixture);
    fixture
}

/// A login up to the provider: what the provider is asked.
fn start(fixture: &Fixture, browser: &Browser, client: &str) -> BTreeMap<String, String> {
    let form = fixture.consent_page(browser, client, &[]);
    let headers = [("origin", ISSUER), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")];
    let (base, query) = fixture.answer_form(browser, &form, "approve", &headers).redirect();
    assert_eq!(base, "https://github.example/login/oauth/authorize");
    query
}

/// A login up to the client's redirect.
fn log_in(fixture: &Fixture, browser: &Browser, client: &str, more: &str) -> Reply {
    let asked = start(fixture, browser, client);
    fixture.visit(browser, &format!("/oauth/callback?code=a-code&state={}{more}", asked["state"]))
}

/// The `sub` of the tokens of a login.
fn subject(fixture: &Fixture) -> String {
    let client = fixture.register();
    let tokens = tokens_of(&fixture.redeem(&client, &code_of(&log_in(fixture, &Browser::default(), &client, "")), &[]));
    let claims: Value = serde_json::from_slice(Jws::parse(&tokens.access).unwrap().payload_bytes()).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

#[test]
fn a_login_asks_for_what_is_configured_and_the_backend_gets_the_providers_token() {
    let github = GitHub::new();
    let fixture = started(&github_document_with_lifespan("1h"), &github);
    let (client, browser) = (fixture.register(), Browser::default());
    let asked = start(&fixture, &browser, &client);
    let expected: BTreeMap<String, String> = [
        ("from", "gateway"),
        ("response_type", "code"),
        ("client_id", "a-client"),
        ("redirect_uri", "https://gw.example/oauth/callback"),
        ("scope", "user:email read:user"),
        ("code_challenge_method", "S256"),
        ("state", asked["state"].as_str()),
        ("code_challenge", asked["code_challenge"].as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(asked, expected, "a nonce would be of no use without ID tokens");
    let answer = fixture.visit(&browser, &format!("/oauth/callback?code=a-code&state={}", asked["state"]));
    let tokens = tokens_of(&fixture.redeem(&client, &code_of(&answer), &[]));
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, "Bearer gho_1");
    // Without a refresh token and a life the token is used as long as the login lasts.
    fixture.advance(3_500);
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, "Bearer gho_1");
    assert_eq!(github.refreshes.get(), 0);
}

fn github_document_with_lifespan(life: &str) -> Value {
    let mut document = github();
    document["tokenLifespans"] = json!({ "accessToken": life });
    document
}

#[test]
fn an_account_is_the_same_user_whatever_it_is_called() {
    let github = GitHub::new();
    let fixture = started(&self::github(), &github);
    let first = subject(&fixture);
    for (member, value) in [("login", json!("renamed")), ("email", json!("new@example.com")), ("name", Value::Null)] {
        github.user.borrow_mut().1[member] = value;
        assert_eq!(subject(&fixture), first, "{member}");
    }
    github.user.borrow_mut().1["id"] = json!("583231");
    assert_eq!(subject(&fixture), first, "written as text");
    // The name that was given up is another account's now.
    *github.user.borrow_mut() = (200, json!({ "login": "octocat", "id": 7 }));
    assert_ne!(subject(&fixture), first);
}

#[test]
fn a_login_that_says_not_whose_it_is_is_refused_and_logged() {
    let big = format!("{{\"id\":1,\"groups\":\"{}\"}}", "x".repeat(1024 * 1024));
    for (status, body, reason) in [
        (200, r#"{"login":"octocat","name":"The Octocat","email":"o@example.com"}"#, "provider_invalid_user_info"),
        (200, r#"{"id":null,"login":"583231"}"#, "provider_invalid_user_info"),
        (200, r#"{"id":""}"#, "provider_invalid_user_info"),
        (200, r#"{"id":true}"#, "provider_invalid_user_info"),
        (200, r#"{"id":1.5}"#, "provider_invalid_user_info"),
        (200, r#"{"id":-1}"#, "provider_invalid_user_info"),
        (200, r#"{"id":["1"]}"#, "provider_invalid_user_info"),
        (200, r#"{"id":"a\nb"}"#, "provider_invalid_user_info"),
        (200, r#"{"id":1,"id":2}"#, "provider_invalid_user_info"),
        (200, r#"[{"id":1}]"#, "provider_invalid_user_info"),
        (200, "", "provider_invalid_user_info"),
        (200, big.as_str(), "provider_invalid_user_info"),
        (401, "{}", "provider_invalid_user_info"),
        (403, "{}", "provider_invalid_user_info"),
        (404, "{}", "provider_status"),
        (302, "{}", "provider_status"),
        (429, "{}", "provider_status"),
        (503, "{}", "provider_status"),
    ] {
        let github = GitHub::new();
        let fixture = Fixture::cold(&self::github());
        let (served, body) = (github.clone(), body.to_owned());
        fixture.ports.serve_calls(move |call| {
            Ok(if call.cluster == "github-api" { json_reply(status, &body) } else { served.answer(call) })
        });
        let client = fixture.register();
        let before = fixture.store.verbs();
        let answer = log_in(&fixture, &Browser::default(), &client, "");
        assert!(["server_error", "temporarily_unavailable"].contains(&error_of(&answer).as_str()), "{status}");
        assert_eq!(answer.reason, reason, "{status}");
        let reports = fixture.ports.take_reports();
        let named = |report: &String| report.contains("api.github.example/user") && report.contains(reason);
        assert!(reports.iter().any(named), "{status}: {reports:?}");
        // Two looks for a deleted client, the rate and the used login.
        assert_eq!(fixture.store.verbs().checked_sub(before), Some(4), "{status}: something else is stored");
    }
}

#[test]
fn errors_with_status_200_are_errors() {
    for (error, reason) in [
        ("bad_verification_code", "provider_refused_request"),
        ("incorrect_client_credentials", "provider_refused_client"),
        ("bad_refresh_token", "provider_refused_code"),
    ] {
        let github = GitHub::new();
        *github.token.borrow_mut() =
            (200, json!({ "error": error, "error_description": "…", "access_token": "gho_2" }));
        let fixture = started(&self::github(), &github);
        let client = fixture.register();
        let answer = log_in(&fixture, &Browser::default(), &client, "");
        assert_eq!(answer.reason, reason, "{error}");
    }
}

#[test]
fn tokens_that_expire_are_refreshed_and_rotated() {
    let github = GitHub::new();
    let answer = |number: u32| {
        let (access, refresh) = (format!("gho_{number}"), format!("ghr_{number}"));
        json!({ "access_token": access, "token_type": "bearer", "expires_in": 28_800, "refresh_token": refresh })
    };
    github.token.borrow_mut().1 = answer(1);
    let fixture = started(&self::github(), &github);
    let client = fixture.register();
    let mut tokens =
        tokens_of(&fixture.redeem(&client, &code_of(&log_in(&fixture, &Browser::default(), &client, "")), &[]));
    let token = UpstreamTokenRef {
        owner: TokenOwner::Session(session(&tokens)),
        provider: fixture.gateway.config().providers.iter().next().unwrap().id,
    };
    for number in [2, 3] {
        github.token.borrow_mut().1 = answer(number);
        fixture.advance(28_801);
        let renewed = block_on(refresh::refresh(fixture.gateway.clone(), token, Cause::Due, fixture.ports.clone()));
        assert_eq!(word(&renewed), "ready");
        tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
        assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, format!("Bearer gho_{number}"));
    }
    github.token.borrow_mut().1 = json!({ "error": "bad_refresh_token" });
    fixture.advance(28_801);
    let ended = block_on(refresh::refresh(fixture.gateway.clone(), token, Cause::Due, fixture.ports.clone()));
    assert!(matches!(ended, RefreshOutcome::LoginRequired), "{}", word(&ended));
}

#[test]
fn a_provider_without_an_issuer_may_say_what_it_likes_of_one() {
    let github = GitHub::new();
    let fixture = started(&self::github(), &github);
    let client = fixture.register();
    code_of(&log_in(&fixture, &Browser::default(), &client, "&iss=https%3A%2F%2Fgithub.example"));
}

/// The document of a gateway whose users log in at Slack, whose answers nest what is the user's.
fn slack() -> Value {
    let mut document = github();
    let section = document["upstreamProviders"][0]["oauth2Config"].as_object_mut().unwrap();
    section.remove("userInfo").unwrap();
    section.insert("identityFromToken".to_owned(), json!({ "subjectPath": "authed_user.id", "namePath": "team.name" }));
    section.insert(
        "tokenResponseMapping".to_owned(),
        json!({
            "accessTokenPath": "authed_user.access_token",
            "refreshTokenPath": "authed_user.refresh_token",
            "expiresInPath": "authed_user.expires_in",
        }),
    );
    document
}

#[test]
fn tokens_and_the_user_may_be_anywhere_in_the_answer() {
    let github = GitHub::new();
    github.token.borrow_mut().1 = json!({
        "ok": true, "access_token": "xoxb-the-bot", "token_type": "bot", "team": { "id": "T1", "name": "Acme" },
        "authed_user": { "id": "U1", "access_token": "xoxp-1", "token_type": "user", "expires_in": 43_200,
                         "refresh_token": "xoxe-1" },
    });
    let fixture = started(&slack(), &github);
    let client = fixture.register();
    let tokens =
        tokens_of(&fixture.redeem(&client, &code_of(&log_in(&fixture, &Browser::default(), &client, "")), &[]));
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, "Bearer xoxp-1");
    let before = fixture.now();
    fixture.advance(43_201);
    assert!(before < fixture.now());
    let token = UpstreamTokenRef {
        owner: TokenOwner::Session(session(&tokens)),
        provider: fixture.gateway.config().providers.iter().next().unwrap().id,
    };
    let renewed = block_on(refresh::refresh(fixture.gateway.clone(), token, Cause::Due, fixture.ports.clone()));
    assert_eq!((word(&renewed), github.refreshes.get()), ("ready", 1));
}

#[test]
fn an_answer_that_lacks_what_the_mapping_names_is_refused() {
    for (body, reason) in [
        (json!({ "ok": false, "error": "invalid_code" }), "provider_refused_request"),
        (json!({ "ok": true, "access_token": "xoxb-the-bot" }), "provider_invalid_answer"),
        (json!({ "authed_user": "U1" }), "provider_invalid_answer"),
        (json!({ "authed_user": { "access_token": 7, "id": "U1" } }), "provider_invalid_answer"),
        (json!({ "authed_user": { "access_token": "a b", "id": "U1" } }), "provider_invalid_answer"),
        (json!({ "authed_user": { "access_token": "xoxp-1" } }), "provider_invalid_user_info"),
        (json!({ "authed_user": { "access_token": "xoxp-1", "id": {} } }), "provider_invalid_user_info"),
    ] {
        let github = GitHub::new();
        github.token.borrow_mut().1 = body.clone();
        let fixture = started(&slack(), &github);
        let client = fixture.register();
        let answer = log_in(&fixture, &Browser::default(), &client, "");
        assert_eq!(answer.reason, reason, "{body}");
    }
}
