//! Configurations of the bridge with a secret in a wrong place. Every program that reads one names
//! the place, and repeats nothing that is written there, as it may be a secret.

/// Runs a program on each of these configurations.
///
/// `said` gives the program the text of a configuration and environment variables, and returns what
/// it wrote to standard output and standard error, and its exit code.
///
/// # Panics
/// If it does not end with 2, does not name the place, or repeats what is there.
pub fn assert_places_are_named(said: impl Fn(&str, &[(&str, &str)]) -> (String, Option<i32>)) {
    let check = |text: &str, variables: &[(&str, &str)], place: &str| {
        let (said, code) = said(text, variables);
        assert_eq!(code, Some(2), "{text} {variables:?}: {said}");
        assert!(said.contains(place), "{text} {variables:?}: {said}");
        assert!(!said.to_lowercase().contains("hunter2"), "{text} {variables:?}: {said}");
    };
    for (text, place) in in_documents() {
        check(&text, &[], place);
    }
    for (name, value, place) in IN_VARIABLES {
        let variable = format!("PORTCULLIS_BRIDGE__{name}");
        check("listen: { unix: /b }\nredis: { addr: a }", &[(&variable, value)], place);
    }
}

/// A configuration, and the place that is named.
fn in_documents() -> [(String, &'static str); 18] {
    let user = |user: &str| format!("listen: {{ unix: /b }}\nredis:\n  addr: a\n  aclUserConfig: {user}\n");
    [
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
    ]
}

/// The end of a variable's name, its value, and the place that is named.
const IN_VARIABLES: [(&str, &str, &str); 10] = [
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
];
