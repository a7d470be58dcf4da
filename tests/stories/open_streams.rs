//! No stream outlives its login: an event stream, a long poll or a slow call ends with the session,
//! in the same Envoy and in another, and with the access token that it was opened with, unless the
//! login was refreshed.

use std::time::{Duration, Instant};

use portcullis_testbed::http::{OpenResponse, Request};
use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use portcullis_testbed::raw_http2::RawHttp2;
use portcullis_testbed::testbed::{Builder, Store, Testbed};
use serde_json::json;
use tokio::task::JoinSet;

use crate::machine;
use crate::scripted_backend::ScriptedBackend;
use crate::support::{assert_challenged, authority, log_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_open_stream_of_a_session_ends_with_it_in_the_same_envoy() {
    for store in [Store::Memory, Store::Standalone] {
        let backend = ScriptedBackend::start().await;
        let bed = with(&backend).store(store).workers(2).start().await;
        let (client, tokens) = log_in(&bed, "alice").await;
        let (_, others) = log_in(&bed, "bob").await;
        let mut streams = open_many(&bed, &tokens).await;
        let mut kept = open(&bed, bed.envoy_ports()[0], "busy", &others).await;
        let mut connection = RawHttp2::open(authority(&bed.gateway())).await.expect("a connection");
        for kind in ["quiet", "busy", "silent"].repeat(30) {
            begin(&mut connection, kind, &tokens).await;
        }
        for _ in 0..3 {
            begin(&mut connection, "busy", &others).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(streams.try_join_next().is_none(), "one ended by itself");
        assert_eq!(connection.streams().0, 93);

        let ended = Instant::now();
        end(&client, &tokens).await;
        while let Some(stream) = streams.join_next().await {
            stream.expect("no panic");
        }
        until("the streams of HTTP/2 end", async || connection.streams().0 == 3).await;
        assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
        assert!(kept.next().await.expect("goes on").is_some());
        assert_eq!(connection.streams().0, 3, "bob's");
        let reply = bed.get("/api/scripted/quiet").bearer(&tokens.access_token).send().await;
        assert_challenged(&bed, &reply, 401, "invalid_token", "the session of this token has ended", "back again");
        let counted = async || bed.stats("wasmcustom.portcullis.streams.ended").await.values().sum::<u64>();
        until("each is counted", async || counted().await == 96).await;
        bed.assert_healthy().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_within_a_minute_of_its_session_in_another_envoy() {
    let backend = ScriptedBackend::start().await;
    let bed = with(&backend).store(Store::Standalone).replicas(2).start().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    let [here, other] = bed.envoy_ports()[..] else { panic!("two gateways") };
    let mut streams = JoinSet::new();
    for (port, kind) in [(here, "quiet"), (other, "quiet"), (here, "busy"), (other, "busy")] {
        let stream = open(&bed, port, kind, &tokens).await;
        streams.spawn(read_to_end(stream));
    }
    // Longer than until the first look at the store.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(streams.try_join_next().is_none(), "one ended by itself");
    let ended = Instant::now();
    end(&client, &tokens).await;
    while let Some(stream) = streams.join_next().await {
        stream.expect("no panic");
    }
    assert!(ended.elapsed() < Duration::from_secs(60), "{:?}", ended.elapsed());
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_access_token_unless_the_login_is_refreshed() {
    for store in [Store::Memory, Store::Standalone] {
        let backend = ScriptedBackend::start().await;
        let life = json!({ "tokenLifespans": { "accessToken": "8s" } });
        let bed = with(&backend).store(store).config(life).start().await;
        let (_, unrefreshed) = log_in(&bed, "alice").await;
        let (client, tokens) = log_in(&bed, "bob").await;
        let start = Instant::now();
        let port = bed.envoy_ports()[0];
        let [first, second] = [open(&bed, port, "quiet", &unrefreshed).await, open(&bed, port, "quiet", &tokens).await]
            .map(|stream| {
                tokio::spawn(async move {
                    read_to_end(stream).await;
                    start.elapsed().as_secs()
                })
            });
        tokio::time::sleep(Duration::from_secs(5)).await;
        let renewed = client.refresh(&tokens.refresh_token).await;
        let first = first.await.expect("no panic");
        assert!((6..=10).contains(&first), "after {first} s");
        let second = second.await.expect("no panic");
        assert!((11..=15).contains(&second), "after {second} s");
        // The login is as good as before.
        let again = client.refresh(&renewed.refresh_token).await;
        assert_eq!(bed.get("/api/scripted/x").bearer(&again.access_token).send().await.status, 200);
        bed.assert_healthy().await;
    }
}

fn with(backend: &ScriptedBackend) -> Builder {
    machine::testbed().cluster("scripted", backend.port()).route("/api/scripted", "scripted")
}

/// Opens event streams on connections of their own, and reads each to its end.
async fn open_many(bed: &Testbed, tokens: &Tokens) -> JoinSet<()> {
    let mut streams = JoinSet::new();
    for kind in ["quiet", "busy", "quiet", "busy"] {
        streams.spawn(read_to_end(open(bed, bed.envoy_ports()[0], kind, tokens).await));
    }
    for _ in 0..2 {
        let waiting = bed.get("/api/scripted/silent").bearer(&tokens.access_token).timeout(PATIENCE);
        streams.spawn(async move {
            // Nothing was answered yet, so Envoy has no stream to cut off: it answers for the
            // backend, or closes.
            if let Ok(reply) = waiting.try_send().await {
                assert!(reply.status >= 400, "{reply:?}");
            }
        });
    }
    streams
}

async fn open(bed: &Testbed, port: u16, kind: &str, tokens: &Tokens) -> OpenResponse {
    let request = Request::get(&format!("http://127.0.0.1:{port}/api/scripted/{kind}"))
        .header("host", authority(&bed.gateway()))
        .bearer(&tokens.access_token)
        .timeout(PATIENCE);
    let stream = request.open().await.expect("an answer");
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
    stream
}

async fn begin(connection: &mut RawHttp2, kind: &str, tokens: &Tokens) {
    let bearer = format!("Bearer {}", tokens.access_token);
    let path = format!("/api/scripted/{kind}");
    let stream = connection.begin(&path, &[("authorization", &bearer)], ("x", ""), 0).await.expect("a stream");
    assert!(connection.send(stream, b"", true).await);
}

/// Reads until the stream is cut off.
async fn read_to_end(mut stream: OpenResponse) {
    while let Ok(Some(_)) = stream.next().await {}
}

/// Ends a login by the use of a refresh token that was replaced and whose successor was used.
async fn end(client: &OAuthClient, tokens: &Tokens) {
    let next = client.refresh(&tokens.refresh_token).await;
    client.refresh(&next.refresh_token).await;
    let replay = client.refresh_request(&tokens.refresh_token).send().await;
    assert_eq!(replay.status, 400, "{replay:?}");
}

const PATIENCE: Duration = Duration::from_secs(120);
