//! Thousands of requests that never end, from strangers: they take little memory, no VM fails, and
//! others are served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::raw_http2::RawHttp2;
use portcullis_testbed::testbed::Testbed;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::bodies::{FORM, form};
use crate::machine;
use crate::support::{assert_error, assert_page, authority, connect, log_in, read_answers, until};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_requests_that_never_end_take_little_memory_while_others_log_in() {
    machine::take_alone();
    // More than the samples let Envoy take: the filter's bound is what is met.
    let bed = Testbed::builder().workers(2).header_kib(60).start().await;
    let (client, _) = log_in(&bed, "alice").await;
    let memory = Memory::watch(&bed);
    let long = "x".repeat(4000);
    let short = "x".repeat(1000);
    for flood in [
        // 57 KB of headers in some 60 bytes, as often as one likes.
        Flood { path: "/oauth/token", header: ("x-a", &long), times: 14, body: "" },
        Flood { path: "/oauth/authorize", header: ("cookie", &long), times: 14, body: "" },
        // As much as is let in, in fields that are kept and in others.
        Flood { path: "/oauth/token", header: ("x-a", &short), times: 14, body: "" },
        Flood { path: "/oauth/token", header: ("cookie", &short), times: 14, body: "grant_type=" },
        Flood { path: "/oauth/consent", header: ("cookie", &short), times: 14, body: "" },
        Flood { path: "/oauth/register", header: ("x-a", &short), times: 14, body: "{" },
        Flood { path: "/oauth/token", header: ("x-a", "x"), times: 1, body: "" },
        // Where a token that was made up is asked for.
        Flood { path: "/mcp", header: ("authorization", &format!("Bearer {long}")), times: 1, body: "{" },
    ] {
        let (slow, code) = slow_redemption(&bed, &client).await;
        let is_over = AtomicBool::new(false);
        let flooding = async {
            let connections = flood.run(&bed, 200, 100).await;
            is_over.store(true, Ordering::Relaxed);
            connections
        };
        let (connections, logins) = tokio::join!(flooding, log_in_until(&is_over, &client));
        assert!(logins > 0);

        // What is left of the flood is bounded; all else of it was refused.
        let most_open = 2 * MAX_PAUSED / (16 * 1024 + 2 * flood.header_bytes());
        let (most_open, refusals): (_, &[u16]) = match (flood.path, flood.header_bytes()) {
            ("/mcp", _) => (0, &[401]),
            (_, 16_385..) => (0, &[431]),
            (_, _) => (most_open, &[503]),
        };
        let statuses = settled(&connections, most_open).await;
        assert!(statuses.keys().all(|status| refusals.contains(status)), "{flood:?}: {statuses:?}");

        // A client that began before the flood, on a connection of its own, has only been slow.
        assert_eq!(finish(slow, &code).await, 200, "{flood:?}");
        client.log_in(&mut Browser::new("alice")).await;
        let grown = memory.grown();
        assert!(grown < 64 || flood.header != ("x-a", &long), "Envoy has grown by {grown} MiB");
        drop(connections);
    }
    let grown = memory.grown();
    assert!(grown < 96, "Envoy has grown by {grown} MiB in all these floods");
    let stats = bed.stats("wasmcustom.portcullis").await;
    for counter in ["deny.headers_too_large", "fail.body_wait_evicted"] {
        assert!(stats[&format!("wasmcustom.portcullis.{counter}")] > 0, "{counter}: {stats:?}");
    }
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_with_bodies_that_never_end_take_little_memory_and_shut_no_client_out() {
    machine::take_alone();
    let bed = Testbed::builder().workers(2).start().await;
    let (client, _) = log_in(&bed, "alice").await;
    let memory = Memory::watch(&bed);
    let host = authority(&bed.gateway()).to_owned();
    let head = |path: &str, bytes: usize| {
        let padding = "x".repeat(bytes);
        let fields = format!("content-type: {FORM}\r\ntransfer-encoding: chunked\r\nx-a: {padding}\r\n");
        format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n")
    };
    let piece = format!("3a98\r\n{}\r\n", "x".repeat(15_000));
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..1000 {
        let path = if number % 2 == 0 { "/oauth/token" } else { "/oauth/consent" };
        let mut connection = connect(&bed).await;
        let begun = [head(path, 15_000), piece.clone()].concat();
        connection.write_all(begun.as_bytes()).await.expect("sent");
        held.push(connection);
        if number % 100 == 0 {
            client.log_in(&mut Browser::new("alice")).await;
        }
    }
    // More came than there is room for, so the first have been given up.
    let first = held.first_mut().expect("a connection");
    assert_eq!(read_answers(first, 1, true).await.status(), 503);
    client.log_in(&mut Browser::new("alice")).await;
    let grown = memory.grown();
    assert!(grown < 64, "Envoy has grown by {grown} MiB");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    let bed = machine::testbed().start().await;
    let mut waiting = Vec::new();
    for path in ["/oauth/token", "/oauth/consent"] {
        let mut connection = connect(&bed).await;
        let host = authority(&bed.gateway()).to_owned();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {FORM}\r\ncontent-length: 9\r\n\r\ngrant");
        connection.write_all(head.as_bytes()).await.expect("sent");
        waiting.push(connection);
    }
    let mut answers = Vec::new();
    for connection in &mut waiting {
        answers.push(
            tokio::time::timeout(Duration::from_secs(45), read_answers(connection, 1, true)).await.expect("in time"),
        );
    }
    assert_eq!(answers[0].status(), 408, "{answers:?}");
    assert!(answers[0].0.contains("access-control-allow-origin: *"), "{answers:?}");
    assert!(answers[0].0.contains("the body did not come in time"), "{answers:?}");
    assert_eq!(answers[1].status(), 408, "{answers:?}");
    assert!(answers[1].0.contains("This answer did not arrive"), "{answers:?}");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn more_than_16_kib_of_headers_are_refused_where_the_gateway_itself_answers_and_nowhere_else() {
    let scene = super::scene().await;
    let bed = &scene.bed;
    let long = "x".repeat(4000);
    let with = |request: portcullis_testbed::http::Request, times: usize| {
        (0..times).fold(request, |request, _| request.header("x-a", &*long))
    };
    let too_large = "the headers are larger than 16 KiB";
    for path in ["/oauth/token", "/oauth/register", "/oauth/other"] {
        let reply = with(bed.post(path), 5).header("origin", "https://app.example").send().await;
        assert_error(&reply, 431, "invalid_request", too_large, path);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{path}");
    }
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json"] {
        assert_error(&with(bed.get(path), 5).send().await, 431, "invalid_request", too_large, path);
        assert_eq!(with(bed.get(path), 3).send().await.status, 200, "{path}");
    }
    for path in ["/oauth/authorize?client_id=x", "/oauth/callback?state=x"] {
        assert_page(&with(bed.get(path), 5).send().await, 431, "This request is too large", path);
    }
    assert_page(&with(bed.post("/oauth/consent"), 5).send().await, 431, "This request is too large", "consent");
    let call = with(bed.get("/api/large-headers").bearer(&scene.tokens.access_token), 6).send().await;
    assert_eq!(call.status, 200, "{call:?}");
    scene.assert_unharmed().await;
}

/// The same request over and over, whose body never ends.
#[derive(Debug)]
struct Flood<'a> {
    path: &'static str,
    /// A header, which is named by one byte from its second use on, and how often it is in each
    /// request.
    header: (&'static str, &'a str),
    times: usize,
    /// What comes of the body.
    body: &'static str,
}

impl Flood<'_> {
    fn header_bytes(&self) -> usize {
        self.header.1.len() * self.times
    }

    /// Opens the streams on each of the connections, some connections at a time, and leaves them
    /// open. A burst on many of them at once is Envoy's alone to bear: it frees no request before
    /// it has read from every connection that is ready.
    async fn run(&self, bed: &Testbed, connections: usize, streams: usize) -> Vec<RawHttp2> {
        let gateway = bed.gateway();
        let mut opened = Vec::new();
        while opened.len() < connections {
            let some: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(self.connection(&gateway, streams))).collect();
            for connection in some {
                opened.push(connection.await.expect("a connection"));
            }
        }
        opened
    }

    /// One connection's part.
    fn connection(&self, gateway: &str, streams: usize) -> impl Future<Output = RawHttp2> + 'static {
        let (host, path, times, body) = (authority(gateway).to_owned(), self.path, self.times, self.body);
        let (name, value) = (self.header.0, self.header.1.to_owned());
        let kind = if path == "/oauth/register" { "application/json" } else { FORM };
        async move {
            let mut connection = RawHttp2::open(&host).await.expect("a connection");
            for _ in 0..streams {
                let stream = connection.begin(path, &[("content-type", kind)], (name, &value), times).await;
                let stream = stream.expect("the connection stays open");
                assert!(body.is_empty() || connection.send(stream, body.as_bytes(), false).await);
            }
            connection
        }
    }
}

/// How often a flood was answered with each status, once all but `most_open` of its 20,000 streams
/// are answered.
async fn settled(connections: &[RawHttp2], most_open: usize) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    until("every stream is answered, or one of the few that stay open", async || {
        let mut open = 0;
        statuses.clear();
        for (open_here, statuses_here) in connections.iter().map(RawHttp2::streams) {
            open += open_here;
            for (status, count) in statuses_here {
                *statuses.entry(status).or_default() += count;
            }
        }
        open <= most_open && open + statuses.values().sum::<usize>() == 20_000
    })
    .await;
    statuses
}

/// Logs in as often as it can, at least once; gives how often.
async fn log_in_until(is_over: &AtomicBool, client: &OAuthClient) -> usize {
    let mut logins = 0;
    while logins == 0 || !is_over.load(Ordering::Relaxed) {
        client.log_in(&mut Browser::new("bob")).await;
        logins += 1;
    }
    logins
}

/// Sends the head and the half of a token request; the rest is given back.
async fn slow_redemption(bed: &Testbed, client: &OAuthClient) -> (TcpStream, String) {
    let authorization = client.authorization();
    let callback = client.authorize(&mut Browser::new("carol"), &authorization).await;
    let body = form(client, callback.code(), &authorization.verifier);
    let (first, rest) = body.split_at(body.len() / 2);
    let mut connection = connect(bed).await;
    let host = authority(&bed.gateway()).to_owned();
    let fields = format!("host: {host}\r\ncontent-type: {FORM}\r\ncontent-length: {}\r\n", body.len());
    let head = format!("POST /oauth/token HTTP/1.1\r\n{fields}\r\n{first}");
    connection.write_all(head.as_bytes()).await.expect("sent");
    (connection, rest.to_owned())
}

async fn finish(mut connection: TcpStream, rest: &str) -> u16 {
    connection.write_all(rest.as_bytes()).await.expect("sent");
    read_answers(&mut connection, 1, true).await.status()
}

/// How much memory an Envoy holds (its resident set, in MiB), and the most that it held.
struct Memory {
    before: u64,
    most: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Memory {
    fn watch(bed: &Testbed) -> Self {
        let envoy = bed.to_json()["pids"]["envoy"].as_u64().expect("a process");
        let before = resident(envoy);
        let most = Arc::new(AtomicU64::new(before));
        let watched = most.clone();
        let watching = tokio::spawn(async move {
            loop {
                watched.fetch_max(resident(envoy), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { before, most, watching }
    }

    fn grown(&self) -> u64 {
        self.most.load(Ordering::Relaxed) - self.before
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn resident(process: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// The most bytes that the paused streams of a worker hold. Each takes 16 KiB, and its headers
/// twice.
const MAX_PAUSED: usize = 32 * 1024 * 1024;
/// How many connections open their streams at the same time.
const AT_ONCE: usize = 2;
