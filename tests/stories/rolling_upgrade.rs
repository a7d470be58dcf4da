//! A rolling upgrade: replicas of two releases run side by side, whose records have different
//! fields, and no user sees any of it.
//!
//! The other release is made up by `tests/other-release.sh`: in sessions, clients and upstream
//! tokens it lacks a field of this one and has one that this one does not know. So either of them
//! is the older.

use portcullis_testbed::browser::{Arrival, Browser};
use portcullis_testbed::oauth_client::{Callback, OAuthClient, Tokens};
use portcullis_testbed::paths;
use portcullis_testbed::testbed::{IdpOptions, Store, Testbed};

use crate::machine;
use crate::support::{assert_serves, client, until};

#[tokio::test]
async fn what_either_release_stores_works_at_the_other() {
    let bed = two_releases().await;
    let mut subjects = Vec::new();
    for (one, another) in [(THIS, OTHER), (OTHER, THIS)] {
        bed.lead_to(one);
        let alice = User::log_in(&bed, "alice").await;
        bed.lead_to(another);
        let alice = alice.goes_on(&bed).await;
        bed.lead_to(one);
        let alice = alice.goes_on(&bed).await;
        bed.lead_to(another);
        let mut bob = Browser::new("bob");
        let bobs = alice.client.log_in(&mut bob).await;
        assert!(was_asked(&bob, 0), "another user's consent counted");
        assert_ne!(bobs.claims()["sub"], alice.tokens.claims()["sub"]);
        subjects.push(alice.tokens.claims()["sub"].clone());
    }
    assert_eq!(subjects[0], subjects[1], "one account is two users");
    assert_all_was_read(&bed).await;
}

#[tokio::test]
async fn a_login_that_begins_at_one_release_is_finished_at_the_other() {
    let bed = two_releases().await;
    for (one, another) in [(THIS, OTHER), (OTHER, THIS)] {
        for [page, decision, callback, token] in [[one, one, another, another], [one, another, one, another]] {
            bed.lead_to(page);
            let client = client(&bed).await;
            let authorization = client.authorization();
            let mut browser = Browser::new("alice");
            let consent = browser.open(&authorization.url(), &client.redirect_uri).await.page();

            bed.lead_to(decision);
            let approved = browser.fill_in(consent.form());
            let mut arrival = browser.submit(&consent, &approved, &client.redirect_uri).await;

            bed.lead_to(callback);
            while let Arrival::Page(page) = &arrival {
                assert_eq!(page.url.origin().ascii_serialization(), bed.idp(), "{page:?}");
                let form = browser.fill_in(page.form());
                arrival = browser.submit(&page.clone(), &form, &client.redirect_uri).await;
            }

            bed.lead_to(token);
            let code = Callback::read(&arrival.left());
            let tokens = client.redeem(code.code(), &authorization.verifier).await;
            bed.lead_to(page);
            assert_serves(&bed, &tokens.access_token).await;
        }
    }
    assert_all_was_read(&bed).await;
}

#[tokio::test]
async fn when_the_replicas_of_one_release_are_stopped_all_of_their_users_go_on() {
    let mut bed = two_releases().await;
    for (stopped, left) in [(OTHER, THIS), (THIS, OTHER)] {
        bed.lead_to(stopped);
        let alice = User::log_in(&bed, "alice").await;
        let bob = User::log_in(&bed, "bob").await;
        // The release that stays has refreshed this one's login before, and the stopped one again.
        bed.lead_to(left);
        let bob = bob.goes_on(&bed).await;
        bed.lead_to(stopped);
        let bob = bob.goes_on(&bed).await;

        bed.kill_envoy(stopped);
        bed.kill_bridge(stopped);
        bed.lead_to(left);
        for user in [alice, bob] {
            user.goes_on(&bed).await;
        }
        bed.restart_bridge(stopped);
        bed.restart_envoy(stopped).await;
    }
    assert_all_was_read(&bed).await;
}

/// A user with a browser and a client.
struct User {
    client: OAuthClient,
    browser: Browser,
    tokens: Tokens,
}

impl User {
    /// Registers a client, consents and logs in, all at the release that answers now.
    async fn log_in(bed: &Testbed, name: &str) -> Self {
        // Consents are remembered for clients that are web sites.
        let mut client = OAuthClient::discover(&bed.api_resource()).await;
        client.redirect_uri = "https://app.example/callback".to_owned();
        let client = client.register().await;
        let mut browser = Browser::new(name);
        let tokens = client.log_in(&mut browser).await;
        assert!(was_asked(&browser, 0), "a new client's user was not asked");
        assert_serves(bed, &tokens.access_token).await;
        Self { client, browser, tokens }
    }

    /// Holds when the release that answers now serves the user's token, renews the provider's and
    /// then this one, and lets the user log in again: as the same user, and without the question
    /// that was answered.
    async fn goes_on(mut self, bed: &Testbed) -> Self {
        assert_serves(bed, &self.tokens.access_token).await;
        assert_upstream_token_is_renewed(bed, &self.tokens).await;
        let renewed = self.client.refresh(&self.tokens.refresh_token).await;
        assert_serves(bed, &renewed.access_token).await;
        let hops = self.browser.hops.len();
        let second = self.client.log_in(&mut self.browser).await;
        assert!(!was_asked(&self.browser, hops), "the consent was not remembered");
        assert_serves(bed, &second.access_token).await;
        for tokens in [&renewed, &second] {
            assert_eq!(tokens.claims()["sub"], self.tokens.claims()["sub"], "one account is two users");
        }
        Self { tokens: renewed, ..self }
    }
}

/// Replicas of two releases that share a Redis server. The provider's tokens are short-lived, so
/// that both releases rewrite what the other has stored of them.
async fn two_releases() -> Testbed {
    let idp = IdpOptions { access_token_ttl: 2, ..IdpOptions::default() };
    let builder = machine::testbed().store(Store::Standalone).replicas(2).other_module(paths::other_release());
    let bed = builder.idp(idp).start().await;
    for (number, expected) in [(THIS, false), (OTHER, true)] {
        let stats = bed.stats_of(number, "").await;
        let is_other = stats.keys().any(|name| name.contains("build_info") && name.contains("another-release"));
        assert_eq!(is_other, expected, "gateway {number} runs the wrong release");
    }
    bed
}

/// Whether the browser posted a consent page after this number of hops.
fn was_asked(browser: &Browser, hops: usize) -> bool {
    browser.hops[hops..].iter().any(|hop| hop.url.path() == "/oauth/consent")
}

/// Holds once calls with these tokens have led to a refresh at the provider, and go on.
async fn assert_upstream_token_is_renewed(bed: &Testbed, tokens: &Tokens) {
    let before = bed.idp_requests().await.refreshed;
    until("the provider's token is renewed", async || {
        assert_serves(bed, &tokens.access_token).await;
        bed.idp_requests().await.refreshed > before
    })
    .await;
}

/// Holds when neither release met a record that it could not read.
async fn assert_all_was_read(bed: &Testbed) {
    let stats = bed.stats("").await;
    let odd = ["portcullis.store.unopenable", "portcullis.store.rolled_back"];
    let met: Vec<_> =
        stats.iter().filter(|(name, count)| **count > 0 && odd.iter().any(|odd| name.ends_with(odd))).collect();
    assert!(met.is_empty(), "{met:?}");
    bed.assert_healthy().await;
}

/// The gateway of this release.
const THIS: usize = 0;
/// The gateway of the other one.
const OTHER: usize = 1;
