//! A backend that answers by the last part of the path: streams without an end, and refusals.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A backend. It stops when it is dropped.
pub(crate) struct ScriptedBackend {
    port: u16,
    rejected: Arc<Mutex<Rejected>>,
    running: JoinHandle<()>,
}

/// The tokens that it answers with 401.
#[derive(Default)]
struct Rejected {
    all: bool,
    values: BTreeSet<String>,
    /// The token of the last request.
    last: String,
    /// What the answer has beyond its status.
    fields: String,
}

impl ScriptedBackend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let rejected = Arc::<Mutex<Rejected>>::default();
        let kept = rejected.clone();
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone()));
            }
        });
        Self { port, rejected, running }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The `Authorization` of the last request.
    pub(crate) fn last(&self) -> String {
        self.rejected.lock().expect("no panic").last.clone()
    }

    /// Rejects the token of the last request from now on.
    pub(crate) fn reject_last(&self) {
        let mut rejected = self.rejected.lock().expect("no panic");
        let last = rejected.last.clone();
        rejected.values.insert(last);
    }

    /// Rejects every token, or no more than before.
    pub(crate) fn reject_all(&self, all: bool) {
        self.rejected.lock().expect("no panic").all = all;
    }

    /// Adds fields, each with its line end, to each answer.
    pub(crate) fn add_fields(&self, fields: &str) {
        self.rejected.lock().expect("no panic").fields = fields.to_owned();
    }
}

impl Drop for ScriptedBackend {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(mut stream: TcpStream, rejected: Arc<Mutex<Rejected>>) {
    let mut bytes = Vec::new();
    loop {
        let Some(head) = read_head(&mut stream, &mut bytes).await else { return };
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let token = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default().to_owned();
        let (is_rejected, fields) = {
            let mut rejected = rejected.lock().expect("no panic");
            rejected.last.clone_from(&token);
            (rejected.all || rejected.values.contains(&token), rejected.fields.clone())
        };
        let answer = match path.rsplit('/').next().unwrap_or_default() {
            "silent" => return std::future::pending().await,
            "quiet" => {
                let _sent = stream.write_all(EVENTS.as_bytes()).await;
                return std::future::pending().await;
            }
            "busy" => {
                let mut sent = stream.write_all(EVENTS.as_bytes()).await;
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    sent = stream.write_all(b"9\r\ndata: x\n\n\r\n").await;
                }
                return;
            }
            "forbidden" => format!("HTTP/1.1 403 Forbidden\r\n{fields}content-length: 0\r\n\r\n"),
            _ if is_rejected => format!("HTTP/1.1 401 Unauthorized\r\n{fields}content-length: 4\r\n\r\nno!\n"),
            _ => format!("HTTP/1.1 200 OK\r\n{fields}content-length: 3\r\n\r\nyes"),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads a request without a body.
async fn read_head(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
