//! Logins outlive every process that handles them: they are in Redis, sealed, and shared by every
//! gateway.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use portcullis_storage_api::wire::hex;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::Response;
use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use portcullis_testbed::redis::{RedisServer, cli};
use portcullis_testbed::testbed::{Builder, IdpOptions, Store, Testbed};

use crate::machine;
use crate::support::{client, log_in, until};

#[tokio::test]
async fn a_login_outlives_the_envoy_and_the_bridge_that_made_it() {
    for store in [Store::Standalone, Store::Sentinel] {
        let mut bed = lasting().store(store).workers(2).start().await;
        let (client, tokens) = log_in(&bed, "alice").await;
        assert_serves(&bed, &tokens, "before").await;
        let asked = bed.idp_requests().await.token;
        bed.assert_healthy().await;

        bed.kill_envoy(0);
        bed.kill_bridge(0);
        bed.restart_bridge(0);
        bed.restart_envoy(0).await;

        assert_serves(&bed, &tokens, "after").await;
        assert_eq!(upstream(&bed, "after").await, upstream(&bed, "before").await, "the upstream token was kept");
        let renewed = client.refresh(&tokens.refresh_token).await;
        assert_serves(&bed, &renewed, "renewed").await;
        assert_eq!(bed.idp_requests().await.token, asked, "the provider was not needed");
        bed.assert_healthy().await;
    }
}

#[tokio::test]
async fn a_login_in_memory_ends_with_envoy_and_the_client_is_told_to_log_in_again() {
    let mut bed = lasting().store(Store::Memory).start().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    bed.kill_envoy(0);
    bed.restart_envoy(0).await;
    let reply = bed.get("/api/forgotten").bearer(&tokens.access_token).send().await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let reply = client.refresh_request(&tokens.refresh_token).send().await;
    assert!(matches!(reply.status, 400 | 401), "{reply:?}");
}

#[tokio::test]
async fn a_session_that_ends_at_one_gateway_is_over_at_the_other() {
    let bed = lasting().store(Store::Standalone).replicas(2).start().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    for _ in 0..8 {
        assert_serves(&bed, &tokens, "both-have-seen-it").await;
    }
    let newer = client.refresh(&tokens.refresh_token).await;
    client.refresh(&newer.refresh_token).await;
    // Used again, an old refresh token ends the login that it came from (RFC 9700 §4.14.2),
    // whichever gateway sees it.
    assert_eq!(client.refresh_request(&tokens.refresh_token).send().await.status, 400);
    for _ in 0..4 {
        assert_eq!(client.refresh_request(&newer.refresh_token).send().await.status, 400);
    }
    // A token that a gateway goes on serving is looked up again within a minute.
    let patience = Instant::now() + Duration::from_secs(75);
    let mut refused = 0;
    while refused < 8 {
        let status = bed.get("/api/over").bearer(&tokens.access_token).send().await.status;
        assert!(matches!(status, 200 | 401), "{status}");
        refused = if status == 401 { refused + 1 } else { 0 };
        assert!(Instant::now() < patience, "one gateway still serves a session that has ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn while_the_store_is_away_what_was_verified_works_and_nobody_is_told_that_credentials_are_bad() {
    let mut bed = lasting().store(Store::Standalone).start().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    let unseen = client.log_in(&mut Browser::new("bob")).await;
    assert_serves(&bed, &tokens, "seen").await;

    bed.kill_bridge(0);
    assert_away(&bed, &client, &tokens, &unseen).await;
    bed.restart_bridge(0);
    let (tokens, unseen) = assert_back(&bed, &client, &tokens, &unseen).await;

    bed.redis().servers().iter().for_each(|server| server.process.signal("-STOP"));
    assert_away(&bed, &client, &tokens, &unseen).await;
    bed.redis().servers().iter().for_each(|server| server.process.signal("-CONT"));
    assert_back(&bed, &client, &tokens, &unseen).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_dump_of_redis_holds_nothing_that_anybody_could_use() {
    let bed = lasting().store(Store::Standalone).start().await;
    let client = client(&bed).await;
    let authorization = client.authorization();
    let callback = client.authorize(&mut Browser::new("alice"), &authorization).await;
    let server = &bed.redis().servers()[0];
    let mut dumps = vec![dump(server)];
    let tokens = client.redeem(callback.code(), &authorization.verifier).await;
    assert_serves(&bed, &tokens, "dumped").await;
    dumps.push(dump(server));
    let renewed = client.refresh(&tokens.refresh_token).await;
    assert_serves(&bed, &renewed, "dumped").await;
    dumps.push(dump(server));

    let key: String = bed.signing_key().lines().filter(|line| !line.starts_with('-')).collect();
    let upstream = upstream(&bed, "dumped").await;
    let mut secrets = vec![
        ("the gateway's secret", bed.gateway_secret()),
        ("the gateway's secret at the provider", bed.idp_secret()),
        ("the signing key", &key),
        ("the code", callback.code()),
        ("the verifier", &authorization.verifier),
        ("an upstream token", &upstream),
    ];
    for tokens in [&tokens, &renewed] {
        secrets.push(("an access token", &tokens.access_token));
        secrets.push(("a refresh token", &tokens.refresh_token));
    }
    for dump in &dumps {
        assert!(dump.len() > 1_000 && contains(dump, b"thv:auth:{prod:gateway}:session:"), "this is no dump");
        for (name, secret) in &secrets {
            for form in forms(secret) {
                assert!(!contains(dump, &form), "Redis has {name} as {:?}", String::from_utf8_lossy(&form));
            }
        }
    }
}

#[tokio::test]
async fn a_record_under_another_name_is_none() {
    let bed = lasting().store(Store::Standalone).start().await;
    let (_, alices) = log_in(&bed, "alice").await;
    let server = &bed.redis().servers()[0];
    let before = names(server, "upstream");
    let bobs_client = client(&bed).await;
    let bobs = bobs_client.log_in(&mut Browser::new("bob")).await;
    let bobs_record = names(server, "upstream").difference(&before).next().expect("bob's tokens").clone();
    let alices_record = before.iter().next().expect("alice's tokens").clone();

    // Someone who can write to Redis gives alice the tokens of bob.
    assert_eq!(cli(server.port, &["COPY", &bobs_record, &alices_record, "REPLACE"]), "1");
    let reply = bed.get("/api/stolen").bearer(&alices.access_token).send().await;
    assert_eq!(reply.status, 401, "{reply:?}");
    assert_eq!(reply.json()["error"], "invalid_token");
    crate::support::assert_unseen(&bed, "/api/stolen").await;
    assert_serves(&bed, &bobs, "his-own").await;
    until("it is counted", async || counted(&bed, "unopenable").await >= 1).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_session_that_is_put_back_to_what_it_was_is_none() {
    let bed = lasting().store(Store::Standalone).start().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    let server = &bed.redis().servers()[0];
    let session = names(server, "session").into_iter().next().expect("the session");
    assert_eq!(cli(server.port, &["COPY", &session, "kept-aside"]), "1");
    let renewed = client.refresh(&tokens.refresh_token).await;
    let latest = client.refresh(&renewed.refresh_token).await;

    // Someone who can write to Redis brings back the refresh token that was used up.
    assert_eq!(cli(server.port, &["COPY", "kept-aside", &session, "REPLACE"]), "1");
    let reply = client.refresh_request(&latest.refresh_token).send().await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_grant")), "{reply:?}");
    until("it is counted", async || counted(&bed, "rolled_back").await >= 1).await;
    // Nothing came of it: the session is over for the old token, too.
    let reply = client.refresh_request(&tokens.refresh_token).send().await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_grant")), "{reply:?}");
    let anew = client.log_in(&mut Browser::new("alice")).await;
    assert_serves(&bed, &anew, "new").await;
    bed.assert_healthy().await;
}

/// A testbed whose upstream tokens need no refresh while a story lasts.
fn lasting() -> Builder {
    machine::testbed().idp(IdpOptions { access_token_ttl: 3600, ..IdpOptions::default() })
}

async fn assert_serves(bed: &Testbed, tokens: &Tokens, path: &str) {
    let reply = bed.get(&format!("/api/{path}")).bearer(&tokens.access_token).send().await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
}

/// The upstream token that the backend was last sent with this path.
async fn upstream(bed: &Testbed, path: &str) -> String {
    let seen = bed.recorded().await.into_iter().rfind(|request| request.path.ends_with(path));
    seen.and_then(|request| request.bearer()).expect("a call with an upstream token")
}

/// Holds while the store is unavailable: for as long as a deployment may be without it, in short.
async fn assert_away(bed: &Testbed, client: &OAuthClient, seen: &Tokens, unseen: &Tokens) {
    let started = Instant::now();
    while started.elapsed() < AWAY {
        assert_serves(bed, seen, "while-away").await;
        assert_come_back(&client.refresh_request(&seen.refresh_token).send().await, "a refresh");
        assert_come_back(&client.redeem_request("made-up", &"v".repeat(43)).send().await, "a code");
        assert_come_back(&client.register_with(&client.registration()).await, "a registration");
        assert_come_back(&client.authorization().send().await, "an authorization");
        assert_come_back(&bed.get("/api/x").bearer(&unseen.access_token).send().await, "a token not seen before");
        // What needs no store is as ever.
        assert_eq!(bed.get("/api/x").send().await.status, 401);
        assert_eq!(bed.get("/api/x").bearer("a.b.c").send().await.status, 401);
        assert_eq!(bed.get("/.well-known/oauth-authorization-server").send().await.status, 200);
    }
}

/// Holds once it is back, without anyone's help.
async fn assert_back(bed: &Testbed, client: &OAuthClient, seen: &Tokens, unseen: &Tokens) -> (Tokens, Tokens) {
    let mut renewed = None;
    until("a refresh works again", async || {
        let reply = client.refresh_request(&seen.refresh_token).send().await;
        if reply.status != 200 {
            assert_come_back(&reply, "a refresh");
            return false;
        }
        renewed = Some(Tokens::read(&reply));
        true
    })
    .await;
    until("the token that was not seen before is served", async || {
        let reply = bed.get("/api/x").bearer(&unseen.access_token).send().await;
        if reply.status != 200 {
            assert_come_back(&reply, "a call");
        }
        reply.status == 200
    })
    .await;
    let renewed = renewed.expect("new tokens");
    assert_serves(bed, &renewed, "back").await;
    (renewed, client.log_in(&mut Browser::new("carol")).await)
}

#[track_caller]
fn assert_come_back(reply: &Response, what: &str) {
    assert_eq!(reply.status, 503, "{what}: {reply:?}");
    assert!(reply.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{what}: {reply:?}");
    assert_eq!(reply.header("www-authenticate"), None, "{what}: {reply:?}");
    for word in ["invalid_grant", "invalid_token", "invalid_client"] {
        assert!(!reply.text().contains(word), "{what}: {reply:?}");
    }
}

/// How often the filter counted an odd record.
async fn counted(bed: &Testbed, what: &str) -> u64 {
    let stats = bed.stats("").await;
    stats.iter().filter(|(name, _)| name.ends_with(&format!("portcullis.store.{what}"))).map(|(_, count)| count).sum()
}

/// The names of all records of a kind.
fn names(server: &RedisServer, kind: &str) -> BTreeSet<String> {
    let pattern = format!("thv:auth:{{prod:gateway}}:{kind}:*");
    let found = cli(server.port, &["--scan", "--pattern", &pattern]);
    // Behind the digits of a record's own name come the memories of what was done to it.
    let digits = |name: &&str| name.rsplit(':').next().is_some_and(|id| id.len() == 64);
    found.lines().filter(digits).map(str::to_owned).collect()
}

/// Every name and value, as they are stored.
fn dump(server: &RedisServer) -> Vec<u8> {
    let mut dump = Vec::new();
    for name in cli(server.port, &["--scan"]).lines() {
        dump.extend_from_slice(name.as_bytes());
        dump.push(b'\n');
        let port = server.port.to_string();
        let asked = std::process::Command::new("redis-cli").args(["-p", &port, "GET", name]).output();
        dump.extend(asked.expect("redis-cli runs").stdout);
    }
    dump
}

/// A secret as it is, its parts between dots, and what they encode; each also in hex and base64.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut plain: Vec<Vec<u8>> = vec![secret.as_bytes().to_vec()];
    // Every token begins with a header that is no secret.
    let parts =
        secret.split('.').filter(|part| part.len() >= 30 && !part.starts_with("eyJ0eX") && !part.starts_with("eyJhbG"));
    for part in parts {
        plain.push(part.as_bytes().to_vec());
        plain.extend(URL_SAFE_NO_PAD.decode(part).ok());
        plain.extend(STANDARD_NO_PAD.decode(part.trim_end_matches('=')).ok());
    }
    let mut forms = plain.clone();
    for bytes in &plain {
        forms.push(hex(bytes).into_bytes());
        forms.push(hex(bytes).to_uppercase().into_bytes());
        // Inside something longer, its first letter may begin at any of three places.
        for from in 0..3 {
            for encoded in [URL_SAFE_NO_PAD.encode(&bytes[from..]), STANDARD_NO_PAD.encode(&bytes[from..])] {
                // The last letters depend on what follows.
                forms.push(encoded.as_bytes()[..encoded.len() - 4].to_vec());
            }
        }
    }
    // A piece out of the middle is as telling as the whole, and found where the whole is cut.
    let middle = |form: Vec<u8>| form[form.len() / 4..form.len() / 4 + 16.min(form.len() / 2)].to_vec();
    forms.into_iter().filter(|form| form.len() >= 16).map(middle).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && hay.windows(needle.len()).any(|part| part == needle)
}

/// How long the store is left away.
const AWAY: Duration = Duration::from_secs(3);
