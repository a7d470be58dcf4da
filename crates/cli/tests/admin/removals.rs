//! What is taken away, and that a trial takes nothing away.

use portcullis_gateway::clients::registered::Client as Registered;
use portcullis_gateway::sessions::state::Session;
use portcullis_gateway::upstream::tokens::Upstream;
use serde_json::{Value, json};

use super::{
    OTHER_SECRET, Operator, SECRET, Scene, USER, cli, client_id, client_key, is_stored, keys, login, standalone,
};

#[tokio::test]
async fn a_client_is_deleted_once_and_for_good() {
    let scene = Scene::filled().await;
    let deleted = scene.operator.json(&["clients", "delete", "client-a"]).document();
    assert_eq!((deleted["deleted"].as_str().unwrap().len(), &deleted["client_id"]), (64, &Value::from("client-a")));
    let record = scene.load::<Registered>(&client_key("client-a")).await.unwrap();
    assert!(record.deleted_at.is_some_and(|at| at > 1_700_000_000));
    assert!(scene.load::<Registered>(&client_key("client-b")).await.unwrap().deleted_at.is_none());
    let again = scene.operator.run(&["clients", "delete", "client-a"]);
    assert_eq!((again.code, again.out.as_str()), (1, ""));
    assert!(again.err.contains("deleted before"), "{}", again.err);
    let shown = scene.operator.json(&["clients", "show", "client-a"]).document();
    assert_eq!((&shown["deleted_at"], &shown["expires_in_seconds"]), (&json!(record.deleted_at), &Value::Null));
    let listed = scene.operator.json(&["clients", "list"]).rows();
    assert_eq!(listed.iter().filter(|row| row["deleted_at"].is_u64()).count(), 1);
    // By the digest too, which is all that a list without the secret shows.
    let operator = Operator::without_the_secret(&standalone(scene.server.port));
    let rows = operator.json(&["clients", "list"]).rows();
    let digests: Vec<&str> = rows.iter().map(|row| row["record"].as_str().unwrap()).collect();
    let other = digests.into_iter().find(|digest| *digest != deleted["deleted"]).unwrap();
    scene.operator.json(&["clients", "delete", other]).document();
    assert!(scene.load::<Registered>(&client_key("client-b")).await.unwrap().deleted_at.is_some());
}

#[tokio::test]
async fn a_deletion_needs_the_secret_that_seals_it() {
    let scene = Scene::filled().await;
    let done = Operator::without_the_secret(&standalone(scene.server.port)).run(&["clients", "delete", "client-a"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("admin.gatewaySecrets"), "{}", done.err);
    let admin = "gatewaySecrets: [{ env: OTHER }], issuer: https://gateway.example, namespace: prod, name: gateway";
    let mut other = Operator::configured(&standalone(scene.server.port), USER, admin);
    other.environment.push(("OTHER", OTHER_SECRET.to_owned()));
    let done = other.run(&["clients", "delete", "client-a"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    assert!(done.err.contains("does not open"), "{}", done.err);
    assert!(scene.load::<Registered>(&client_key("client-a")).await.unwrap().deleted_at.is_none());
}

#[tokio::test]
async fn a_client_without_a_record_is_shown_and_deleted_by_its_id() {
    let scene = Scene::filled().await;
    let id = client_id("Newcomer", SECRET, 7);
    let shown = scene.operator.json(&["clients", "show", &id]).document();
    assert_eq!((&shown["name"], &shown["record"]), (&Value::from("Newcomer"), &Value::Null));
    for unknown in [client_id("Newcomer", OTHER_SECRET, 7), "client-z".to_owned()] {
        for command in ["show", "delete"] {
            let done = scene.operator.run(&["clients", command, &unknown]);
            assert_eq!((done.code, done.out.as_str()), (1, ""));
            assert!(done.err.contains("no such record"), "{}", done.err);
        }
    }
    scene.operator.json(&["clients", "delete", &id]).document();
    let record = scene.load::<Registered>(&client_key(&id)).await.unwrap();
    assert_eq!((record.name.as_deref(), record.deleted_at.is_some()), (Some("Newcomer"), true));
}

#[tokio::test]
async fn a_users_sessions_end_with_the_providers_tokens_and_no_other_users_do() {
    let scene = Scene::filled().await;
    let before = scene.names();
    let tried = scene.operator.json(&["sessions", "revoke", "--user", "alice", "--dry-run"]).document();
    assert_eq!(tried, json!({ "user": "alice", "would_end": 2 }));
    assert_eq!(scene.names(), before);
    let ended = scene.operator.run(&["sessions", "revoke", "--user", "alice"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("ended  2") && ended.out.contains("within 60 s"), "{}", ended.out);
    for (number, there) in [(1, false), (2, false), (3, true)] {
        let (session, upstream) = keys(number);
        assert_eq!(scene.load::<Session>(&session).await.is_some(), there);
        assert_eq!(scene.load::<Upstream>(&upstream).await.is_some(), there);
    }
    assert_eq!(scene.names().len(), before.len() - 4);
    let again = scene.operator.json(&["sessions", "revoke", "--user", "alice"]).document();
    assert_eq!(again["ended"], 0);
}

#[tokio::test]
async fn a_session_that_does_not_open_makes_a_revocation_incomplete() {
    let scene = Scene::filled().await;
    login(&scene.bridge, OTHER_SECRET, 9, "alice").await;
    let ended = scene.operator.json(&["sessions", "revoke", "--user", "alice"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.rows()[0]["ended"], 2);
    assert!(ended.err.contains("1 sessions did not open"), "{}", ended.err);
    assert!(is_stored(&scene.server, &keys(9).0));
}

#[tokio::test]
async fn a_purge_takes_one_kind_or_everything_of_one_gateway() {
    let scene = Scene::filled().await;
    let port = scene.server.port;
    cli(port, &["SADD", "thv:auth:{prod:gateway}:session:x:members", "x"]);
    cli(port, &["SET", "thv:auth:{prod:other}:session:x", "x"]);
    cli(port, &["SET", "elsewhere", "x"]);
    let before = scene.names();
    let tried = scene.operator.json(&["purge", "--kind", "session", "--dry-run"]).document();
    assert_eq!(tried["would_delete"], json!({ "session": 3, "remembered_answers": 3, "unknown": 1 }));
    assert_eq!(scene.names(), before);
    let purged = scene.operator.json(&["purge", "--kind", "session", "--yes"]).document();
    assert_eq!(purged["deleted"], tried["would_delete"]);
    assert!(!is_stored(&scene.server, &keys(3).0) && is_stored(&scene.server, &keys(3).1));

    let tried = scene.operator.run(&["purge", "--dry-run"]);
    assert!(tried.out.contains("client 2") && tried.out.contains("upstream 3"), "{}", tried.out);
    let purged = scene.operator.json(&["purge", "--yes"]).document();
    assert_eq!(purged["deleted"]["client"], Value::from(2));
    assert_eq!(scene.names(), ["elsewhere", "thv:auth:{prod:other}:session:x"]);
    assert_eq!(scene.operator.json(&["purge", "--yes"]).document()["deleted"], json!({}));
}
