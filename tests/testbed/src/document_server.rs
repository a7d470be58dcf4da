//! An https server on loopback with client-id metadata documents, and the authority of its
//! certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::paths;
use crate::process::Process;

/// A running server of documents.
pub struct DocumentServer {
    /// The process.
    pub process: Process,
    /// Its port.
    pub port: u16,
    folder: TempDir,
}

impl DocumentServer {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path();
        fs::write(path.join("names.ext"), "subjectAltName=DNS:localhost\n").expect("written");
        openssl(path, &format!("req -x509 {KEY} -days 2 -subj /CN=ca -keyout ca.key -out ca.crt"));
        openssl(path, &format!("req {KEY} -subj /CN=localhost -keyout server.key -out server.csr"));
        let signed = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names.ext";
        openssl(path, &format!("x509 -req -in server.csr {signed} -out server.crt"));
        let arrange = |command: &mut Command| {
            command.arg(paths::in_tests("clients/document_server.mjs")).stdout(Stdio::piped());
            command.args([path.join("server.crt"), path.join("server.key")]);
        };
        let log = path.join("server.log");
        let mut process = Process::start("document_server", Path::new("node"), arrange, &log).expect("started");
        let line = process.first_line().expect("a port");
        let announced: Value = serde_json::from_str(&line).expect("JSON");
        let port = announced["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        Self { process, port, folder }
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
