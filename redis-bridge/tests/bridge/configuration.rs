//! A wrong configuration is named by its places: what is written there may be a secret, and is
//! never repeated, neither on standard output nor on standard error, by any way to start the
//! program.

use std::fs;
use std::process::Command;

use portcullis_testbed::paths;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, USER};

/// What the program says, started in this way with these variables, and its exit code.
fn said(text: &str, variables: &[(&str, &str)], arguments: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.yaml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(paths::bridge());
    let done = command.arg("--config").arg(&config).args(arguments).envs(variables.iter().copied()).output().unwrap();
    (String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(), done.status.code())
}

const WAYS: [&[&str]; 3] = [&[], &["--check"], &["--check", "--log", "text"]];

#[test]
fn a_secret_in_a_wrong_place_is_named_by_the_place_and_not_repeated() {
    let user = |user: &str| format!("listen: {{ unix: /b }}\nredis:\n  addr: a\n  aclUserConfig: {user}\n");
    let cases = [
        (user("{ password: hunter2 }"), "redis.aclUserConfig.password: must be"),
        (user("{ password: { hunter2 } }"), "redis.aclUserConfig.password: unknown field in line 4"),
        (user("{ password: { env: hunter2 } }"), "redis.aclUserConfig.password: the environment variable is not set"),
        (user("{ password: [hunter2] }"), "redis.aclUserConfig.password: must be"),
        (user("{ hunter2: { env: X } }"), "redis.aclUserConfig: unknown field in line 4"),
        (user("hunter2"), "redis.aclUserConfig: must be"),
        (user("\n    password: \"hunter2\n    username: x"), "(file), line "),
        (user("\n    password: hunter2: {\n"), "(file), line "),
        (user("\n    password: !hunter2 *hunter2"), "(file), line "),
        (user("{}\nhunter2: 1\nhunter2: 2"), "a field is set twice"),
        (user("{}\n  tls: { clientCert: hunter2, clientKey: hunter2 }"), "redis.tls.clientKey: cannot read the file"),
        (user("{}\n  timeouts: { dial: hunter2 }"), "redis.timeouts.dial: must be a duration"),
        (user("{}\n  db: hunter2"), "redis.db: must be an integer from 0 to 255"),
        (user("{}\ndurability: hunter2"), "durability: must be one of auto"),
        ("listen: { unix: /b }\nredis: { addr: \"hunter2@redis:6379\" }".to_owned(), "redis.addr: "),
        (user("{}\nadmin: { gatewaySecrets: [hunter2] }"), "admin.gatewaySecrets[0]: must be"),
        ("hunter2".to_owned(), "(file): must be"),
        ("listen: { unix: /b }\n\thunter2: }".to_owned(), "(file), line "),
    ];
    for (text, place) in &cases {
        for arguments in WAYS {
            let (said, code) = said(text, &[], arguments);
            assert_eq!(code, Some(2), "{arguments:?} {text}: {said}");
            assert!(said.contains(place), "{arguments:?} {text}: {said}");
            assert!(!said.contains("hunter2"), "{arguments:?} {text}: {said}");
        }
    }
}

#[test]
fn a_secret_in_a_variable_is_not_repeated() {
    let text = "listen: { unix: /b }\nredis: { addr: a }";
    for (name, value, place) in [
        ("REDIS__ACL_USER_CONFIG__PASSWORD", "hunter2", "redis.aclUserConfig.password: must be"),
        ("REDIS__ACL_USER_CONFIG__PASSWORD", "{ hunter2: [", "redis.aclUserConfig.password: must be"),
        ("REDIS__ACL_USER_CONFIG", "{ password: { hunter2 } }", "redis.aclUserConfig.password: unknown field"),
        (
            "REDIS__ACL_USER_CONFIG__PASSWORD__ENV",
            "hunter2",
            "redis.aclUserConfig.password: the environment variable is not set",
        ),
        ("REDIS__ACL_USER_CONFIG__PASSWORD__HUNTER2", "hunter2", "redis.aclUserConfig.password: unknown field"),
        ("REDIS__PASSWORD", "hunter2", "redis: unknown field"),
        ("REDIS__DB", "hunter2", "redis.db: must be an integer from 0 to 255"),
        ("REDIS__TLS__CA_CERT", "hunter2", "redis.tls.caCert: cannot read the file"),
        ("REDIS", "hunter2", "redis: must be"),
        ("LIMITS__DEADLINE", "hunter2", "limits.deadline: must be a duration"),
    ] {
        for arguments in WAYS {
            let variable = format!("PORTCULLIS_BRIDGE__{name}");
            let (said, code) = said(text, &[(&variable, value)], arguments);
            assert_eq!(code, Some(2), "{arguments:?} {name}={value}: {said}");
            assert!(said.contains(place), "{arguments:?} {name}={value}: {said}");
            assert!(!said.to_lowercase().contains("hunter2"), "{arguments:?} {name}={value}: {said}");
        }
    }
}

#[test]
fn a_password_is_not_shown_whether_it_is_right_or_wrong_and_however_much_is_logged() {
    let server = RedisServer::start(&LEAST_ACL.replace("bridge-password", "hunter2"), &[]);
    let text = format!("listen: {{ unix: /b }}\nredis: {{ addr: \"127.0.0.1:{}\", {USER} }}", server.port);
    for (password, expected) in [("hunter2\n", Some(0)), ("hunter2!", Some(1))] {
        let variables = [("REDIS_USERNAME", "toolhive-auth"), ("REDIS_PASSWORD", password), ("RUST_LOG", "trace")];
        let (said, code) = said(&text, &variables, &["--check"]);
        assert_eq!(code, expected, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
