//! What any hop costs: a program that copies bytes between a Unix socket and Redis, and understands
//! none of them.
//!
//! It makes the four calls to the kernel that a hop cannot do without, so no bridge can be faster.

use std::env;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::Path;

use portcullis_testbed::process::Process;
use portcullis_testbed::redis::until;

/// With this argument, a socket's path and Redis's port, the benches' binary is the byte relay.
pub(crate) const ARGUMENT: &str = "byte-relay";

/// Starts one that listens on the socket.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start(socket: &Path, redis: u16, folder: &Path) -> Result<Process, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let arrange = |command: &mut std::process::Command| {
        command.arg(ARGUMENT).arg(socket).arg(redis.to_string());
    };
    let byte_relay = Process::start("byte-relay", &own, arrange, &folder.join("byte-relay.log"));
    until("the byte relay listens", || socket.exists());
    byte_relay.map_err(|error| error.to_string())
}

/// Serves one connection after the other, for ever; one request is under way at a time.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn serve() -> io::Result<()> {
    let mut arguments = env::args().skip(2);
    let (socket, port) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let listener = UnixListener::bind(socket)?;
    loop {
        let (mut caller, _) = listener.accept()?;
        let mut redis = TcpStream::connect(("127.0.0.1", port))?;
        redis.set_nodelay(true)?;
        while copy_once(&mut caller, &mut redis).is_ok() && copy_once(&mut redis, &mut caller).is_ok() {}
    }
}

fn copy_once(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let read = from.read(&mut bytes)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    to.write_all(&bytes[..read])
}
