//! What is saved comes back as it was, and what is not whole does not come back at all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use portcullis_gateway::clients::registered::Client as Registered;
use portcullis_gateway::sessions::remembered_consent::Consent;
use portcullis_gateway::sessions::state::Session;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_storage_api::{Key, Kind, Ttl};
use serde_json::{Value, json};

use super::{Operator, SECRET, Scene, cli, client_key, keys, register, save, standalone, stored, user_id};

fn lives(scene: &Scene) -> Vec<(String, i64)> {
    let records = scene.names().into_iter().filter(|name| name.split(':').count() == 6);
    records.map(|name| (name.clone(), cli(scene.server.port, &["PTTL", &name]).parse().unwrap())).collect()
}

#[tokio::test]
async fn after_a_flush_a_restore_brings_everything_back_with_its_life() {
    let scene = Scene::filled().await;
    let port = scene.server.port;
    cli(port, &["SET", &stored(&Key { kind: Kind::Lock, id: [1; 32] }), "12345678 a lock"]);
    let file = scene.operator.file("backup");
    let saved = scene.operator.json(&["backup", &file]).document();
    assert_eq!(saved["kinds"], json!({ "client": 2, "session": 3, "upstream": 3, "consent": 1 }));
    assert_eq!((&saved["records"], &saved["left_out"]["lock"]), (&Value::from(9), &Value::from(1)));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    for secret in [SECRET, "alice", "Editor", "upstream-of"] {
        assert!(!text.contains(secret));
    }
    cli(port, &["DEL", &stored(&Key { kind: Kind::Lock, id: [1; 32] })]);
    let before = lives(&scene);
    assert_eq!(before.len(), 9);

    cli(port, &["FLUSHALL"]);
    let tried = scene.operator.json(&["restore", &file, "--dry-run"]).document();
    let expected =
        json!({ "gateway": "prod/gateway", "records": 9, "would_write": 9, "already_there": 0, "expired": 0 });
    assert_eq!(tried, expected);
    assert!(scene.names().is_empty());
    let restored = scene.operator.json(&["restore", &file]).document();
    assert_eq!((&restored["written"], &restored["already_there"]), (&Value::from(9), &Value::from(0)));
    for ((name, life), (was, before)) in lives(&scene).into_iter().zip(before) {
        assert_eq!(name, was);
        assert!((before - 2_000..=before + 2_000).contains(&life), "{name}: {life} and not {before}");
    }
    for number in 1..=3 {
        let (session, upstream) = keys(number);
        let upstream = scene.load::<Upstream>(&upstream).await.unwrap();
        assert_eq!(scene.load::<Session>(&session).await.unwrap().user_id, user_id(&upstream.subject));
        assert_eq!(*upstream.access_token.expose(), format!("upstream-of-{}", upstream.subject));
    }
    assert_eq!(scene.load::<Registered>(&client_key("client-a")).await.unwrap().name.as_deref(), Some("Editor"));
    assert!(scene.load::<Consent>(&Key { kind: Kind::Consent, id: [1; 32] }).await.is_some());
}

#[tokio::test]
async fn a_living_record_is_written_over_only_where_that_is_asked_for() {
    let scene = Scene::filled().await;
    let file = scene.operator.file("backup");
    scene.operator.json(&["backup", &file]).document();
    register(&scene.bridge, "client-a", "Newer").await;
    cli(scene.server.port, &["DEL", &stored(&client_key("client-b"))]);
    let name = async || scene.load::<Registered>(&client_key("client-a")).await.unwrap().name.unwrap();
    let version = || cli(scene.server.port, &["GETRANGE", &stored(&client_key("client-a")), "0", "7"]);

    let tried = scene.operator.json(&["restore", &file, "--dry-run"]).document();
    assert_eq!((&tried["would_write"], &tried["already_there"]), (&Value::from(1), &Value::from(8)));
    let restored = scene.operator.json(&["restore", &file]).document();
    assert_eq!((&restored["written"], &restored["already_there"]), (&Value::from(1), &Value::from(8)));
    assert_eq!(name().await, "Newer");
    assert!(scene.load::<Registered>(&client_key("client-b")).await.is_some());

    let tried = scene.operator.json(&["restore", &file, "--dry-run", "--overwrite"]).document();
    assert_eq!(tried["would_write"], 9);
    assert_eq!(name().await, "Newer");
    let mut versions = vec![version()];
    for _ in 0..2 {
        assert_eq!(scene.operator.json(&["restore", &file, "--overwrite"]).document()["written"], 9);
        assert_eq!(name().await, "Editor");
        versions.push(version());
    }
    // A reader of the former record must not take it for the same.
    versions.dedup();
    assert_eq!(versions.len(), 3);
}

#[tokio::test]
async fn what_would_be_over_by_now_is_not_brought_back() {
    let scene = Scene::start();
    register(&scene.bridge, "client-a", "Long").await;
    let short = Registered {
        id: "client-s".into(),
        name: None,
        redirect_uris: Vec::new(),
        refresh: false,
        registered_at: 1,
        scope: None,
        deleted_at: None,
    };
    save(&scene.bridge, SECRET, &client_key("client-s"), &short, Ttl::Seconds(3)).await;
    let file = scene.operator.file("backup");
    assert_eq!(scene.operator.json(&["backup", &file]).document()["records"], 2);
    let key = stored(&client_key("client-s"));
    portcullis_testbed::redis::until("the short life is over", || cli(scene.server.port, &["EXISTS", &key]) == "0");
    // The store's clock and the file's are not read at the same moment.
    tokio::time::sleep(Duration::from_millis(100)).await;
    cli(scene.server.port, &["FLUSHALL"]);
    let restored = scene.operator.json(&["restore", &file]).document();
    assert_eq!(
        (&restored["written"], &restored["expired"], &restored["already_there"]),
        (&json!(1), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_backup_that_is_not_whole_restores_nothing() {
    let scene = Scene::filled().await;
    let file = scene.operator.file("backup");
    scene.operator.json(&["backup", &file]).document();
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let joined = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    let (last, but_last) = (lines.len() - 1, &lines[..lines.len() - 1]);
    let foreign_key = lines[1]
        .replace("session:", "lock:")
        .replace("client:", "lock:")
        .replace("consent:", "lock:")
        .replace("upstream:", "lock:");
    let escaped = lines[1].replacen(":", ":x\\r\\nFLUSHALL", 2);
    let with = |line: &str| joined(&[&[lines[0], line], &lines[2..]].concat());
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "is no backup"),
        ("hello\n".to_owned(), "is no backup"),
        (whole.trim_end().to_owned(), "is cut off"),
        (whole.chars().take(whole.len() / 2).collect(), "is cut off"),
        (joined(but_last), "is cut off"),
        (joined(&lines[..1]), "is cut off"),
        (joined(&[&lines[..3], &lines[4..]].concat()), "checksum"),
        (joined(&[&lines[..2], &[lines[1]], &lines[2..]].concat()), "checksum"),
        (whole.replacen("\"life\":", "\"life\":1", 1), "restored"),
        (with(&lines[1].replace("\"life\":", "\"life\":9999999999999")), "restored"),
        (with(&foreign_key), "never kept"),
        (with(&escaped), "a line that is not as it was written"),
        (with(&format!("{}x", "y".repeat(200_000))), "cut off"),
        (format!("{whole}{}\n", lines[1]), "checksum"),
        (whole.replacen("\"portcullis_backup\":1", "\"portcullis_backup\":2", 1), "is of version 2"),
        (whole.replacen("\"taken_at\":", "\"more\":1,\"taken_at\":", 1), "has a head"),
        (joined(&[&lines[..last], &[&lines[last].replace("\"records\":9", "\"records\":8")]].concat()), "checksum"),
    ];
    cli(scene.server.port, &["FLUSHALL"]);
    for (number, (text, why)) in cases.into_iter().enumerate() {
        fs::write(&file, text).unwrap();
        for arguments in [&["restore", &file][..], &["restore", &file, "--dry-run"]] {
            let done = scene.operator.run(arguments);
            assert_eq!((done.code, done.out.as_str()), (1, ""), "{number}");
            assert!(done.err.contains(why) && done.err.contains("nothing was restored"), "{number}: {}", done.err);
        }
        assert!(scene.names().is_empty(), "{number}");
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(scene.operator.json(&["restore", &file]).document()["written"], 9);
}

#[tokio::test]
async fn a_backup_goes_elsewhere_only_where_that_is_said() {
    let scene = Scene::filled().await;
    let port = scene.server.port;
    let file = scene.operator.file("backup");
    scene.operator.json(&["backup", &file]).document();
    let before = scene.names();
    let done = scene.operator.run(&["restore", &file, "--name", "other"]);
    assert!(done.code == 1 && done.err.contains("is of prod/gateway"), "{}", done.err);
    let elsewhere = Operator::new(&standalone(port));
    let config = elsewhere.file("bridge.yaml");
    fs::write(&config, format!("keyPrefix: \"thv:auth:b\"\n{}", fs::read_to_string(&config).unwrap())).unwrap();
    let done = elsewhere.run(&["restore", &file]);
    assert!(done.code == 1 && done.err.contains("give --into"), "{}", done.err);
    assert_eq!(scene.names(), before);
    let moved = scene.operator.json(&["restore", &file, "--into", "prod/other"]).document();
    assert_eq!((&moved["gateway"], &moved["written"]), (&json!("prod/other"), &json!(9)));
    // A seal holds the gateway's name: under another one nothing opens, under another prefix all
    // does.
    let listed = scene.operator.json(&["sessions", "list", "--name", "other", "--user", "bob"]);
    assert_eq!((listed.code, listed.rows().len()), (1, 0));
    assert!(listed.err.contains("3 sessions did not open"), "{}", listed.err);
    assert_eq!(elsewhere.json(&["restore", &file, "--into", "prod/gateway"]).document()["written"], 9);
    assert_eq!(cli(port, &["EXISTS", &format!("thv:auth:b:{{prod:gateway}}:{}", keys(1).0)]), "1");
    assert_eq!(elsewhere.json(&["sessions", "list", "--user", "bob"]).rows().len(), 1);
}

#[tokio::test]
async fn a_backup_takes_the_old_ones_place_only_when_it_is_whole() {
    let scene = Scene::filled().await;
    let file = scene.operator.file("backup");
    fs::write(&file, "the old one").unwrap();
    let before: Vec<_> =
        fs::read_dir(scene.operator.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    // It may read names, but no value.
    cli(scene.server.port, &["ACL", "SETUSER", "portcullis-admin", "-mget"]);
    let done = scene.operator.run(&["backup", &file]);
    assert!(done.code == 1 && done.err.contains("grant it +MGET "), "{}", done.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), "the old one");
    let after: Vec<_> =
        fs::read_dir(scene.operator.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(after, before);
    cli(scene.server.port, &["ACL", "SETUSER", "portcullis-admin", "+mget"]);
    assert_eq!(scene.operator.json(&["backup", &file]).document()["records"], 9);
    assert!(fs::read_to_string(&file).unwrap().starts_with("{\"portcullis_backup\":1"));
    let done = scene.operator.run(&["backup", "/nowhere/backup"]);
    assert!(done.code == 1 && done.err.contains("/nowhere/backup"), "{}", done.err);
    let done = scene.operator.run(&["restore", "/nowhere/backup"]);
    assert!(done.code == 1 && done.err.contains("/nowhere/backup"), "{}", done.err);
}

#[tokio::test]
async fn a_restore_that_failed_halfway_can_be_run_again() {
    let scene = Scene::filled().await;
    let file = scene.operator.file("backup");
    scene.operator.json(&["backup", &file]).document();
    cli(scene.server.port, &["FLUSHALL"]);
    cli(scene.server.port, &["CONFIG", "SET", "maxmemory", "1"]);
    let done = scene.operator.run(&["restore", &file]);
    assert!(done.code == 1 && done.err.contains("SET: oom"), "{}", done.err);
    cli(scene.server.port, &["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(scene.operator.json(&["restore", &file]).document()["written"], 9);
}
