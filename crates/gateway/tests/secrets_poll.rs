//! The secrets that the bridge serves: when they are asked for, what a change brings, and what an
//! outage leaves as it is.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

use portcullis_gateway::config::{Compiled, Config};
use portcullis_gateway::ports::{CallError, CallReply, CallRequest, Clock, Entropy, Fetch, NoEntropy};
use portcullis_gateway::state::secrets_poll::{PollMode, PollOutcome, SecretsPoll};
use portcullis_storage_api::wire::{
    Refusal, RefusalCause, Revision, Secret as Served, SecretName, SecretValue, SecretsAnswer,
};
use portcullis_testkit::fakes::{FakePorts, block_on, json_reply};
use serde_json::{Value, json};

const KEY: &str = include_str!("../../protocol/testdata/keys/p256.pkcs8.pem");
const OTHER_KEY: &str = include_str!("../../protocol/testdata/keys/ed25519.pkcs8.pem");
const SECRET: &str = "a-secret-of-the-bridge-with-32-bytes-at-least";

fn watch() -> SecretsPoll {
    let document = json!({
        "issuer": "https://gateway.example",
        "signingKeys": [{ "bridge": "signing-keys" }],
        "secrets": [{ "bridge": "gateway-secrets" }],
        "storage": { "type": "bridge", "cluster": "redis-bridge", "namespace": "prod", "name": "gateway" },
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": { "issuerUrl": "https://idp.example", "cluster": "idp", "clientId": "portcullis" },
        }],
        "resources": [{ "resource": "https://gateway.example/mcp", "match": { "prefix": "/mcp" } }],
    });
    match Config::compile(document.to_string().as_bytes(), &|_| None) {
        Ok(Compiled::Awaiting(draft)) => SecretsPoll::new(*draft),
        Ok(Compiled::Ready(_)) => panic!("needs nothing of the bridge"),
        Err(problems) => panic!("{problems:?}"),
    }
}

fn reply(status: u16, body: &str) -> CallReply {
    CallReply { from_bridge: true, ..json_reply(status, body) }
}

fn unchanged(revision: u8) -> CallReply {
    let answer = SecretsAnswer { revision: Revision([revision; 32]), secrets: None };
    reply(200, &serde_json::to_string(&answer).unwrap())
}

fn given(revision: u8, files: &[(&str, &str)]) -> CallReply {
    let file = |(name, content): &(&str, &str)| Served {
        name: SecretName::new(name).unwrap(),
        value: SecretValue::new(content.as_bytes().to_vec().into()).unwrap(),
    };
    let secrets = Some(files.iter().map(file).collect());
    let answer = SecretsAnswer { revision: Revision([revision; 32]), secrets };
    reply(200, &serde_json::to_string(&answer).unwrap())
}

fn keys(revision: u8, key: &str) -> CallReply {
    given(revision, &[("signing-keys", key), ("gateway-secrets", SECRET)])
}

fn refusal(cause: RefusalCause, secret: Option<&str>) -> CallReply {
    let refusal = Refusal { error: cause, secret: secret.map(|name| SecretName::new(name).unwrap()) };
    reply(cause.status(), &serde_json::to_string(&refusal).unwrap())
}

fn ask(watch: &SecretsPoll, ports: &FakePorts, reply: Result<CallReply, CallError>) -> PollOutcome {
    ports.expect_call("redis-bridge", "/v1/secrets", reply);
    served(watch, block_on(watch.ask(ports, &|_| None, PollMode::LongPoll)))
}

/// Serves what an outcome brings, as every host does that can.
fn served(watch: &SecretsPoll, outcome: PollOutcome) -> PollOutcome {
    if let PollOutcome::Changed { revision, .. } = &outcome {
        watch.serves(*revision);
    }
    outcome
}

/// An outcome in a word: the algorithm that signs from now on, the first problem, the error.
fn told(outcome: &PollOutcome) -> String {
    match outcome {
        PollOutcome::Same => "same".to_owned(),
        PollOutcome::Changed { config, .. } => config.signing_keys[0].alg().name().to_owned(),
        PollOutcome::Refused(problems) => problems[0].to_string(),
        PollOutcome::Unavailable { error, new } => format!("{error}{}", if *new { "" } else { " (again)" }),
    }
}

fn sent(ports: &FakePorts) -> (Value, u64) {
    let calls = ports.take_sent();
    assert_eq!(calls.len(), 1);
    (serde_json::from_slice(&calls[0].body).unwrap(), calls[0].timeout_ms)
}

#[test]
fn unknown_secrets_are_asked_for_at_once_and_known_ones_by_a_long_poll() {
    let (watch, ports) = (watch(), FakePorts::new(1_800_000_000));
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(1, KEY)))), "ES256");
    let names = ["signing-keys", "gateway-secrets"];
    let question = json!({ "names": names, "known": null, "timeoutMilliseconds": 0 });
    assert_eq!(sent(&ports), (question, 3_000));
    assert_eq!(told(&ask(&watch, &ports, Ok(unchanged(1)))), "same");
    let question = json!({ "names": names, "known": "01".repeat(32), "timeoutMilliseconds": 20_000 });
    assert_eq!(sent(&ports), (question, 23_000));
    ports.expect_call("redis-bridge", "/v1/secrets", Ok(unchanged(1)));
    assert_eq!(told(&block_on(watch.ask(&ports, &|_| None, PollMode::Immediate))), "same");
    assert_eq!(sent(&ports).1, 3_000);
}

#[test]
fn a_change_is_given_once() {
    let (watch, ports) = (watch(), FakePorts::new(1_800_000_000));
    ask(&watch, &ports, Ok(keys(1, KEY)));
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(2, OTHER_KEY)))), "EdDSA");
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(2, OTHER_KEY)))), "same");
}

#[test]
fn what_the_host_could_not_serve_is_not_taken_for_what_is_served() {
    let (watch, ports) = (watch(), FakePorts::new(1_800_000_000));
    ask(&watch, &ports, Ok(keys(1, KEY)));
    ports.expect_call("redis-bridge", "/v1/secrets", Ok(keys(2, OTHER_KEY)));
    assert_eq!(told(&block_on(watch.ask(&ports, &|_| None, PollMode::LongPoll))), "EdDSA");
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(2, OTHER_KEY)))), "same");
    // What is still served was put back, and then the other once more.
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(1, KEY)))), "same");
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(2, OTHER_KEY)))), "EdDSA");
}

#[test]
fn an_answer_that_was_overtaken_changes_nothing() {
    let (watch, ports) = (watch(), FakePorts::new(1_800_000_000));
    ask(&watch, &ports, Ok(keys(1, KEY)));
    // While the bridge waits for a change of the first contents, a request is given the second.
    let waiting = Overtaken { watch: &watch, ports: &ports };
    assert_eq!(told(&block_on(watch.ask(&waiting, &|_| None, PollMode::LongPoll))), "same");
    let _ = ports.take_sent();
    assert_eq!(told(&ask(&watch, &ports, Ok(unchanged(2)))), "same");
    assert_eq!(sent(&ports).0["known"], "02".repeat(32));
}

/// Ports over which another question is answered before one's own.
struct Overtaken<'a> {
    watch: &'a SecretsPoll,
    ports: &'a FakePorts,
}

impl Fetch for Overtaken<'_> {
    async fn fetch(&self, _: CallRequest) -> Result<CallReply, CallError> {
        self.ports.expect_call("redis-bridge", "/v1/secrets", Ok(keys(2, OTHER_KEY)));
        let other = served(self.watch, self.watch.ask(self.ports, &|_| None, PollMode::Immediate).await);
        assert_eq!(told(&other), "EdDSA");
        Ok(unchanged(1))
    }
}

impl Clock for Overtaken<'_> {
    fn now_ms(&self) -> u64 {
        self.ports.now_ms()
    }
}

impl Entropy for Overtaken<'_> {
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        self.ports.random()
    }
}

#[test]
fn what_does_not_compile_is_told_once_and_the_old_put_back_changes_nothing() {
    let (watch, ports) = (watch(), FakePorts::new(1_800_000_000));
    ask(&watch, &ports, Ok(keys(1, KEY)));
    let problem = "signingKeys[0]: no PEM block of a private key found";
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(2, "broken")))), problem);
    assert!(watch.is_due(ports.now_ms()), "the next change is waited for at once");
    let _ = ports.take_sent();
    assert_eq!(told(&ask(&watch, &ports, Ok(unchanged(2)))), "same");
    assert_eq!(sent(&ports).0["known"], "02".repeat(32));
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(1, KEY)))), "same");
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(3, OTHER_KEY)))), "EdDSA");
}

#[test]
fn a_failure_is_told_once_for_each_cause_and_leaves_the_bridge_alone_for_a_while() {
    let (watch, ports) = (watch(), FakePorts::new(1_800_000_000));
    for (reply, expected) in [
        (Err(CallError::NotSent), "Envoy has no such cluster"),
        (Err(CallError::NotSent), "Envoy has no such cluster (again)"),
        (Err(CallError::NoAnswer), "the bridge cannot be reached"),
        // What Envoy itself says about a refused connection.
        (Ok(json_reply(503, "{}")), "the bridge cannot be reached (again)"),
        (
            Ok(refusal(RefusalCause::NotServed, Some("signing-keys"))),
            "the bridge does not serve the secret signing-keys; its log says why",
        ),
        (Ok(refusal(RefusalCause::NotConfigured, None)), "the bridge has no secretsDir"),
        (Ok(refusal(RefusalCause::Overloaded, None)), "the bridge refused: Overloaded"),
    ] {
        assert_eq!(told(&ask(&watch, &ports, reply)), expected);
        assert!(!watch.is_due(ports.now_ms()));
        ports.clock().advance(5);
        assert!(watch.is_due(ports.now_ms()));
    }
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(1, KEY)))), "ES256");
    assert!(watch.is_due(ports.now_ms()));
    assert_eq!(told(&ask(&watch, &ports, Err(CallError::NoAnswer))), "the bridge cannot be reached");
}

#[test]
fn an_answer_to_another_question_is_none() {
    let (watch, ports) = (watch(), FakePorts::new(1_800_000_000));
    let files = [("signing-keys", KEY), ("gateway-secrets", SECRET)];
    for strange in [
        // Nothing was known that could be the same still.
        unchanged(1),
        given(1, &files[..1]),
        given(1, &[files[1], files[0]]),
        given(1, &[files[0], files[1], files[0]]),
        given(1, &[]),
    ] {
        assert_eq!(
            told(&ask(&watch, &ports, Ok(strange))).trim_end_matches(" (again)"),
            "unexpected response from redis-bridge"
        );
    }
    // The same without the bridge's marker.
    let unmarked = CallReply { from_bridge: false, ..keys(1, KEY) };
    assert_eq!(told(&ask(&watch, &ports, Ok(unmarked))), "the bridge cannot be reached");
    assert_eq!(told(&ask(&watch, &ports, Ok(keys(1, KEY)))), "ES256");
}
