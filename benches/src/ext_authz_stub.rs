//! The service that `ext_authz` asks: it answers at once. It runs as a process of its own, so that
//! its time can be told.
//!
//! A request without an `Authorization` field is refused, which shows that Envoy does ask. Below
//! [`GIVING`] the answer has a token for the backend, as that of a gateway behind `ext_authz`
//! would.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

/// The argument that makes this program the service.
pub(crate) const ARGUMENT: &str = "ext-authz-stub";

/// The beginning of the paths at which it gives a token.
pub(crate) const GIVING: &str = "/giving";

/// Answers the requests of one connection.
///
/// # Errors
/// When the connection breaks.
pub(crate) fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let giving = format!("GET {GIVING}");
    let given =
        format!("HTTP/1.1 200 OK\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n", "t".repeat(TOKEN_BYTES));
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        // Envoy waits for an answer before it asks again, so a head that ends is the end of what
        // has come.
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let asked = &buffer[..filled];
        let known = asked.windows(FIELD.len()).any(|window| window.eq_ignore_ascii_case(FIELD));
        let gives = asked.starts_with(giving.as_bytes());
        stream.write_all(match (known, gives) {
            (false, _) => REFUSED,
            (true, false) => ALLOWED,
            (true, true) => given.as_bytes(),
        })?;
        filled = 0;
    }
}

/// About as long as a provider's signed token.
const TOKEN_BYTES: usize = 600;
const FIELD: &[u8] = b"\r\nauthorization:";
const ALLOWED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const REFUSED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
