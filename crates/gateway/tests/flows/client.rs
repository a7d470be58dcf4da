//! The OAuth client before the gateway's handlers.

use portcullis_protocol::base64url;
use portcullis_testkit::http::Surroundings;
use portcullis_testkit::oauth_client::OAuthClient;
use serde_json::{Value, json};
use url::Url;

pub(crate) const ISSUER: &str = "https://gw.example";
pub(crate) const MCP: &str = "https://gw.example/mcp";
pub(crate) const REDIRECT: &str = "https://client.example/callback";
/// The PKCE verifier of every client.
pub(crate) const VERIFIER: &str = "a-verifier-of-forty-three-characters-in-aaA";

/// A client of the MCP server.
pub(crate) fn oauth_client(client_id: &str) -> OAuthClient<InProcess> {
    OAuthClient {
        surroundings: InProcess,
        resource: MCP.to_owned(),
        resource_metadata: Value::Null,
        server_metadata: json!({
            "authorization_endpoint": format!("{ISSUER}/oauth/authorize"),
            "token_endpoint": format!("{ISSUER}/oauth/token"),
        }),
        client_id: client_id.to_owned(),
        client_secret: None,
        redirect_uri: REDIRECT.to_owned(),
        scope: "openid".to_owned(),
    }
}

/// Before the handlers themselves.
#[derive(Clone)]
pub(crate) struct InProcess;

impl Surroundings for InProcess {
    fn reaches(&self, url: &Url) -> bool {
        url.as_str().starts_with(ISSUER)
    }

    /// What [`VERIFIER`] is the text of: no test guesses it.
    fn random(&self) -> [u8; 32] {
        base64url::decode(VERIFIER).unwrap().try_into().unwrap()
    }
}
