//! Each way that Redis can refuse, and what the caller gets.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use portcullis_storage_api::wire::{Get, GetAnswer, Mutation, Put, PutAnswer, RefusalCause, Value, Verb};
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::client::{Client, fresh, space};
use portcullis_testbed::bridge::{Bridge, check};
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, USER, cli, standalone, until};

/// The answers of a scripted server, as bytes of the protocol.
#[derive(Clone)]
struct Script {
    hello: String,
    get: String,
    evalsha: String,
    eval: String,
    del: String,
}

/// Instead of an answer: the connection is closed.
const CLOSE: &str = "close";

/// A server that answers by script and remembers what it was asked.
struct Scripted {
    port: u16,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start() -> Self {
        let script = Script {
            hello: hello("master"),
            get: "_\r\n".to_owned(),
            evalsha: "$8\r\nversion1\r\n".to_owned(),
            eval: "$8\r\nversion2\r\n".to_owned(),
            del: ":0\r\n".to_owned(),
        };
        let (script, asked) = (Arc::new(Mutex::new(script)), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = (Arc::clone(&script), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, asked) = shared.clone();
                std::thread::spawn(move || serve(stream, &script, &asked));
            }
        });
        Self { port, script, asked }
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    fn count(&self, command: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == command).count()
    }

    fn redis(&self) -> String {
        format!("addr: \"127.0.0.1:{}\", {USER}", self.port)
    }
}

fn serve(stream: TcpStream, script: &Mutex<Script>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(command) = read_command(&mut reader) {
        let script = script.lock().unwrap().clone();
        let answer = match command.as_str() {
            "HELLO" => script.hello,
            "GET" => script.get,
            "EVALSHA" => script.evalsha,
            "EVAL" => script.eval,
            "DEL" => script.del,
            _ => "-NOPERM this user has no permissions\r\n".to_owned(),
        };
        asked.lock().unwrap().push(command);
        if answer == CLOSE {
            return;
        }
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The first word of a command; its arguments are read over.
fn read_command(reader: &mut impl std::io::BufRead) -> Option<String> {
    let number = |mark: char, reader: &mut dyn std::io::BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.trim_end().strip_prefix(mark)?.parse::<usize>().ok()
    };
    let words = number('*', reader)?;
    let mut first = None;
    for _ in 0..words {
        let length = number('$', reader)?;
        let mut word = vec![0; length.checked_add(2)?];
        reader.read_exact(&mut word).ok()?;
        word.truncate(length);
        first.get_or_insert(String::from_utf8_lossy(&word).into_owned());
    }
    first
}

fn hello(role: &str) -> String {
    format!("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$4\r\nrole\r\n${}\r\n{role}\r\n", role.len())
}

#[tokio::test]
async fn each_refusal_of_redis_has_its_own_outcome() {
    let server = Scripted::start();
    let bridge = Bridge::start(&server.redis(), "");
    let client = Client::new(&bridge.socket, false);
    let cases = [
        ("LOADING Redis is loading the dataset in memory", "loading", RefusalCause::Unavailable),
        ("NOREPLICAS Not enough good replicas to write.", "noreplicas", RefusalCause::Unavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", "oom", RefusalCause::Full),
        ("MISCONF Redis is configured to save RDB snapshots", "misconf", RefusalCause::Unavailable),
        ("BUSY Redis is busy running a script.", "busy", RefusalCause::Unavailable),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "noperm", RefusalCause::Unavailable),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "wrongtype", RefusalCause::Corrupt),
        ("NOAUTH Authentication required.", "wrong_password", RefusalCause::Unavailable),
        ("ERR something new", "unexpected", RefusalCause::Unavailable),
        ("READONLY You can't write against a read only replica.", "readonly", RefusalCause::Unavailable),
        ("MASTERDOWN Link with MASTER is down", "masterdown", RefusalCause::Unavailable),
    ];
    for (words, kind, outcome) in cases {
        server.change(|script| script.evalsha = format!("-{words}\r\n"));
        assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(outcome), "{words}");
        assert_eq!(bridge.metric(&format!("portcullis_bridge_redis_faults_total{{kind=\"{kind}\"}}")), 1, "{words}");
    }
    // The bridge that was refused everything goes on as soon as it is not.
    server.change(|script| script.evalsha = "$8\r\nversion1\r\n".to_owned());
    let _: PutAnswer = client.call(Verb::Put, &put()).await.unwrap();
    assert_eq!(server.count("EVAL"), 0);
}

#[test]
fn a_server_that_refuses_every_write_is_not_ready_and_one_that_refuses_the_question_is() {
    let server = Scripted::start();
    let bridge = Bridge::start(&server.redis(), "");
    let is_ready = || bridge.observe("/readyz").starts_with("HTTP/1.1 200");
    for (words, reason) in [
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("NOREPLICAS Not enough good replicas to write.", "noreplicas"),
        ("MISCONF Redis is configured to save RDB snapshots", "misconf"),
        ("BUSY Redis is busy running a script.", "busy"),
        ("CLUSTERDOWN The cluster is down", "clusterdown"),
    ] {
        server.change(|script| script.del = format!("-{words}\r\n"));
        until(words, || !is_ready());
        let told = bridge.observe("/readyz");
        assert!(told.contains(&format!("refuses writes: {reason}")), "{told}");
        server.change(|script| script.del = ":0\r\n".to_owned());
        until("it is ready again", is_ready);
    }
    for words in
        ["NOPERM this user has no permissions", "CLUSTERDOWN Hash slot not served", "MOVED 1 127.0.0.1:1", "ERR new"]
    {
        server.change(|script| script.del = format!("-{words}\r\n"));
        let before = server.count("DEL");
        until("it was asked", || server.count("DEL") >= before + 2);
        assert!(is_ready(), "{words}: {}", bridge.observe("/readyz"));
    }
}

#[tokio::test]
async fn a_read_that_is_refused_is_never_an_absent_record() {
    let server = Scripted::start();
    let bridge = Bridge::start(&server.redis(), "");
    let client = Client::new(&bridge.socket, false);
    let get = Get { space: space(), key: key() };
    for words in ["LOADING", "MASTERDOWN", "NOPERM", "BUSY", "READONLY", "ERR what"] {
        server.change(|script| script.get = format!("-{words} words\r\n"));
        assert_eq!(client.call::<_, GetAnswer>(Verb::Get, &get).await, Err(RefusalCause::Unavailable), "{words}");
    }
    server.change(|script| script.get = "_\r\n".to_owned());
    assert_eq!(client.call::<_, GetAnswer>(Verb::Get, &get).await.unwrap().record, None);
}

#[tokio::test]
async fn an_unknown_script_is_sent_whole() {
    let server = Scripted::start();
    let bridge = Bridge::start(&server.redis(), "");
    let client = Client::new(&bridge.socket, false);
    server.change(|script| script.evalsha = "-NOSCRIPT No matching script.\r\n".to_owned());
    let answer: PutAnswer = client.call(Verb::Put, &put()).await.unwrap();
    assert_eq!(answer.version.0.to_be_bytes(), *b"version2");
    assert_eq!((server.count("EVALSHA"), server.count("EVAL")), (1, 1));
}

#[tokio::test]
async fn a_replica_starts_a_new_discovery() {
    let server = Scripted::start();
    let bridge = Bridge::start(&server.redis(), "");
    let client = Client::new(&bridge.socket, false);
    server.change(|script| {
        script.evalsha = "-READONLY You can't write against a read only replica.\r\n".to_owned();
        script.hello = hello("replica");
    });
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(RefusalCause::Unavailable));
    until("the replica is given up", || bridge.metric("portcullis_bridge_redis_up") == 0);
    assert!(bridge.observe("/readyz").contains("not_master"));
    let before = server.count("EVALSHA");
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(RefusalCause::Unavailable));
    assert_eq!(server.count("EVALSHA"), before, "a server that is no master was written to");
    server.change(|script| {
        script.evalsha = "$8\r\nversion1\r\n".to_owned();
        script.hello = hello("master");
    });
    until("the master is found again", || bridge.metric("portcullis_bridge_redis_up") == 1);
    let _: PutAnswer = client.call(Verb::Put, &put()).await.unwrap();
}

#[test]
fn a_server_that_takes_no_connection_is_named_with_its_reason() {
    let server = Scripted::start();
    for (words, reason) in [
        ("-ERR max number of clients reached\r\n".to_owned(), "max_clients"),
        ("-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_owned(), "wrong_password"),
        (hello("replica"), "not_master"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(), "redis at"),
    ] {
        server.change(|script| script.hello = words);
        let (content, said) = check(&server.redis(), "");
        assert!(!content && said.contains(reason), "{reason} is not in {said}");
    }
    let (content, said) = check("addr: \"127.0.0.1:1\"", "");
    assert!(!content && said.contains("unreachable"), "{said}");
}

#[tokio::test]
async fn an_operation_is_tried_twice_where_its_connection_is_closed_and_not_a_third_time() {
    let server = Scripted::start();
    let bridge = Bridge::start(&server.redis(), "");
    let client = Client::new(&bridge.socket, false);
    server.change(|script| CLOSE.clone_into(&mut script.evalsha));
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(RefusalCause::Unavailable));
    assert_eq!(server.count("EVALSHA"), 2);
    assert_eq!(bridge.metric("portcullis_bridge_redis_faults_total{kind=\"unreachable\"}"), 1);
    // What Redis refuses is not tried again.
    server.change(|script| script.evalsha = "-BUSY Redis is busy running a script.\r\n".to_owned());
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(RefusalCause::Unavailable));
    assert_eq!(server.count("EVALSHA"), 3);
}

#[tokio::test]
async fn a_silent_operation_on_a_connection_that_answers_is_not_tried_again() {
    let server = Scripted::start();
    let bridge = Bridge::start(&server.redis(), "limits: { deadline: 1500ms }");
    let client = Client::new(&bridge.socket, false);
    server.change(|script| script.evalsha = String::new());
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(RefusalCause::Unavailable));
    assert_eq!(server.count("EVALSHA"), 1);
    assert_eq!(bridge.metric("portcullis_bridge_redis_lost_connections_total{reason=\"silent\"}"), 0);
}

#[tokio::test]
async fn a_real_server_that_is_full_or_forgets_its_scripts_is_told_apart() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let _: PutAnswer = client.call(Verb::Put, &put()).await.unwrap();
    assert_eq!(cli(server.port, &["SCRIPT", "FLUSH"]), "OK");
    let _: PutAnswer = client.call(Verb::Put, &put()).await.unwrap();
    cli(server.port, &["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(RefusalCause::Full));
    cli(server.port, &["CONFIG", "SET", "maxmemory", "0"]);
    let _: PutAnswer = client.call(Verb::Put, &put()).await.unwrap();
    cli(server.port, &["ACL", "SETUSER", "toolhive-auth", "-EVALSHA"]);
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &put()).await, Err(RefusalCause::Unavailable));
    assert_eq!(bridge.metric("portcullis_bridge_redis_faults_total{kind=\"noperm\"}"), 1);
}

#[test]
fn a_check_finds_every_missing_grant() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let (content, said) = check(&standalone(server.port), "");
    assert!(content, "{said}");
    for (command, verb) in [
        ("EVALSHA", "put_new"),
        ("EVAL", "put_new"),
        ("GET", "put_new"),
        ("SET", "put_new"),
        ("MGET", "get_many"),
        ("DEL", "delete"),
        ("SADD", "add_member"),
        ("SMEMBERS", "add_member"),
        ("SREM", "remove_member"),
    ] {
        // What it has run once, a server knows by its digest alone.
        cli(server.port, &["SCRIPT", "FLUSH"]);
        cli(server.port, &["ACL", "SETUSER", "toolhive-auth", &format!("-{command}")]);
        let (content, said) = check(&standalone(server.port), "");
        let found = said.contains(&format!("`{verb}` was refused")) && said.contains(r#""fault":"noperm""#);
        assert!(!content && found, "{command}: {said}");
        cli(server.port, &["ACL", "SETUSER", "toolhive-auth", &format!("+{command}")]);
    }
    assert!(check(&standalone(server.port), "").0);
}

fn key() -> Key {
    Key { kind: Kind::Session, id: [4; 32] }
}

fn put() -> Put {
    let (value, mutation) = (Value::new(b"x".to_vec()).unwrap(), Mutation { idempotency: fresh(), durable: false });
    Put { space: space(), key: key(), value, ttl: Ttl::Seconds(60), mutation }
}
