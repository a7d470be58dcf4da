//! A service that this program runs as a process of its own, so that its time can be told from
//! others'.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use portcullis_testbed::process::Process;

/// Serves each connection until standard input closes; prints the port first.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn serve(answer: fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(|_| ())
}

/// Starts this program with the argument that makes it that service; gives the process and its
/// port.
///
/// # Errors
/// When it does not start.
pub(crate) fn start(argument: &'static str, dir: &Path) -> Result<(Process, u16), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let arrange = |command: &mut std::process::Command| {
        command.arg(argument).stdout(Stdio::piped());
    };
    let mut process = Process::start(argument, &program, arrange, &dir.join(format!("{argument}.log")))
        .map_err(|error| error.to_string())?;
    let line = process.first_line()?;
    let port = line.trim().parse().map_err(|_| format!("no port in {line:?}"))?;
    Ok((process, port))
}
