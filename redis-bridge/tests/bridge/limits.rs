//! What the bridge does when it has as much to do as it takes on, and more.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_storage_api::wire::{Get, GetAnswer, RefusalCause, Verb};
use portcullis_storage_api::{Key, Kind};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::delay_proxy::delay_proxy;
use portcullis_testbed::paths;
use portcullis_testbed::process::Process;
use portcullis_testbed::redis::{CREDENTIALS, LEAST_ACL, RedisServer, standalone, until};
use tokio::time::{Instant, interval, sleep};

use crate::client::{Client, space};

#[tokio::test]
async fn what_is_taken_on_is_done_soon_when_ten_times_as_much_is_asked() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    // At most 4 at once and 50 ms for each: 80 a second, whatever the machine.
    let wire = standalone(delay_proxy(server.port, Duration::from_millis(50)));
    let bridge = Bridge::start(&wire, "limits: { inFlight: 4, queue: 1 }");
    let normal = ask(&bridge, 4, 10).await;
    assert_eq!(normal.refused, 0, "refused below capacity");
    let much = ask(&bridge, 80, 20).await;
    assert!(much.refused >= 1_000, "{} of 1600 were refused", much.refused);
    assert!(much.accepted.len() >= 20, "only {} were taken on", much.accepted.len());
    // A busy machine slows the callers here, too; `make bench` has the strict figures. Without a
    // bound on those that wait, 80 callers would wait a second each time.
    let [usual, now] = [&normal.accepted, &much.accepted].map(|times| times[times.len() / 2]);
    assert!(now <= usual * 5, "taken on: {now:?}, where {usual:?} is usual");
    // By the bridge's own clock, from a request's last byte to its refusal; the accepted ones take
    // five times as long. The one that waits in the queue gives up after 5 ms, which a busy machine
    // stretches: it is at most one of four.
    let refused = bridge.metric("portcullis_bridge_requests_total{verb=\"get\",outcome=\"overloaded\"}");
    let quick = bridge.metric("portcullis_bridge_request_seconds_bucket{verb=\"get\",le=\"0.01\"}");
    assert!(quick * 10 >= refused * 7, "{quick} of {refused} were refused within 10 ms");
}

#[tokio::test]
async fn a_thousand_connections_fit_into_64_mib() {
    allow_many_files();
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let clients: Vec<Client> = (0..1_000).map(|_| Client::new(&bridge.socket, false)).collect();
    for client in &clients {
        let _: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
    }
    assert_eq!(bridge.metric("portcullis_bridge_connections"), 1_000);
    let resident = bridge.resident_mib();
    assert!(resident <= 64.0, "{resident} MiB");
}

#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let folder = tempfile::TempDir::new().unwrap();
    let (socket, config) = (folder.path().join("bridge.sock"), folder.path().join("bridge.yaml"));
    let text = format!("listen: {{ unix: \"{}\" }}\nredis: {{ {} }}\n", socket.display(), standalone(server.port));
    std::fs::write(&config, text).unwrap();
    let arrange = |command: &mut std::process::Command| {
        let run = "ulimit -Sn 64; exec \"$0\" --config \"$1\"";
        command.args(["-c", run]).arg(paths::bridge()).arg(&config).envs(CREDENTIALS);
    };
    let bridge = Process::start("redis-bridge", Path::new("sh"), arrange, &folder.path().join("log")).unwrap();
    until("the bridge listens", || socket.exists());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bridge.id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, _] = files.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{files}") };
    assert_eq!(soft, hard);
}

struct Answers {
    /// How long those took that were done, in order.
    accepted: Vec<Duration>,
    refused: usize,
}

/// `callers` callers send the same number of requests each, one every 100 ms: they do not slow down
/// when they are refused.
async fn ask(bridge: &Bridge, callers: u32, times: usize) -> Answers {
    let clients: Vec<Client> = (0..callers).map(|_| Client::new(&bridge.socket, false)).collect();
    let paced = clients.iter().zip(0..).map(|(client, number)| async move {
        sleep(EACH.mul_f64(f64::from(number) / f64::from(callers))).await;
        let mut due = interval(EACH);
        let mut answers = Vec::new();
        for _ in 0..times {
            due.tick().await;
            let sent = Instant::now();
            let answer = client.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key: key() }).await;
            answers.push((answer, sent.elapsed()));
        }
        answers
    });
    let answers = join_all(paced).await.concat();
    assert!(answers.iter().all(|(answer, _)| matches!(answer, Ok(_) | Err(RefusalCause::Overloaded))), "{answers:?}");
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(answer, _)| answer.is_ok());
    let mut accepted: Vec<Duration> = accepted.into_iter().map(|(_, took)| took).collect();
    accepted.sort_unstable();
    Answers { accepted, refused: refused.len() }
}

/// This process holds the other ends of the connections.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

fn key() -> Key {
    Key { kind: Kind::Session, id: [7; 32] }
}

const EACH: Duration = Duration::from_millis(100);
