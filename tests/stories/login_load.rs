//! Many users at once, and each one's calls carry that user's own upstream token.

use std::collections::BTreeMap;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::{OAuthClient, claims};
use portcullis_testbed::testbed::{IdpOptions, Testbed};

use crate::machine;

#[tokio::test]
async fn two_hundred_users_log_in_at_once_and_every_call_carries_the_callers_own_upstream_token() {
    machine::take_alone();
    let idp = IdpOptions { access_token_ttl: 600, ..IdpOptions::default() };
    let bed = Testbed::builder().workers(2).idp(idp).start().await;
    let discovered = OAuthClient::discover(&bed.api_resource()).await;

    let users: Vec<_> = (0..USERS)
        .map(|number| {
            let user = format!("user-{number}");
            tokio::spawn(log_in_and_call(discovered.clone(), bed.gateway(), user))
        })
        .collect();
    for user in users {
        user.await.expect("a login and calls without an error");
    }

    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for request in bed.recorded().await {
        let caller = request.path.split('/').nth(2).expect("the user in the path").to_owned();
        let upstream = request.bearer().expect("an upstream token");
        assert_eq!(claims(&upstream)["sub"], caller, "another user's token was injected");
        assert_eq!(claims(&upstream)["iss"], bed.idp());
        assert_eq!(request.headers("authorization").len(), 1);
        *calls.entry(caller).or_default() += 1;
    }
    assert_eq!(calls.len(), USERS);
    assert!(calls.values().all(|count| *count == CALLS), "{calls:?}");
    // Both workers took part, or this would prove nothing about what they share.
    let served = bed.stats("listener.").await;
    let by_worker: Vec<_> =
        served.iter().filter(|(name, _)| name.ends_with("downstream_cx_total") && name.contains(".worker_")).collect();
    assert!(by_worker.len() == 2 && by_worker.iter().all(|(_, count)| **count > 0), "{by_worker:?}");
    bed.assert_healthy().await;
}

async fn log_in_and_call(discovered: OAuthClient, gateway: String, user: String) {
    let client = discovered.register().await;
    let tokens = client.log_in(&mut Browser::new(&user)).await;
    for call in 0..CALLS {
        let url = format!("{gateway}/api/{user}/{call}");
        let reply = portcullis_testbed::http::Request::get(&url).bearer(&tokens.access_token).send().await;
        assert_eq!(reply.status, 200, "{user}: {reply:?}");
    }
}

const USERS: usize = 200;
const CALLS: usize = 20;
