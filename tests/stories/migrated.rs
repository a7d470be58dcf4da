//! What `portcullis migrate toolhive` makes of the files of ToolHive's documentation, in a real
//! Envoy: the same configuration, with the hosts of this machine.

use std::process::Command;

use portcullis_testbed::bending_server::BendingServer;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::loopback_server::LoopbackServer;
use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use portcullis_testbed::paths;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, Sentinel};
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use portcullis_testbed::token_issuer::TokenIssuer;
use portcullis_testkit::bending_provider::{Reply, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::machine;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_at_an_openid_provider_is_kept_behind_sentinels_with_the_documents_own_acl() {
    let files = migrated(&["embedded-oidc.yaml", "embedded-server.yaml", "secret-provider.yaml"], 0);
    let stored = migrated(&["redis-storage-addresses.yaml", "embedded-server.yaml"], 0);
    let (_server, sentinels) = tokio::task::spawn_blocking(|| {
        let server = RedisServer::start(LEAST_ACL, &[]);
        let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(server.port)).collect();
        (server, sentinels)
    })
    .await
    .unwrap();
    let mut bridge = std::fs::read_to_string(stored.path().join("bridge.yaml")).unwrap();
    for (number, sentinel) in sentinels.iter().enumerate() {
        let known = format!("redis-sentinel-{number}.redis-sentinel.redis.svc.cluster.local:26379");
        assert!(bridge.contains(&known), "{bridge}");
        bridge = bridge.replace(&known, &format!("127.0.0.1:{}", sentinel.port));
    }
    let mut config = plugin(&files);
    config["storage"] = plugin(&stored)["storage"].clone();
    let config = here(
        &config,
        &[
            ("https://mcp.example.com", "{gateway}"),
            ("https://dev-123456.okta.com/oauth2/default", "{idp}"),
            ("<YOUR_OKTA_CLIENT_ID>", "portcullis"),
            (r#""cluster":"okta""#, r#""cluster":"idp""#),
        ],
    );
    let bed = machine::testbed().idp(IdpOptions { client_secret: Some(SECRET), ..IdpOptions::default() });
    let bed = bed.env("OKTA_CLIENT_SECRET", SECRET).redis(&redis_words(&bridge), "durability: auto");
    let bed = bed.route("/", "recorder").config(config).start().await;
    let (client, tokens) = log_in(&bed.gateway()).await;
    assert_eq!(tokens.answer["expires_in"], 3_600, "the document's lifespan");
    let injected = injected(&bed, "/any/path", &tokens.access_token).await.unwrap();
    assert_ne!(injected, tokens.access_token);
    let tokens = client.refresh(&tokens.refresh_token).await;
    assert!(self::injected(&bed, "/", &tokens.access_token).await.is_some());
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_virtual_servers_backends_get_one_providers_token_and_the_others_in_exchange() {
    let files = migrated(&["vmcp-combined.yaml"], 1);
    let github = BendingServer::start("portcullis", SECRET).unwrap();
    github.bend("an endpoint that takes client_secret_post alone");
    let exchange = LoopbackServer::start(|_| exchanged).unwrap();
    let issuer = github.issuer();
    let mut config = plugin(&files);
    config["resources"][1]["inject"]["cluster"] = json!("exchange");
    let config = here(
        &config,
        &[
            ("https://auth.example.com", "{gateway}"),
            ("https://mcp.example.com", "{gateway}"),
            ("https://github.com/login/oauth/authorize", &format!("{issuer}/authorize")),
            ("https://github.com/login/oauth/access_token", &format!("{issuer}/token")),
            ("https://api.github.com/user", &format!("{issuer}/user")),
            // One server is both hosts.
            ("github-userinfo", "github"),
            ("<YOUR_GITHUB_CLIENT_ID>", "portcullis"),
            ("https://dev-123456.okta.com/oauth2/default", "{idp}"),
            ("https://dev-123456.okta.com/oauth2/backend/v1/token", &format!("{}/token", exchange.url())),
            ("<YOUR_OKTA_CLIENT_ID>", "portcullis"),
            (r#""cluster":"okta""#, r#""cluster":"idp""#),
        ],
    );
    let bed = machine::testbed().idp(IdpOptions { client_secret: Some(SECRET), ..IdpOptions::default() });
    let bed = bed.env("GITHUB_CLIENT_SECRET", SECRET).env("OKTA_CLIENT_SECRET", SECRET);
    let bed = bed.env("EXCHANGE_OKTA_CLIENT_SECRET", "another").cluster("exchange", exchange.port());
    let bed = bed.cluster("github", github.port()).route("/", "recorder").config(config).start().await;
    for (path, expected) in [("/mcp/backend-github", "access-alice-1"), ("/mcp/backend-okta-app", "for-the-backend")] {
        let (client, tokens) = log_in(&format!("{}{path}", bed.gateway())).await;
        assert_eq!(injected(&bed, path, &tokens.access_token).await.as_deref(), Some(expected), "{path}");
        let tokens = client.refresh(&tokens.refresh_token).await;
        assert!(injected(&bed, &format!("{path}/more"), &tokens.access_token).await.is_some());
    }
    assert_eq!(bed.idp_requests().await.code_grants, 2, "both logins went on to the second provider");
    bed.assert_healthy().await;
}

/// The token endpoint that exchanges tokens (RFC 8693) for `portcullis`, as the document asks.
fn exchanged(request: &Request<'_>) -> Option<Reply> {
    let form = String::from_utf8_lossy(request.body).into_owned();
    let expected = [
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange",
        "audience=backend",
        "scope=backend-api%3Aread",
        "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token",
    ];
    let is_good = expected.iter().all(|pair| form.split('&').any(|found| found == *pair))
        && form.contains("subject_token=eyJ")
        && request.authorization == Some("Basic cG9ydGN1bGxpczphbm90aGVy");
    if !is_good {
        return Some(answer(400, &json!({ "error": "invalid_request" })));
    }
    let issued = "urn:ietf:params:oauth:token-type:access_token";
    Some(answer(
        200,
        &json!({ "access_token": "for-the-backend", "issued_token_type": issued, "token_type": "Bearer", "expires_in": 300 }),
    ))
}

fn answer(status: u16, members: &Value) -> Reply {
    let headers = vec![("content-type", "application/json".to_owned())];
    Reply { status, headers, body: members.to_string().into_bytes() }
}

#[tokio::test]
async fn tokens_of_an_issuer_of_a_shared_one_and_of_service_accounts_open_the_servers_that_name_them() {
    let files = migrated(
        &["external-issuer.yaml", "shared-oidc-config.yaml", "shared-oidc-server.yaml", "service-account-server.yaml"],
        1,
    );
    let [external, shared, cluster] =
        ["https://your-oidc-issuer.com", "https://auth.example.com", "https://kubernetes.default.svc"]
            .map(|name| TokenIssuer::start(Some(name)).unwrap());
    let config = here(
        &plugin(&files),
        &[
            ("https://your-oidc-issuer.com/path/to/jwks", &external.jwks_url()),
            ("https://auth.example.com/.well-known/jwks.json", &shared.jwks_url()),
            ("https://kubernetes.default.svc/openid/v1/jwks", &cluster.jwks_url()),
        ],
    );
    let bed = machine::testbed().cluster("issuer", external.port()).cluster("issuer-2", shared.port());
    let bed = bed.cluster("kube-api", cluster.port()).route("/", "recorder").config(config).start().await;
    let agent = cluster.service_account("toolhive", "client-apps", "mcp-client");
    let user = external.token("your-audience", "alice", json!({}));
    let sharer = shared.token("https://mcp.example.com", "alice", json!({}));
    let paths = ["/weather-server-external", "/weather-server-shared-oidc", "/weather-server-k8s"];
    for (own, token) in [&user, &sharer, &agent].into_iter().enumerate() {
        for (number, path) in paths.iter().enumerate() {
            let reply = bed.get(&format!("{path}/call")).bearer(token).send().await;
            assert_eq!(reply.status, if number == own { 200 } else { 401 }, "{own} at {path}: {reply:?}");
        }
    }
    let other = cluster.service_account("toolhive", "client-apps", "other");
    assert_eq!(bed.get("/weather-server-k8s/call").bearer(&other).send().await.status, 403);
    assert_eq!(bed.get("/").bearer(&user).send().await.status, 404);
    bed.assert_healthy().await;
}

/// Migrates seeds into a folder.
fn migrated(files: &[&str], code: i32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(paths::program("portcullis"));
    command.args(["migrate", "toolhive", "--output"]).arg(folder.path()).args(files);
    let done = command.current_dir(paths::in_tests("seeds")).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert_eq!(done.status.code(), Some(code), "{said}");
    folder
}

fn plugin(folder: &TempDir) -> Value {
    let text = std::fs::read_to_string(folder.path().join("portcullis.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A configuration with the addresses of this machine in place of others, and nothing of the
/// testbed's own.
fn here(config: &Value, replaced: &[(&str, &str)]) -> Value {
    let mut text = config.to_string();
    for (from, to) in replaced {
        assert!(text.contains(from), "no {from} in {text}");
        text = text.replace(from, to);
    }
    let config: Value = serde_json::from_str(&text).unwrap();
    let own =
        ["issuer", "signingKeys", "secrets", "tokenLifespans", "scopesSupported", "clients", "consent", "default"];
    let own = own.into_iter().chain(["storage", "upstreamProviders"]);
    let mut patch: Value = own.map(|name| (name.to_owned(), Value::Null)).collect();
    for (name, value) in config.as_object().unwrap() {
        patch[name] = value.clone();
    }
    patch
}

/// The words under `redis` of a bridge's configuration, on one line.
fn redis_words(bridge: &str) -> String {
    let (_, section) = bridge.split_once("\nredis:\n").unwrap();
    let mut words = String::new();
    let mut is_inside = false;
    for line in section.lines().take_while(|line| line.starts_with(' ')) {
        if is_inside && !line.starts_with("    ") {
            words += "}, ";
        }
        is_inside = line.starts_with("    ");
        let end = if line.ends_with(':') { " { " } else { ", " };
        words += &format!("{}{end}", line.trim_start());
    }
    words
}

async fn log_in(resource: &str) -> (OAuthClient, Tokens) {
    let client = OAuthClient::discover(resource).await.register().await;
    let tokens = client.log_in(&mut Browser::new("alice")).await;
    (client, tokens)
}

/// Calls, and returns the token that the backend got.
async fn injected(bed: &Testbed, path: &str, token: &str) -> Option<String> {
    let reply = bed.get(path).bearer(token).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    bed.recorded().await.last().and_then(|request| request.bearer())
}

const SECRET: &str = "a secret of the provider";
