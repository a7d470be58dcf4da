//! Configurations of `redis-bridge`.

use super::{checked, checked_with};

const GOOD: &str = r#"listen: { unix: /run/bridge.sock, mode: "0660" }
keyPrefix: "thv:auth:"
redis:
  sentinelConfig: { masterName: mymaster, sentinelAddrs: ["s0:26379"] }
  aclUserConfig: { username: { env: REDIS_USERNAME }, password: { env: REDIS_PASSWORD } }
  tls: { caCert: /nowhere/ca.crt }
secretsDir: /nowhere/secrets
fetch: {}
admin: { gatewaySecrets: [{ env: GATEWAY_SECRET }], issuer: https://gateway.example }
"#;

#[test]
fn without_secrets_neither_variables_nor_files_are_looked_up() {
    assert_eq!(checked(GOOD, &[]).out, "FILE: ok, 1 configuration\n");
    let done = checked_with(GOOD, &["--secrets"], &[("REDIS_USERNAME", "bridge")]);
    let expected = [
        "FILE:5:65: redis.aclUserConfig.password: the environment variable is not set or empty",
        "FILE:6:18: redis.tls.caCert: cannot read the file",
        "FILE:7:13: secretsDir: cannot read the folder",
    ];
    for (line, expected) in done.out.lines().zip(expected) {
        assert!(line.starts_with(expected), "{}", done.out);
    }
    assert_eq!((done.code, done.out.lines().count()), (1, 3), "{}", done.out);
}

#[test]
fn all_mistakes_are_named_at_once_with_their_places() {
    let text = r#"listen: { unix: "", mode: [1], group: x }
keyPrefix: "thv:{x}"
redis:
  addr: { a: 1 }
  db: many
  timeouts: { dial: 5, read: x }
  tls: { insecureSkipVerify: 1 }
callers:
  - { uid: -1, spaces: "prod:gateway" }
  - { name: a }
metrics: {}
limits: { connections: many, queue: 0 }
colour: red
"#;
    let done = checked(text, &[]);
    let expected = [
        "1:17: listen.unix: must be a path",
        "1:27: listen.mode: must be text",
        "1:39: listen: unknown field in line 1; known here: unix, mode",
        "2:12: keyPrefix: must be 1 to 64 characters",
        "4:9: redis.addr: must be text",
        "5:7: redis.db: must be an integer from 0 to 255",
        "6:21: redis.timeouts.dial: must be a duration",
        "6:30: redis.timeouts.read: must be a duration",
        "7:30: redis.tls.insecureSkipVerify: must be true or false",
        "9:12: callers[0].uid: must be a non-negative integer",
        "9:24: callers[0].spaces: must be a list",
        "10:5: callers[1]: spaces is missing",
        "11:10: metrics: listen is missing",
        "12:24: limits.connections: must be a non-negative integer",
        "12:37: limits.queue: must be from 1 to 65536",
        "13:9: configuration: unknown field in line 13",
    ];
    let found: Vec<&str> = done.out.lines().map(|line| line.strip_prefix("FILE:").unwrap()).collect();
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}, and not {expected}\n{}", done.out);
    }
    assert_eq!((done.code, found.len()), (1, expected.len()), "{}", done.out);
}

#[test]
fn a_syntax_error_has_line_and_column() {
    let done = checked("listen: { unix: /b }\nredis: {\n  addr: a\n", &[]);
    assert!(done.code == 1 && done.out.contains("configuration: not YAML"), "{}", done.out);
    let twice = checked(&format!("{GOOD}fetch: {{}}\n"), &[]);
    assert!(twice.out.starts_with("FILE:10:1: configuration: a field is given twice"), "{}", twice.out);
}
