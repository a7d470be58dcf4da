use std::collections::BTreeMap;
use std::time::Duration;

use super::admin::AdminConfig;
use super::*;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    Config::read(text, &environment(&[("REDIS_USERNAME", "toolhive-auth"), ("REDIS_PASSWORD", "hidden")]))
}

fn problems(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(|problem| problem.path.clone()).collect()
}

const FULL: &str = r#"
listen: { unix: /run/portcullis/bridge.sock, mode: "0660", allowedUids: [101] }
keyPrefix: "thv:auth"
redis:
  sentinelConfig: { masterName: mymaster, sentinelAddrs: ["s0:26379", "s1", "[::1]:7"], db: 0 }
  aclUserConfig: { username: { env: REDIS_USERNAME }, password: { env: REDIS_PASSWORD } }
  sentinelAclUserConfig: {}
  timeouts: { dial: 5s, read: 300ms, write: 1m }
durability: replicated
metrics: { listen: 127.0.0.1:9464 }
limits: { connections: 10, inFlight: 5, queue: 6, deadline: 250ms }
"#;

#[test]
fn a_full_configuration_is_read_as_written() {
    let config = read(FULL).unwrap();
    let Listen::Unix(listen) = config.listen else { panic!("no Unix socket") };
    assert_eq!((listen.mode, listen.allowed_uids), (0o660, vec![101]));
    assert_eq!(config.key_prefix, "thv:auth:");
    let Place::Sentinel { master_name, sentinels } = config.redis.place else { panic!("no sentinels") };
    assert_eq!(master_name, "mymaster");
    let shown: Vec<String> = sentinels.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["s0:26379", "s1:26379", "[::1]:7"]);
    assert_eq!(config.redis.answer, Duration::from_secs(60));
    assert_eq!(config.durability, DurabilityMode::Replicated);
    assert_eq!((config.limits.queue, config.limits.deadline), (6, Duration::from_millis(250)));
    assert_eq!(config.limits.drain, Duration::from_secs(10));
}

#[test]
fn a_password_is_never_shown() {
    let config = read(FULL).unwrap();
    assert_eq!(config.redis.user.password.as_ref().unwrap().as_str(), "hidden");
    assert!(!format!("{config:?}").contains("hidden"));
}

#[test]
fn every_fault_is_named_at_once() {
    let found = problems(
        r#"
listen: { unix: "", mode: "0999", group: x }
keyPrefix: "thv:{x}"
colour: red
redis:
  addr: "redis:0"
  tls: { caCert: /nowhere/ca.crt, verify: no }
  aclUserConfig: { username: { env: ABSENT } }
metrics: { listen: here }
secretsDir: /nowhere/secrets
fetch:
  allowedPorts: []
  allowedDomains: ["a b"]
  allowAddresses: ["10.0.0.0"]
  perMinute: 0
  perHostPerMinute: 6001
  caCert: /nowhere/ca.crt
  redirects: 1
limits: { connections: 0 }
"#,
    );
    let expected = [
        "(file)",
        "listen",
        "redis.tls",
        "listen.unix",
        "listen.mode",
        "keyPrefix",
        "redis.addr",
        "redis.tls.caCert",
        "redis.aclUserConfig.username",
        "redis.aclUserConfig.password",
        "metrics.listen",
        "secretsDir",
        "fetch",
        "fetch.allowedPorts",
        "fetch.allowedDomains",
        "fetch.allowAddresses",
        "fetch.perMinute",
        "fetch.perHostPerMinute",
        "fetch.caCert",
        "limits.connections",
    ];
    for path in expected {
        assert!(found.iter().any(|known| known == path), "{path} is not among {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

#[test]
fn exactly_one_place_is_asked_for() {
    let with = |redis: &str| problems(&format!("listen: {{ unix: /b }}\nredis: {{ {redis} }}"));
    assert_eq!(with("db: 0"), ["redis"]);
    assert_eq!(with("addr: a, sentinelConfig: { masterName: m, sentinelAddrs: [s] }"), ["redis"]);
    assert_eq!(with("addr: a, cluster: { addrs: [b] }"), ["redis"]);
    assert_eq!(with("cluster: { addrs: [] }"), ["redis.cluster.addrs"]);
    assert_eq!(with("cluster: { addrs: [\"a:x\"] }"), ["redis.cluster.addrs"]);
    assert_eq!(with("cluster: { addrs: [a] }, db: 1"), ["redis.db"]);
    assert_eq!(with("sentinelConfig: { masterName: m }"), ["redis.sentinelConfig"]);
    let both = "sentinelConfig: { masterName: m, sentinelAddrs: [s], sentinelService: { name: n, namespace: s } }";
    assert_eq!(with(both), ["redis.sentinelConfig"]);
    assert_eq!(with("sentinelConfig: { masterName: m, sentinelAddrs: [] }"), ["redis.sentinelConfig.sentinelAddrs"]);
    assert_eq!(with("db: 1, sentinelConfig: { masterName: m, sentinelAddrs: [s], db: 0 }"), ["redis.db"]);
}

#[test]
fn a_service_stands_for_its_sentinels() {
    let text = "listen: { unix: /b }\nredis: { sentinelConfig: { masterName: m, sentinelService: { name: s, namespace: r } } }";
    let Place::Sentinel { sentinels, .. } = read(text).unwrap().redis.place else { panic!("no sentinels") };
    assert_eq!(sentinels, [Endpoint { host: "s.r.svc".to_owned(), port: 26_379 }]);
}

#[test]
fn a_wrong_type_is_named_with_its_path() {
    assert_eq!(problems("listen: { unix: /b }\nredis: { addr: a, timeouts: { dial: 5 } }"), ["redis.timeouts.dial"]);
    for dial in ["0s", "11m", "5", "s", "-5s", "5 s", "5h", "99999999999999999999s"] {
        let text = format!("listen: {{ unix: /b }}\nredis: {{ addr: a, timeouts: {{ dial: \"{dial}\" }} }}");
        assert_eq!(problems(&text), ["redis.timeouts.dial"], "{dial}");
    }
    assert_eq!(problems("listen: { unix: /b }\nredis: { addr: a }\ndurability: maybe"), ["durability"]);
    assert_eq!(problems("listen: [").len(), 1);
}

#[test]
fn the_environment_lays_over_the_file() {
    let variables = environment(&[
        ("PORTCULLIS_BRIDGE__LISTEN__ALLOWED_UIDS", "[7, 8]"),
        ("PORTCULLIS_BRIDGE__REDIS__ADDR", "other:6380"),
        ("PORTCULLIS_BRIDGE__LIMITS__IN_FLIGHT", "9"),
        ("PORTCULLIS_BRIDGE__DURABILITY", "async"),
        ("OTHER__LISTEN", "x"),
    ]);
    let config = Config::read("listen: { unix: /b }\nredis: { addr: a }", &variables).unwrap();
    let Listen::Unix(listen) = config.listen else { panic!("no Unix socket") };
    assert_eq!(listen.allowed_uids, [7, 8]);
    let Place::Standalone(endpoint) = config.redis.place else { panic!("not standalone") };
    assert_eq!(endpoint.to_string(), "other:6380");
    assert_eq!((config.limits.in_flight, config.durability), (9, DurabilityMode::Async));
    let misspelt = environment(&[("PORTCULLIS_BRIDGE__LISTEM__MODE", "0600")]);
    let found = Config::read("listen: { unix: /b }\nredis: { addr: a }", &misspelt).unwrap_err();
    assert_eq!(found[0].to_string(), "(file): unknown field; is it listen?");
}

#[test]
fn a_field_that_takes_text_takes_any_text() {
    let variables = environment(&[
        ("PORTCULLIS_BRIDGE__KEY_PREFIX", "thv:auth:"),
        ("PORTCULLIS_BRIDGE__LISTEN__MODE", "0640"),
        ("PORTCULLIS_BRIDGE__REDIS__SENTINEL_CONFIG__MASTER_NAME", "1e3"),
        ("PORTCULLIS_BRIDGE__METRICS__LISTEN", "[::1]:9464"),
    ]);
    let text = "listen: { unix: /b }\nredis: { sentinelConfig: { masterName: m, sentinelAddrs: [s] } }";
    let config = Config::read(text, &variables).unwrap();
    assert_eq!((config.key_prefix.as_str(), config.metrics.unwrap().to_string().as_str()), ("thv:auth:", "[::1]:9464"));
    let Listen::Unix(listen) = config.listen else { panic!("no Unix socket") };
    assert_eq!(listen.mode, 0o640);
    let Place::Sentinel { master_name, .. } = config.redis.place else { panic!("no sentinels") };
    assert_eq!(master_name, "1e3");

    for (written, meant) in [("0660", "0660"), ("1_000", "1_000"), ("0x1F", "0x1F"), ("true", "true"), ("1.50", "1.50")]
    {
        let text = format!(
            "listen: {{ unix: /b, mode: 0600 }}\nredis:\n  sentinelConfig:\n    sentinelAddrs: [s]\n    masterName: {written}\n"
        );
        let config = read(&text).unwrap();
        let Place::Sentinel { master_name, .. } = config.redis.place else { panic!("no sentinels") };
        assert_eq!(master_name, meant);
        let Listen::Unix(listen) = config.listen else { panic!("no Unix socket") };
        assert_eq!(listen.mode, 0o600);
    }
    // Quotes are YAML's, and what is no text stays what it is.
    let quoted = environment(&[("PORTCULLIS_BRIDGE__KEY_PREFIX", "\"quoted\"")]);
    assert_eq!(Config::read("listen: { unix: /b }\nredis: { addr: a }", &quoted).unwrap().key_prefix, "quoted:");
    assert_eq!(problems("listen: { unix: [/b] }\nredis: { addr: a }"), ["listen.unix"]);
    assert_eq!(problems("listen: { unix: /b, allowedUids: [\"0\"] }\nredis: { addr: a }"), ["listen.allowedUids[0]"]);
}

#[test]
fn one_newline_at_the_end_of_a_password_is_not_part_of_it() {
    let text = "listen: { unix: /b }\nredis: { addr: a, aclUserConfig: { password: { env: P } } }";
    for (given, meant) in [("x\n", "x"), ("x", "x"), ("x\n\n", "x\n"), (" x ", " x ")] {
        let config = Config::read(text, &environment(&[("P", given)])).unwrap();
        assert_eq!(config.redis.user.password.as_ref().unwrap().as_str(), meant);
    }
    let found = Config::read(text, &environment(&[("P", "\n")])).unwrap_err();
    assert_eq!(found[0].path, "redis.aclUserConfig.password");
}

#[test]
fn a_host_is_a_name_or_an_address_and_nothing_of_a_url() {
    for addr in ["user:hidden@redis:6379", "hidden@redis:6379", "redis://redis:6379", "redis/0", "a b", "a,b", ""] {
        assert_eq!(
            problems(&format!("listen: {{ unix: /b }}\nredis: {{ addr: \"{addr}\" }}")),
            ["redis.addr"],
            "{addr}"
        );
    }
}

/// Whatever is written wherever: no problem repeats it. What is a good value is none here.
#[test]
fn no_problem_repeats_what_is_written() {
    let mut seen = 0_usize;
    for field in FIELDS {
        for written in CANARIES {
            for text in written_at(field, written) {
                seen += silent(&text, &BTreeMap::new());
            }
            let variable = format!("PORTCULLIS_BRIDGE__{}", variable_name(field));
            let sane = "listen: { unix: /b }\nredis: { addr: a }";
            for name in [variable.clone(), format!("{variable}__{}", written.trim())] {
                seen += silent(sane, &environment(&[(&name, written)]));
            }
        }
    }
    // Values, keys, lists, wrong types, syntax: nearly all of it is a fault.
    assert!(seen > 2_000, "only {seen} of these texts were found wrong");
}

/// How many readings found problems; none of them may repeat the canary.
fn silent(text: &str, environment: &BTreeMap<String, String>) -> usize {
    let service = Config::read(text, environment).err();
    let admin = AdminConfig::read(text, environment).err();
    let found = [service, admin].into_iter().flatten();
    found
        .map(|problems| {
            for problem in &problems {
                let shown = format!("{problem} {problem:?}").to_lowercase();
                assert!(!shown.contains("hunter") && !shown.contains("424242"), "{shown}\nof {text} {environment:?}");
            }
            usize::from(!problems.is_empty())
        })
        .sum()
}

/// The text in this place of a configuration, in several ways to write it: alone, where its
/// neighbours are right.
fn written_at(field: &str, written: &str) -> [String; 7] {
    let under = |value: &str| {
        let mut text = String::new();
        for (depth, name) in field.split('.').enumerate() {
            text.push_str(&format!("{:indent$}{name}:\n", "", indent = depth.saturating_mul(2)));
        }
        let rest = if field.starts_with("listen") { "redis: { addr: a }" } else { "listen: { unix: /b }" };
        format!("{} {value}\n{rest}\n", text.trim_end())
    };
    [
        under(written),
        under(&format!("{{ {written} }}")),
        under(&format!("{{ {written}: x }}")),
        under(&format!("[{written}]")),
        under(&format!("{{ env: {written} }}")),
        under(&format!("{written}: {{")),
        under(&format!("\"{written}")),
    ]
}

fn variable_name(field: &str) -> String {
    let mut name = String::new();
    for letter in field.chars() {
        match letter {
            '.' => name.push_str("__"),
            letter if letter.is_ascii_uppercase() => name.extend(['_', letter]),
            letter => name.push(letter.to_ascii_uppercase()),
        }
    }
    name
}

const CANARIES: [&str; 12] = [
    "hunter2",
    "\"hunter2\\n\"",
    "hunter2!",
    "hunter2: hunter2",
    "hunter2\n",
    "'hunter2",
    "!hunter2 hunter2",
    "*hunter2",
    "&hunter2 hunter2",
    "424242424242424242424",
    "-4242.42",
    "|\n      -----BEGIN PRIVATE KEY-----\n      hunter2",
];

const FIELDS: [&str; 61] = [
    "password",
    "listen",
    "listen.unix",
    "listen.mode",
    "listen.allowedUids",
    "listen.tcp",
    "listen.tcp.address",
    "listen.tcp.cert",
    "listen.tcp.key",
    "listen.tcp.clientCa",
    "listen.tcp.allowedNames",
    "callers",
    "keyPrefix",
    "redis",
    "redis.password",
    "redis.sentinelConfig",
    "redis.sentinelConfig.masterName",
    "redis.sentinelConfig.sentinelAddrs",
    "redis.sentinelConfig.sentinelService",
    "redis.sentinelConfig.sentinelService.name",
    "redis.sentinelConfig.sentinelService.namespace",
    "redis.sentinelConfig.sentinelService.port",
    "redis.sentinelConfig.db",
    "redis.addr",
    "redis.cluster",
    "redis.cluster.addrs",
    "redis.db",
    "redis.aclUserConfig",
    "redis.aclUserConfig.username",
    "redis.aclUserConfig.password",
    "redis.aclUserConfig.password.env",
    "redis.sentinelAclUserConfig",
    "redis.sentinelAclUserConfig.password",
    "redis.tls",
    "redis.tls.caCert",
    "redis.tls.clientCert",
    "redis.tls.clientKey",
    "redis.tls.insecureSkipVerify",
    "redis.sentinelTls",
    "redis.timeouts",
    "redis.timeouts.dial",
    "redis.timeouts.read",
    "durability",
    "metrics",
    "metrics.listen",
    "secretsDir",
    "fetch",
    "fetch.allowedPorts",
    "fetch.allowedDomains",
    "fetch.perHostPerMinute",
    "fetch.perMinute",
    "fetch.caCert",
    "fetch.allowAddresses",
    "limits",
    "limits.connections",
    "limits.deadline",
    "admin",
    "admin.aclUserConfig.password",
    "admin.gatewaySecrets",
    "admin.issuer",
    "admin.namespace",
];

#[test]
fn a_prefix_ends_with_one_colon_and_holds_no_pattern() {
    for (written, meant) in [("thv:auth:", "thv:auth:"), ("mcp-sessions", "mcp-sessions:")] {
        let text = format!("listen: {{ unix: /b }}\nredis: {{ addr: a }}\nkeyPrefix: \"{written}\"");
        assert_eq!(read(&text).unwrap().key_prefix, meant);
    }
    for written in ["", ":", "a*", "a{b}", "a b", "a\\r\\n", "a[1]", "a?"] {
        let text = format!("listen: {{ unix: /b }}\nredis: {{ addr: a }}\nkeyPrefix: \"{written}\"");
        assert_eq!(problems(&text), ["keyPrefix"], "{written}");
    }
}

#[test]
fn sentinels_are_asked_with_the_masters_tls_unless_they_have_their_own() {
    let text =
        |own: &str| format!("listen: {{ unix: /b }}\nredis: {{ addr: a, tls: {{ insecureSkipVerify: true }}{own} }}");
    assert!(read(&text("")).unwrap().redis.sentinel_tls.unwrap().insecure);
    assert!(!read(&text(", sentinelTls: {}")).unwrap().redis.sentinel_tls.unwrap().insecure);
}

#[test]
fn nothing_is_fetched_or_served_unless_it_is_asked_for() {
    let config = read("listen: { unix: /b }\nredis: { addr: a }").unwrap();
    assert!(config.fetch.is_none() && config.secrets_dir.is_none());
    let config = read("listen: { unix: /b }\nredis: { addr: a }\nfetch: {}").unwrap();
    let fetch = config.fetch.unwrap();
    assert_eq!((fetch.ports, fetch.domains, fetch.allow_addresses), (vec![443], vec![Domains::All], Vec::new()));
    assert_eq!((fetch.per_host_per_minute, fetch.per_minute), (10, 60));
    assert!(!fetch.roots.is_empty());
}
