//! With `--secrets` keys and secrets are checked, too; and no literal secret is ever repeated,
//! wherever it is written.

use super::{GOOD, checked, checked_with};

const KEY: &str = include_str!("../../../protocol/testdata/keys/p256.pkcs8.pem");
const CANARY: &str = "hunter2";

#[test]
fn keys_and_secrets_of_the_environment_are_checked() {
    let secret = "a gateway secret of at least 32 bytes";
    let good = [("SIGNING_KEY", KEY), ("GATEWAY_SECRET", secret), ("IDP_SECRET", "x")];
    assert_eq!(checked_with(GOOD, &["--secrets"], &good).out, "FILE: ok, 1 configuration\n");
    let bad = [("SIGNING_KEY", "hunter2"), ("GATEWAY_SECRET", "hunter2")];
    let done = checked_with(GOOD, &["--secrets"], &bad);
    let expected = ["FILE:19:47: signingKeys[0]: ", "FILE:20:43: secrets[0]: ", "FILE:32:51: upstreamProviders[0]."];
    for (line, expected) in done.out.lines().zip(expected) {
        assert!(line.starts_with(expected), "{}", done.out);
    }
    assert_eq!((done.code, done.out.lines().count()), (1, 3), "{}", done.out);
    assert!(!done.out.contains(CANARY), "{}", done.out);
}

#[test]
fn no_literal_secret_is_repeated_wherever_it_is() {
    let strings: Vec<&str> = GOOD.split('"').skip(1).step_by(2).collect();
    assert!(strings.len() > 40);
    let mut refused = 0;
    for string in strings.iter().filter(|string| !string.contains("googleapis")) {
        for written in [
            "\"hunter2\"",
            "\"hunter2 hunter2\"",
            "[\"hunter2\"]",
            "{ \"hunter2\": \"hunter2\" }",
            "\"hunter2",
            "hunter2",
        ] {
            let text = GOOD.replacen(&format!("\"{string}\""), written, 1);
            for arguments in [&[][..], &["--secrets"], &["--format", "json"]] {
                let done = checked(&text, arguments);
                assert!(!done.out.contains(CANARY), "{string} as {written}: {}", done.out);
                refused += done.code;
            }
        }
    }
    assert!(refused > 500, "only {refused} of these texts were refused");
}

#[test]
fn no_literal_secret_in_yaml_is_repeated() {
    for text in [
        "hunter2",
        "issuer: hunter2\nsecrets: [hunter2]\n",
        "issuer: hunter2: hunter2\n",
        "secrets: [{ inline: hunter2 }]\nissuer: [hunter2\n",
        "issuer: !hunter2 *hunter2\n",
        "kind: ConfigMap\ndata: { a: \"{ \\\"secrets\\\": hunter2 }\" }\n",
        "listen: { unix: /b }\nredis: { addr: \"hunter2@redis\", aclUserConfig: { password: hunter2 } }\n",
        "listen: { unix: /b }\nredis: { addr: a, aclUserConfig: { password: { env: hunter2 } }, hunter2: 1 }\n",
        "listen: { unix: /b }\nredis: hunter2: {\n",
    ] {
        for arguments in [&[][..], &["--secrets"], &["--format", "json"]] {
            let done = checked(text, arguments);
            assert!(!done.out.contains(CANARY), "{text}: {}", done.out);
        }
    }
}
