//! One caller: a connection with one request under way, either to Redis itself or to the bridge,
//! and a record of its own.
//!
//! Both kinds send bytes that were made beforehand, with what changes patched in, so that the load
//! costs next to nothing and the same on both ways.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::text;

/// The request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// A record that is there.
    Get,
    /// A swap that finds the version it names.
    CompareAndSwap,
}

/// Where the requests go.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// To Redis: the commands that the bridge would send.
    Direct {
        /// Its port.
        port: u16,
        /// The digest under which it knows the script.
        script: String,
    },
    /// To the bridge's socket.
    Bridge(Box<Path>),
    /// To Redis by way of the byte relay.
    Copied {
        /// The byte relay's socket.
        socket: Box<Path>,
        /// The digest under which Redis knows the script.
        script: String,
    },
}

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Done.
    Done,
    /// Refused for now: 503.
    Refused,
}

/// One connection with a record of its own.
pub(super) struct Caller {
    stream: Stream,
    /// The script's digest, where Redis itself is spoken to.
    script: Option<String>,
    verb: Verb,
    number: usize,
    /// How many requests it has sent; the idempotency key of each.
    sent: u64,
    version: [u8; 8],
    answer: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Caller {
    /// Connects, and signs in where that is asked for. `number` names the record.
    ///
    /// # Errors
    /// When no server listens, or lets it in.
    pub(super) async fn connect(way: &Way, verb: Verb, number: usize) -> Result<Self, String> {
        let (stream, script) = match way {
            Way::Direct { port, script } => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).await.map_err(text)?;
                stream.set_nodelay(true).map_err(text)?;
                (Stream::Tcp(stream), Some(script.clone()))
            }
            Way::Bridge(socket) => (Stream::Unix(UnixStream::connect(socket).await.map_err(text)?), None),
            Way::Copied { socket, script } => {
                (Stream::Unix(UnixStream::connect(socket).await.map_err(text)?), Some(script.clone()))
            }
        };
        let (version, answer) = ([0; 8], vec![0; MAX_ANSWER]);
        let mut caller = Self { stream, script, verb, number, sent: 0, version, answer };
        if caller.script.is_some() {
            let [(_, user), (_, password)] = portcullis_testbed::redis::CREDENTIALS;
            let answer = caller.exchange(&resp(&[b"AUTH", user.as_bytes(), password.as_bytes()])).await?;
            if !answer.starts_with(b"+OK") {
                return Err(format!("redis refused the user: {}", shown(answer)));
            }
        }
        Ok(caller)
    }

    /// Writes the record, so that the requests find it.
    ///
    /// # Errors
    /// When it is not written.
    pub(super) async fn seed(&mut self) -> Result<(), String> {
        let value = [self.version.as_slice(), &[b'v'; VALUE]].concat();
        let direct = self.script.is_some();
        let request = match direct {
            true => resp(&[b"SET", record(self.number).as_bytes(), &value]),
            false => {
                let (space, mutation) = (SPACE, mutation(self.number, u64::MAX));
                let key = key(self.number);
                let body = format!(
                    r#"{{"space":"{space}","key":"{key}","value":"{}","ttl":3600,"mutation":{mutation}}}"#,
                    "A".repeat(VALUE.div_ceil(3) * 4)
                );
                http("put", &body)
            }
        };
        let answer = self.exchange(&request).await?;
        if direct {
            return if answer.starts_with(b"+OK") { Ok(()) } else { Err(shown(answer)) };
        }
        let version = version_in(answer).ok_or_else(|| shown(answer))?;
        self.version = version;
        Ok(())
    }

    /// Sends one request and awaits its answer.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is neither the one expected nor a 503.
    pub(super) async fn ask(&mut self) -> Result<Ended, String> {
        self.sent += 1;
        let request = self.request();
        let (verb, direct) = (self.verb, self.script.is_some());
        let answer = self.exchange(&request).await?;
        let version = match (direct, verb) {
            (true, Verb::Get) if answer.starts_with(b"$") && answer.len() > VALUE => None,
            (true, Verb::CompareAndSwap) => Some(answer.strip_prefix(b"$8\r\n").and_then(|rest| rest.first_chunk())),
            (false, _) if answer.starts_with(b"HTTP/1.1 503") => return Ok(Ended::Refused),
            (false, Verb::Get) if answer.starts_with(b"HTTP/1.1 200") && answer.len() > VALUE => None,
            (false, Verb::CompareAndSwap) if answer.starts_with(b"HTTP/1.1 200") => {
                self.version = version_in(answer).ok_or_else(|| shown(answer))?;
                return Ok(Ended::Done);
            }
            (_, _) => return Err(shown(answer)),
        };
        if let Some(version) = version {
            self.version = *version.ok_or_else(|| shown(answer))?;
        }
        Ok(Ended::Done)
    }

    fn request(&self) -> Vec<u8> {
        let (number, sent) = (self.number, self.sent);
        match (&self.script, self.verb) {
            (Some(_), Verb::Get) => resp(&[b"GET", record(number).as_bytes()]),
            (Some(script), Verb::CompareAndSwap) => {
                let record = record(number);
                let memory = format!("{record}:compare_and_swap:{}", idempotency(number, sent));
                let minted = sent.to_be_bytes();
                resp(&[
                    b"EVALSHA",
                    script.as_bytes(),
                    b"2",
                    record.as_bytes(),
                    memory.as_bytes(),
                    b"60000",
                    &minted,
                    &[b'v'; VALUE],
                    b"3600000",
                    &self.version,
                ])
            }
            (None, Verb::Get) => http("get", &format!(r#"{{"space":"{SPACE}","key":"{}"}}"#, key(number))),
            (None, Verb::CompareAndSwap) => {
                let version = u64::from_be_bytes(self.version);
                let (key, mutation) = (key(number), mutation(number, sent));
                let body = format!(
                    r#"{{"space":"{SPACE}","key":"{key}","version":"{version:016x}","value":"{}","ttl":3600,"mutation":{mutation}}}"#,
                    "A".repeat(VALUE.div_ceil(3) * 4)
                );
                http("compare_and_swap", &body)
            }
        }
    }

    /// Sends bytes and awaits one whole answer.
    async fn exchange(&mut self, request: &[u8]) -> Result<&[u8], String> {
        let mut filled = 0;
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(request).await,
            Stream::Unix(stream) => stream.write_all(request).await,
        }
        .map_err(text)?;
        loop {
            let free = self.answer.get_mut(filled..).unwrap_or_default();
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(free).await,
                Stream::Unix(stream) => stream.read(free).await,
            }
            .map_err(text)?;
            if read == 0 {
                return Err("the connection was closed, or the answer is too long".to_owned());
            }
            filled += read;
            let is_whole = if self.script.is_some() { resp_is_whole } else { http_is_whole };
            if is_whole(&self.answer[..filled]) {
                return Ok(&self.answer[..filled]);
            }
        }
    }
}

/// A command as Redis reads it.
fn resp(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A request with the headers that Envoy sends for a filter's call.
fn http(verb: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /v1/{verb} HTTP/1.1\r\nhost: bridge\r\ncontent-type: application/json\r\nx-envoy-internal: true\r\n\
         x-forwarded-for: 127.0.0.1\r\nx-envoy-expected-rq-timeout-ms: 2000\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn key(number: usize) -> String {
    format!("session:{number:064x}")
}

/// The name under which the bridge stores it.
fn record(number: usize) -> String {
    format!("thv:auth:{{{}}}:{}", SPACE.replace('/', ":"), key(number))
}

fn mutation(number: usize, sent: u64) -> String {
    format!(r#"{{"idempotency":"{}","durable":false}}"#, idempotency(number, sent))
}

fn idempotency(number: usize, sent: u64) -> String {
    format!("{number:016x}{sent:016x}")
}

fn resp_is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return false };
    match bytes.strip_prefix(b"$") {
        Some(_) => {
            let length = std::str::from_utf8(&bytes[1..end]).ok().and_then(|text| text.parse::<i64>().ok());
            let body = usize::try_from(length.unwrap_or(-1)).map_or(0, |length| length + 2);
            bytes.len() >= end + 2 + body
        }
        None => true,
    }
}

fn http_is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = &bytes[..end + 2];
    let at = head.windows(LENGTH.len()).position(|window| window.eq_ignore_ascii_case(LENGTH));
    let Some(at) = at else { return true };
    let digits = head[at + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    bytes.len() >= end + 4 + length
}

fn version_in(answer: &[u8]) -> Option<[u8; 8]> {
    let at = answer.windows(VERSION.len()).position(|window| window == VERSION)?;
    let digits = std::str::from_utf8(answer.get(at + VERSION.len()..at + VERSION.len() + 16)?).ok()?;
    Some(u64::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

fn shown(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned()
}

/// The bytes of a record: about what a sealed session has.
pub(super) const VALUE: usize = 510;
const SPACE: &str = "bench/gateway";
const LENGTH: &[u8] = b"\r\ncontent-length: ";
const VERSION: &[u8] = b"\"version\":\"";
const MAX_ANSWER: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let http = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx-a: b c\r\n\r\nabc";
        let resp = b"$3\r\nabc\r\n";
        assert!(http_is_whole(http) && resp_is_whole(resp) && resp_is_whole(b"$-1\r\n") && resp_is_whole(b"+OK\r\n"));
        assert!((0..http.len()).all(|cut| !http_is_whole(&http[..cut])));
        assert!((0..resp.len()).all(|cut| !resp_is_whole(&resp[..cut])));
    }

    #[test]
    fn the_version_is_read_from_an_answer() {
        assert_eq!(version_in(br#"{"version":"00000000000000ff"}"#), Some([0, 0, 0, 0, 0, 0, 0, 255]));
        assert_eq!(version_in(br#"{"version":null}"#), None);
    }

    #[test]
    fn a_command_has_its_words_with_their_lengths() {
        assert_eq!(resp(&[b"GET", b"a\r\n"]), b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
    }
}
