//! Clients that registered themselves: nothing forgets them but an operator.

use std::process::Command;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::paths;
use portcullis_testbed::redis::{CREDENTIALS, cli, standalone};
use portcullis_testbed::testbed::{Store, Testbed};
use serde_json::Value;

use crate::machine;
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
    for client in [&deleted, &newcomer] {
        let done = admin(&bed, &["clients", "delete", &client.client_id]);
        assert_eq!(done["client_id"], client.client_id.as_str(), "{done}");
        let page = client.authorization().send().await;
        assert_page(&page, 400, "The application is not known here", "a deleted client");
    }
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
    run(bed, &["clients", "list"]).lines().count()
}

/// The document that a command of the operator writes.
fn admin(bed: &Testbed, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(bed, arguments)).expect("a document")
}

/// Runs `portcullis admin` with the gateway's own secret.
fn run(bed: &Testbed, arguments: &[&str]) -> String {
    let port = bed.redis().servers().first().expect("one server").port;
    cli(port, &["ACL", "SETUSER", "operator", "on", ">PASSWORD", "~*", "+@all"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bridge.yaml");
    let user = "aclUserConfig: { username: { env: ADMIN_USERNAME }, password: { env: ADMIN_PASSWORD } }";
    let admin = format!(
        "{user}, gatewaySecrets: [{{ env: GATEWAY_SECRET }}], issuer: \"{}\", namespace: prod, name: gateway",
        bed.gateway()
    );
    let text = format!("listen: {{ unix: /nowhere }}\nredis: {{ {} }}\nadmin: {{ {admin} }}\n", standalone(port));
    std::fs::write(&file, text).expect("a file");
    let done = Command::new(paths::program("portcullis"))
        .args(["admin", "--config"])
        .arg(&file)
        .args(arguments)
        .arg("--json")
        .env_clear()
        .envs(CREDENTIALS)
        .envs([("ADMIN_USERNAME", "operator"), ("ADMIN_PASSWORD", "PASSWORD")])
        .env("GATEWAY_SECRET", bed.gateway_secret())
        .output()
        .expect("the operator's program runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}
