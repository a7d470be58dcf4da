//! A wrong configuration is named by its places: what is written there may be a secret, and is
//! never repeated, neither on standard output nor on standard error.

use std::fs;
use std::process::Command;

use super::PORTCULLIS;

/// Runs `portcullis admin` on a configuration, and returns what it wrote and its exit code.
fn said(text: &str, variables: &[(&str, &str)]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.yaml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(PORTCULLIS);
    command.arg("admin").arg("--config").arg(&config).arg("stats");
    let done = command.envs(variables.iter().copied()).output().unwrap();
    (String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(), done.status.code())
}

#[test]
fn a_secret_in_a_wrong_place_is_named_by_the_place_and_not_repeated() {
    let user = |user: &str| format!("listen: {{ unix: /b }}\nredis:\n  addr: a\n  aclUserConfig: {user}\n");
    let cases = [
        (user("{ password: hunter2 }"), "redis.aclUserConfig.password: must be"),
        (user("{ password: { hunter2 } }"), "redis.aclUserConfig.password: unknown field in line 4"),
        (user("{ password: { env: hunter2 } }"), "redis.aclUserConfig.password: the environment has no"),
        (user("{ password: [hunter2] }"), "redis.aclUserConfig.password: must be"),
        (user("{ hunter2: { env: X } }"), "redis.aclUserConfig: unknown field in line 4"),
        (user("hunter2"), "redis.aclUserConfig: must be"),
        (user("\n    password: \"hunter2\n    username: x"), "(file), line "),
        (user("\n    password: hunter2: {\n"), "(file), line "),
        (user("\n    password: !hunter2 *hunter2"), "(file), line "),
        (user("{}\nhunter2: 1\nhunter2: 2"), "a field is given twice"),
        (
            user("{}\n  tls: { clientCert: hunter2, clientKey: hunter2 }"),
            "redis.tls.clientKey: the file cannot be read",
        ),
        (user("{}\n  timeouts: { dial: hunter2 }"), "redis.timeouts.dial: must be a time"),
        (user("{}\n  db: hunter2"), "redis.db: must be a whole number"),
        (user("{}\ndurability: hunter2"), "durability: must be one of auto"),
        ("listen: { unix: /b }\nredis: { addr: \"hunter2@redis:6379\" }".to_owned(), "redis.addr: "),
        (user("{}\nadmin: { gatewaySecrets: [hunter2] }"), "admin.gatewaySecrets[0]: must be"),
        ("hunter2".to_owned(), "(file): must be"),
        ("listen: { unix: /b }\n\thunter2: }".to_owned(), "(file), line "),
    ];
    for (text, place) in &cases {
        let (said, code) = said(text, &[]);
        assert_eq!(code, Some(2), "{text}: {said}");
        assert!(said.contains(place), "{text}: {said}");
        assert!(!said.contains("hunter2"), "{text}: {said}");
    }
}

#[test]
fn a_secret_in_a_variable_is_not_repeated() {
    let text = "listen: { unix: /b }\nredis: { addr: a }";
    for (name, value, place) in [
        ("REDIS__ACL_USER_CONFIG__PASSWORD", "hunter2", "redis.aclUserConfig.password: must be"),
        ("REDIS__ACL_USER_CONFIG__PASSWORD", "{ hunter2: [", "redis.aclUserConfig.password: must be"),
        ("REDIS__ACL_USER_CONFIG", "{ password: { hunter2 } }", "redis.aclUserConfig.password: unknown field"),
        ("REDIS__ACL_USER_CONFIG__PASSWORD__ENV", "hunter2", "redis.aclUserConfig.password: the environment has no"),
        ("REDIS__ACL_USER_CONFIG__PASSWORD__HUNTER2", "hunter2", "redis.aclUserConfig.password: unknown field"),
        ("REDIS__PASSWORD", "hunter2", "redis: unknown field"),
        ("REDIS__DB", "hunter2", "redis.db: must be a whole number"),
        ("REDIS__TLS__CA_CERT", "hunter2", "redis.tls.caCert: the file cannot be read"),
        ("REDIS", "hunter2", "redis: must be"),
        ("LIMITS__DEADLINE", "hunter2", "limits.deadline: must be a time"),
    ] {
        let variable = format!("PORTCULLIS_BRIDGE__{name}");
        let (said, code) = said(text, &[(&variable, value)]);
        assert_eq!(code, Some(2), "{name}={value}: {said}");
        assert!(said.contains(place), "{name}={value}: {said}");
        assert!(!said.to_lowercase().contains("hunter2"), "{name}={value}: {said}");
    }
}
