//! Requests that no polite client sends, and providers that are in trouble: each gets a correct
//! answer, the worker serves the next request, and no VM fails or is reloaded.

mod bodies;
mod floods;
mod heads;
mod http2;
mod paths;
mod providers;

use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use tokio::sync::OnceCell;

use crate::machine;
use crate::support::log_in;

/// The testbed with a user logged in, whose upstream token outlives the stories.
struct Scene {
    bed: Testbed,
    client: OAuthClient,
    tokens: Tokens,
}

impl Scene {
    /// A request's head for a bare connection, up to the first of `fields`, which end with a line
    /// break each.
    fn head(&self, method: &str, target: impl AsRef<[u8]>, fields: impl AsRef<[u8]>) -> Vec<u8> {
        let gateway = self.bed.gateway();
        let host = format!(" HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", crate::support::authority(&gateway));
        [method.as_bytes(), b" ", target.as_ref(), host.as_bytes(), fields.as_ref(), b"\r\n"].concat()
    }

    /// The field with the good token.
    fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.tokens.access_token)
    }

    /// Holds when every worker still serves and none has failed.
    async fn assert_unharmed(&self) {
        for _ in 0..4 {
            crate::support::assert_serves(&self.bed, &self.tokens.access_token).await;
        }
        self.bed.assert_healthy().await;
    }
}

async fn scene() -> &'static Scene {
    static SCENE: OnceCell<Scene> = OnceCell::const_new();
    let set = async || {
        let idp = IdpOptions { access_token_ttl: 600, ..IdpOptions::default() };
        let bed = Testbed::builder().workers(2).idp(idp).start().await;
        let (client, tokens) = log_in(&bed, "alice").await;
        Scene { bed, client, tokens }
    };
    machine::share();
    SCENE.get_or_init(set).await
}
