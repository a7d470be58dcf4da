//! `portcullis admin` on a store that a running bridge filled with the gateway's own records, under
//! exactly the ACL line that `docs/cli.md` gives. Needs `redis-server` on the path.
#![cfg(test)]

mod backups;
mod configuration;
mod listings;
mod refusals;
mod removals;

use std::process::Command;

use portcullis_gateway::clients::registered::Client as Registered;
use portcullis_gateway::clients::registered::client_key;
use portcullis_gateway::clients::sealed_id::CarriedRegistration;
use portcullis_gateway::config::{ProviderId, Sealer};
use portcullis_gateway::ports::{Ports as _, Store as _};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::sessions::remembered_consent::Consent;
use portcullis_gateway::sessions::state::{Generation, Session, State};
use portcullis_gateway::store::records::{Record, Records};
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::oauth::scope::ScopeSet;
use portcullis_storage_api::wire::{self, Get, GetAnswer, IdempotencyKey, Mutation, Put, PutAnswer, Space, Verb};
use portcullis_storage_api::{Key, Kind, Ttl};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::bridge_client::BridgeClient;
use portcullis_testbed::paths;
use portcullis_testbed::redis::{CREDENTIALS, Group, LEAST_ACL, RedisServer, cli, standalone};
use portcullis_testkit::fakes::FakePorts;
use serde_json::Value;
use tempfile::TempDir;

/// The line of `docs/cli.md`.
const ADMIN_ACL: &str =
    "user portcullis-admin on >PASSWORD ~thv:auth:* resetchannels +SCAN +STRLEN +PTTL +MGET +DEL +SET +WAIT";
const PORTCULLIS: &str = env!("CARGO_BIN_EXE_portcullis");
const ISSUER: &str = "https://gateway.example";
const SECRET: &str = "a gateway secret of at least 32 bytes";
const OTHER_SECRET: &str = "another secret of at least 32 bytes!!";

fn acl() -> String {
    format!("{LEAST_ACL}\n{ADMIN_ACL}")
}

/// The exit code and the output of a command.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    /// The one document it wrote.
    fn document(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// The documents it wrote, one a line.
    fn rows(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An operator: a configuration file, and an environment.
struct Operator {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Operator {
    /// With the gateway's secret, and the words under `redis:`.
    fn new(redis: &str) -> Self {
        let admin = "gatewaySecrets: [{ env: GATEWAY_SECRET }], issuer: https://gateway.example, namespace: prod, name: gateway";
        Self::configured(redis, USER, admin)
    }

    fn without_the_secret(redis: &str) -> Self {
        Self::configured(redis, USER, "namespace: prod, name: gateway")
    }

    fn configured(redis: &str, user: &str, admin: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let text = format!("listen: {{ unix: /nowhere }}\nredis: {{ {redis} }}\nadmin: {{ {user}{admin} }}\n");
        std::fs::write(folder.path().join("bridge.yaml"), text).unwrap();
        let environment = vec![
            ("ADMIN_USERNAME", "portcullis-admin".to_owned()),
            ("ADMIN_PASSWORD", "PASSWORD".to_owned()),
            ("GATEWAY_SECRET", SECRET.to_owned()),
        ];
        Self { folder, environment }
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let done = self.command(&mut Command::new(PORTCULLIS), arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
    }

    fn json(&self, arguments: &[&str]) -> Done {
        self.run(&[arguments, &["--json"]].concat())
    }

    fn command<'a>(&self, command: &'a mut Command, arguments: &[&str]) -> &'a mut Command {
        command.args(["admin", "--config"]).arg(self.folder.path().join("bridge.yaml")).args(arguments);
        command.env_clear().envs(self.environment.iter().map(|(name, text)| (*name, text)))
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// The operator's words for the user of [`ADMIN_ACL`], under `admin:`.
const USER: &str = "aclUserConfig: { username: { env: ADMIN_USERNAME }, password: { env: ADMIN_PASSWORD } }, ";

/// A server, a bridge that serves it under the serving user's line, and an operator.
struct Scene {
    server: RedisServer,
    bridge: Bridge,
    operator: Operator,
}

impl Scene {
    fn start() -> Self {
        let server = RedisServer::start(&acl(), &[]);
        let bridge = Bridge::start(&standalone(server.port), "");
        let operator = Operator::new(&standalone(server.port));
        Self { server, bridge, operator }
    }

    async fn filled() -> Self {
        let scene = Self::start();
        fill(&scene.bridge).await;
        scene
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = cli(self.server.port, &["KEYS", "*"]).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Returns the record that the bridge answers with, opened by the gateway.
    async fn load<R: Record>(&self, key: &Key) -> Option<R> {
        let answer: GetAnswer =
            BridgeClient::new(&self.bridge.socket).call(Verb::Get, &Get { space: space(), key: *key }).await.unwrap();
        let (sealer, ports) = (sealer(SECRET), FakePorts::new(NOW));
        ports.store().put(key, answer.record?.value.into_bytes(), Ttl::Forever).await.unwrap();
        Records::new(&sealer, &ports).load(key).await.unwrap().map(|loaded| loaded.record)
    }
}

fn sealer(secret: &str) -> Sealer {
    let ring = KeyRing::new(vec![Secret::new(secret.as_bytes().to_vec())]).unwrap();
    Sealer::new(&ring, ISSUER, Some(&Space::new("prod", "gateway").unwrap()))
}

fn space() -> Space {
    Space::new("prod", "gateway").unwrap()
}

/// Two clients, alice's two sessions and bob's one, each with the provider's tokens.
async fn fill(bridge: &Bridge) {
    for (id, name) in [("client-a", "Editor"), ("client-b", "Shell")] {
        register(bridge, id, name).await;
    }
    for (number, user) in [(1, "alice"), (2, "alice"), (3, "bob")] {
        login(bridge, SECRET, number, user).await;
    }
    let consent = Consent { given_at: 1 };
    save(bridge, SECRET, &Key { kind: Kind::Consent, id: [1; 32] }, &consent, Ttl::Forever).await;
}

async fn register(bridge: &Bridge, id: &str, name: &str) {
    let client = Registered {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        redirect_uris: vec![format!("http://127.0.0.1/{name}")],
        refresh: true,
        registered_at: 1_700_000_000,
        scope: None,
        deleted_at: None,
    };
    save(bridge, SECRET, &client_key(id), &client, Ttl::Seconds(3_600)).await;
}

/// The id of a client that registered and has no record.
fn client_id(name: &str, secret: &str, number: u8) -> String {
    let carried = CarriedRegistration {
        redirect_uris: vec!["https://app.example/cb".to_owned()],
        name: Some(name.to_owned()),
        refresh: true,
        registered_at: 1_700_000_000,
        scope: None,
    };
    carried.seal(&sealer(secret), [number; 24]).unwrap()
}

async fn login(bridge: &Bridge, secret: &str, number: u8, user: &str) {
    let (session_key, upstream_key) = keys(number);
    save(bridge, secret, &upstream_key, &upstream(number, user), TTL).await;
    save(bridge, secret, &session_key, &session(number, user), TTL).await;
}

fn session(number: u8, user: &str) -> Session {
    let scope = ScopeSet::parse("openid").unwrap();
    Session {
        providers: vec![ProviderId::of("corp", "https://idp.example")],
        client_id: "client-a".to_owned(),
        user_id: user_id(user),
        scope: ScopeSet::grant(Some(scope.clone()), &scope, &scope).unwrap(),
        resource: "https://mcp.example/".to_owned(),
        refreshable: true,
        upstream_ends_at: None,
        state: State::Active(Generation { number: 0, nonce: [number; 16], previous: None }),
    }
}

fn upstream(number: u8, user: &str) -> Upstream {
    Upstream {
        access_token: Secret::new(format!("upstream-of-{user}")),
        refresh_token: None,
        obtained_at: 1,
        expires_at: None,
        subject: user.to_owned(),
        refused_since: None,
        session: [number; 16],
        name: Some(format!("{user} of Example")),
        email: Some(format!("{user}@example.com")),
        client_name: None,
        login_subject: None,
        id_token: None,
        connected: None,
        groups: Vec::new(),
        email_verified: false,
    }
}

/// Stores a session with the tokens of a second provider, which has another name for the user.
async fn second_provider(bridge: &Bridge, number: u8, user: &str) -> Key {
    let (corp, hub) = (ProviderId::of("corp", "https://idp.example"), ProviderId::of("hub", "https://hub.example"));
    let (session_key, _) = keys(number);
    let second = upstream_key(&session_key, hub);
    save(bridge, SECRET, &session_key, &Session { providers: vec![corp, hub], ..session(number, user) }, TTL).await;
    let names =
        Upstream { subject: "octocat".to_owned(), login_subject: Some(user.to_owned()), ..upstream(number, user) };
    save(bridge, SECRET, &second, &names, TTL).await;
    second
}

fn user_id(user: &str) -> UserId {
    UserId::derive("https://idp.example", user)
}

/// Of a session, and of its provider's tokens.
fn keys(number: u8) -> (Key, Key) {
    let id = SessionId::new([number; 16]);
    let session = session_key(id);
    (session, upstream_key(&session, ProviderId::of("corp", "https://idp.example")))
}

/// Has the gateway seal a record, and the bridge store it.
async fn save<R: Record>(bridge: &Bridge, secret: &str, key: &Key, record: &R, ttl: Ttl) {
    let (sealer, ports) = (sealer(secret), FakePorts::new(NOW));
    Records::new(&sealer, &ports).save(key, record, ttl).await.unwrap();
    let sealed = ports.store().get(key).await.unwrap().unwrap().value;
    let mut idempotency = IdempotencyKey([0; 16]);
    getrandom::fill(&mut idempotency.0).unwrap();
    let (value, mutation) = (wire::Value::new(sealed).unwrap(), Mutation { idempotency, durable: false });
    let put = Put { space: space(), key: *key, value, ttl, mutation };
    let _: PutAnswer = BridgeClient::new(&bridge.socket).call(Verb::Put, &put).await.unwrap();
}

const NOW: u64 = 1_700_000_000;

/// How long the records of a login are kept.
const TTL: Ttl = Ttl::Seconds(7_200);

fn stored(key: &Key) -> String {
    format!("thv:auth:{{prod:gateway}}:{key}")
}

fn is_stored(server: &RedisServer, key: &Key) -> bool {
    cli(server.port, &["EXISTS", &stored(key)]) == "1"
}

#[test]
fn the_documentation_gives_the_line_that_these_tests_run_under() {
    let page = std::fs::read_to_string(paths::project().join("docs/cli.md")).unwrap();
    assert!(page.lines().any(|line| line.trim() == ADMIN_ACL));
}

#[tokio::test]
async fn behind_sentinels_the_master_is_found_and_what_a_replica_has_is_told() {
    let group = Group::start(&format!("{}\n{ADMIN_ACL}", portcullis_testbed::redis::acl_with_wait()));
    let bridge = Bridge::start(&group.redis_config(), "durability: replicated");
    fill(&bridge).await;
    let operator = Operator::new(&group.redis_config());
    let stats = operator.json(&["stats"]).document();
    assert_eq!(stats["redis"], format!("127.0.0.1:{}", group.master()));
    assert_eq!(stats["session"]["count"], 3);
    let ended = operator.json(&["sessions", "revoke", "--user", "alice"]).document();
    assert_eq!((&ended["ended"], &ended["on_a_replica"]), (&Value::from(2), &Value::from(true)));
    let file = operator.file("backup");
    assert_eq!(operator.json(&["backup", &file]).document()["kinds"]["session"], 1);
    // Without the grant nothing is claimed.
    cli(group.master(), &["ACL", "SETUSER", "portcullis-admin", "-wait"]);
    let untold = operator.json(&["sessions", "revoke", "--all"]).document();
    assert!(untold.get("on_a_replica").is_none());
    cli(group.master(), &["ACL", "SETUSER", "portcullis-admin", "+wait"]);
    cli(group.master(), &["FLUSHALL"]);
    let restored = operator.json(&["restore", &file]).document();
    assert_eq!((&restored["written"], &restored["on_a_replica"]), (&restored["records"], &Value::from(true)));
}

#[test]
fn the_serving_credentials_are_not_needed() {
    let server = RedisServer::start(&acl(), &[]);
    let operator = Operator::new(&standalone(server.port));
    assert!(CREDENTIALS.iter().all(|(name, _)| operator.environment.iter().all(|(known, _)| known != name)));
    assert_eq!(operator.run(&["stats"]).code, 0);
}
