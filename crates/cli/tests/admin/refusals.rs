//! What is not done, with which exit code, and which words.

use super::{ISSUER, LEAST_ACL, OTHER_SECRET, Operator, RedisServer, SECRET, USER, acl, cli, standalone};
use portcullis_testbed::redis::CREDENTIALS;

const GATEWAY: &str = "namespace: prod, name: gateway";

#[test]
fn the_serving_user_may_not_and_the_missing_grant_is_named() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    // Without a user of their own the commands take the service's.
    let mut operator = Operator::configured(&standalone(server.port), "", GATEWAY);
    operator.environment.extend(CREDENTIALS.map(|(name, text)| (name, text.to_owned())));
    for command in [&["stats"][..], &["clients", "list"], &["sessions", "list"], &["purge", "--yes"], &["backup", "b"]]
    {
        let done = operator.run(command);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{command:?}");
        assert!(done.err.contains("grant it +SCAN "), "{command:?}: {}", done.err);
    }
}

#[test]
fn another_prefix_than_the_users_is_refused_in_words() {
    let server = RedisServer::start(
        &acl().replace("resetchannels", "").replacen("on >PASSWORD ~thv:auth:*", "on >PASSWORD ~x:*", 1),
        &[],
    );
    let done = Operator::new(&standalone(server.port)).run(&["clients", "delete", "client-a"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("may not touch the names under keyPrefix"), "{}", done.err);
}

#[test]
fn a_user_is_asked_for_only_with_the_gateways_secret() {
    let server = RedisServer::start(&acl(), &[]);
    let operator = Operator::without_the_secret(&standalone(server.port));
    for command in [
        &["sessions", "list", "--user", "a"][..],
        &["sessions", "revoke", "--user", "a"],
        &["sessions", "revoke", "--all"],
        &["users", "list"],
        &["users", "show", "a"],
    ] {
        let done = operator.run(command);
        assert_eq!((done.code, done.out.as_str()), (2, ""));
        assert!(done.err.contains("set admin.gatewaySecrets"), "{}", done.err);
    }
}

#[test]
fn what_is_asked_for_wrongly_ends_with_two_and_reaches_no_redis() {
    // Nothing listens there: an attempt would end with 1.
    let operator = Operator::new(&standalone(1));
    for command in [
        &["purge"][..],
        &["purge", "--yes", "--dry-run"],
        &["purge", "--kind", "everything", "--yes"],
        &["sessions", "revoke"],
        &["sessions", "revoke", "--dry-run"],
        &["sessions", "revoke", "--all", "--user", "a"],
        &["sessions", "revoke", "--session", "not an id"],
        &["users", "show"],
        &["clients"],
        &["clients", "show"],
        &["flush"],
        &["stats", "--namespace", "a:b"],
        &["stats", "--name", "*"],
        &["restore", "x", "--into", "prod"],
        &["restore", "x", "--into", "pr*d/gateway"],
        &["stats", "--log", "json"],
    ] {
        let done = operator.run(command);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{command:?}: {}", done.err);
    }
    assert!(operator.run(&["purge"]).err.contains("--dry-run|--yes"));
    assert_eq!(operator.run(&["stats"]).code, 1);
}

#[test]
fn a_configuration_that_lacks_something_ends_with_two_and_names_it() {
    let refused = |user: &str, admin: &str, secret: &str| {
        let mut operator = Operator::configured(&standalone(1), user, admin);
        operator.environment.retain(|(name, _)| *name != "GATEWAY_SECRET");
        operator.environment.push(("GATEWAY_SECRET", secret.to_owned()));
        let done = operator.run(&["stats"]);
        assert_eq!(done.code, 2, "{}", done.err);
        done.err
    };
    let secrets = |names: &str| format!("gatewaySecrets: [{names}], issuer: {ISSUER}, {GATEWAY}");
    assert!(refused(USER, "name: gateway", "").contains("--namespace"));
    assert!(refused(USER, "namespace: prod", "").contains("--name"));
    let short = refused(USER, &secrets("{ env: GATEWAY_SECRET }"), "short");
    assert!(short.contains("admin.gatewaySecrets[0] has fewer than 32 bytes"), "{short}");
    let twice = refused(USER, &secrets("{ env: GATEWAY_SECRET }, { env: GATEWAY_SECRET }"), OTHER_SECRET);
    assert!(twice.contains("admin.gatewaySecrets[1] is the same"), "{twice}");
    assert!(!twice.contains(OTHER_SECRET));
    assert!(
        refused(USER, &secrets("{ env: ABSENT }"), "")
            .contains("admin.gatewaySecrets[0]: the environment variable is not set")
    );
    let unsealed = format!("gatewaySecrets: [{{ env: GATEWAY_SECRET }}], {GATEWAY}");
    assert!(refused(USER, &unsealed, SECRET).contains("admin.issuer: must be the gateway's issuer"));
    assert!(refused("user: {}, ", GATEWAY, "").contains("admin: unknown field"));
    // Neither the commands' user nor the service's.
    assert!(refused("", GATEWAY, "").contains("redis.aclUserConfig.username"));
}

#[test]
fn a_wrong_password_and_an_absent_server_are_told_apart() {
    let server = RedisServer::start(&acl(), &[]);
    let mut operator = Operator::new(&standalone(server.port));
    operator.environment.push(("ADMIN_PASSWORD", "wrong".to_owned()));
    let done = operator.run(&["stats"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("wrong_password"), "{}", done.err);
    let done = Operator::new(&standalone(1)).run(&["stats"]);
    assert!(done.code == 1 && done.err.contains("unreachable"), "{}", done.err);
    let unreachable = "sentinelConfig: { masterName: m, sentinelAddrs: [\"127.0.0.1:1\"] }";
    let done = Operator::new(unreachable).run(&["stats"]);
    assert!(done.code == 1 && done.err.contains("no sentinel knows a master"), "{}", done.err);
}

#[test]
fn a_replica_is_not_taken_for_the_master() {
    let master = RedisServer::start(&acl(), &[]);
    let replica = RedisServer::replica_of(master.port, &acl());
    let done = Operator::new(&standalone(replica.port)).run(&["purge", "--yes"]);
    assert!(done.code == 1 && done.err.contains("not_master"), "{}", done.err);
    assert_eq!(cli(master.port, &["PING"]), "PONG");
}

#[test]
fn a_cluster_is_refused() {
    let done = Operator::new("cluster: { addrs: [\"127.0.0.1:1\"] }").run(&["purge", "--yes"]);
    assert!(done.code == 2 && done.err.contains("a cluster cannot be administered"), "{}", done.err);
}
