//! A small HTTP/1.1 server on a loopback port, for providers that a story runs in its own process.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_testkit::bending_provider::{Reply, Request};

/// A server that runs until it is dropped.
pub struct LoopbackServer {
    port: u16,
    is_over: Arc<AtomicBool>,
}

impl LoopbackServer {
    /// Starts one on a free port. `make` makes its answers, given the port; a request that has none
    /// gets the connection closed.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start<A>(make: impl FnOnce(u16) -> A) -> io::Result<Self>
    where
        A: Fn(&Request<'_>) -> Option<Reply> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (answer, is_over) = (Arc::new(make(port)), Arc::new(AtomicBool::new(false)));
        let ends = Arc::clone(&is_over);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, ends) = (Arc::clone(&answer), Arc::clone(&ends));
                // A peer that hangs up ends its own connection only.
                std::thread::spawn(move || serve(stream, &ends, &*answer));
            }
        });
        Ok(Self { port, is_over })
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port)
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The thread that accepts sees it with the next connection.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

/// The origin of a server on this loopback port.
#[must_use]
pub fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn serve(
    mut stream: TcpStream,
    is_over: &AtomicBool,
    answer: &dyn Fn(&Request<'_>) -> Option<Reply>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 || is_over.load(Ordering::Relaxed) {
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
        let Some(reply) = answer(&request) else { return Ok(()) };
        stream.write_all(&written(&reply))?;
        bytes.clear();
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
