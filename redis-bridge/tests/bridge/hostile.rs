//! Requests that an attacker could send: nothing of it is obeyed, nothing of it is stored, and it
//! holds no place for long.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{Get, GetAnswer, REQUEST_BYTES, VALUE_BYTES, Verb};
use portcullis_storage_api::{Key, Kind};
use serde_json::json;

use crate::client::{Client, space};
use crate::fields::{raw, request, with};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, cli, standalone, until};

#[test]
fn bytes_of_no_protocol_of_ours_are_never_obeyed() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "limits: { idle: 500ms }");
    cli(server.port, &["SET", "thv:auth:kept", "1"]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let line = |length: usize| format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(length)).into_bytes();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(3_000)).into_bytes();
    let spoken: [(&str, Vec<u8>); 13] = [
        ("a command of Redis", b"*1\r\n$4\r\nPING\r\n".to_vec()),
        ("a command of Redis in words", b"PING\r\n".to_vec()),
        ("many commands of Redis", b"*3\r\n$3\r\nSET\r\n$13\r\nthv:auth:evil\r\n$1\r\n1\r\n".repeat(500)),
        ("a TLS hello", client_hello()),
        ("HTTP/0.9", b"GET /v1/get\r\n".to_vec()),
        ("HTTP/1.0 with a command in it", b"POST /v1/put HTTP/1.0\r\n\r\nFLUSHALL\r\n".to_vec()),
        ("a header too large", line(64 * 1024)),
        ("too many headers", many),
        ("HTTP/2 and garbage", [&preface[..], &[0xff; 4_096]].concat()),
        ("HTTP/2 and a frame too large", [&preface[..], &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], &[0; 99]].concat()),
        ("HTTP/2 and a command of Redis", [&preface[..], b"*1\r\n$8\r\nFLUSHALL\r\n"].concat()),
        ("half of HTTP/2", preface[..10].to_vec()),
        ("zeros", vec![0; 100_000]),
    ];
    for (what, bytes) in spoken {
        let started = Instant::now();
        let answer = exchange(&bridge.socket, &bytes);
        assert!(started.elapsed() < Duration::from_secs(5), "{what} held its connection");
        let text = String::from_utf8_lossy(&answer);
        // HTTP/2 begins with the server's own SETTINGS frame, and ends with GOAWAY.
        let refused = answer.is_empty() || text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.0 4");
        let frames = answer.get(3) == Some(&4) && !text.contains("x-portcullis-bridge");
        assert!(refused || frames, "{what}: {text}");
    }
    assert_eq!(cli(server.port, &["KEYS", "*"]), "thv:auth:kept");
    assert!(bridge.observe("/readyz").starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_largest_value_is_not() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let put = request(Verb::Put);
    let text = |bytes: usize| json!("A".repeat((bytes * 4).div_ceil(3)));
    let (status, _) = raw(&client, Verb::Put, with(&put, "value", text(VALUE_BYTES + 1)).to_string()).await;
    assert!(status == 400 || status == 413, "{status}");
    let client = Client::new(&bridge.socket, false);
    let (status, _) = raw(&client, Verb::Put, with(&put, "value", text(REQUEST_BYTES)).to_string()).await;
    assert_eq!(status, 413);
    // A connection whose request was not read to its end is closed, and the old client may not have
    // heard of it yet.
    let client = Client::new(&bridge.socket, false);
    let keys: Vec<String> = (0..65).map(|number| format!("session:{number:064x}")).collect();
    for keys in [json!(keys), json!([])] {
        let (status, _) = raw(&client, Verb::GetMany, with(&request(Verb::GetMany), "keys", keys).to_string()).await;
        assert_eq!(status, 400);
    }
    assert_eq!(cli(server.port, &["DBSIZE"]), "0");
    let (status, _) = raw(&client, Verb::Put, with(&put, "value", text(VALUE_BYTES)).to_string()).await;
    assert_eq!(status, 200);
    // The length that was announced is not believed, and a body without one is counted.
    let head = "POST /v1/put HTTP/1.1\r\nhost: x\r\n";
    let huge = exchange(&bridge.socket, format!("{head}content-length: 99999999999\r\n\r\n{{").as_bytes());
    assert!(huge.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&huge));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    let chunked =
        exchange(&bridge.socket, format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(2)).as_bytes());
    assert!(chunked.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&chunked));
}

/// Every slow caller there is at once, and one place left: that one is served all the while, and
/// soon all are free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_caller_is_sent_away_and_delays_nobody() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "limits: { connections: 7, idle: 1s }");
    let head = "POST /v1/put HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n";
    let request = "POST /v1/health HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // What each says at once, and then, one byte after the other.
    let slow: [(&str, String, String); 6] = [
        ("nothing", String::new(), String::new()),
        ("a head", "POST /v1/put HT".to_owned(), "TP/1.1\r\nx: ".to_owned() + &"y".repeat(1_000)),
        ("a body", head.to_owned(), " ".repeat(1_000)),
        ("half a preface", "PRI * HTTP".to_owned(), String::new()),
        ("HTTP/2 without a request", preface.to_owned() + "\0\0\0\x04\0\0\0\0\0", String::new()),
        ("one request, then a slow one", request.to_owned(), "POST /v1/put HT".to_owned() + &"y".repeat(1_000)),
    ];
    let started = Instant::now();
    let attackers: Vec<_> = slow
        .into_iter()
        .map(|(what, first, rest)| {
            let socket = bridge.socket.clone();
            std::thread::spawn(move || {
                let mut stream = UnixStream::connect(socket).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                stream.write_all(first.as_bytes()).unwrap();
                let mut rest = rest.bytes();
                loop {
                    // The pace of an attacker, not a wait for anything.
                    std::thread::sleep(Duration::from_millis(50));
                    let written = rest.next().map_or(Ok(()), |byte| stream.write_all(&[byte]));
                    let closed = matches!(stream.read(&mut [0; 4_096]), Ok(0)) || written.is_err();
                    if closed {
                        return (what, started.elapsed());
                    }
                    assert!(started.elapsed() < Duration::from_secs(30), "{what} holds its connection");
                }
            })
        })
        .collect();
    until("all are connected", || bridge.metric("portcullis_bridge_connections") == 6);
    let client = Client::new(&bridge.socket, false);
    while !attackers.iter().all(std::thread::JoinHandle::is_finished) {
        let asked = Instant::now();
        let _: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for attacker in attackers {
        let (what, took) = attacker.join().unwrap();
        assert!(took < Duration::from_secs(15), "{what} held its connection for {took:?}");
    }
    until("every place is free again", || bridge.metric("portcullis_bridge_connections") <= 1);
    assert_eq!(cli(server.port, &["DBSIZE"]), "0");
}

/// Says something, and hears the answer until the other side has closed.
fn exchange(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A sender that is refused early may find that the rest is not read.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// The first bytes of a TLS 1.3 client.
fn client_hello() -> Vec<u8> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("bridge.example").unwrap();
    let mut connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

fn key() -> Key {
    Key { kind: Kind::Session, id: [8; 32] }
}
