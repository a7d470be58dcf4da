//! `portcullis migrate toolhive` as a process.
#![cfg(test)]

mod documents;
mod gateways;
mod refusals;
mod secrets;
mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A migration that ran.
struct Done {
    code: i32,
    folder: TempDir,
    /// The report; `OUT` stands for the folder.
    out: String,
    err: String,
}

impl Done {
    /// A file that was written; `None` if it was not.
    fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(name)).ok()
    }

    fn plugin(&self) -> Value {
        let text = self.file("portcullis.json").unwrap_or_else(|| panic!("no configuration\n{}{}", self.out, self.err));
        serde_json::from_str(&text).unwrap()
    }

    /// What of the report holds these words.
    #[track_caller]
    fn assert_says(&self, words: &str) {
        assert!(self.out.contains(words), "no `{words}` in\n{}{}", self.out, self.err);
    }

    /// Holds for a migration that wrote nothing, with this as the only line.
    #[track_caller]
    fn assert_refused(&self, line: &str) {
        assert_eq!((self.code, self.err.trim_end()), (2, line), "{}", self.out);
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 0, "something was written");
    }
}

/// Migrates files of a folder.
fn migrated_in(folder: &Path, files: &[&str]) -> Done {
    let output = tempfile::tempdir().unwrap();
    let mut command = portcullis();
    command.args(["migrate", "toolhive", "--output"]).arg(output.path()).args(files).current_dir(folder);
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(&output.path().display().to_string(), "OUT");
    Done { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr), folder: output }
}

/// Migrates one file, `FILE` in the report.
fn migrated(text: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FILE"), text).unwrap();
    migrated_in(folder.path(), &["FILE"])
}

fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear();
    command
}

/// Holds when `portcullis check` finds nothing wrong with every configuration in a folder.
fn assert_checked(folder: &Path) {
    for file in ["portcullis.json", "bridge.yaml"] {
        let path = folder.join(file);
        if path.exists() {
            let done = portcullis().arg("check").arg(&path).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        }
    }
}

fn seeds_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/seeds")
}

/// An authorization server with one provider, and a server behind it.
const EMBEDDED: &str = r#"apiVersion: toolhive.stacklok.dev/v1beta1
kind: MCPExternalAuthConfig
metadata: { name: login, namespace: tools }
spec:
  type: embeddedAuthServer
  embeddedAuthServer:
    issuer: https://mcp.example.com
    signingKeySecretRefs: [{ name: keys, key: first }]
    hmacSecretRefs: [{ name: keys, key: hmac }]
    upstreamProviders:
      - name: okta
        type: oidc
        oidcConfig:
          issuerUrl: https://example.okta.com
          clientId: gateway
          clientSecretRef: { name: okta, key: secret }
---
apiVersion: toolhive.stacklok.dev/v1beta1
kind: MCPServer
metadata: { name: weather, namespace: tools }
spec:
  image: weather
  externalAuthConfigRef: { name: login }
  oidcConfig:
    type: inline
    resourceUrl: https://mcp.example.com/weather
    inline: { issuer: https://mcp.example.com }
"#;

/// A server whose tokens come from elsewhere.
const EXTERNAL: &str = r#"apiVersion: toolhive.stacklok.dev/v1alpha1
kind: MCPServer
metadata: { name: weather, namespace: tools }
spec:
  image: weather
  oidcConfig:
    type: inline
    resourceUrl: https://mcp.example.com/weather
    inline: { issuer: https://idp.example.com, audience: weather }
"#;
