//! nginx as a backend: it finds its locations by a path that it has decoded and folded.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::paths;
use crate::process::Process;
use crate::redis::{free_port, until};

/// An nginx of one process that answers by location, and logs every request.
pub struct Nginx {
    _process: Process,
    port: u16,
    folder: TempDir,
}

impl Nginx {
    /// Starts one with this inside its `server` block, and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(locations: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let port = free_port();
        let config = CONFIG.replace("{port}", &port.to_string()).replace("{locations}", locations);
        fs::write(folder.path().join("nginx.conf"), config).expect("written");
        let arrange = |command: &mut Command| {
            command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
        };
        let log = folder.path().join("output.log");
        let mut process =
            Process::start("nginx", &paths::nginx(), arrange, &log).unwrap_or_else(|error| panic!("{error}"));
        until("nginx listens", || {
            process.check_alive().unwrap_or_else(|why| panic!("{why}"));
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { _process: process, port, folder }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A line for each request that it has answered: the method, the target as it came, and the
    /// path that it read.
    ///
    /// # Panics
    /// When there is no log.
    #[must_use]
    pub fn access_log(&self) -> Vec<String> {
        let log = fs::read(self.folder.path().join("access.log")).expect("nginx makes its log when it starts");
        String::from_utf8_lossy(&log).lines().map(str::to_owned).collect()
    }
}

/// In the foreground and in one process, with every file in its own folder.
const CONFIG: &str = "
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    log_format read '$request_method $request_uri $uri';
    access_log access.log read;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 127.0.0.1:{port};
        {locations}
    }
}
";
