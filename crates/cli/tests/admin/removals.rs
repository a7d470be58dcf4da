//! What is taken away, and that a trial takes nothing away.

use portcullis_gateway::clients::registered::Client as Registered;
use portcullis_gateway::config::ProviderId;
use portcullis_gateway::sessions::ended::{EndedSessions, Writer, list_key};
use portcullis_gateway::sessions::keys::connection_key;
use portcullis_gateway::sessions::state::Session;
use portcullis_gateway::upstream::tokens::{Connected, Upstream};
use portcullis_protocol::credentials::SessionId;
use serde_json::{Value, json};

use super::{
    OTHER_SECRET, Operator, SECRET, Scene, TTL, USER, cli, client_id, client_key, is_stored, keys, login, save,
    standalone, stored, upstream, user_id,
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
    assert_eq!(tried, json!({ "would_end": 2 }));
    assert_eq!(scene.names(), before);
    let ended = scene.operator.run(&["sessions", "revoke", "--user", "alice"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("ended  2") && ended.out.contains("within 5 s"), "{}", ended.out);
    for (number, there) in [(1, false), (2, false), (3, true)] {
        let (session, upstream) = keys(number);
        assert_eq!(scene.load::<Session>(&session).await.is_some(), there);
        assert_eq!(scene.load::<Upstream>(&upstream).await.is_some(), there);
    }
    assert_eq!(scene.names().len(), before.len() - 4 + 1);
    let again = scene.operator.json(&["sessions", "revoke", "--user", "alice"]);
    assert_eq!((again.code, again.out.as_str()), (1, ""));
    assert!(again.err.contains("no login was found"), "{}", again.err);
}

#[tokio::test]
async fn sessions_end_by_whatever_they_are_named_by_and_others_stay() {
    let (session, user) = (SessionId::new([1; 16]).to_string(), user_id("alice").to_string());
    for (named, ended) in [
        (&["--user", &user][..], 2),
        (&["--user", "alice@example.com"], 2),
        (&["--subject", "alice"], 2),
        (&["--email", "Alice@Example.com"], 2),
        (&["--session", &session], 1),
        (&["--client", "client-a"], 3),
        (&["--client", "client-a", "--subject", "bob"], 1),
        (&["--all"], 3),
    ] {
        let scene = Scene::filled().await;
        let listed = scene.operator.json(&[&["sessions", "list"], named].concat());
        assert_eq!((listed.code, listed.rows().len()), (0, ended), "{named:?}: {}", listed.err);
        let command = [&["sessions", "revoke"], named].concat();
        let tried = scene.operator.json(&[&command[..], &["--dry-run"]].concat()).document();
        assert_eq!(tried, json!({ "would_end": ended }), "{named:?}");
        assert_eq!(scene.operator.json(&command).document()["ended"], ended, "{named:?}");
        let left = scene.operator.json(&["sessions", "list"]).rows();
        assert_eq!(left.len(), 3 - ended, "{named:?}");
        let list = scene.load::<EndedSessions>(&list_key(Writer::Operator)).await.unwrap();
        assert_eq!((list.sessions().count(), list.overflowed_at), (ended, None), "{named:?}");
    }
}

#[tokio::test]
async fn what_names_no_login_ends_none_and_exits_with_one() {
    let scene = Scene::filled().await;
    let before = scene.names();
    let absent = SessionId::new([77; 16]).to_string();
    for named in [
        &["--user", "carol"][..],
        &["--subject", "alice@example.com"],
        &["--email", "alice"],
        &["--session", &absent],
        &["--client", "client-b"],
        &["--client", "client-b", "--user", "alice"],
    ] {
        for command in [&["sessions", "list"][..], &["sessions", "revoke"]] {
            let done = scene.operator.json(&[command, named].concat());
            assert_eq!((done.code, done.out.as_str()), (1, ""), "{command:?} {named:?}");
            assert!(done.err.contains("no login was found"), "{}", done.err);
        }
    }
    for command in [&["users", "show", "carol"][..], &["users", "revoke", "carol"]] {
        assert_eq!(scene.operator.json(command).code, 1, "{command:?}");
    }
    assert_eq!(scene.names(), before);
}

#[tokio::test]
async fn a_session_whose_id_is_gone_has_filters_look_all_up() {
    let scene = Scene::filled().await;
    cli(scene.server.port, &["DEL", &stored(&keys(1).1)]);
    let user = user_id("alice").to_string();
    assert_eq!(scene.operator.json(&["users", "revoke", &user]).document()["ended"], 2);
    let list = scene.load::<EndedSessions>(&list_key(Writer::Operator)).await.unwrap();
    assert!(list.overflowed_at.is_some());
}

#[tokio::test]
async fn sessions_that_end_by_two_commands_are_both_on_the_list() {
    let scene = Scene::filled().await;
    for user in ["alice", "bob"] {
        scene.operator.json(&["users", "revoke", user]).document();
    }
    let list = scene.load::<EndedSessions>(&list_key(Writer::Operator)).await.unwrap();
    assert_eq!(list.sessions().count(), 3);
    assert_eq!(scene.operator.json(&["sessions", "revoke", "--all"]).document()["ended"], 0);
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

#[tokio::test]
async fn what_a_user_has_connected_is_shown_and_ends_with_the_sessions_and_no_other_users_does() {
    let scene = Scene::filled().await;
    let connect = async |user: &str| {
        let hub = ProviderId::of("hub", "https://hub.example");
        let key = connection_key(user_id(user), hub);
        let connected = Some(Connected { at: 1, provider: "hub".to_owned() });
        let account = Upstream { email: Some(format!("{user}@hub.example")), connected, ..upstream(9, user) };
        let record = Upstream { session: *user_id(user).as_bytes(), ..account };
        save(&scene.bridge, SECRET, &key, &record, TTL).await;
        key
    };
    let (alice, bob, carol) = (connect("alice").await, connect("bob").await, connect("carol").await);
    let shown = scene.operator.json(&["users", "show", "alice"]).document();
    assert_eq!(shown["connections"], json!(["hub as alice@hub.example"]));
    let tried = scene.operator.json(&["users", "revoke", "alice", "--dry-run"]).document();
    assert_eq!(tried, json!({ "would_end": 2, "would_disconnect": 1 }));
    assert!(is_stored(&scene.server, &alice));
    let ended = scene.operator.json(&["users", "revoke", "alice"]).document();
    assert_eq!((&ended["ended"], &ended["disconnected"]), (&json!(2), &json!(1)));
    assert!(!is_stored(&scene.server, &alice) && is_stored(&scene.server, &bob));
    // A user without a session is named by the id.
    let ended = scene.operator.json(&["users", "revoke", &user_id("carol").to_string()]).document();
    assert_eq!((&ended["ended"], &ended["disconnected"]), (&json!(0), &json!(1)));
    assert!(!is_stored(&scene.server, &carol));
}
