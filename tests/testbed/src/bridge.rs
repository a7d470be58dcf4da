//! The bridge as a process of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::paths;
use crate::process::Process;
use crate::redis::{CREDENTIALS, free_port, until};

/// A running bridge.
pub struct Bridge {
    /// The process.
    pub process: Process,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Where it answers observers: health and metrics.
    pub observer: SocketAddr,
    folder: TempDir,
}

impl Bridge {
    /// Starts one with these words under `redis:` and further lines, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get there.
    #[must_use]
    pub fn start(redis: &str, more: &str) -> Self {
        let bridge = Self::start_unready(redis, more);
        until("the bridge is ready", || bridge.observe("/readyz").starts_with("HTTP/1.1 200"));
        bridge
    }

    /// The same, but waits only until it listens. `SOCKET` in `more` stands for the socket's path.
    ///
    /// # Panics
    /// When it does not listen.
    #[must_use]
    pub fn start_unready(redis: &str, more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let socket = folder.path().join("bridge.sock");
        let observer = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listen = if more.contains("listen:") { String::new() } else { "listen: { unix: SOCKET }\n".to_owned() };
        let config = format!("{listen}redis: {{ {redis} }}\nmetrics: {{ listen: \"{observer}\" }}\n{more}\n");
        let path = folder.path().join("bridge.yaml");
        fs::write(&path, config.replace("SOCKET", &socket.display().to_string())).expect("written");
        let process = Self { process: run(&path), socket, observer, folder };
        until("the bridge listens", || process.observe("/healthz").starts_with("HTTP/1.1 200"));
        process
    }

    /// Starts it again after its process was killed, with the same configuration, and waits until
    /// it is ready.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn restart(&mut self) {
        self.process = run(&self.folder.path().join("bridge.yaml"));
        until("the bridge is ready", || self.observe("/readyz").starts_with("HTTP/1.1 200"));
    }

    /// Its whole log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The whole answer of the observers' address to a GET; empty when there is none.
    #[must_use]
    pub fn observe(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(self.observer) else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nhost: bridge\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// The memory that it holds at the moment, in MiB.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the bridge runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<f64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kib.expect("a resident size") / 1024.0
    }

    /// The value of the metric whose line starts so; 0 when there is none yet.
    #[must_use]
    pub fn metric(&self, line: &str) -> u64 {
        let page = self.observe("/metrics");
        let found = page.lines().find_map(|known| known.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0)
    }
}

/// `redis-bridge --check` with these words under `redis:`: whether it was content, and what it
/// said.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn check(redis: &str, more: &str) -> (bool, String) {
    let folder = TempDir::new().expect("a folder");
    let socket = folder.path().join("bridge.sock");
    check_at(&socket, redis, more)
}

/// As [`check`], for a socket at this path.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn check_at(socket: &Path, redis: &str, more: &str) -> (bool, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("bridge.yaml");
    let listen = format!("listen: {{ unix: {} }}", socket.display());
    fs::write(&path, format!("{listen}\nredis: {{ {redis} }}\n{more}\n")).expect("written");
    let mut command = Command::new(paths::bridge());
    arrange(&mut command, &path);
    let done = command.arg("--check").output().expect("the bridge runs");
    (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

fn run(config: &Path) -> Process {
    let log = config.with_file_name("log");
    Process::start("redis-bridge", &paths::bridge(), |command| arrange(command, config), &log)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn arrange(command: &mut Command, config: &Path) {
    command.arg("--config").arg(config).envs(CREDENTIALS);
}
