//! Secrets that the bridge has.

use portcullis_protocol::crypto::key_ring::{KeyRing, Purpose};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_storage_api::wire::SecretName;
use portcullis_storage_api::wire::{Secret as Served, SecretValue};

use super::*;

/// As [`bridged`], with every secret at the bridge.
fn served() -> Value {
    let document = with(bridged(), "/signingKeys", json!([{ "bridge": "signing-keys" }]));
    let document = with(document, "/secrets", json!([{ "bridge": "gateway-secrets" }]));
    with(document, "/upstreamProviders/0/oidcConfig/clientSecret", json!({ "bridge": "idp-secret" }))
}

fn draft(document: &Value) -> Box<Draft> {
    match Config::compile(document.to_string().as_bytes(), &environment) {
        Ok(Compiled::Awaiting(draft)) => draft,
        Ok(Compiled::Ready(_)) => panic!("needs nothing of the bridge"),
        Err(problems) => panic!("{problems:?}"),
    }
}

fn contents(files: &[(&str, &[u8])]) -> Vec<Served> {
    let file = |(name, content): &(&str, &[u8])| Served {
        name: SecretName::new(name).unwrap(),
        value: SecretValue::new(content.to_vec().into()).unwrap(),
    };
    files.iter().map(file).collect()
}

/// The files of [`served`], one of them with another content.
fn files_but(name: &str, content: &[u8]) -> Vec<Served> {
    let files: [(&str, &[u8]); 3] =
        [("signing-keys", KEY.as_bytes()), ("gateway-secrets", SECRET.as_bytes()), ("idp-secret", b"a client secret")];
    contents(&files.map(|(other, usual)| (other, if other == name { content } else { usual })))
}

fn compile_with(files: &[Served]) -> Result<Config, Vec<String>> {
    let compiled = draft(&served()).compile(&environment, files);
    compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn refused_with(name: &str, content: &[u8]) -> Vec<String> {
    compile_with(&files_but(name, content)).err().unwrap()
}

/// Whether `opener` opens what `sealer` sealed.
fn opens(opener: &KeyRing, sealer: &KeyRing) -> bool {
    opener.open(Purpose::Record, b"", &sealer.seal([7; 24], Purpose::Record, b"", b"value")).is_ok()
}

fn ring(secret: &str) -> KeyRing {
    KeyRing::new(vec![Secret::new(secret.as_bytes().to_vec())]).unwrap()
}

#[test]
fn a_document_names_each_secret_of_the_bridge_once_and_the_bridge() {
    let document = with(served(), "/signingKeys/1", json!({ "bridge": "gateway-secrets" }));
    let draft = draft(&document);
    let names: Vec<_> = draft.names().iter().map(SecretName::as_str).collect();
    assert_eq!(names, ["signing-keys", "gateway-secrets", "idp-secret"]);
    assert_eq!(draft.bridge().cluster, "redis-bridge");
}

#[test]
fn a_secret_makes_the_same_keys_wherever_it_comes_from() {
    let config = compile_with(&files_but("", b"")).ok().unwrap();
    let usual = compile(&bridged()).ok().unwrap();
    assert_eq!(config.signing_keys[0].kid(), usual.signing_keys[0].kid());
    assert_eq!(config.key_ring.current(), usual.key_ring.current());
    assert!(opens(&config.key_ring, &ring(SECRET)));
    assert!(oidc(&config).client.client_secret.as_ref().unwrap().ct_eq(b"a client secret"));
}

#[test]
fn a_file_may_hold_several_keys_and_the_first_signs() {
    let file = format!("# the next\n{OTHER_KEY}\n{KEY}");
    let config = compile_with(&files_but("signing-keys", file.as_bytes())).ok().unwrap();
    let algorithms: Vec<_> = config.signing_keys.iter().map(|key| key.alg().name()).collect();
    assert_eq!(algorithms, ["EdDSA", "ES256"]);
}

#[test]
fn a_file_may_hold_several_secrets_and_the_first_seals() {
    let file = format!("  {OTHER_SECRET} \r\n\n{SECRET}\n");
    let config = compile_with(&files_but("gateway-secrets", file.as_bytes())).ok().unwrap();
    assert_eq!(config.key_ring.current(), ring(OTHER_SECRET).current());
    assert!(opens(&config.key_ring, &ring(SECRET)) && opens(&config.key_ring, &ring(OTHER_SECRET)));
}

#[test]
fn files_and_variables_may_stand_side_by_side() {
    let document = with(served(), "/secrets/1", json!({ "env": "OTHER_SECRET" }));
    let config = draft(&document).compile(&environment, &files_but("", b"")).ok().unwrap();
    assert_eq!(config.key_ring.current(), ring(SECRET).current());
    assert!(opens(&config.key_ring, &ring(OTHER_SECRET)));
}

#[test]
fn what_can_be_told_without_the_bridge_is_told_at_once() {
    let document = with(served(), "/signingKeys/1", json!({ "env": "SECRET" }));
    let document = with(document, "/secrets/1", json!({ "env": "SHORT" }));
    let document = with(document, "/tokenLifespans/accessToken", json!("25h"));
    let found = problems(&document);
    let paths: Vec<_> = found.iter().map(|problem| problem.split_once(": ").unwrap().0).collect();
    assert_eq!(paths, ["signingKeys[1]", "secrets[1]", "tokenLifespans.accessToken"]);
}

#[test]
fn a_secret_of_the_bridge_needs_a_bridge() {
    let document = with(served(), "/storage", json!({ "type": "memory" }));
    let expected = "a secret of the bridge needs \"storage\": {\"type\": \"bridge\", …}";
    let found = problems(&document);
    let places = ["signingKeys[0]", "secrets[0]", "upstreamProviders[0].oidcConfig.clientSecret"];
    assert_eq!(found, places.map(|place| format!("{place}: {expected}")));
}

#[test]
fn a_name_that_is_none_is_refused_and_not_repeated() {
    for name in ["", ".hidden", "../signing-key", "a/b", "a b", "é", &"a".repeat(65)] {
        let found = problems(&with(served(), "/secrets/0", json!({ "bridge": name })));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("secrets[0]: the bridge's name must have 1 to 64 letters"), "{found:?}");
        assert!(name.len() < 5 || !found[0].contains(name), "{found:?}");
    }
}

#[test]
fn more_names_than_one_question_may_have_are_refused() {
    let names = |count: usize| (0..count).map(|at| json!({ "bridge": format!("secret-{at}") })).collect::<Vec<_>>();
    // Two others are named as well.
    assert_eq!(draft(&with(served(), "/secrets", json!(names(30)))).names().len(), 32);
    let found = problems(&with(served(), "/secrets", json!(names(31))));
    assert_eq!(found, ["configuration: names 33 secrets of the bridge; at most 32 may be"]);
}

#[test]
fn a_content_that_makes_no_key_is_refused_by_its_place() {
    let two = format!("{KEY}\n-----BEGIN PRIVATE KEY-----\nc0ffee\n-----END PRIVATE KEY-----\n");
    let same = format!("{KEY}\n{KEY}");
    let cut = KEY.split_at(KEY.len() / 2).0;
    for (content, expected) in [
        ("no key", "signingKeys[0]: no PEM block of a private key found"),
        (cut, "signingKeys[0]: the PEM block is malformed"),
        (&two, "signingKeys[0]: key 2: the PEM block is malformed"),
        (&same, "signingKeys[0]: key 2: is the same key again"),
        (" \n", "signingKeys[0]: the bridge's secret signing-keys is empty"),
    ] {
        assert_eq!(refused_with("signing-keys", content.as_bytes()), [expected]);
    }
    assert_eq!(refused_with("signing-keys", b"\xff"), ["signingKeys[0]: the bridge's secret signing-keys is not text"]);
}

#[test]
fn a_content_that_makes_no_secret_is_refused_by_its_place() {
    let short = format!("{SECRET}\n\ntoo short\n");
    let same = format!("{SECRET}\n{SECRET}\n");
    for (content, expected) in [
        ("too short", "secrets[0]: must have at least 32 bytes"),
        (&short, "secrets[0]: line 3: must have at least 32 bytes"),
        (&same, "secrets[0]: line 2: is the same secret again"),
    ] {
        assert_eq!(refused_with("gateway-secrets", content.as_bytes()), [expected]);
    }
    assert_eq!(
        refused_with("idp-secret", b" "),
        ["upstreamProviders[0].oidcConfig.clientSecret: the bridge's secret idp-secret is empty"]
    );
}

#[test]
fn a_secret_that_did_not_come_is_named() {
    let files = contents(&[("signing-keys", KEY.as_bytes()), ("gateway-secrets", SECRET.as_bytes())]);
    let expected = "upstreamProviders[0].oidcConfig.clientSecret: the bridge did not give the secret idp-secret";
    assert_eq!(compile_with(&files).err().unwrap(), [expected]);
}

#[test]
fn no_problem_repeats_a_content() {
    const CANARY: &str = "c0ffee5ec12e7c0ffee5ec12e7c";
    for name in ["signing-keys", "gateway-secrets"] {
        for content in [CANARY.to_owned(), format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----")]
        {
            let found = refused_with(name, content.as_bytes());
            assert!(!found.is_empty() && found.iter().all(|problem| !problem.contains(CANARY)), "{found:?}");
        }
    }
}
