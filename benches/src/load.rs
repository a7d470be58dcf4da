//! The load: keep-alive HTTP/1.1 over a few connections, one request under way on each.
//!
//! The connections are served in turn with blocking reads: while one answer is awaited, Envoy has
//! the requests of all the others, so it is never idle and the load needs neither threads nor an
//! event loop.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// Open connections to one port.
pub(crate) struct Load {
    connections: Vec<Connection>,
}

/// The result of one load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Requests answered as expected.
    pub requests: u64,
    /// From the first request to the last answer.
    pub wall: Duration,
}

impl Load {
    /// Opens [`CONNECTIONS`] of them.
    ///
    /// # Errors
    /// When nothing listens.
    pub(crate) fn open(port: u16) -> Result<Self, String> {
        Self::of(CONNECTIONS, port)
    }

    /// Opens this number of connections.
    ///
    /// # Errors
    /// When nothing listens.
    pub(crate) fn of(count: usize, port: u16) -> Result<Self, String> {
        let connections = (0..count).map(|_| Connection::open(port)).collect::<Result<_, _>>()?;
        Ok(Self { connections })
    }

    /// Sends requests until there are no more or the time is over, and waits for every answer.
    ///
    /// # Errors
    /// An answer with another status than the expected one, or a broken connection.
    pub(crate) fn run<'a>(
        &mut self,
        mut requests: impl Iterator<Item = &'a [u8]>,
        time: Duration,
        expected: u16,
    ) -> Result<Outcome, String> {
        let start = Instant::now();
        let mut answered = 0;
        let mut under_way = 0;
        for connection in &mut self.connections {
            let Some(request) = requests.next() else { break };
            connection.send(request)?;
            under_way += 1;
        }
        // Once there are no more requests, the connections that still await an answer are the last
        // ones in turn.
        let mut turn = 0;
        let mut waiting = vec![true; under_way];
        while under_way > 0 {
            let at = turn % waiting.len();
            turn += 1;
            if !waiting[at] {
                continue;
            }
            let connection = &mut self.connections[at];
            let answer = connection.receive()?;
            if answer.status != expected {
                return Err(format!("answered {}: {}", answer.status, answer.head));
            }
            answered += 1;
            match requests.next().filter(|_| start.elapsed() < time) {
                Some(request) => connection.send(request)?,
                None => {
                    waiting[at] = false;
                    under_way -= 1;
                }
            }
        }
        Ok(Outcome { requests: answered, wall: start.elapsed() })
    }

    /// Sends each of at most as many requests as there are connections over a connection of its
    /// own, and awaits all answers.
    ///
    /// # Errors
    /// A broken connection.
    pub(crate) fn exchange(&mut self, requests: &[Vec<u8>]) -> Result<Vec<Answer>, String> {
        let pairs = self.connections.iter_mut().zip(requests).map(|(connection, request)| {
            connection.send(request)?;
            Ok(connection)
        });
        let asked = pairs.collect::<Result<Vec<_>, String>>()?;
        asked.into_iter().map(Connection::receive).collect()
    }
}

/// An answer.
pub(crate) struct Answer {
    /// Its status.
    pub status: u16,
    /// All of its head.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value; the name in lower case.
    #[must_use]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All of a header's values; the name in lower case.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(move |(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Sends one request over a connection of its own.
///
/// # Errors
/// When there is no answer.
pub(crate) fn ask(port: u16, request: &[u8]) -> Result<Answer, String> {
    let mut connection = Connection::open(port)?;
    connection.send(request)?;
    connection.receive()
}

struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Connection {
    fn open(port: u16) -> Result<Self, String> {
        let stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("port {port}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        Ok(Self { stream, buffer: vec![0; MAX_ANSWER].into() })
    }

    fn send(&mut self, request: &[u8]) -> Result<(), String> {
        self.stream.write_all(request).map_err(|error| format!("sending: {error}"))
    }

    fn receive(&mut self) -> Result<Answer, String> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).map_err(|error| format!("receiving: {error}"))?;
            if read == 0 {
                return Err("the connection was closed, or the answer is too long".to_owned());
            }
            filled += read;
            if let Some(answer) = complete(&self.buffer[..filled]) {
                return answer;
            }
        }
    }
}

/// The answer, once all of it is there. Only answers that state their length are understood:
/// Envoy's own ones do.
fn complete(bytes: &[u8]) -> Option<Result<Answer, String>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { return Some(Err(format!("no status in {head:?}"))) };
    let mut answer = Answer { status, head, body: Vec::new() };
    let length = answer.header("content-length").map_or(Ok(0), str::parse::<usize>);
    match length {
        Ok(length) if bytes.len() < end + 4 + length => None,
        Ok(_) => {
            answer.body.extend_from_slice(&bytes[end + 4..]);
            Some(Ok(answer))
        }
        Err(error) => Some(Err(format!("content-length: {error}"))),
    }
}

/// How many requests are under way at once, as a rule.
pub(crate) const CONNECTIONS: usize = 16;
const MAX_ANSWER: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_complete_with_its_body() {
        let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\nx-a: b c\r\n\r\nabc";
        for cut in 0..answer.len() {
            assert!(complete(&answer[..cut]).is_none(), "after {cut} bytes");
        }
        let answer = complete(answer).unwrap().unwrap();
        assert_eq!((answer.status, answer.header("x-a"), &*answer.body), (401, Some("b c"), &b"abc"[..]));
    }

    /// A server that answers the first requests with 200 and the others with 503.
    fn server(well: usize) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(well));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, left) = (stream.unwrap(), left.clone());
                std::thread::spawn(move || {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).is_ok_and(|read| read > 0) {
                        let order = std::sync::atomic::Ordering::Relaxed;
                        let ok = left.fetch_update(order, order, |left| left.checked_sub(1)).is_ok();
                        let status = if ok { "200 OK" } else { "503 No" };
                        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        port
    }

    #[test]
    fn every_request_is_sent_once_and_counted() {
        let mut load = Load::open(server(100)).unwrap();
        for count in [1, 7, 16, 33] {
            let requests = std::iter::repeat_n(&b"GET / HTTP/1.1\r\n\r\n"[..], count);
            assert_eq!(load.run(requests, Duration::from_secs(60), 200).unwrap().requests, count as u64);
        }
    }

    #[test]
    fn an_answer_other_than_the_expected_one_is_a_failure() {
        let mut load = Load::open(server(40)).unwrap();
        let requests = std::iter::repeat(&b"GET / HTTP/1.1\r\n\r\n"[..]);
        assert!(load.run(requests, Duration::from_secs(60), 200).unwrap_err().contains("503"));
    }
}
