//! Grants that must not be given: each way to get a code, a token or a login that is not one's own,
//! what it comes to, and what it costs the client that tried.

mod codes;
mod logins;
mod redirects;
mod refreshes;
mod registration;
mod requests;

use portcullis_testbed::oauth_client::Tokens;
use portcullis_testbed::testbed::{REQUESTS_FOR_BOTH_WORKERS, Testbed};
use tokio::sync::OnceCell;

use crate::machine;
use crate::support::{assert_challenged, assert_unseen, unique, until_in_both_workers};

/// The testbed of these stories. Two workers: what one of them ends has to end in the other as
/// well.
async fn testbed() -> &'static Testbed {
    static BED: OnceCell<Testbed> = OnceCell::const_new();
    machine::share();
    BED.get_or_init(|| Testbed::builder().workers(2).start()).await
}

/// Calls until every worker has seen, and keeps, the token.
async fn use_in_every_worker(bed: &Testbed, tokens: &Tokens) {
    for _ in 0..REQUESTS_FOR_BOTH_WORKERS {
        let reply = bed.get("/api/before").bearer(&tokens.access_token).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

/// Holds when an access token has stopped to work, in every worker: word between them takes a
/// moment, so this waits until a row of calls is refused, and none may be let through after that.
async fn assert_ended(bed: &Testbed, access_token: &str) {
    let call = async |path: &str| bed.get(path).bearer(access_token).send().await;
    until_in_both_workers("the token is refused", async || call("/api/ending").await.status == 401).await;
    let path = format!("/api/ended-{}", unique());
    for _ in 0..REQUESTS_FOR_BOTH_WORKERS {
        let reply = call(&path).await;
        let description = "the session of this token has ended";
        assert_challenged(bed, &reply, 401, "invalid_token", description, "after the end");
    }
    assert_unseen(bed, &path).await;
}
