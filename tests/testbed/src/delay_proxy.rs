//! A TCP proxy that holds back every answer of a server: one far away, or one under load.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Passes bytes on to a server on a loopback port at once, and its answers back after `delay`, for
/// as long as this process runs. Returns the port of
/// the proxy.
///
/// # Panics
/// When it cannot listen.
#[must_use]
pub fn delay_proxy(server: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for caller in listener.incoming().flatten() {
            // Without a connection to the server the caller's ends, as with a server that is down.
            let _ = relay(caller, server, delay);
        }
    });
    port
}

fn relay(caller: TcpStream, server: u16, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    caller.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut commands) = (caller.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut commands);
        commands.shutdown(Shutdown::Both)
    });
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || hold(server, &sender, delay));
    thread::spawn(move || hand_over(&receiver, caller));
    Ok(())
}

fn hold(mut server: TcpStream, sender: &mpsc::Sender<(Instant, Vec<u8>)>, delay: Duration) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = server.read(&mut bytes) {
        if sender.send((Instant::now() + delay, bytes[..read].to_vec())).is_err() {
            return;
        }
    }
}

fn hand_over(receiver: &mpsc::Receiver<(Instant, Vec<u8>)>, mut caller: TcpStream) {
    for (due, bytes) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if caller.write_all(&bytes).is_err() {
            return;
        }
    }
    let _ = caller.shutdown(Shutdown::Both);
}
