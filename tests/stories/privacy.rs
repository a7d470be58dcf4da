//! What is said about a login and its calls, and what is not: secrets stay out of every log, dump
//! and counter, and the backend learns nothing that belongs between the client and the gateway.

use std::time::Duration;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::Request;
use portcullis_testbed::oauth_client::{Callback, OAuthClient, Tokens, claims};
use portcullis_testbed::testbed::Testbed;
use serde_json::{Value, json};

use crate::machine;
use crate::support::{client, log_in};

#[tokio::test]
async fn no_secret_of_a_login_or_a_call_is_written_down_anywhere() {
    let bed = machine::testbed().workers(2).start().await;
    let mut canaries = Canaries::default();
    canaries.add("the gateway's secret", bed.gateway_secret());
    canaries.add("the gateway's secret at the provider", bed.idp_secret());
    let key: String = bed.signing_key().lines().filter(|line| !line.starts_with('-')).collect();
    canaries.add("the signing key", &key[key.len() / 2..]);

    let client = client(&bed).await;
    let authorization = client.authorization();
    let mut browser = Browser::new("alice");
    let back = browser.log_in(&authorization.url(), &client.redirect_uri).await;
    let callback = Callback::read(&back);
    let tokens = client.redeem(callback.code(), &authorization.verifier).await;
    let renewed = client.refresh(&tokens.refresh_token).await;
    for cookie in &browser.jar.cookies {
        canaries.add(&format!("the cookie {}", cookie.name), &cookie.value);
    }
    for hop in &browser.hops {
        let provider_code = hop.url.query_pairs().find(|(name, _)| name == "code");
        if let Some((_, code)) = provider_code {
            canaries.add_path_secret("the provider's code", &code);
        }
    }
    canaries.add("the verifier", &authorization.verifier);
    canaries.add("the code", callback.code());
    for tokens in [&tokens, &renewed] {
        canaries.add("an access token", &tokens.access_token);
        canaries.add("a refresh token", &tokens.refresh_token);
    }
    use_everything(&bed, &client, &tokens, &renewed, &browser).await;
    for request in bed.recorded().await {
        if let Some(upstream) = request.bearer() {
            canaries.add("an upstream token", &upstream);
        }
    }
    assert!(canaries.secrets.len() >= 12, "{:?}", canaries.secrets);

    let last = bed.access_entry(|entry| entry["path"] == "/api/last-of-all").await;
    assert_eq!(last["status"], 200);
    let log = bed.envoy_log();
    assert!(log.contains("portcullis"), "the filter logged nothing at all");
    let pages = ["config_dump", "stats", "stats/prometheus", "clusters", "server_info", "listeners", "memory", "certs"];
    canaries.assert_absent("Envoy's log", &log, false);
    canaries.assert_absent("the access log", &access_log(&bed).await, true);
    for page in pages {
        let shown = Request::get(&format!("{}/{page}", bed.admin())).send().await;
        assert_eq!(shown.status, 200, "{page}");
        canaries.assert_absent(page, &shown.text(), false);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn the_back_end_sees_the_upstream_token_and_nothing_that_is_the_gateways() {
    let bed = machine::testbed().workers(2).start().await;
    let client = client(&bed).await;
    let mut browser = Browser::new("alice");
    let tokens = client.log_in(&mut browser).await;
    let asked = client.authorization().with("prompt", "consent");
    assert_eq!(browser.open(&asked.url(), &client.redirect_uri).await.page().response.status, 200);
    let own = browser.jar.cookies.iter().filter(|cookie| cookie.name.starts_with("portcullis-"));
    let own_cookies = own.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ");
    assert!(own_cookies.contains("portcullis-browser=") && own_cookies.contains("portcullis-login-"), "{own_cookies}");
    // Once by way of a new token, and then from memory.
    for round in 0..12 {
        let reply = bed
            .post(&format!("/api/round-{round}?q=1"))
            .header("cookie", format!("theirs=1; {own_cookies}; __Host-portcullis-browser=x; more=2"))
            .header("Authorization", format!("Bearer {}", tokens.access_token))
            .header("proxy-authorization", "Basic c2VjcmV0")
            .header("x-kept", "yes")
            .body("body")
            .send()
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.headers("set-cookie").count(), 0);
    }
    let alone = bed.get("/api/only-ours").header("cookie", &own_cookies).bearer(&tokens.access_token).send().await;
    assert_eq!(alone.status, 200);
    let fields =
        bed.get("/api/in-two-fields").header("cookie", "theirs=1").header("cookie", format!("{own_cookies}; more=2"));
    assert_eq!(fields.bearer(&tokens.access_token).send().await.status, 200);
    let seen = bed.recorded().await;
    assert_eq!(seen.len(), 14);
    for request in &seen {
        assert!(!request.contains(&tokens.access_token), "the client's token went on");
        assert!(!request.contains("portcullis"), "a cookie of ours went on: {request:?}");
        assert!(!request.contains("c2VjcmV0"), "{request:?}");
        let upstream = request.bearer().expect("the upstream token");
        assert_eq!(
            (claims(&upstream)["iss"].clone(), claims(&upstream)["sub"].clone()),
            (bed.idp().into(), "alice".into())
        );
        assert_eq!(request.headers("authorization").len(), 1);
        if request.path.starts_with("/api/in-two") {
            assert_eq!(request.headers("cookie").join("; "), "theirs=1; more=2");
        } else if request.path.starts_with("/api/round") {
            assert_eq!(request.headers("cookie"), ["theirs=1; more=2"]);
            assert_eq!((request.header("x-kept").as_deref(), request.body.as_slice()), (Some("yes"), &b"body"[..]));
        } else {
            assert_eq!(request.header("cookie"), None);
        }
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_header_that_the_gateway_sets_holds_nothing_that_the_client_put_there() {
    let inject = json!({ "type": "upstreamInject", "providerName": "idp", "header": "x-upstream-token" });
    let resource = json!({
        "resource": "{gateway}/api", "match": { "prefix": "/api" }, "scopes": ["openid"], "inject": inject,
    });
    let bed = machine::testbed().config(json!({ "resources": [resource] })).start().await;
    let (_, tokens) = log_in(&bed, "alice").await;
    // Once by way of a new token, and then from memory.
    for path in ["/api/first", "/api/second"] {
        let forged =
            bed.get(path).header("x-upstream-token", "Bearer theirs").header("X-Upstream-Token", "Bearer more");
        let forged = forged.header("proxy-authorization", "Basic b").bearer(&tokens.access_token);
        assert_eq!(forged.send().await.status, 200);
        let seen = bed.recorded().await.pop().expect("it was sent on");
        let [set] = &seen.headers("x-upstream-token")[..] else { panic!("{seen:?}") };
        assert_eq!(claims(set.strip_prefix("Bearer ").expect("a bearer token"))["iss"], bed.idp());
        assert_eq!((seen.header("authorization"), seen.header("proxy-authorization")), (None, None));
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn the_access_log_says_in_fields_of_their_own_who_asked_for_what_and_why_it_was_decided_so() {
    let bed = machine::testbed().config(json!({ "audit": { "email": true } })).workers(2).start().await;
    let client = client(&bed).await;
    let tokens = client.log_in(&mut Browser::new("alice")).await;
    let claim = |name: &str| tokens.claims()[name].as_str().expect("a claim").to_owned();
    let (user, session, scopes) = (claim("sub"), claim("sid"), claim("scope"));
    let (client_id, resource) = (client.client_id.clone(), bed.api_resource());
    let login = json!({ "resource": resource, "client": client_id, "client_name": "Stories", "scopes": scopes });
    let who = json!({ "user": user, "subject": "alice", "email": "alice@example.test", "session": session });

    // Once by way of a new token, and then from memory. Envoy makes the request's id.
    for (round, method) in ["tools/call", "", "tools/list", "no method"].into_iter().enumerate() {
        let path = format!("/api/audited-{round}");
        let request = bed.get(&path).bearer(&tokens.access_token);
        let request = if method.is_empty() { request } else { request.header("mcp-method", method) };
        assert_eq!(request.send().await.status, 200);
        let entry = bed.access_entry(|entry| entry["path"] == *path).await;
        assert_audited(&entry, "allow", "valid_token", &[&login, &who]);
        let said = if method.contains('/') { json!(method) } else { Value::Null };
        assert_eq!(entry["audit"]["mcp_method"], said, "{entry}");
        assert_eq!((&entry["status"], &entry["cluster"]), (&json!(200), &json!("recorder")));
    }
    let asked = json!({ "resource": resource });
    let refusals: [(&str, Option<&str>, u64, &str); 4] = [
        ("/api/no-token", None, 401, "no_token"),
        ("/api/bad-token", Some("Bearer a.b.c"), 401, "token_malformed"),
        ("/api/bad-credentials", Some("Bearer a b"), 400, "malformed_credentials"),
        ("/api/in-query?access_token=x", None, 400, "token_in_url"),
    ];
    for (path, authorization, status, reason) in refusals {
        let request = bed.get(path);
        let request = match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        };
        assert_eq!(u64::from(request.send().await.status), status);
        let entry = bed.access_entry(|entry| entry["path"] == *path).await;
        assert_audited(&entry, "deny", reason, &[&asked]);
    }
    bed.get("/nothing-here").send().await;
    let entry = bed.access_entry(|entry| entry["path"] == "/nothing-here").await;
    assert_audited(&entry, "deny", "not_found", &[]);

    // The steps of a login, and its end.
    let registered = json!({ "client": client_id, "client_name": "Stories" });
    let owner = json!({ "user": user, "session": session });
    // The names are gone with the session.
    let of_token = json!({ "resource": resource, "client": client_id, "scopes": scopes });
    let revocation = [("token", tokens.refresh_token.as_str()), ("client_id", &client_id)];
    Request::post(&client.endpoint("revocation_endpoint")).form(&revocation).send().await;
    assert_eq!(bed.get("/api/revoked").bearer(&tokens.access_token).send().await.status, 401);
    for (decision, reason, known) in [
        ("serve", "metadata", vec![]),
        ("serve", "client_registered", vec![&registered]),
        ("serve", "consent_shown", vec![&login]),
        ("serve", "login_started", vec![&login]),
        ("serve", "logged_in", vec![&login, &who]),
        ("serve", "tokens_issued", vec![&login, &owner]),
        ("serve", "token_revoked", vec![&login, &owner]),
        ("deny", "session_ended", vec![&of_token, &owner]),
    ] {
        let entry = bed.access_entry(|entry| entry["audit"]["reason"] == reason).await;
        assert_audited(&entry, decision, reason, &known);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_path_that_is_none_of_ours_passes_as_it_came_but_for_our_cookies() {
    let bed = machine::testbed().config(json!({ "default": "pass" })).route("/plain", "recorder").start().await;
    let cookies = "theirs=1; portcullis-csrf=x; __Host-portcullis-browser=y; more=2";
    for (path, fields, kept) in [
        ("/plain/a?access_token=x", &[][..], &[][..]),
        ("/plain/b", &[cookies], &["theirs=1; more=2"]),
        ("/plain/c", &["theirs=1", "portcullis-csrf=x; more=2"], &["theirs=1; more=2"]),
        ("/plain/d", &["theirs=1", "more=2"], &["theirs=1", "more=2"]),
    ] {
        let request = bed.get(path).header("authorization", "Basic theirs").header("proxy-authorization", "Basic b");
        let request = fields.iter().fold(request, |request, field| request.header("cookie", field));
        assert_eq!(request.send().await.status, 200);
        let seen = bed.recorded().await.pop().expect("it was sent on");
        assert_eq!((seen.path.as_str(), seen.header("authorization").as_deref()), (path, Some("Basic theirs")));
        assert_eq!(seen.headers("cookie"), kept);
        let entry = bed.access_entry(|entry| entry["path"] == *path).await;
        let audit = entry["audit"].as_object().expect("an object");
        assert!(audit.values().all(Value::is_null), "{entry}");
        assert_eq!(entry["cluster"], "recorder");
    }
    bed.forget_recorded().await;
    for (path, status) in [("/api/x", 401), ("/plain/..%2fapi/x", 400), ("/oauth/x", 404), ("/api%2fx", 400)] {
        assert_eq!(bed.get(path).send().await.status, status, "{path}");
    }
    assert!(bed.recorded().await.is_empty());
    bed.assert_healthy().await;
}

/// Calls, refusals and errors of every kind that a token, a code or a cookie can take part in.
async fn use_everything(bed: &Testbed, client: &OAuthClient, tokens: &Tokens, renewed: &Tokens, browser: &Browser) {
    let cookies = browser.jar.header(&url::Url::parse(&bed.gateway()).expect("a URL")).expect("cookies");
    for path in ["/api/a", "/mcp", "/nothing", "/oauth/token", "/oauth/nothing", "/api/..%2fx"] {
        for token in [&tokens.access_token, &renewed.access_token, &tokens.refresh_token] {
            bed.get(path).bearer(token).header("cookie", &cookies).send().await;
            bed.post(path).bearer(token).header("cookie", &cookies).form(&[("token", token)]).send().await;
        }
    }
    let broken = format!("{}x", renewed.access_token);
    bed.get("/api/b").bearer(&broken).send().await;
    bed.get("/api/c").header("authorization", format!("Basic {}", renewed.access_token)).send().await;
    client.redeem_request("made-up", &"v".repeat(43)).send().await;
    client.refresh_request(&broken).send().await;
    client.refresh_request(&tokens.access_token).send().await;
    let other = client.refresh_request(&renewed.refresh_token).with("client_id", "no-such-client");
    other.send().await;
    // The provider fails while it holds our secret and the user's refresh token.
    bed.set_idp(json!({ "accessTokenTtl": 1 })).await;
    let short = client.log_in(&mut Browser::new("bob")).await;
    bed.set_idp(json!({ "token": { "mode": "error", "status": 401, "error": "invalid_client" } })).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let failed = bed.get("/api/provider-in-trouble").bearer(&short.access_token).send().await;
    assert_eq!(failed.status, 503);
    bed.set_idp(json!({ "token": null, "accessTokenTtl": 60 })).await;
    let last = bed.get("/api/last-of-all").bearer(&renewed.access_token).header("cookie", &cookies).send().await;
    assert_eq!(last.status, 200, "{last:?}");
}

/// Secrets to look for.
#[derive(Default)]
struct Canaries {
    secrets: Vec<Canary>,
}

#[derive(Debug)]
struct Canary {
    name: String,
    text: String,
    /// It came in a request's path, which the testbed's access log shows as it is: what an operator
    /// logs of a path is theirs to choose.
    in_a_path: bool,
}

impl Canaries {
    fn add(&mut self, name: &str, text: &str) {
        assert!(text.len() >= 16, "{name} is too short to look for");
        self.secrets.push(Canary { name: name.to_owned(), text: text.to_owned(), in_a_path: false });
    }

    fn add_path_secret(&mut self, name: &str, text: &str) {
        self.add(name, text);
        self.secrets.iter_mut().rev().take(1).for_each(|canary| canary.in_a_path = true);
    }

    /// Looks for each secret, for what stands between its dots, and for the middle of that.
    fn assert_absent(&self, place: &str, text: &str, shows_paths: bool) {
        for canary in self.secrets.iter().filter(|canary| !(shows_paths && canary.in_a_path)) {
            for part in canary.text.split('.').filter(|part| part.len() >= 30) {
                let middle = &part[part.len() / 4..part.len() / 4 + 15];
                // Every token starts with the same header; what is secret in it comes after.
                let is_header = part.starts_with("eyJ0eXAi") || part.starts_with("eyJhbGci");
                assert!(is_header || !text.contains(middle), "{place} has a part of {}", canary.name);
            }
            assert!(!text.contains(&canary.text), "{place} has {}", canary.name);
        }
    }
}

/// The whole access log, from where Envoy says that it writes it.
async fn access_log(bed: &Testbed) -> String {
    let dump = Request::get(&format!("{}/config_dump", bed.admin())).send().await.text();
    let path = dump.split('"').find(|text| text.ends_with("access.log")).expect("the access log's path");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Asserts that an entry of the access log has exactly these fields of the audit trail, and besides
/// the request's own.
fn assert_audited(entry: &Value, decision: &str, reason: &str, known: &[&Value]) {
    let mut said = entry["audit"].as_object().expect("an object").clone();
    said.retain(|name, value| !value.is_null() && name != "mcp_method");
    let id = said.remove("request_id");
    assert!(id.as_ref().and_then(Value::as_str).is_some_and(|id| id.len() == 36), "{entry}");
    let decided = json!({ "decision": decision, "reason": reason });
    let expected = known.iter().copied().chain([&decided]).filter_map(Value::as_object).flatten();
    let expected: serde_json::Map<_, _> = expected.map(|(name, value)| (name.clone(), value.clone())).collect();
    assert_eq!(said, expected, "{entry}");
}
