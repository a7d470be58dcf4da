//! The socket's own rules: who comes in, what is taken, how much, and how it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{Get, GetAnswer, MAX_REQUEST_BYTES, RefusalCause, Verb};
use portcullis_storage_api::{Key, Kind};

use crate::client::{Client, space};
use portcullis_testbed::bridge::{Bridge, check_at};
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, cli, standalone, until};

#[tokio::test]
async fn only_the_verbs_are_answered_and_nothing_else_is_written() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    for path in ["/v1/eval", "/v1/flushall", "/v1/keys", "/v2/get", "/v1/get?key=x", "/", "/v1/../v1/get", "/v1//get"] {
        let (status, body) = client.raw(path, b"{}".to_vec()).await.unwrap();
        assert_eq!((status, body.as_slice()), (404, br#"{"error":"unknownVerb"}"#.as_slice()), "{path}");
    }
    let get = serde_json::to_string(&Get { space: space(), key: key() }).unwrap();
    let escapes = [
        get.replace("prod/gateway", "prod}/gateway"),
        get.replace("prod/gateway", "prod/gateway:x"),
        get.replace("session:", "session:x\\r\\nFLUSHALL\\r\\n"),
        get.replace("session:", "lock:"),
        get.replacen('{', r#"{"command":"FLUSHALL","#, 1),
        format!("{get}{get}"),
        "[".repeat(50_000),
        "null".to_owned(),
        String::new(),
    ];
    for body in escapes {
        let (status, answer) = client.raw("/v1/get", body.clone().into_bytes()).await.unwrap();
        assert_eq!((status, answer.as_slice()), (400, br#"{"error":"badRequest"}"#.as_slice()), "{body:.80}");
    }
    let (status, _) = client.raw("/v1/put", vec![b' '; MAX_REQUEST_BYTES + 1]).await.unwrap();
    assert_eq!(status, 413);
    assert_eq!(cli(server.port, &["DBSIZE"]), "0");
}

#[test]
fn bytes_of_another_protocol_do_nothing() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    cli(server.port, &["SET", "thv:auth:kept", "1"]);
    let spoken: [&[u8]; 4] = [
        b"FLUSHALL\r\n\r\n",
        b"*1\r\n$8\r\nFLUSHALL\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        b"POST /v1/get HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nx: \x00\r\n\r\n",
    ];
    for bytes in spoken {
        let mut stream = UnixStream::connect(&bridge.socket).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(cli(server.port, &["DBSIZE"]), "1");
    assert!(bridge.observe("/healthz").starts_with("HTTP/1.1 200"));
    assert!(bridge.observe("/v1/health").starts_with("HTTP/1.1 404"), "a verb was answered outside the socket");
}

#[test]
fn a_foreign_users_connection_is_closed_unanswered() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let no_local_user = "listen: { unix: SOCKET, mode: \"0600\", allowedUids: [4294967294] }";
    let bridge = Bridge::start(&standalone(server.port), no_local_user);
    let mode = fs::metadata(&bridge.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&bridge.socket).unwrap();
    let _ = stream.write_all(b"POST /v1/health HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    let counted = "portcullis_bridge_refused_connections_total{reason=\"foreign user\"}";
    until("the refusal is counted", || bridge.metric(counted) == 1);
    until("the log says so", || bridge.log().contains("foreign user"));
}

#[tokio::test]
async fn connections_past_the_limit_are_closed() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "limits: { connections: 1 }");
    let first = Client::new(&bridge.socket, false);
    let _: GetAnswer = first.call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
    let second = Client::new(&bridge.socket, false);
    let refused = second.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key: key() }).await;
    assert_eq!(refused, Err(RefusalCause::Unavailable));
    assert_eq!(bridge.metric("portcullis_bridge_refused_connections_total{reason=\"too many\"}"), 1);
}

#[tokio::test]
async fn more_than_is_taken_on_is_refused_at_once() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "limits: { inFlight: 2, queue: 2, deadline: 700ms }");
    server.process.signal("-STOP");
    let clients: Vec<Client> = (0..40).map(|_| Client::new(&bridge.socket, false)).collect();
    let calls = clients.iter().map(|client| async move {
        let started = Instant::now();
        let answer = client.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key: key() }).await;
        (answer, started.elapsed())
    });
    let answers = futures_util::future::join_all(calls).await;
    server.process.signal("-CONT");
    let shed = answers.iter().filter(|(answer, _)| *answer == Err(RefusalCause::Overloaded)).count();
    assert!(shed >= 30, "{shed} of 40 were refused");
    // By the bridge's own clock, from a request's last byte to its refusal; the accepted ones take
    // far longer.
    let bucket = bridge.metric("portcullis_bridge_request_seconds_bucket{verb=\"get\",le=\"0.01\"}");
    assert!(usize::try_from(bucket).unwrap() * 10 >= shed * 9, "{bucket} of {shed} were refused within 10 ms");
    assert!(answers.iter().all(|(_, took)| *took < Duration::from_secs(5)));
    until("it works again", || bridge.observe("/readyz").starts_with("HTTP/1.1 200"));
    let _: GetAnswer = clients[0].call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_under_way_is_finished_before_the_end() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let mut bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let _: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
    server.process.signal("-STOP");
    let under_way =
        tokio::spawn(async move { client.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key: key() }).await });
    until("the operation is under way", || bridge.metric("portcullis_bridge_in_flight") == 1);
    bridge.process.signal("-TERM");
    until("no new connection is taken", || !bridge.socket.exists());
    server.process.signal("-CONT");
    assert!(under_way.await.unwrap().is_ok(), "the operation was cut off");
    assert!(bridge.process.wait());
}

#[test]
fn a_killed_bridges_socket_is_taken_over_and_a_living_ones_is_not() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let mut first = Bridge::start(&standalone(server.port), "");
    let listen = format!("listen: {{ unix: \"{}\" }}", first.socket.display());
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(config.path(), format!("{listen}\nredis: {{ addr: \"127.0.0.1:{}\" }}", server.port)).unwrap();
    let second = std::process::Command::new(portcullis_testbed::paths::bridge())
        .arg("--config")
        .arg(config.path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process listens"));
    first.process.kill();
    assert!(first.socket.exists());
    let third = Bridge::start(&standalone(server.port), &listen);
    assert!(UnixStream::connect(&first.socket).is_ok());
    drop(third);
}

fn key() -> Key {
    Key { kind: Kind::Session, id: [3; 32] }
}

#[test]
fn a_check_says_where_the_bridge_could_not_listen_and_what_is_in_use() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let redis = standalone(server.port);
    let (content, said) =
        check_at(Path::new("/nowhere/bridge.sock"), &redis, "metrics: { listen: \"192.0.2.1:9464\" }");
    assert!(!content, "{said}");
    for problem in ["cannot listen on `listen`: No such file", "cannot listen on `metrics.listen`: Cannot assign"] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let (content, said) = check_at(file.path(), &redis, "");
    assert!(!content && said.contains("a file which is no socket"), "{said}");
    assert!(file.path().exists());
    // A bridge that is running is checked in its own place.
    let bridge = Bridge::start(&redis, "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = format!("metrics: {{ listen: \"{}\" }}", taken.local_addr().unwrap());
    let (content, said) = check_at(&bridge.socket, &redis, &metrics);
    assert!(content && said.contains("another process listens on the socket"), "{said}");
    assert!(said.contains("cannot listen on `metrics.listen`: Address already in use"), "{said}");
    assert!(bridge.socket.exists() && bridge.observe("/readyz").starts_with("HTTP/1.1 200"));
}
