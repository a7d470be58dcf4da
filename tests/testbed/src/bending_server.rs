//! The bending provider of the testkit on a socket: one loopback port, whose mode can be changed
//! while it runs.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_testkit::bending_provider::{BendingProvider, Mode, Reply, Request, mode};

/// A provider that runs until it is dropped.
pub struct BendingServer {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    provider: BendingProvider,
    mode: Mutex<&'static Mode>,
    is_over: AtomicBool,
}

impl BendingServer {
    /// Starts one that knows this client, and bends nothing yet.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start(client_id: &str, client_secret: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let provider = BendingProvider::new(&format!("http://127.0.0.1:{port}"), client_id, client_secret);
        let plain = mode("as the RFCs write it").ok_or_else(|| io::Error::other("the table has no plain mode"))?;
        let shared = Arc::new(Shared { provider, mode: Mutex::new(plain), is_over: AtomicBool::new(false) });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let served = Arc::clone(&served);
                // A peer that hangs up ends its own connection only.
                std::thread::spawn(move || served.serve(stream));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Bends its answers in this way from now on.
    ///
    /// # Panics
    /// When the table has no such mode.
    pub fn bend(&self, name: &str) {
        let mode = mode(name).unwrap_or_else(|| panic!("no mode {name:?}"));
        *self.shared.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

impl Drop for BendingServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // The thread that accepts sees it with the next connection.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
        loop {
            let read = stream.read(&mut piece)?;
            if read == 0 || self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            bytes.extend_from_slice(&piece[..read]);
            let Some((head, body)) = whole(&bytes) else { continue };
            let field = |wanted: &str| {
                let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
                fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).next()
            };
            let request = Request {
                target: head.split(' ').nth(1).unwrap_or_default(),
                authorization: field("authorization"),
                accept_encoding: field("accept-encoding"),
                body,
            };
            let mode = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            stream.write_all(&written(&self.provider.answer(mode, &request, now)))?;
            bytes.clear();
        }
    }
}

fn written(reply: &Reply) -> Vec<u8> {
    let fields: String = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = match reply.status {
        204 => String::new(),
        _ => format!("content-length: {}\r\n", reply.body.len()),
    };
    let head = format!("HTTP/1.1 {} Answer\r\n{fields}{length}\r\n", reply.status);
    [head.as_bytes(), &reply.body].concat()
}

/// The head and the body of a request, once all of it is there.
fn whole(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = lengths.filter_map(|(_, value)| value.trim().parse().ok()).last().unwrap_or_default();
    Some((head, bytes.get(end + 4..end + 4 + length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_its_body() {
        let request = b"POST /token HTTP/1.1\r\nContent-Length: 6\r\n\r\ncode=x";
        assert!((0..request.len()).all(|cut| whole(&request[..cut]).is_none()));
        assert_eq!(whole(request).unwrap().1, b"code=x");
    }
}
