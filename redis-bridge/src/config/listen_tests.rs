use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::super::{Config, Problem};
use super::*;

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    Config::read(&format!("{text}\nredis: {{ addr: a }}"), &BTreeMap::new())
}

fn problems(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(|problem| problem.path.clone()).collect()
}

/// A certificate that signs itself, and its key.
fn certificate(folder: &Path, name: &str) {
    let arguments = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt"
    );
    let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(made.status.success());
}

fn tcp(folder: &Path, cert: &str, key: &str, ca: &str, names: &str) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "listen: {{ tcp: {{ address: \"127.0.0.1:8443\", cert: \"{}\", key: \"{}\", clientCa: \"{}\", allowedNames: {names} }} }}",
        file(cert),
        file(key),
        file(ca)
    )
}

#[test]
fn one_door_is_asked_for() {
    assert_eq!(problems("listen: {}"), ["listen"]);
    let tcp = "tcp: { address: \"127.0.0.1:1\", cert: c, key: k, clientCa: a, allowedNames: [n] }";
    assert_eq!(problems(&format!("listen: {{ unix: /b, {tcp} }}")), ["listen"]);
}

#[test]
fn without_a_list_only_root_and_the_own_user_may_connect() {
    let Listen::Unix(listen) = read("listen: { unix: /b }").unwrap().listen else { panic!("no Unix socket") };
    assert_eq!(listen.allowed_uids, [0, rustix::process::geteuid().as_raw()]);
    assert!(read("listen: { unix: /b }").unwrap().callers.is_none());
}

#[test]
fn a_port_needs_good_certificates_and_names() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "one");
    certificate(folder.path(), "two");
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let with = |cert, key, ca, names| tcp(folder.path(), cert, key, ca, names);
    let config = read(&with("one.crt", "one.key", "two.crt", "[Envoy.Prod, \"spiffe://X/y\"]")).unwrap();
    let Listen::Tcp(listen) = config.listen else { panic!("no port") };
    assert_eq!(listen.allowed_names, ["envoy.prod", "spiffe://X/y"]);
    assert_eq!(listen.tls.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    for (cert, key, ca, names, path) in [
        ("absent", "one.key", "two.crt", "[n]", "listen.tcp.cert"),
        ("empty", "one.key", "two.crt", "[n]", "listen.tcp.cert"),
        ("one.crt", "empty", "two.crt", "[n]", "listen.tcp.key"),
        ("one.crt", "two.key", "two.crt", "[n]", "listen.tcp.key"),
        ("one.crt", "one.key", "empty", "[n]", "listen.tcp.clientCa"),
        ("one.crt", "one.key", "one.key", "[n]", "listen.tcp.clientCa"),
        ("one.crt", "one.key", "two.crt", "[]", "listen.tcp.allowedNames"),
        ("one.crt", "one.key", "two.crt", "[\"\"]", "listen.tcp.allowedNames"),
        ("one.crt", "one.key", "two.crt", "[\"*.prod\"]", "listen.tcp.allowedNames"),
        ("one.crt", "one.key", "two.crt", "[\"a b\"]", "listen.tcp.allowedNames"),
    ] {
        assert_eq!(problems(&with(cert, key, ca, names)), [path], "{cert} {key} {ca} {names}");
    }
    let good = with("one.crt", "one.key", "two.crt", "[n]");
    let unix = good.replace("listen: {", "listen: { mode: \"0600\", allowedUids: [1],");
    assert_eq!(problems(&unix), ["listen.mode", "listen.allowedUids"]);
    assert_eq!(problems(&good.replace("127.0.0.1:8443", "8443")), ["listen.tcp.address"]);
    assert_eq!(problems(&format!("{good}\ncallers: [{{ name: other, spaces: [\"*\"] }}]")), ["callers[0]"]);
    assert_eq!(problems(&format!("{good}\ncallers: [{{ uid: 1, spaces: [\"*\"] }}]")), ["callers[0]"]);
    assert!(read(&format!("{good}\ncallers: [{{ name: N, spaces: [\"*\"] }}]")).is_ok());
}

#[test]
fn the_callers_are_who_is_let_in_unless_there_is_a_list() {
    let callers =
        "callers: [{ uid: 7, spaces: [\"prod:gateway\", \"test:*\"], secrets: true }, { uid: 8, spaces: [\"*\"] }]";
    let config = read(&format!("listen: {{ unix: /b }}\n{callers}")).unwrap();
    let Listen::Unix(listen) = config.listen else { panic!("no Unix socket") };
    assert_eq!(listen.allowed_uids, [7, 8]);
    let rights = config.callers.unwrap();
    let spaces = vec![Spaces::One(Space::new("prod", "gateway").unwrap()), Spaces::Namespace("test".to_owned())];
    assert_eq!(rights[&Caller::Uid(7)], Right { spaces, secrets: true });
    assert_eq!(rights[&Caller::Uid(8)], Right { spaces: vec![Spaces::All], secrets: false });

    let config = read(&format!("listen: {{ unix: /b, allowedUids: [7, 8, 9] }}\n{callers}")).unwrap();
    let Listen::Unix(listen) = config.listen else { panic!("no Unix socket") };
    assert_eq!(listen.allowed_uids, [7, 8, 9]);
    assert_eq!(problems(&format!("listen: {{ unix: /b, allowedUids: [7] }}\n{callers}")), ["callers[1]"]);
}

#[test]
fn every_caller_is_one_and_has_spaces() {
    let with = |callers: &str| problems(&format!("listen: {{ unix: /b }}\ncallers: {callers}"));
    assert_eq!(with("[]"), ["callers"]);
    assert_eq!(with("[{ spaces: [\"*\"] }]"), ["callers[0]"]);
    assert_eq!(with("[{ uid: 1, name: n, spaces: [\"*\"] }]"), ["callers[0]"]);
    assert_eq!(with("[{ name: n, spaces: [\"*\"] }]"), ["callers[0]"]);
    assert_eq!(with("[{ uid: 1, spaces: [] }]"), ["callers[0].spaces"]);
    assert_eq!(with("[{ uid: 1, spaces: [\"*\"] }, { uid: 1, spaces: [\"*\"] }]"), ["callers[1]"]);
    assert_eq!(with("[{ uid: 1, spaces: [\"*\"], space: x }]"), ["callers[0]"]);
    for space in ["", ":", "prod", "prod/gateway", "*:gateway", "prod:", ":x", "prod:gate*", "Prod:*", "a:b:c", "**"] {
        assert_eq!(with(&format!("[{{ uid: 1, spaces: [\"{space}\"] }}]")), ["callers[0].spaces"], "{space}");
    }
}
