use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::{Bucket, Key, Kind, Owner, StoreError, Ttl, Version};

/// Both directions: the type writes exactly the fixture's bytes, and the fixture's bytes are read
/// as exactly the type.
fn is_golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, fixture: &str) {
    let fixture = fixture.trim_end();
    assert_eq!(serde_json::to_string(value).unwrap(), fixture);
    assert_eq!(&serde_json::from_str::<T>(fixture).unwrap(), value);
    let strange = fixture.replacen('{', if fixture == "{}" { r#"{"strange":1"# } else { r#"{"strange":1,"# }, 1);
    assert!(serde_json::from_str::<T>(&strange).is_err(), "an unknown field was taken: {strange}");
}

macro_rules! golden {
    ($test:ident, $value:expr) => {
        #[test]
        fn $test() {
            is_golden(&$value, include_str!(concat!("../../testdata/wire/", stringify!($test), ".json")));
        }
    };
}

golden!(get, Get { space: space(), key: key(Kind::Session) });
golden!(get_many, GetMany { space: space(), keys: vec![key(Kind::Client), key(Kind::Consent)] });
golden!(
    put,
    Put { space: space(), key: key(Kind::Pending), value: value(), ttl: Ttl::Seconds(600), mutation: mutation(false) }
);
golden!(
    compare_and_swap,
    CompareAndSwap {
        space: space(),
        key: key(Kind::Upstream),
        version: Version(0x0123_4567_89ab_cdef),
        value: value(),
        ttl: Ttl::Forever,
        mutation: mutation(true)
    }
);
golden!(delete, Delete { space: space(), key: key(Kind::Client), mutation: mutation(true) });
golden!(
    member_write,
    MemberWrite {
        space: space(),
        key: key(Kind::Client),
        member: Member([0xcd; 32]),
        ttl: Ttl::Seconds(3_600),
        mutation: mutation(false)
    }
);
golden!(members, Members { space: space(), key: key(Kind::Client) });
golden!(
    lock,
    Lock { space: space(), key: key(Kind::Lock), owner: Owner([7; 16]), ttl_seconds: 30, mutation: mutation(false) }
);
golden!(unlock, Unlock { space: space(), key: key(Kind::Lock), owner: Owner([7; 16]), mutation: mutation(false) });
golden!(
    await_change,
    AwaitChange { space: space(), key: key(Kind::Session), version: None, timeout_milliseconds: 30_000 }
);
golden!(
    take_tokens,
    TakeTokens {
        space: space(),
        key: key(Kind::RateLimit),
        bucket: Bucket { capacity: 10, period_seconds: 60 },
        tokens: 1,
        mutation: mutation(false)
    }
);
golden!(health, HealthRequest {});
golden!(get_answer, GetAnswer { record: Some(record()) });
golden!(get_many_answer, GetManyAnswer { records: vec![None, Some(record())] });
golden!(put_answer, PutAnswer { version: Version(u64::MAX) });
golden!(write_answer, WriteAnswer { version: None });
golden!(delete_answer, DeleteAnswer { deleted: true });
golden!(member_answer, MemberAnswer { changed: false });
golden!(members_answer, MembersAnswer { members: vec![Member([1; 32]), Member([2; 32])] });
golden!(lock_answer, LockAnswer { held: true });
golden!(unlock_answer, UnlockAnswer { released: false });
golden!(await_change_answer, AwaitChangeAnswer { changed: true, version: Some(Version(1)) });
golden!(take_tokens_answer, TakeTokensAnswer { granted: false, retry_after_seconds: 6 });
golden!(
    health_answer,
    HealthAnswer { ready: true, durability: Durability::Async, reason: Some("the master has no replica".to_owned()) }
);
golden!(refusal, Refusal { error: RefusalCause::NotDurable, secret: None });
golden!(
    refusal_of_a_secret,
    Refusal { error: RefusalCause::NotServed, secret: Some(secret_name("idp.client_secret")) }
);
golden!(
    secrets,
    Secrets {
        names: vec![secret_name("signing-key.pem"), secret_name("idp.client_secret")],
        known: Some(Revision([0xcd; 32])),
        timeout_milliseconds: 30_000
    }
);
golden!(fetch_document, FetchDocument { url: "https://client.example/mcp/client.json".to_owned() });
golden!(
    fetch_document_answer,
    FetchDocumentAnswer::Document(Document {
        content_type: "application/json".to_owned(),
        body: DocumentBody::new(b"{}".to_vec()).unwrap(),
        max_age_seconds: Some(3_600)
    })
);
golden!(fetch_document_failure, FetchDocumentAnswer::Failure(FetchFailure::AddressRefused));

/// Secrets are not compared, so their bytes are.
#[test]
fn secrets_answer() {
    let fixture = include_str!("../../testdata/wire/secrets_answer.json").trim_end();
    let value = SecretValue::new(b"canary".to_vec().into()).unwrap();
    let secrets = vec![Secret { name: secret_name("idp.client_secret"), value }];
    let answer = SecretsAnswer { revision: Revision([0xcd; 32]), secrets: Some(secrets) };
    assert_eq!(serde_json::to_string(&answer).unwrap(), fixture);
    let read: SecretsAnswer = serde_json::from_str(fixture).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), fixture);
    let unchanged = include_str!("../../testdata/wire/secrets_answer_unchanged.json").trim_end();
    let read: SecretsAnswer = serde_json::from_str(unchanged).unwrap();
    assert!(read.secrets.is_none());
    assert_eq!(serde_json::to_string(&read).unwrap(), unchanged);
    for place in ["{", "{\"name\""] {
        let strange = fixture.replacen(place, &place.replacen('{', "{\"strange\":1,", 1), 1);
        assert!(serde_json::from_str::<SecretsAnswer>(&strange).is_err(), "{strange}");
    }
}

#[test]
fn every_verb_has_a_path_of_its_own_and_is_found_by_it() {
    for verb in Verb::ALL.iter().copied() {
        assert_eq!(Verb::of_path(verb.path()), Some(verb));
        assert_eq!(format!("/v1/{}", verb.name()), verb.path());
    }
    for path in ["/v1/", "/v1/GET", "/v1/eval", "/v1/get/", "/v2/get", "get", "/v1/flushall", "/v1/get?x=1", ""] {
        assert_eq!(Verb::of_path(path), None, "{path}");
    }
}

#[test]
fn a_value_may_fill_its_limit_and_not_pass_it() {
    let full = serde_json::to_string(&Value::new(vec![0xff; MAX_VALUE_BYTES]).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&full).unwrap().as_bytes().len(), MAX_VALUE_BYTES);
    assert_eq!(Value::new(vec![0; MAX_VALUE_BYTES + 1]), Err(Malformed));
    let over = format!("\"{}\"", "A".repeat(MAX_VALUE_BYTES.div_ceil(3) * 4));
    assert!(serde_json::from_str::<Value>(&over).is_err());
    assert!(full.len() + 1_024 < MAX_REQUEST_BYTES);
}

#[test]
fn a_value_has_one_spelling_and_stays_out_of_messages() {
    assert_eq!(serde_json::from_str::<Value>("\"_-8\"").unwrap().as_bytes(), [0xff, 0xef]);
    for text in ["\"_-8=\"", "\"/+8\"", "\"_-9\"", "\"_\"", "\" _-8\"", "null", "[255]", "7"] {
        let message = serde_json::from_str::<Value>(text).unwrap_err().to_string();
        assert!(!message.contains("_-"), "{message}");
    }
    assert_eq!(format!("{:?}", value()), "Value(6 bytes)");
}

#[test]
fn a_name_is_a_known_kind_and_a_lower_case_digest() {
    let id = "ab".repeat(32);
    assert_eq!(serde_json::from_str::<Key>(&format!("\"session:{id}\"")).unwrap(), key(Kind::Session));
    let bad = [
        format!("Session:{id}"),
        format!("idem:{id}"),
        format!("session:{}", "AB".repeat(32)),
        format!("session:{}", "ab".repeat(31)),
        format!("session:{id}0"),
        format!("session:{id}:members"),
        format!("session{id}"),
        format!("session:{}zz", "ab".repeat(31)),
        format!("session:{}\u{e9}", "ab".repeat(31)),
        "session:".to_owned(),
        String::new(),
    ];
    for name in bad {
        assert!(serde_json::from_str::<Key>(&serde_json::to_string(&name).unwrap()).is_err(), "{name}");
    }
}

#[test]
fn a_space_cannot_leave_its_place_in_a_stored_name() {
    assert!(Space::new(&"a".repeat(63), "0-9").is_ok());
    let bad = ["", "-a", "a-", "A", "a:b", "a}b", "{a", "a*", "a?", "a.b", "..", "a b", "a\r\n", "\u{e4}", "a/b"];
    for part in bad {
        assert_eq!(Space::new(part, "a"), Err(Malformed), "{part:?}");
        assert_eq!(Space::new("a", part), Err(Malformed), "{part:?}");
    }
    assert_eq!(Space::new(&"a".repeat(64), "a"), Err(Malformed));
    for text in ["\"a\"", "\"a/b/c\"", "\"/a\"", "\"a/\""] {
        assert!(serde_json::from_str::<Space>(text).is_err(), "{text}");
    }
}

#[test]
fn a_life_has_an_end_in_bounds_or_none() {
    assert_eq!(serde_json::from_str::<Ttl>("1").unwrap(), Ttl::Seconds(1));
    assert_eq!(serde_json::from_str::<Ttl>(&MAX_TTL_SECONDS.to_string()).unwrap(), Ttl::Seconds(MAX_TTL_SECONDS));
    let over = (MAX_TTL_SECONDS + 1).to_string();
    for text in ["0", "-1", "1.5", &over, "18446744073709551616", "\"never\"", "\"1\"", "null"] {
        assert!(serde_json::from_str::<Ttl>(text).is_err(), "{text}");
    }
}

#[test]
fn records_locks_and_buckets_each_have_their_own_verbs() {
    let with_kind = |fixture: &str, from: &str, to: &str| fixture.replace(from, to);
    let get = include_str!("../../testdata/wire/get.json");
    for kind in ["lock", "ratelimit"] {
        assert!(serde_json::from_str::<Get>(&with_kind(get, "session:", &format!("{kind}:"))).is_err());
    }
    let lock = include_str!("../../testdata/wire/lock.json");
    assert!(serde_json::from_str::<Lock>(&with_kind(lock, "lock:", "session:")).is_err());
    let tokens = include_str!("../../testdata/wire/take_tokens.json");
    assert!(serde_json::from_str::<TakeTokens>(&with_kind(tokens, "ratelimit:", "lock:")).is_err());
}

#[test]
fn counts_and_times_are_bounded() {
    let many = |count: usize| {
        let request = GetMany { space: space(), keys: vec![key(Kind::Session); count] };
        serde_json::from_str::<GetMany>(&serde_json::to_string(&request).unwrap())
    };
    assert!(many(1).is_ok() && many(MAX_KEYS).is_ok());
    assert!(many(0).is_err() && many(MAX_KEYS + 1).is_err());
    let changed = |fixture: &str, from: &str, to: &str| {
        assert!(fixture.contains(from));
        fixture.replace(from, to)
    };
    let lock = include_str!("../../testdata/wire/lock.json");
    for seconds in ["0", "3601", "-1"] {
        assert!(serde_json::from_str::<Lock>(&changed(lock, ":30,", &format!(":{seconds},"))).is_err());
    }
    let wait = include_str!("../../testdata/wire/await_change.json");
    assert!(serde_json::from_str::<AwaitChange>(&changed(wait, "30000", "30001")).is_err());
    let tokens = include_str!("../../testdata/wire/take_tokens.json");
    for (from, to) in [
        ("\"tokens\":1", "\"tokens\":0"),
        ("\"capacity\":10", "\"capacity\":0"),
        ("\"capacity\":10", "\"capacity\":1000001"),
        ("\"periodSeconds\":60", "\"periodSeconds\":0"),
        ("\"periodSeconds\":60", "\"periodSeconds\":86401"),
    ] {
        assert!(serde_json::from_str::<TakeTokens>(&changed(tokens, from, to)).is_err(), "{to}");
    }
}

#[test]
fn a_repeated_or_missing_field_is_refused() {
    let delete = include_str!("../../testdata/wire/delete.json");
    let twice = delete.replacen('{', r#"{"space":"prod/gateway","#, 1);
    assert!(serde_json::from_str::<Delete>(&twice).is_err());
    assert!(serde_json::from_str::<Delete>(&delete.replace(r#","durable":true"#, "")).is_err());
    assert!(serde_json::from_str::<Delete>(&delete.replace(r#""durable":true"#, r#""durable":1"#)).is_err());
}

#[test]
fn an_answer_without_its_record_is_no_word_that_there_is_none() {
    assert!(serde_json::from_str::<GetAnswer>("{}").is_err());
    assert!(serde_json::from_str::<GetManyAnswer>("{}").is_err());
    assert!(serde_json::from_str::<WriteAnswer>("{}").is_err());
    assert!(serde_json::from_str::<AwaitChangeAnswer>(r#"{"changed":true}"#).is_err());
    let revision = "0".repeat(64);
    assert!(serde_json::from_str::<SecretsAnswer>(&format!(r#"{{"revision":"{revision}"}}"#)).is_err());
    assert!(serde_json::from_str::<SecretsAnswer>(&format!(r#"{{"revision":"{revision}","secrets":null}}"#)).is_ok());
    assert_eq!(serde_json::from_str::<GetAnswer>(r#"{"record":null}"#).unwrap(), GetAnswer { record: None });
}

#[test]
fn a_secrets_name_leads_nowhere_else() {
    let long = "a".repeat(MAX_SECRET_NAME_BYTES);
    for name in ["a", "signing-key.pem", "A_1", "-", "a..b", "9", &long] {
        assert_eq!(SecretName::new(name).unwrap().as_str(), name);
    }
    let over = "a".repeat(MAX_SECRET_NAME_BYTES + 1);
    for name in
        ["", ".", "..", ".hidden", "..data", "a/b", "/a", "a\\b", "a b", "a\0", "a\n", "\u{e4}", "a:b", "%2e", &over]
    {
        assert_eq!(SecretName::new(name), Err(Malformed), "{name:?}");
        let request = serde_json::json!({ "names": [name], "known": null, "timeoutMilliseconds": 0 });
        assert!(serde_json::from_value::<Secrets>(request).is_err(), "{name:?}");
    }
}

#[test]
fn a_secret_may_fill_its_limit_and_is_never_shown() {
    let full = SecretValue::new(vec![0xff; MAX_SECRET_BYTES].into()).unwrap();
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<SecretValue>(&text).unwrap().as_bytes().len(), MAX_SECRET_BYTES);
    assert!(SecretValue::new(vec![0; MAX_SECRET_BYTES + 1].into()).is_err());
    let over = format!("\"{}\"", "A".repeat((MAX_SECRET_BYTES + 1).div_ceil(3) * 4));
    assert!(serde_json::from_str::<SecretValue>(&over).is_err());
    let message = serde_json::from_str::<SecretValue>("\"hunter2=\"").unwrap_err().to_string();
    assert!(!message.contains("hunter2") && !message.contains('='), "{message}");
    let secret = Secret { name: secret_name("a"), value: SecretValue::new(b"hunter2".to_vec().into()).unwrap() };
    assert_eq!(format!("{secret:?}"), r#"Secret { name: SecretName("a"), value: SecretValue(…) }"#);
}

#[test]
fn secrets_and_documents_are_asked_for_within_bounds() {
    let of = |count: usize, wait: u32| {
        let names = vec![secret_name("a"); count];
        let request = Secrets { names, known: None, timeout_milliseconds: wait };
        serde_json::from_str::<Secrets>(&serde_json::to_string(&request).unwrap())
    };
    assert!(of(1, 0).is_ok() && of(MAX_SECRETS, MAX_WAIT_MILLISECONDS).is_ok());
    assert!(of(0, 0).is_err() && of(MAX_SECRETS + 1, 0).is_err() && of(1, MAX_WAIT_MILLISECONDS + 1).is_err());
    let fetch =
        |length: usize| serde_json::from_value::<FetchDocument>(serde_json::json!({ "url": "h".repeat(length) }));
    assert!(fetch(1).is_ok() && fetch(MAX_URL_BYTES).is_ok());
    assert!(fetch(0).is_err() && fetch(MAX_URL_BYTES + 1).is_err());
}

#[test]
fn a_document_is_bounded_on_the_way_in() {
    let fixture = include_str!("../../testdata/wire/fetch_document_answer.json");
    let with = |from: &str, to: &str| {
        assert!(fixture.contains(from));
        serde_json::from_str::<FetchDocumentAnswer>(&fixture.replace(from, to))
    };
    let body = |length: usize| "A".repeat((length * 4).div_ceil(3));
    assert!(with("\"e30\"", &format!("\"{}\"", body(MAX_DOCUMENT_BYTES))).is_ok());
    assert!(with("\"e30\"", &format!("\"{}\"", body(MAX_DOCUMENT_BYTES + 1))).is_err());
    assert!(with("\"e30\"", "\"e30=\"").is_err());
    assert!(with("application/json", &"a".repeat(MAX_CONTENT_TYPE_BYTES)).is_ok());
    assert!(with("application/json", &"a".repeat(MAX_CONTENT_TYPE_BYTES + 1)).is_err());
    assert!(with("application/json", "a b").is_err());
    assert!(with("{\"document\":{", "{\"document\":{\"strange\":1,").is_err());
}

#[test]
fn a_refusal_is_never_mistaken_for_an_absent_record() {
    for cause in CAUSES {
        assert!(cause.status() >= 400);
        assert_eq!(cause.is_passing(), cause.status() == 503, "{cause:?}");
        let told_apart = [(RefusalCause::TooLarge, StoreError::TooLarge), (RefusalCause::Full, StoreError::Full)];
        let expected =
            told_apart.iter().find(|(known, _)| *known == cause).map_or(StoreError::Unavailable, |(_, e)| *e);
        assert_eq!(StoreError::from(cause), expected);
    }
}

fn secret_name(name: &str) -> SecretName {
    SecretName::new(name).unwrap()
}

fn space() -> Space {
    Space::new("prod", "gateway").unwrap()
}

fn key(kind: Kind) -> Key {
    Key { kind, id: [0xab; 32] }
}

fn value() -> Value {
    Value::new(b"sealed".to_vec()).unwrap()
}

fn mutation(durable: bool) -> Mutation {
    Mutation { idempotency: IdempotencyKey([0x42; 16]), durable }
}

fn record() -> Record {
    Record { value: value(), version: Version(0x0123_4567_89ab_cdef) }
}

const CAUSES: [RefusalCause; 11] = [
    RefusalCause::BadRequest,
    RefusalCause::Forbidden,
    RefusalCause::UnknownVerb,
    RefusalCause::TooLarge,
    RefusalCause::Overloaded,
    RefusalCause::Unavailable,
    RefusalCause::NotDurable,
    RefusalCause::Full,
    RefusalCause::Corrupt,
    RefusalCause::NotServed,
    RefusalCause::NotConfigured,
];
