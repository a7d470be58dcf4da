//! A small HTTP/1.1 client and the message reader that it shares with the recorder.
//!
//! Written here because the stories must send what a polite client refuses to send (bytes that are
//! no UTF-8, repeated fields, names in odd case) and must see exactly what arrived. One connection
//! a request (but see [`crate::kept_connection`]); no redirect is followed.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jwt_simple::prelude::HS256Key;
pub use portcullis_testkit::http::Response;
use portcullis_testkit::http::{self as testkit, Transport};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use url::Url;

/// A request under construction. Fields go out in the order and case in which they were added.
#[derive(Clone)]
pub struct Request {
    method: String,
    url: Url,
    target: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Duration,
}

impl Request {
    /// Starts a request for an absolute `http` URL.
    ///
    /// # Panics
    /// When the URL cannot be parsed.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url:?} is no URL: {error}"));
        Self { method: method.to_owned(), url, target: None, headers: Vec::new(), body: Vec::new(), timeout: PATIENCE }
    }

    /// Starts a GET.
    #[must_use]
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// Starts a POST.
    #[must_use]
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// Sends these bytes as the request target instead of the URL's path and query.
    #[must_use]
    pub fn target(mut self, target: impl AsRef<[u8]>) -> Self {
        self.target = Some(target.as_ref().to_vec());
        self
    }

    /// Adds a field; a field of that name that is already there stays.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds `Authorization: Basic …` (RFC 7617).
    #[must_use]
    pub fn basic(self, user: &str, password: &str) -> Self {
        self.header("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Sets the body; its length is sent as `content-length`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a form body (`application/x-www-form-urlencoded`).
    #[must_use]
    pub fn form<K: AsRef<str>, V: AsRef<str>>(self, fields: &[(K, V)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
            .finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sets the timeout; 30 seconds by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Panics
    /// When there is no complete answer in time.
    pub async fn send(self) -> Response {
        let what = format!("{} {}", self.method, self.url);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// As [`Request::send`], with failures as values.
    ///
    /// # Errors
    /// When the connection fails, the answer is no HTTP/1.1 or it takes too long.
    pub async fn try_send(self) -> io::Result<Response> {
        let patience = self.timeout;
        let exchange = async {
            let mut open = self.open_unbounded().await?;
            let mut body = Vec::new();
            while let Some(piece) = open.next().await? {
                body.extend_from_slice(&piece);
            }
            Ok(Response { status: open.status, headers: open.headers, body })
        };
        tokio::time::timeout(patience, exchange).await.map_err(|_| late())?
    }

    /// Sends it and returns once the answer's head is there, for answers that stream.
    ///
    /// # Errors
    /// As [`Request::try_send`].
    pub async fn open(self) -> io::Result<OpenResponse> {
        let patience = self.timeout;
        tokio::time::timeout(patience, self.open_unbounded()).await.map_err(|_| late())?
    }

    async fn open_unbounded(self) -> io::Result<OpenResponse> {
        let stream = self.connect().await?;
        self.exchange(stream).await
    }

    pub(crate) async fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.authority()).await?;
        stream.set_nodelay(true)?;
        Ok(BufReader::new(stream))
    }

    fn authority(&self) -> (&str, u16) {
        (self.url.host_str().unwrap_or_default(), self.url.port_or_known_default().unwrap_or(80))
    }

    pub(crate) async fn exchange(self, mut reader: BufReader<TcpStream>) -> io::Result<OpenResponse> {
        let (host, port) = self.authority();
        reader.get_mut().write_all(&self.to_bytes(host, port)).await?;
        let is_head = self.method == "HEAD";
        loop {
            let head = read_head(&mut reader).await?.ok_or_else(|| broken("closed before an answer"))?;
            let status = head.status().ok_or_else(|| broken("no status line"))?;
            if status == 100 {
                continue;
            }
            let framing = if is_head || status == 204 || status == 304 { Framing::Empty } else { head.framing(true)? };
            let headers =
                head.fields.iter().map(|(name, value)| (lossy(name).to_ascii_lowercase(), lossy(value))).collect();
            return Ok(OpenResponse { status, headers, body: Body { framing }, reader });
        }
    }

    fn to_bytes(&self, host: &str, port: u16) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(held, _)| held.eq_ignore_ascii_case(name.as_bytes()));
        let mut bytes = Vec::new();
        bytes.extend_from_slice(self.method.as_bytes());
        bytes.push(b' ');
        match &self.target {
            Some(target) => bytes.extend_from_slice(target),
            None => bytes.extend_from_slice(self.url[url::Position::BeforePath..url::Position::AfterQuery].as_bytes()),
        }
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        if !has("host") {
            bytes.extend_from_slice(format!("host: {host}:{port}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        let bodiless = self.body.is_empty() && (self.method == "GET" || self.method == "HEAD");
        let framed = has("content-length") || has("transfer-encoding");
        if !bodiless && !framed {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        if !has("connection") {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl From<testkit::Request> for Request {
    fn from(request: testkit::Request) -> Self {
        let start = Self::new(request.method, request.url.as_str()).body(request.body);
        request.headers.into_iter().fold(start, |request, (name, value)| request.header(name, value))
    }
}

/// Carries the requests of browsers and clients over sockets on loopback.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sockets;

impl Transport for Sockets {
    async fn exchange(&self, request: testkit::Request) -> Response {
        Request::from(request).send().await
    }

    fn reaches(&self, url: &Url) -> bool {
        url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
    }

    fn random(&self) -> [u8; 32] {
        HS256Key::generate().to_bytes().try_into().expect("32 bytes")
    }
}

/// An answer whose body is still arriving. Dropping it closes the connection.
pub struct OpenResponse {
    /// The status code.
    pub status: u16,
    /// The fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    body: Body,
    pub(crate) reader: BufReader<TcpStream>,
}

impl OpenResponse {
    /// The first field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The next piece of the body, `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks before the body's end.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.body.next(&mut self.reader).await
    }
}

/// A message's head as received.
pub(crate) struct Head {
    /// Every byte, with the empty line.
    pub(crate) raw: Vec<u8>,
    /// The first line, without its line break.
    pub(crate) start: Vec<u8>,
    /// The fields in order and in the case received.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Head {
    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(held, _)| held.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_slice())
    }

    /// How the body ends (RFC 9112 §6).
    pub(crate) fn framing(&self, is_response: bool) -> io::Result<Framing> {
        if self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
            return Ok(Framing::Chunked);
        }
        match self.field("content-length") {
            Some(length) => {
                let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
                length.map(Framing::Length).ok_or_else(|| broken("content-length is no number"))
            }
            None if is_response => Ok(Framing::UntilClose),
            None => Ok(Framing::Empty),
        }
    }

    /// The status, when it is an answer's head.
    pub(crate) fn status(&self) -> Option<u16> {
        let text = std::str::from_utf8(self.start.get(9..12)?).ok()?;
        text.parse().ok()
    }
}

/// How a body ends.
pub(crate) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

/// A body being read.
pub(crate) struct Body {
    pub(crate) framing: Framing,
}

impl Body {
    pub(crate) async fn next<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut BufReader<R>,
    ) -> io::Result<Option<Vec<u8>>> {
        match &mut self.framing {
            Framing::Empty => Ok(None),
            Framing::Length(left) => {
                if *left == 0 {
                    return Ok(None);
                }
                let mut piece = vec![0; usize::try_from(*left).unwrap_or(PIECE).min(PIECE)];
                let read = reader.read(&mut piece).await?;
                if read == 0 {
                    return Err(broken("closed inside a body"));
                }
                *left -= read as u64;
                piece.truncate(read);
                Ok(Some(piece))
            }
            Framing::UntilClose => {
                let mut piece = vec![0; PIECE];
                let read = reader.read(&mut piece).await?;
                piece.truncate(read);
                Ok((read > 0).then_some(piece))
            }
            Framing::Chunked => {
                let line = read_line(reader).await?.ok_or_else(|| broken("closed inside a chunked body"))?;
                let digits = lossy(&line);
                let digits = digits.trim().split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(digits, 16).map_err(|_| broken("a chunk without a size"))?;
                let mut piece = vec![0; size];
                reader.read_exact(&mut piece).await?;
                if size > 0 {
                    read_line(reader).await?;
                    return Ok(Some(piece));
                }
                // Trailer fields, up to the empty line.
                while read_line(reader).await?.is_some_and(|line| !line.trim_ascii().is_empty()) {}
                self.framing = Framing::Empty;
                Ok(None)
            }
        }
    }
}

/// Reads a head; `None` when the peer closed before its first byte.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(reader: &mut BufReader<R>) -> io::Result<Option<Head>> {
    let Some(first) = read_line(reader).await? else {
        return Ok(None);
    };
    let mut head = Head { start: first.trim_ascii_end().to_vec(), raw: first, fields: Vec::new() };
    loop {
        let line = read_line(reader).await?.ok_or_else(|| broken("closed inside a head"))?;
        head.raw.extend_from_slice(&line);
        if head.raw.len() > MAX_HEAD {
            return Err(broken("head too large"));
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(Some(head));
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| broken("a field without a colon"))?;
        head.fields.push((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()));
    }
}

async fn read_line<R: AsyncRead + Unpin>(reader: &mut BufReader<R>) -> io::Result<Option<Vec<u8>>> {
    use tokio::io::AsyncBufReadExt as _;
    let mut line = Vec::new();
    let read = reader.take(MAX_HEAD as u64).read_until(b'\n', &mut line).await?;
    match (read, line.ends_with(b"\n")) {
        (0, _) => Ok(None),
        (_, true) => Ok(Some(line)),
        (_, false) => Err(broken("a line without an end")),
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no complete answer in time")
}

/// How long a request may take unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes read at once.
const PIECE: usize = 64 * 1024;
/// The longest head that is read.
const MAX_HEAD: usize = 4 * 1024 * 1024;
