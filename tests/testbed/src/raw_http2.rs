//! HTTP/2 written frame by frame (RFC 9113), for requests that no client library sends: heads whose
//! bodies never come, and long headers that one byte names (RFC 7541 §6.1).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

/// A connection. It is closed when it is dropped.
pub struct RawHttp2 {
    authority: String,
    writing: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    seen: Arc<Mutex<Seen>>,
    reading: JoinHandle<()>,
    next_stream: u32,
    /// The header that the server's table holds, as it was sent.
    indexed: Option<(String, String)>,
}

/// What the server did so far.
#[derive(Default)]
struct Seen {
    /// How many streams it lets the client have open, once it said so.
    max_streams: Option<u32>,
    /// The status of each answered stream.
    statuses: BTreeMap<u32, u16>,
    /// The streams that both sides have ended, or the server alone.
    ended: BTreeSet<u32>,
    /// The streams that this side has ended.
    sent: BTreeSet<u32>,
    closed: bool,
}

impl RawHttp2 {
    /// Connects to a host and port without TLS, and waits for the server's settings.
    ///
    /// # Errors
    /// What the connection fails with.
    pub async fn open(authority: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (reading, mut writing) = stream.into_split();
        writing.write_all(PREFACE).await?;
        // No table for the answers' headers, so that each status can be read by itself; windows
        // that never fill.
        let settings = [
            &[0, HEADER_TABLE_SIZE][..],
            &0_u32.to_be_bytes(),
            &[0, INITIAL_WINDOW_SIZE],
            &LARGEST_WINDOW.to_be_bytes(),
        ]
        .concat();
        writing.write_all(&frame(SETTINGS, 0, 0, &settings)).await?;
        writing.write_all(&frame(WINDOW_UPDATE, 0, 0, &(LARGEST_WINDOW - 65_535).to_be_bytes())).await?;
        let (writing, seen) = (Arc::new(tokio::sync::Mutex::new(writing)), Arc::new(Mutex::new(Seen::default())));
        let reading = tokio::spawn(read(reading, writing.clone(), seen.clone()));
        let connection =
            Self { authority: authority.to_owned(), writing, seen, reading, next_stream: 1, indexed: None };
        while connection.look(|seen| seen.max_streams.is_none() && !seen.closed) {
            tokio::time::sleep(POLL).await;
        }
        Ok(connection)
    }

    /// Begins a POST with these headers, the last of them `times` times. From its second use on
    /// that one takes one byte each time. Gives the number of the stream; `None` when the server
    /// has closed the connection.
    ///
    /// Waits as long as the server has as many streams open as it allows.
    pub async fn begin(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        large: (&str, &str),
        times: usize,
    ) -> Option<u32> {
        let stream = self.next_stream;
        loop {
            let (is_closed, is_full) = self.look(|seen| {
                let begun = usize::try_from(stream / 2).expect("few");
                (
                    seen.closed,
                    begun - seen.ended.len() >= usize::try_from(seen.max_streams.unwrap_or(100)).expect("few"),
                )
            });
            if is_closed {
                return None;
            }
            if !is_full {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        self.next_stream += 2;
        // `:method: POST` and `:scheme: http` are in the static table, the names of the others too.
        let mut block = vec![0x83, 0x86];
        literal(&mut block, 0x04, None, path);
        literal(&mut block, 0x01, None, &self.authority);
        for (name, value) in headers {
            literal(&mut block, 0x00, Some(name), value);
        }
        let held = (large.0.to_owned(), large.1.to_owned());
        let mut left = times;
        if times > 0 && self.indexed.as_ref() != Some(&held) {
            literal(&mut block, 0x40, Some(large.0), large.1);
            self.indexed = Some(held);
            left -= 1;
        }
        // The newest entry of the dynamic table.
        block.extend(std::iter::repeat_n(0x80 | 62, left));
        self.write(&frame(HEADERS, END_HEADERS, stream, &block)).await.then_some(stream)
    }

    /// Sends a piece of a stream's body. Gives `false` when the server has closed the connection.
    pub async fn send(&mut self, stream: u32, piece: &[u8], ends: bool) -> bool {
        if ends {
            self.seen.lock().expect("no test panics while it holds this").sent.insert(stream);
        }
        self.write(&frame(DATA, if ends { END_STREAM } else { 0 }, stream, piece)).await
    }

    /// Ends a stream with trailers. Gives `false` when the server has closed the connection.
    pub async fn end(&mut self, stream: u32, trailers: &[(&str, &str)]) -> bool {
        self.seen.lock().expect("no test panics while it holds this").sent.insert(stream);
        let mut block = Vec::new();
        for (name, value) in trailers {
            literal(&mut block, 0x00, Some(name), value);
        }
        self.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)).await
    }

    /// How many streams are open, and how often each status was answered.
    #[must_use]
    pub fn streams(&self) -> (usize, BTreeMap<u16, usize>) {
        let begun = usize::try_from(self.next_stream / 2).expect("few");
        self.look(|seen| {
            let mut statuses = BTreeMap::new();
            for status in seen.statuses.values() {
                *statuses.entry(*status).or_default() += 1;
            }
            (begun - seen.ended.len(), statuses)
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.writing.lock().await.write_all(bytes).await.is_ok()
    }

    fn look<T>(&self, see: impl FnOnce(&Seen) -> T) -> T {
        see(&self.seen.lock().expect("no test panics while it holds this"))
    }
}

impl Drop for RawHttp2 {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(mut reading: OwnedReadHalf, writing: Arc<tokio::sync::Mutex<OwnedWriteHalf>>, seen: Arc<Mutex<Seen>>) {
    let with = |change: &dyn Fn(&mut Seen)| change(&mut seen.lock().expect("no test panics while it holds this"));
    loop {
        let mut head = [0; 9];
        if reading.read_exact(&mut head).await.is_err() {
            break;
        }
        let [a, b, c, kind, flags, d, e, f, g] = head;
        let stream = u32::from_be_bytes([d, e, f, g]);
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("few")];
        if reading.read_exact(&mut payload).await.is_err() {
            break;
        }
        let ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        match kind {
            HEADERS => with(&|seen| {
                seen.statuses.entry(stream).or_insert_with(|| status(&payload));
            }),
            SETTINGS if flags & ACK == 0 => {
                let value = payload.as_chunks::<6>().0.iter().rfind(|value| value[..2] == [0, MAX_CONCURRENT_STREAMS]);
                let most = value.map_or(u32::MAX, |[_, _, a, b, c, d]| u32::from_be_bytes([*a, *b, *c, *d]));
                with(&|seen| seen.max_streams = Some(most));
                let _ = writing.lock().await.write_all(&frame(SETTINGS, ACK, 0, &[])).await;
            }
            PING if flags & ACK == 0 => {
                let _ = writing.lock().await.write_all(&frame(PING, ACK, 0, &payload)).await;
            }
            _ => {}
        }
        // A stream that is answered before its body has ended is reset as well.
        with(&|seen| {
            if kind == RST_STREAM || ends && seen.sent.contains(&stream) {
                seen.ended.insert(stream);
            }
        });
        if kind == GOAWAY {
            with(&|seen| seen.closed = true);
        }
    }
    with(&|seen| seen.closed = true);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field as text (RFC 7541 §6.2): `first` says whether it enters the table, and names an
/// entry for the name where there is no name here.
fn literal(block: &mut Vec<u8>, first: u8, name: Option<&str>, value: &str) {
    block.push(first);
    for text in name.into_iter().chain([value]) {
        // RFC 7541 §5.1: a number of seven bits, and what is beyond that in bytes of seven bits.
        match text.len().checked_sub(127) {
            None => block.push(u8::try_from(text.len()).expect("below 127")),
            Some(mut rest) => {
                block.push(127);
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).expect("below 128") | 128);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).expect("below 128"));
            }
        }
        block.extend_from_slice(text.as_bytes());
    }
}

/// The status of an answer, which is its first header; 0 for one that cannot be read.
fn status(block: &[u8]) -> u16 {
    // A new size of the table may come first.
    let mut bytes = block.iter().copied().skip_while(|byte| byte & 0xe0 == 0x20);
    let Some(first) = bytes.next() else { return 0 };
    if first & 0x80 != 0 {
        let known = [200, 204, 206, 304, 400, 404, 500];
        return usize::from(first & 0x7f).checked_sub(8).and_then(|index| known.get(index).copied()).unwrap_or(0);
    }
    let Some(length) = bytes.next() else { return 0 };
    let text: Vec<u8> = bytes.take(usize::from(length & 0x7f)).collect();
    let digits = if length & 0x80 == 0 { text } else { huffman_digits(&text) };
    std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Three digits in the code of RFC 7541, appendix B: 0 to 2 have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> Vec<u8> {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut digits = Vec::new();
    while digits.len() < 3 {
        let mut code = 0;
        for _ in 0..5 {
            code = code << 1 | bits.next().unwrap_or(1);
        }
        digits.push(b'0' + if code < 3 { code } else { (code << 1 | bits.next().unwrap_or(1)).wrapping_sub(0x16) });
    }
    digits
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LARGEST_WINDOW: u32 = 0x7fff_ffff;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const HEADER_TABLE_SIZE: u8 = 1;
const MAX_CONCURRENT_STREAMS: u8 = 3;
const INITIAL_WINDOW_SIZE: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_in_each_form_that_a_server_may_choose() {
        assert_eq!(status(&[0x20, 0x88, 0x00]), 200);
        assert_eq!(status(&[0x8d]), 404);
        assert_eq!(status(b"\x08\x03431rest"), 431);
        // 401 is one of the few that are shorter in Huffman's code: 011010 00000 00001.
        assert_eq!(status(&[0x48, 0x82, 0b0110_1000, 0b0000_0001]), 401);
        assert_eq!(status(&[]), 0);
    }
}
