//! What is shown, and that it is shown without harm.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    ADMIN_ACL, OTHER_SECRET, Operator, PORTCULLIS, RedisServer, SECRET, Scene, USER, acl, cli, client_id, client_key,
    is_stored, keys, login, register, second_provider, standalone, stored, user_id,
};

#[tokio::test]
async fn clients_are_listed_and_shown_by_their_id() {
    let scene = Scene::filled().await;
    let mut rows = scene.operator.json(&["clients", "list"]).rows();
    rows.sort_by_key(|row| row["client_id"].as_str().unwrap().to_owned());
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["client_id"], &rows[0]["name"]), (&Value::from("client-a"), &Value::from("Editor")));
    assert_eq!(rows[1]["redirect_uris"][0], "http://127.0.0.1/Shell");
    assert!((3_500..=3_600).contains(&rows[0]["expires_in_seconds"].as_u64().unwrap()));

    let table = scene.operator.run(&["clients", "list"]).out;
    assert!(table.starts_with("NAME  ") && table.lines().count() == 3, "{table}");
    assert!(table.lines().any(|line| line.ends_with(" client-a") && line.starts_with("Editor ")), "{table}");

    let shown = scene.operator.json(&["clients", "show", "client-a"]).document();
    assert_eq!((&shown["opened"], &shown["refresh_tokens"]), (&Value::from(true), &Value::from(true)));
    let digest = shown["record"].as_str().unwrap();
    assert_eq!(scene.operator.json(&["clients", "show", digest]).document(), shown);
    let text = scene.operator.run(&["clients", "show", "client-a"]).out;
    assert!(text.contains("redirect uris") && text.contains("http://127.0.0.1/Editor"), "{text}");
}

#[tokio::test]
async fn without_the_gateways_secret_only_the_outside_is_seen() {
    let scene = Scene::filled().await;
    let operator = Operator::without_the_secret(&standalone(scene.server.port));
    for command in [&["clients", "list"][..], &["sessions", "list"], &["clients", "show", "client-a"]] {
        let done = operator.json(command);
        assert_eq!(done.code, 0, "{}", done.err);
        for row in done.rows() {
            assert_eq!(row["record"].as_str().unwrap().len(), 64);
            assert!(row["bytes"].as_u64().unwrap() > 50);
            assert!(row.get("name").is_none() && row.get("user").is_none());
        }
    }
    assert_eq!(operator.json(&["sessions", "list"]).rows().len(), 3);
}

#[tokio::test]
async fn sessions_are_listed_for_all_and_for_one_user() {
    let scene = Scene::filled().await;
    let rows = scene.operator.json(&["sessions", "list"]).rows();
    assert_eq!(rows.len(), 3);
    let rows = scene.operator.json(&["sessions", "list", "--user", "bob"]).rows();
    assert_eq!(rows.len(), 1);
    let user = user_id("bob").to_string();
    let expected = [
        ("user", user.as_str()),
        ("subject", "bob"),
        ("email", "bob@example.com"),
        ("name", "bob of Example"),
        ("client_id", "client-a"),
        ("state", "active"),
        ("resource", "https://mcp.example/"),
    ];
    for (name, value) in expected {
        assert_eq!(rows[0][name], value, "{name}");
    }
    for named in [&user, "bob@example.com"] {
        assert_eq!(scene.operator.json(&["sessions", "list", "--user", named]).rows(), rows, "{named}");
    }
    let table = scene.operator.run(&["sessions", "list", "--user", "alice"]).out;
    assert_eq!(table.lines().filter(|line| line.contains(" alice ")).count(), 2, "{table}");
    assert!(!table.contains("bob") && !table.contains("upstream-of"), "{table}");
    assert_eq!(scene.operator.json(&["sessions", "list", "--user", "carol"]).out, "");
}

#[tokio::test]
async fn users_are_listed_with_their_logins_and_shown_by_any_of_their_names() {
    let scene = Scene::filled().await;
    let rows = scene.operator.json(&["users", "list"]).rows();
    assert_eq!(rows.len(), 2);
    let bob = rows.iter().find(|row| row["subject"] == "bob").unwrap();
    let id = user_id("bob").to_string();
    assert_eq!((&bob["user"], &bob["email"]), (&Value::from(id.as_str()), &Value::from("bob@example.com")));
    assert_eq!((&bob["sessions"], &bob["clients"]), (&Value::from(1), &Value::from(1)));
    assert!(rows.iter().any(|row| row["subject"] == "alice" && row["sessions"] == 2));
    for named in [id.as_str(), "bob", "Bob@example.com"] {
        let shown = scene.operator.json(&["users", "show", named]).document();
        assert_eq!((&shown["user"], &shown["name"]), (&bob["user"], &Value::from("bob of Example")), "{named}");
        assert_eq!(shown["clients"], serde_json::json!(["client-a"]));
        assert!((7_100..=7_200).contains(&shown["last_session_expires_in_seconds"].as_u64().unwrap()));
    }
    let table = scene.operator.run(&["users", "list"]).out;
    assert!(table.starts_with("USER ") && table.lines().count() == 3 && !table.contains("upstream-of"), "{table}");
}

#[tokio::test]
async fn a_login_at_several_providers_is_one_row_by_the_names_of_the_first_and_ends_whole() {
    let scene = Scene::filled().await;
    let second = second_provider(&scene.bridge, 3, "bob").await;
    let port = scene.server.port;
    for first_is_gone in [false, true] {
        if first_is_gone {
            cli(port, &["DEL", &stored(&keys(3).1)]);
        }
        assert_eq!(scene.operator.json(&["sessions", "list"]).rows().len(), 3);
        for named in ["bob", "bob@example.com"] {
            let rows = scene.operator.json(&["sessions", "list", "--user", named]).rows();
            assert_eq!(
                (rows.len(), &rows[0]["subject"], &rows[0]["name"]),
                (1, &"bob".into(), &"bob of Example".into())
            );
        }
        assert_eq!(scene.operator.json(&["sessions", "list", "--subject", "octocat"]).rows().len(), 0);
        assert_eq!(scene.operator.json(&["users", "show", "bob"]).document()["sessions"], 1);
    }
    assert_eq!(scene.operator.json(&["sessions", "revoke", "--user", "bob"]).document()["ended"], 1);
    assert!(!is_stored(&scene.server, &second));
}

#[tokio::test]
async fn after_a_rotation_both_secrets_open() {
    let scene = Scene::filled().await;
    login(&scene.bridge, OTHER_SECRET, 9, "alice").await;
    let alone = scene.operator.json(&["sessions", "list", "--user", "alice"]);
    assert_eq!((alone.code, alone.rows().len()), (1, 2));
    assert!(alone.err.contains("1 sessions did not open"), "{}", alone.err);
    let admin =
        "gatewaySecrets: [{ env: NEW }, { env: OLD }], issuer: https://gateway.example, namespace: prod, name: gateway";
    let mut both = Operator::configured(&standalone(scene.server.port), USER, admin);
    // As a file's end leaves it, and the filter reads it.
    both.environment.extend([("NEW", format!("{OTHER_SECRET}\n")), ("OLD", SECRET.to_owned())]);
    assert_eq!(both.json(&["sessions", "list", "--user", "alice"]).rows().len(), 3);
}

#[tokio::test]
async fn a_record_under_another_name_is_not_believed() {
    let scene = Scene::filled().await;
    let port = scene.server.port;
    let (alices, _) = keys(1);
    let (bobs, _) = keys(3);
    cli(port, &["COPY", &stored(&alices), &stored(&bobs), "REPLACE"]);
    let listed = scene.operator.json(&["sessions", "list", "--user", "alice"]);
    assert_eq!((listed.code, listed.rows().len()), (1, 2));
}

#[tokio::test]
async fn names_chosen_by_strangers_cannot_move_the_terminal() {
    let scene = Scene::start();
    let evil = "\u{1b}[2J\u{9b}31m\u{202e}\r\nclient-x  never  Trusted";
    register(&scene.bridge, "client-e", evil).await;
    for arguments in [&["clients", "list"][..], &["clients", "show", "client-e"]] {
        for done in [scene.operator.run(arguments), scene.operator.json(arguments)] {
            let harmful = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
            assert!(!done.out.chars().any(harmful), "{:?}", done.out);
            assert!(!done.out.contains("\nclient-x"), "{:?}", done.out);
        }
    }
    assert_eq!(scene.operator.json(&["clients", "show", "client-e"]).document()["name"], evil);
}

#[tokio::test]
async fn what_is_no_record_is_counted_and_harms_nothing() {
    let scene = Scene::filled().await;
    let port = scene.server.port;
    let key = |letter: &str| format!("thv:auth:{{prod:gateway}}:client:{}", letter.repeat(64));
    cli(port, &["SET", &key("0"), "short"]);
    cli(port, &["SADD", &key("1"), "x"]);
    cli(port, &["SETRANGE", &key("2"), "1000000", "x"]);
    cli(port, &["SET", &key("3"), "12345678 and no sealed record"]);
    cli(port, &["SET", "thv:auth:{prod:gateway}:strange", "x"]);
    cli(port, &["SET", "thv:auth:{prod:other}:client:x", "x"]);
    let rows = scene.operator.json(&["clients", "list"]).rows();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows.iter().filter(|row| row["name"] == "(does not open)").count(), 3);
    let stats = scene.operator.json(&["stats"]).document();
    assert_eq!(stats["client"]["count"], 6);
    assert!(stats["client"]["bytes"].as_u64().unwrap() > 1_000_000);
    assert_eq!((&stats["unknown"]["count"], &stats["upstream"]["count"]), (&Value::from(1), &Value::from(3)));
    assert_eq!((&stats["consent"]["without_end"], &stats["gateway"]), (&Value::from(1), &Value::from("prod/gateway")));
    assert_eq!(stats["remembered_answers"]["count"], 9);
    let table = scene.operator.run(&["stats"]).out;
    assert!(table.lines().any(|line| line.starts_with("session ") && line.contains("count 3")), "{table}");
}

#[tokio::test]
async fn twenty_thousand_records_are_listed_in_bounded_time_and_memory() {
    let server = RedisServer::start(&acl(), &[]);
    let fill = "for i = 1, 20000 do \
        redis.call('SET', 'thv:auth:{prod:gateway}:client:' .. redis.sha1hex(i) .. string.rep('0', 24), \
        string.rep('x', 4096)) end";
    cli(server.port, &["EVAL", fill, "0"]);
    let operator = Operator::new(&standalone(server.port));
    let started = Instant::now();
    // All values together are 80 MB: a process that kept them would not fit.
    let limit = "ulimit -d 20000 && exec \"$0\" \"$@\"";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", limit]).arg(PORTCULLIS);
    let done = operator.command(&mut shell, &["clients", "list", "--json"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = String::from_utf8(done.stdout).unwrap();
    let ids: BTreeSet<&str> = out.lines().collect();
    assert_eq!(ids.len(), 20_000);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(done.stderr.is_empty());
}

#[test]
fn the_documented_line_grants_no_more_than_is_used() {
    let server = RedisServer::start(&acl(), &[]);
    let operator = Operator::new(&standalone(server.port));
    let file = operator.file("backup");
    let mut tries = 0;
    let mut works = || {
        tries += 1;
        // A client is deleted once.
        let new = client_id("Newcomer", SECRET, tries);
        cli(server.port, &["SET", &stored(&client_key("client-a")), "12345678 and a value"]);
        let commands = [
            &["clients", "show", "client-a"][..],
            &["backup", &file],
            &["clients", "delete", &new],
            &["purge", "--kind", "client", "--yes"],
            &["restore", &file],
        ];
        commands.map(|command| operator.run(command))
    };
    assert!(works().iter().all(|done| done.code == 0));
    // WAIT is for sentinel groups, and may be absent there too.
    let grants = ADMIN_ACL.split(' ').filter_map(|word| word.strip_prefix('+')).filter(|grant| *grant != "WAIT");
    for grant in grants {
        cli(server.port, &["ACL", "SETUSER", "portcullis-admin", &format!("-{grant}")]);
        let named = format!("grant it +{grant} ");
        assert!(works().iter().any(|done| done.code == 1 && done.err.contains(&named)), "{grant} is not needed");
        cli(server.port, &["ACL", "SETUSER", "portcullis-admin", &format!("+{grant}")]);
    }
}
