//! Clients that do what honest clients do keep their login: they share a refresh token, try again
//! as they were told to, and talk to gateways whose clocks differ.

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use portcullis_testbed::redis::{RedisServer, acl_with_wait, standalone};
use portcullis_testbed::testbed::{IdpOptions, Store, Testbed};
use tokio::task::JoinSet;

use crate::machine;
use crate::support::{assert_serves, log_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_refresh_at_once_with_one_token_all_go_on() {
    for (store, replicas) in [(Store::Memory, 1), (Store::Standalone, 2)] {
        let bed = machine::testbed().workers(2).store(store).replicas(replicas).start().await;
        let (client, mut tokens) = log_in(&bed, "alice").await;
        for _ in 0..ROUNDS {
            let renewed = refresh_at_once(&client, &tokens, 3).await;
            // Later each goes on with what it has got.
            tokens = renewed[0].clone();
            for held in &renewed {
                assert_eq!(held.refresh_token, tokens.refresh_token, "two successors of one token");
                assert_serves(&bed, &held.access_token).await;
            }
        }
        bed.assert_healthy().await;
    }
}

#[tokio::test]
async fn a_client_that_retries_while_the_store_cannot_confirm_writes_keeps_its_login() {
    let acl = acl_with_wait();
    let master = RedisServer::start(&acl, &[]);
    let replica = RedisServer::replica_of(master.port, &acl);
    let bed = machine::testbed().redis(&standalone(master.port), "durability: replicated").start().await;
    let (client, tokens) = log_in(&bed, "alice").await;

    replica.process.signal("-STOP");
    for _ in 0..3 {
        assert_come_back(&client.refresh_request(&tokens.refresh_token).send().await);
    }
    replica.process.signal("-CONT");

    let mut renewed = None;
    until("a refresh works again", async || {
        let reply = client.refresh_request(&tokens.refresh_token).send().await;
        if reply.status != 200 {
            assert_come_back(&reply);
            return false;
        }
        renewed = Some(Tokens::read(&reply));
        true
    })
    .await;
    let renewed = renewed.expect("new tokens");
    assert_serves(&bed, &renewed.access_token).await;
    assert_serves(&bed, &client.refresh(&renewed.refresh_token).await.access_token).await;
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_whose_clocks_differ_serve_each_others_tokens() {
    let idp = IdpOptions { access_token_ttl: 3600, ..IdpOptions::default() };
    let bed = machine::testbed().store(Store::Standalone).replicas(2).clocks_behind(2).idp(idp).start().await;
    assert_clocks_differ(&bed).await;
    let (client, mut tokens) = log_in(&bed, "alice").await;
    let mut refused = 0;
    for _ in 0..1_000 / (2 * CALLS_A_TOKEN) {
        // A token is never younger than right after it was issued.
        for port in bed.envoy_ports() {
            for _ in 0..CALLS_A_TOKEN {
                let url = format!("http://127.0.0.1:{port}/api/clocks");
                let authority = crate::support::authority(&bed.gateway()).to_owned();
                let reply = Request::get(&url).header("host", authority).bearer(&tokens.access_token).send().await;
                refused += usize::from(reply.status != 200);
            }
        }
        tokens = client.refresh(&tokens.refresh_token).await;
    }
    assert_eq!(refused, 0, "of 1,000 calls");
    for number in 0..20 {
        let tokens = client.log_in(&mut Browser::new(&format!("user-{number}"))).await;
        assert_serves(&bed, &tokens.access_token).await;
    }
    bed.assert_healthy().await;
}

/// Refreshes with one token from this many processes at once; each must get new tokens.
async fn refresh_at_once(client: &OAuthClient, tokens: &Tokens, processes: usize) -> Vec<Tokens> {
    let mut refreshes = JoinSet::new();
    for _ in 0..processes {
        let request = client.refresh_request(&tokens.refresh_token);
        refreshes.spawn(async move { request.send().await });
    }
    refreshes.join_all().await.iter().map(Tokens::read).collect()
}

/// The date that each Envoy puts into its answers.
async fn assert_clocks_differ(bed: &Testbed) {
    until("the second clock is behind", async || {
        let mut seconds = Vec::new();
        for port in bed.envoy_ports() {
            let reply = Request::get(&format!("http://127.0.0.1:{port}/nowhere")).send().await;
            let date = reply.header("date").unwrap_or_else(|| panic!("no date: {reply:?}")).to_owned();
            seconds.push(date[23..25].parse::<u32>().expect("seconds"));
        }
        (seconds[0] + 60 - seconds[1]) % 60 == 2
    })
    .await;
}

#[track_caller]
fn assert_come_back(reply: &Response) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
}

const ROUNDS: usize = 20;
const CALLS_A_TOKEN: usize = 2;
