//! Strangers who start logins in masses, and the users who log in meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use portcullis_testbed::browser::{Browser, Form, Page};
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::kept_connection::KeptConnection;
use portcullis_testbed::oauth_client::{Callback, OAuthClient};
use portcullis_testbed::redis::cli;
use portcullis_testbed::testbed::{Store, Testbed};
use serde_json::json;
use tokio::task::JoinSet;

use crate::machine;
use crate::support::{assert_serves, client, log_in, until};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_posts_of_one_form_store_nothing_and_make_no_call_and_users_log_in_meanwhile() {
    let bed = machine::testbed().workers(2).store(Store::Standalone).start().await;
    let client = client(&bed).await;
    let mut browser = Browser::new("mallory");
    let page = browser.open(&client.authorization().url(), &client.redirect_uri).await.page();
    let form = browser.fill_in(page.form());
    // What is there anyway: the client, and a login.
    log_in(&bed, "bob").await;
    let (asked, held, began) = (bed.idp_requests().await, names_held(&bed), Instant::now());

    let flood = flood(&page, &form, &browser, 10_000, 20);
    let honest = honest_logins(&bed, 5);
    let (sent, ()) = tokio::join!(flood, honest);
    let took = began.elapsed();
    let locations: BTreeSet<_> = sent.iter().map(|reply| reply.header("location").map(str::to_owned)).collect();
    assert!(sent.iter().all(|reply| reply.status == 303), "{:?}", sent[0]);
    assert_eq!((sent.len(), locations.len()), (10_000, 1), "each leads to the same login");

    let calls = bed.idp_requests().await;
    assert_eq!(calls.token - asked.token, 5, "those of the honest logins: {calls:?}");
    let each_vm_once = 3;
    assert!(calls.discovery <= each_vm_once && calls.jwks <= each_vm_once, "{asked:?} {calls:?}");
    assert_eq!(calls.userinfo, 0, "nothing but the tokens of honest users is asked for");
    let left = names_held(&bed) - held;
    println!("10,000 approvals in {took:?}: {left} records, those of five logins, and 5 calls to the provider");
    assert!(left <= 100, "{left} records");
    let of_bob = 1;
    assert_eq!(used_logins(&bed), of_bob + 5, "those that were finished, and no other");
    honest_logins(&bed, 1).await;
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_before_a_slow_provider_has_answered_wait_for_one_answer() {
    let mut bed = machine::testbed().start().await;
    probed_by_both(&bed).await;
    bed.set_idp(json!({ "discovery": { "mode": "slow", "ms": 4_000 } })).await;
    let before = bed.idp_requests().await;
    bed.restart_envoy(0).await;
    let client = client(&bed).await;
    let mut browser = Browser::new("mallory");
    let page = browser.open(&client.authorization().url(), &client.redirect_uri).await.page();
    let form = browser.fill_in(page.form());
    let sent = flood(&page, &form, &browser, 300, 300).await;
    assert!(sent.iter().all(|reply| reply.status == 303), "{:?}", sent[0]);
    assert!(sent.iter().all(|reply| reply.header("location").is_some_and(|to| to.starts_with(&bed.idp()))));
    let asked = bed.idp_requests().await;
    let fetched = (asked.discovery - before.discovery, asked.jwks - before.jwks);
    assert!(matches!(fetched, (1..=2, 1..=2)), "by the worker and the main thread's VM: {fetched:?}");
    assert_eq!(asked.token, 0);
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_not_asked_for_each_login_and_logins_work_when_it_is_back() {
    let mut bed = machine::testbed().start().await;
    probed_by_both(&bed).await;
    bed.set_idp(json!({ "discovery": { "mode": "drop" } })).await;
    let before = bed.idp_requests().await;
    bed.restart_envoy(0).await;
    let probed = format!("provider `idp`: {}/.well-known/openid-configuration: no connection", bed.idp());
    until("the probe is logged", async || bed.envoy_log().contains(&probed)).await;
    let client = client(&bed).await;
    let mut browser = Browser::new("mallory");
    let page = browser.open(&client.authorization().url(), &client.redirect_uri).await.page();
    let form = browser.fill_in(page.form());
    for _ in 0..6 {
        let sent = flood(&page, &form, &browser, 100, 100).await;
        for reply in &sent {
            let to = reply.header("location").expect("a redirect");
            assert!(to.starts_with(&client.redirect_uri) && to.contains("temporarily_unavailable"), "{to}");
        }
    }
    let asked = bed.idp_requests().await;
    assert!((1..=20).contains(&(asked.discovery - before.discovery)), "{before:?} {asked:?}");
    assert_eq!(asked.jwks, before.jwks);

    bed.set_idp(json!({ "discovery": null })).await;
    until("a login works", async || {
        let authorization = client.authorization();
        let back = Browser::new("alice").log_in(&authorization.url(), &client.redirect_uri).await;
        Callback::read(&back).code.is_some()
    })
    .await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn an_address_that_comes_back_with_too_many_logins_is_asked_to_wait() {
    let bed = machine::testbed().config(json!({ "logins": { "ratePerMinute": 3 } })).start().await;
    let client = client(&bed).await;
    for _ in 0..3 {
        let mut browser = Browser::new("mallory");
        let mut back = at_the_callback(&bed, &client, &mut browser).await;
        back = back.replace("code=", "code=made-up-");
        let refused = Callback::read(&browser.open(&back, &client.redirect_uri).await.left());
        assert_eq!(refused.error.as_deref(), Some("access_denied"));
    }
    let asked = bed.idp_requests().await;
    let mut browser = Browser::new("alice");
    let back = at_the_callback(&bed, &client, &mut browser).await;
    let page = browser.open(&back, &client.redirect_uri).await.page();
    assert_eq!(page.response.status, 429, "{:?}", page.response);
    let wait: u64 = page.response.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(bed.idp_requests().await.token, asked.token);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    let finished = Callback::read(&browser.open(&back, &client.redirect_uri).await.left());
    assert!(finished.code.is_some(), "nothing was lost: {finished:?}");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn two_logins_of_one_browser_go_on_side_by_side() {
    let bed = machine::testbed().start().await;
    let client = client(&bed).await;
    for in_order in [true, false] {
        let mut browser = Browser::new("alice");
        let mut pages = Vec::new();
        let mut jars = Vec::new();
        for _ in 0..2 {
            // Both pages are asked for before the first has come.
            let mut tab = Browser::new("alice");
            let authorization = client.authorization();
            let page = tab.open(&authorization.url(), &client.redirect_uri).await.page();
            pages.push((page, authorization));
            jars.push(tab.jar);
        }
        browser.jar.cookies = jars.into_iter().flat_map(|jar| jar.cookies).collect();
        if !in_order {
            pages.reverse();
        }
        let mut backs = Vec::new();
        for (page, authorization) in &pages {
            let form = browser.fill_in(page.form());
            let stop = format!("{}/oauth/callback", bed.gateway());
            let mut arrival = browser.submit(page, &form, &stop).await;
            while let portcullis_testbed::browser::Arrival::Page(page) = arrival {
                let form = browser.fill_in(page.form());
                arrival = browser.submit(&page, &form, &stop).await;
            }
            backs.push((arrival.left(), authorization));
        }
        for (back, authorization) in backs {
            let callback = Callback::read(&browser.open(back.as_str(), &client.redirect_uri).await.left());
            let tokens = client.redeem(callback.code(), &authorization.verifier).await;
            assert_serves(&bed, &tokens.access_token).await;
        }
    }
    bed.assert_healthy().await;
}

/// Sends a form many times from the browser it was shown in, on several connections at once.
async fn flood(page: &Page, form: &Form, browser: &Browser, times: usize, connections: usize) -> Vec<Response> {
    let origin = page.url.origin().ascii_serialization();
    let cookie = browser.jar.header(&page.url).expect("a cookie");
    let post = Request::post(form.action.as_str()).header("origin", &origin).header("cookie", &cookie);
    let post = post.form(&form.fields);
    let mut posts = JoinSet::new();
    for number in 0..connections {
        let (post, times) = (post.clone(), (times + number) / connections);
        posts.spawn(async move {
            let (mut connection, mut replies) = (KeptConnection::default(), Vec::new());
            for _ in 0..times {
                replies.push(connection.send(post.clone()).await);
            }
            replies
        });
    }
    posts.join_all().await.into_iter().flatten().collect()
}

async fn honest_logins(bed: &Testbed, users: usize) {
    for user in 0..users {
        let (_, tokens) = log_in(bed, &format!("user-{user}")).await;
        assert_serves(bed, &tokens.access_token).await;
    }
}

/// A login up to where the provider sends the browser back to.
async fn at_the_callback(bed: &Testbed, client: &OAuthClient, browser: &mut Browser) -> String {
    let stop = format!("{}/oauth/callback", bed.gateway());
    browser.log_in(&client.authorization().url(), &stop).await.to_string()
}

/// How many used logins Redis holds; of a login that is only under way it holds none.
fn used_logins(bed: &Testbed) -> usize {
    let names = cli(bed.redis().master(), &["keys", "*:pending:*"]);
    // The others are the answers that the bridge keeps for retries.
    names.lines().filter(|name| name.rsplit(':').nth(1) == Some("pending")).count()
}

/// How many names Redis holds, of any kind.
fn names_held(bed: &Testbed) -> usize {
    cli(bed.redis().master(), &["DBSIZE"]).parse().expect("a number")
}

/// Waits until the worker and the main thread's VM have fetched the provider's documents.
async fn probed_by_both(bed: &Testbed) {
    until("both VMs know the provider", async || bed.idp_requests().await.jwks >= 2).await;
}
