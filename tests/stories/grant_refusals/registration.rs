//! Registration: what a client may say of itself, and how often strangers may try.

use std::time::{Duration, Instant};

use portcullis_testbed::http::Request;
use portcullis_testbed::redis::cli;
use portcullis_testbed::testbed::{Store, Testbed};
use serde_json::{Value, json};

use super::testbed;
use crate::machine;
use crate::support::{assert_error, assert_serves, client, log_in};

#[tokio::test]
async fn a_registration_that_asks_for_what_is_not_offered_is_refused() {
    let bed = testbed().await;
    let client = client(bed).await;
    for (name, value, description) in [
        ("token_endpoint_auth_method", json!("private_key_jwt"), "token_endpoint_auth_method must be none"),
        ("token_endpoint_auth_method", json!("tls_client_auth"), "token_endpoint_auth_method must be none"),
        ("grant_types", json!(["password"]), "grant_types must include authorization_code"),
        ("grant_types", json!([]), "grant_types must include authorization_code"),
        ("response_types", json!(["token"]), "response_types must be code"),
        ("response_types", json!(["code", "token"]), "response_types must be code"),
        ("response_types", json!([]), "response_types must be code"),
        ("scope", json!("a  b"), "scope: the scope is malformed"),
        ("scope", json!(7), "scope has the wrong type"),
        ("client_name", json!(7), "client_name has the wrong type"),
        ("client_name", json!("x".repeat(257)), "client_name is too long or has characters that are not allowed"),
    ] {
        let mut registration = client.registration();
        registration[name] = value.clone();
        let reply = client.register_with(&registration).await;
        assert_error(&reply, 400, "invalid_client_metadata", description, &format!("{name} {value}"));
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn what_a_client_cannot_have_is_left_out_and_the_answer_says_so() {
    let bed = testbed().await;
    let client = client(bed).await;
    let mut registration = client.registration();
    let ours = registration.as_object_mut().expect("an object");
    let internal = format!("{}/internal", bed.recorder());
    for name in ["jwks_uri", "logo_uri", "policy_uri", "tos_uri", "client_uri", "sector_identifier_uri"] {
        ours.insert(name.to_owned(), json!(internal));
    }
    ours.insert("request_uris".to_owned(), json!([internal]));
    ours.insert("scope".to_owned(), json!("openid admin mcp:everything"));
    ours.insert("token_endpoint_auth_method".to_owned(), json!("client_secret_basic"));
    ours.insert("grant_types".to_owned(), json!(["authorization_code", "refresh_token", "implicit", "password"]));
    let reply = client.register_with(&registration).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let registered = reply.json();
    assert_eq!(registered["token_endpoint_auth_method"], "none");
    assert_eq!(registered["scope"], "openid");
    assert_eq!(registered["grant_types"], json!(["authorization_code", "refresh_token"]));
    let names: Vec<_> = registered.as_object().expect("an object").keys().cloned().collect();
    assert!(!names.iter().any(|name| name.ends_with("_uri") || name.contains("secret")), "{names:?}");
    super::assert_unseen(bed, "internal").await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_registration_that_is_not_one_strict_json_object_is_refused() {
    let bed = testbed().await;
    let client = client(bed).await;
    let endpoint = client.endpoint("registration_endpoint");
    let good = client.registration().to_string();
    let strict = "the body must be one JSON object without repeated members";
    let twice = good.replacen('{', r#"{"redirect_uris":["https://evil.example/"],"#, 1);
    let escaped = good.replacen('{', r#"{"redirect\u005furis":["https://evil.example/"],"#, 1);
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies = [&twice, &escaped, &deep, "", "[]", "null", "{", &format!("{good}{good}"), "\u{feff}{}"];
    for body in bodies.map(|body| body.as_bytes().to_vec()).into_iter().chain([b"{\"client_name\":\"\xff\"}".to_vec()])
    {
        let what = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let reply = Request::post(&endpoint).header("content-type", "application/json").body(body).send().await;
        assert_error(&reply, 400, "invalid_client_metadata", strict, &what);
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let reply = Request::post(&endpoint).header("content-type", kind).body(good.clone()).send().await;
        assert_error(&reply, 400, "invalid_client_metadata", "the content type must be application/json", kind);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn an_address_that_registers_too_often_is_told_when_to_come_back_and_others_go_on() {
    let limits = json!({ "trustedProxies": 1, "clients": { "dynamicRegistration": { "ratePerMinute": 3 } } });
    let bed = machine::testbed().workers(2).config(limits).start().await;
    let register = async |address: &str, body: &Value| {
        bed.post("/oauth/register").header("x-forwarded-for", address).json(body).send().await
    };
    let good = json!({ "redirect_uris": ["https://app.example/cb"] });
    // Every try counts, also a bad one: otherwise the check itself could be flooded.
    assert_eq!(register("192.0.2.1", &json!({})).await.status, 400);
    assert_eq!(register("192.0.2.1", &good).await.status, 201);
    assert_eq!(register("192.0.2.1", &good).await.status, 201);
    for _ in 0..4 {
        let reply = register("192.0.2.1", &good).await;
        let description = "too many registrations; try again later";
        assert_error(&reply, 429, "temporarily_unavailable", description, "the fourth in a minute");
        let wait: u64 = reply.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
    // What a client adds in front of the proxy's own word does not make it another client.
    assert_eq!(register("198.51.100.7, 192.0.2.1", &good).await.status, 429);
    assert_eq!(register("198.51.100.7", &good).await.status, 201);
    // An IPv6 client has 2^64 addresses, which count as one.
    for host in ["::1", "::2", "::3"] {
        assert_eq!(register(&format!("2001:db8:0:1{host}"), &good).await.status, 201);
    }
    assert_eq!(register("2001:db8:0:1::4", &good).await.status, 429);
    assert_eq!(register("2001:db8:0:2::4", &good).await.status, 201);
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_registrations_a_second_from_one_address_refuse_no_other_for_a_minute_and_store_no_client() {
    let limits = json!({ "trustedProxies": 1, "clients": { "dynamicRegistration": { "ratePerMinute": 20 } } });
    let bed = machine::waiting_testbed().store(Store::Standalone).config(limits).start().await;
    let good = json!({ "redirect_uris": ["https://app.example/cb"] });
    let register = async |address: &str| {
        let reply = bed.post("/oauth/register").header("x-forwarded-for", address).json(&good).send().await;
        assert!(matches!(reply.status, 201 | 429), "{reply:?}");
        reply.status
    };
    // Time is what this is about: a bucket fills again within the minute.
    let end = Instant::now() + Duration::from_secs(60);
    let flood = async {
        let (mut second, mut sent, mut granted) = (tokio::time::interval(Duration::from_secs(1)), 0, 0);
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < end {
            second.tick().await;
            for _ in 0..10 {
                sent += 1;
                granted += usize::from(register("192.0.2.1").await == 201);
            }
        }
        (sent, granted)
    };
    let others = async {
        let (mut second, mut registered) = (tokio::time::interval(Duration::from_secs(1)), 0);
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < end {
            second.tick().await;
            for network in 0..2 {
                let address = format!("198.51.{network}.{}", registered % 250 + 1);
                assert_eq!(register(&address).await, 201, "{address}");
                registered += 1;
            }
        }
        registered
    };
    let logins = async {
        let mut users = 0;
        while Instant::now() < end {
            let (_, tokens) = log_in(&bed, &format!("user-{users}")).await;
            assert_serves(&bed, &tokens.access_token).await;
            users += 1;
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        users
    };
    let ((sent, granted), others, users) = tokio::join!(flood, others, logins);
    let held = names_like(&bed, "*:ratelimit:*").len();
    println!(
        "one address: {granted} of {sent} registrations; others: all {others}, {users} logins; {held} limits held"
    );
    assert!(sent >= 500, "{sent} is no flood");
    assert!((20..=41).contains(&granted), "twenty at once and twenty a minute: {granted}");
    assert!(others >= 100 && users >= 8, "{others} {users}");
    assert_eq!(clients(&bed), users, "those that got tokens, and none of the flood");
    // A limit and the answer to a retry for each that was granted, a login being two; those that
    // were refused left nothing.
    assert!(held <= 2 * (granted + others + 2 * users), "{held} names of limits");
    bed.assert_healthy().await;
}

/// How many clients have a record in Redis.
fn clients(bed: &Testbed) -> usize {
    // Behind the digits of a record's own name come the answers that are kept for retries.
    let is_record = |name: &String| name.rsplit(':').next().is_some_and(|id| id.len() == 64);
    names_like(bed, "*:client:*").into_iter().filter(is_record).count()
}

fn names_like(bed: &Testbed, pattern: &str) -> Vec<String> {
    let server = bed.redis().servers().first().expect("one server");
    cli(server.port, &["--scan", "--pattern", pattern]).lines().map(str::to_owned).collect()
}
