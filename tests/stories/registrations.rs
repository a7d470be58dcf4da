//! Clients that registered themselves: nothing forgets them but an operator.

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::testbed::{Store, Testbed};

use crate::machine;
use crate::operator::{admin, lines};
use crate::support::{assert_page, assert_serves, client, log_in};

#[tokio::test]
async fn a_client_that_registered_before_a_restart_logs_in_after_it() {
    let mut bed = machine::testbed().store(Store::Memory).workers(2).start().await;
    let newcomer = client(&bed).await;
    let (known, tokens) = log_in(&bed, "alice").await;
    bed.kill_envoy(0);
    bed.restart_envoy(0).await;
    // The login is gone with the memory, the client is not: it has to log in, not to register.
    let reply = known.refresh_request(&tokens.refresh_token).send().await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_grant")), "{reply:?}");
    for client in [&newcomer, &known] {
        let tokens = client.log_in(&mut Browser::new("alice")).await;
        assert_serves(&bed, &tokens.access_token).await;
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_client_that_an_operator_deletes_is_refused_from_then_on() {
    let bed = machine::testbed().store(Store::Standalone).start().await;
    let (deleted, tokens) = log_in(&bed, "alice").await;
    let (other, _) = log_in(&bed, "bob").await;
    let newcomer = client(&bed).await;
    assert_eq!(listed(&bed), 2, "clients that only registered have no record");
    // A user is at the provider for it meanwhile.
    let mut browser = Browser::new("carol");
    let back = browser.log_in(&newcomer.authorization().url(), &format!("{}/oauth/callback", bed.gateway())).await;
    let asked = bed.idp_requests().await.token;
    for client in [&deleted, &newcomer] {
        let done = admin(&bed, &["clients", "delete", &client.client_id]);
        assert_eq!(done["client_id"], client.client_id.as_str(), "{done}");
        let page = client.authorization().send().await;
        assert_page(&page, 400, "The application is not known here", "a deleted client");
    }
    let page = browser.open(back.as_str(), &newcomer.redirect_uri).await.page();
    assert_page(&page.response, 400, "it was removed while you logged in", "the callback of a deleted client");
    assert_eq!(bed.idp_requests().await.token, asked, "its code was not used");
    let reply = deleted.refresh_request(&tokens.refresh_token).send().await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (401, Some("invalid_client")), "{reply:?}");
    let again = OAuthClient::discover(&bed.api_resource()).await.register().await;
    for client in [&again, &other] {
        assert_serves(&bed, &client.log_in(&mut Browser::new("alice")).await.access_token).await;
    }
    bed.assert_healthy().await;
}

/// How many clients the operator is shown.
fn listed(bed: &Testbed) -> usize {
    lines(bed, &["clients", "list"]).lines().count()
}
