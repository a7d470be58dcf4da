//! An operator at a running gateway: `portcullis admin`, with the gateway's own secret.

use std::process::{Command, Output};

use portcullis_testbed::paths;
use portcullis_testbed::redis::{CREDENTIALS, cli, standalone};
use portcullis_testbed::testbed::Testbed;
use serde_json::Value;

/// Runs a command that succeeds, and returns the document that it writes.
pub(crate) fn admin(bed: &Testbed, arguments: &[&str]) -> Value {
    serde_json::from_str(&lines(bed, arguments)).expect("a document")
}

/// Runs a command that succeeds, and returns all that it writes.
pub(crate) fn lines(bed: &Testbed, arguments: &[&str]) -> String {
    let done = run(bed, arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

/// Runs a command against the one Redis server of a testbed.
pub(crate) fn run(bed: &Testbed, arguments: &[&str]) -> Output {
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
    Command::new(paths::program("portcullis"))
        .args(["admin", "--config"])
        .arg(&file)
        .args(arguments)
        .arg("--json")
        .env_clear()
        .envs(CREDENTIALS)
        .envs([("ADMIN_USERNAME", "operator"), ("ADMIN_PASSWORD", "PASSWORD")])
        .env("GATEWAY_SECRET", bed.gateway_secret())
        .output()
        .expect("the operator's program runs")
}
