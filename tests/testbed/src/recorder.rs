//! The recorder: a backend that keeps every byte it received, and the tap, which also passes it
//! on.
//!
//! `GET /_recorded` answers what came so far as a JSON array, `DELETE /_recorded` empties it. Each
//! runs on a thread and a runtime of its own, because a testbed outlives the runtime of the test
//! that happened to start it.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::http::{Body, Framing, Head, read_head};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: String,
    /// The request target, path and query.
    pub path: String,
    /// The fields in order, names in the case received.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The head's bytes.
    pub raw_head: Vec<u8>,
}

impl Recorded {
    /// The first field of this name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// Every field of this name, as text.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<String> {
        let same = |held: &[u8]| held.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(|(held, _)| same(held)).map(|(_, value)| lossy(value)).collect()
    }

    /// The bearer token that it carried.
    #[must_use]
    pub fn bearer(&self) -> Option<String> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned)
    }

    /// Whether these bytes are anywhere in it: head or body.
    #[must_use]
    pub fn contains(&self, needle: &str) -> bool {
        let within = |hay: &[u8]| hay.windows(needle.len().max(1)).any(|part| part == needle.as_bytes());
        within(&self.raw_head) || within(&self.body)
    }

    fn to_json(&self) -> Value {
        let pairs: Vec<_> = self.headers.iter().map(|(name, value)| json!([lossy(name), lossy(value)])).collect();
        let mut value = json!({
            "method": self.method,
            "path": self.path,
            "headers": pairs,
            "body": STANDARD.encode(&self.body),
            "head": STANDARD.encode(&self.raw_head),
        });
        let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
        if !self.headers.iter().all(|(name, value)| is_text(name) && is_text(value)) {
            let encoded = |(name, value): &(Vec<u8>, Vec<u8>)| json!([STANDARD.encode(name), STANDARD.encode(value)]);
            value["headers_base64"] = self.headers.iter().map(encoded).collect();
        }
        value
    }
}

/// A recorder that runs until it is dropped.
pub struct Recorder {
    port: u16,
    kept: Kept,
    _stop: oneshot::Sender<()>,
}

impl Recorder {
    /// Starts one that answers `200 {"ok":true}` to everything.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start() -> io::Result<Self> {
        Self::start_with(None)
    }

    /// Starts one that passes each request on to this loopback port and the answer back, as it
    /// comes.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start_tap(backend: u16) -> io::Result<Self> {
        Self::start_with(Some(backend))
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it received so far.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        lock(&self.kept).clone()
    }

    /// Returns what it received so far, and forgets it.
    #[must_use]
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut lock(&self.kept))
    }

    /// Forgets what it received.
    pub fn forget(&self) {
        lock(&self.kept).clear();
    }

    fn start_with(backend: Option<u16>) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let kept = Kept::default();
        let (stop, stopped) = oneshot::channel();
        let service = Service { kept: Arc::clone(&kept), backend };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    _ = service.run(listener) => {}
                }
            });
        })?;
        Ok(Self { port, kept, _stop: stop })
    }
}

#[derive(Clone)]
struct Service {
    kept: Kept,
    backend: Option<u16>,
}

impl Service {
    async fn run(self, listener: StdListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let service = self.clone();
            // A connection that breaks is the story's affair; what arrived before is kept.
            tokio::spawn(async move { drop(service.serve(stream).await) });
        }
    }

    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        while let Some(head) = read_head(&mut stream).await? {
            let request = self.receive(&mut stream, &head).await?;
            if request.path == "/_recorded" {
                let listing = match request.method.as_str() {
                    "DELETE" => {
                        lock(&self.kept).clear();
                        json!([])
                    }
                    _ => lock(&self.kept).iter().map(Recorded::to_json).collect(),
                };
                answer(&mut stream, &listing.to_string(), &request.method).await?;
                continue;
            }
            lock(&self.kept).push(request.clone());
            match self.backend {
                Some(backend) => return relay(stream, &head, &request.body, backend).await,
                None => answer(&mut stream, r#"{"ok":true}"#, &request.method).await?,
            }
        }
        Ok(())
    }

    async fn receive(&self, stream: &mut BufReader<TcpStream>, head: &Head) -> io::Result<Recorded> {
        if head.field("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut body = Vec::new();
        let mut incoming = Body { framing: head.framing(false)? };
        while let Some(piece) = incoming.next(stream).await? {
            body.extend_from_slice(&piece);
        }
        let mut words = head.start.split(|byte| *byte == b' ');
        Ok(Recorded {
            method: lossy(words.next().unwrap_or_default()),
            path: lossy(words.next().unwrap_or_default()),
            headers: head.fields.clone(),
            body,
            raw_head: head.raw.clone(),
        })
    }
}

async fn answer(stream: &mut BufReader<TcpStream>, body: &str, method: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.flush().await
}

/// Passes one request on and its answer back byte by byte, then closes: one request a connection
/// keeps it simple and leaves a streaming answer untouched.
async fn relay(mut client: BufReader<TcpStream>, head: &Head, body: &[u8], backend: u16) -> io::Result<()> {
    let mut backend = TcpStream::connect((Ipv4Addr::LOCALHOST, backend)).await?;
    backend.set_nodelay(true)?;
    let mut bytes = [&head.start[..], b"\r\n"].concat();
    let dropped: [&[u8]; 4] = [b"connection", b"transfer-encoding", b"content-length", b"expect"];
    for (name, value) in head.fields.iter().filter(|(name, _)| !dropped.iter().any(|d| name.eq_ignore_ascii_case(d))) {
        bytes.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
    }
    if !matches!(head.framing(false)?, Framing::Empty) {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes.extend_from_slice(body);
    backend.write_all(&bytes).await?;
    let mut backend = BufReader::new(backend);
    let answer = read_head(&mut backend).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut bytes = [&answer.start[..], b"\r\n"].concat();
    for (name, value) in answer.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"connection")) {
        bytes.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
    }
    // Some streaming answers say keep-alive whatever was asked, and then Envoy would use this
    // connection again.
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    client.write_all(&bytes).await?;
    let mut piece = vec![0; 64 * 1024];
    let mut from_client = [0; 1];
    loop {
        tokio::select! {
            read = backend.read(&mut piece) => match read? {
                0 => return client.shutdown().await,
                read => client.write_all(&piece[..read]).await?,
            },
            // Envoy gave up on the answer: let the backend know by closing.
            _ = client.read(&mut from_client) => return Ok(()),
        }
    }
}

fn lock(kept: &Kept) -> std::sync::MutexGuard<'_, Vec<Recorded>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

type Kept = Arc<Mutex<Vec<Recorded>>>;
