//! Every field of every request, filled with what it must not hold: refused, and nothing is written
//! under any name.

use portcullis_storage_api::wire::{Get, GetAnswer, Mutation, Put, PutAnswer, Value, Verb, hex};
use portcullis_storage_api::{Key, Kind, Ttl};
use serde_json::{Value as Json, json};

use crate::client::{Client, fresh, space};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, cli, standalone};

#[tokio::test]
async fn no_field_can_name_a_key_outside_its_space_or_another_command() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let command = "\r\n*1\r\n$8\r\nFLUSHALL\r\n";
    let spaces = [
        format!("prod{command}/gateway"),
        format!("prod/gateway{command}"),
        "prod/gateway}".to_owned(),
        "prod}/{gateway".to_owned(),
        "prod{/gateway".to_owned(),
        "prod:x/gateway".to_owned(),
        "prod/*".to_owned(),
        "*/gateway".to_owned(),
        "prod/gate?ay".to_owned(),
        "prod/[a-z]".to_owned(),
        "../gateway".to_owned(),
        "prod/..".to_owned(),
        "prod/gateway/..".to_owned(),
        "prod\0/gateway".to_owned(),
        "prod/gateway\0".to_owned(),
        "/".to_owned(),
        "prod/".to_owned(),
        "/gateway".to_owned(),
        "prod".to_owned(),
        " prod/gateway".to_owned(),
        "PROD/gateway".to_owned(),
        "prod/g\u{e4}teway".to_owned(),
        "prod/gateway\u{202e}".to_owned(),
        "prod%2fgateway".to_owned(),
        format!("prod/{}", "a".repeat(64)),
        String::new(),
    ];
    for (verb, good) in requests() {
        for space in &spaces {
            refused(&client, verb, &with(&good, "space", json!(space))).await;
        }
        for space in [json!(null), json!(7), json!(["prod", "gateway"]), json!({"namespace": "prod"})] {
            refused(&client, verb, &with(&good, "space", space)).await;
        }
    }
    let id = "ab".repeat(32);
    let keys = [
        format!("session:{id}{command}"),
        format!("session:{command}{id}"),
        format!("session:{}", "ab".repeat(31)),
        format!("session:{id}ab"),
        format!("session:{}", "AB".repeat(32)),
        format!("session:{id}:members"),
        format!("session:../{id}"),
        format!("session:*{}", "a".repeat(63)),
        format!("session}}:{id}"),
        format!("sess\0ion:{id}"),
        format!("nothing:{id}"),
        format!("session::{id}"),
        id.clone(),
        String::new(),
    ];
    for (verb, good) in requests() {
        for key in &keys {
            let field = if verb == Verb::GetMany { ("keys", json!([key])) } else { ("key", json!(key)) };
            refused(&client, verb, &with(&good, field.0, field.1)).await;
        }
    }
    let put = request(Verb::Put);
    let member = request(Verb::AddMember);
    let lock = request(Verb::Lock);
    for text in [command, "a b", "****", "ab\0c", "ab{c}", "\u{e4}"] {
        refused(&client, Verb::Put, &with(&put, "value", json!(text))).await;
        refused(&client, Verb::Put, &with(&put, "mutation", json!({"idempotency": text, "durable": false}))).await;
        refused(&client, Verb::AddMember, &with(&member, "member", json!(text))).await;
        refused(&client, Verb::Lock, &with(&lock, "owner", json!(text))).await;
        refused(&client, Verb::Put, &with(&put, "ttl", json!(text))).await;
    }
    for ttl in [json!(-1), json!(0), json!(1e300), json!(0.5), json!(u64::MAX)] {
        refused(&client, Verb::Put, &with(&put, "ttl", ttl)).await;
    }
    assert_eq!(cli(server.port, &["KEYS", "*"]), "");
    assert_eq!(cli(server.port, &["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_repeated_or_unknown_field_is_refused_wherever_it_is() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    for (verb, good) in requests() {
        let text = good.to_string();
        let fields: Vec<String> =
            good.as_object().unwrap().iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        for field in fields {
            let twice = text.replacen('{', &format!("{{{field},"), 1);
            refused_text(&client, verb, &twice).await;
        }
        refused_text(&client, verb, &text.replacen('{', r#"{"command":"FLUSHALL","#, 1)).await;
        if text.contains("durable") {
            let twice = text.replace(r#""durable":false"#, r#""durable":false,"durable":true"#);
            refused_text(&client, verb, &twice).await;
        }
        refused_text(&client, verb, &format!("{text}{text}")).await;
        refused_text(&client, verb, &format!("[{text}]")).await;
        refused_text(&client, verb, text.strip_suffix('}').unwrap()).await;
        refused_text(&client, verb, &text.replace('"', "'")).await;
    }
    assert_eq!(cli(server.port, &["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_value_full_of_protocol_is_kept_byte_for_byte() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let every: Vec<u8> = (0..=255).collect();
    let values: [&[u8]; 6] = [
        b"\r\n*1\r\n$8\r\nFLUSHALL\r\n",
        b"$-1\r\n",
        b"-ERR no\r\n",
        b"\0\0\r\n\0",
        b"\") redis.call('FLUSHALL') --",
        &every,
    ];
    for (number, bytes) in (0_u8..).zip(values) {
        let key = Key { kind: Kind::Session, id: [number; 32] };
        let value = Value::new(bytes.to_vec()).unwrap();
        let mutation = Mutation { idempotency: fresh(), durable: false };
        let put = Put { space: space(), key, value, ttl: Ttl::Seconds(60), mutation };
        let _: PutAnswer = client.call(Verb::Put, &put).await.unwrap();
        let answer: GetAnswer = client.call(Verb::Get, &Get { space: space(), key }).await.unwrap();
        assert_eq!(answer.record.unwrap().value.as_bytes(), bytes);
        // As it lies in Redis: eight bytes of version, then the value.
        let length: usize = cli(server.port, &["STRLEN", &format!("thv:auth:{{prod:gateway}}:{key}")]).parse().unwrap();
        assert_eq!(length, bytes.len() + 8);
    }
    let names = cli(server.port, &["KEYS", "*"]);
    assert!(names.lines().all(|name| name.starts_with("thv:auth:{prod:gateway}:session:")), "{names}");
    assert_eq!(names.lines().count(), values.len() * 2, "a record and the memory of its write each: {names}");
}

/// One good request of every verb that is about a space.
pub(crate) fn requests() -> Vec<(Verb, Json)> {
    let id = "08".repeat(32);
    let (space, record, owner) = ("prod/gateway", format!("session:{id}"), "06".repeat(16));
    let (lock, bucket) = (format!("lock:{id}"), format!("ratelimit:{id}"));
    let mutation = || json!({"idempotency": hex(&fresh().0), "durable": false});
    let put = |version: Json| {
        let mut put = json!({"space": space, "key": record, "value": "eA", "ttl": 60, "mutation": mutation()});
        if !version.is_null() {
            put["version"] = version;
        }
        put
    };
    let delete = || json!({"space": space, "key": record, "mutation": mutation()});
    let member = || {
        let member = "05".repeat(32);
        json!({"space": space, "key": record, "member": member, "ttl": 60, "mutation": mutation()})
    };
    vec![
        (Verb::Get, json!({"space": space, "key": record})),
        (Verb::GetMany, json!({"space": space, "keys": [record]})),
        (Verb::Put, put(Json::Null)),
        (Verb::PutNew, put(Json::Null)),
        (Verb::CompareAndSwap, put(json!("0123456789abcdef"))),
        (Verb::Delete, delete()),
        (Verb::AddMember, member()),
        (Verb::RemoveMember, member()),
        (Verb::Members, json!({"space": space, "key": record})),
        (Verb::Lock, json!({"space": space, "key": lock, "owner": owner, "ttlSeconds": 60, "mutation": mutation()})),
        (Verb::Unlock, json!({"space": space, "key": lock, "owner": owner, "mutation": mutation()})),
        (Verb::AwaitChange, json!({"space": space, "key": record, "version": null, "timeoutMilliseconds": 1})),
        (
            Verb::TakeTokens,
            json!({
                "space": space, "key": bucket, "bucket": {"capacity": 10, "periodSeconds": 60}, "tokens": 1,
                "mutation": mutation(),
            }),
        ),
    ]
}

pub(crate) fn request(verb: Verb) -> Json {
    requests().into_iter().find(|(known, _)| *known == verb).unwrap().1
}

pub(crate) fn with(request: &Json, field: &str, value: Json) -> Json {
    let mut request = request.clone();
    request[field] = value;
    request
}

async fn refused(client: &Client, verb: Verb, request: &Json) {
    refused_text(client, verb, &request.to_string()).await;
}

async fn refused_text(client: &Client, verb: Verb, body: &str) {
    let (status, answer) = raw(client, verb, body.to_owned()).await;
    let refusal = br#"{"error":"badRequest"}"#.as_slice();
    assert_eq!((status, answer.as_slice()), (400, refusal), "{} {body:.200}", verb.name());
}

pub(crate) async fn raw(client: &Client, verb: Verb, body: String) -> (u16, Vec<u8>) {
    client.raw(verb.path(), body.into_bytes()).await.unwrap()
}
