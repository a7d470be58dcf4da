//! FastMCP: one process, with a login of a real client at its OAuth proxy.

use std::path::Path;
use std::time::Duration;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::{Request, Sockets};
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::paths;
use portcullis_testbed::process::Process;
use serde_json::{Value, json};

use super::{until_it_serves, venv};
use crate::cpu;
use crate::gateway::{self, CLIENT, IDP_SECRET};

/// A running server.
pub(super) struct Server {
    /// Its port.
    pub port: u16,
    /// The client's access token; none when it runs open.
    pub token: Option<String>,
    process: Process,
    _provider: Process,
}

impl Server {
    /// Starts one in a mode of `fastmcp_server.py`, and logs a client in unless it is open to all.
    ///
    /// # Panics
    /// When the login fails.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(mode: &str, port: u16, back_end: u16, dir: &Path) -> Result<Self, String> {
        let base = format!("http://127.0.0.1:{port}");
        let (provider, provider_port) =
            gateway::start_provider(&format!("{base}/oauth/callback"), &dir.join(format!("idp-fastmcp-{mode}.log")))?;
        let options = json!({
            "mode": mode,
            "port": port,
            "back_end": format!("http://127.0.0.1:{back_end}/mcp"),
            "provider": format!("http://127.0.0.1:{provider_port}"),
            "client_id": CLIENT,
            "client_secret": IDP_SECRET,
        });
        let arrange = |command: &mut std::process::Command| {
            command.arg(paths::project().join("benches/peers/fastmcp_server.py")).arg(options.to_string());
            command.env("FASTMCP_CHECK_FOR_UPDATES", "off");
        };
        let log = dir.join(format!("fastmcp-{mode}.log"));
        let mut process = cpu::start_alone("fastmcp", &venv("fastmcp").join("bin/python"), arrange, &log)?;
        until_it_serves(&mut process, port, "/").await?;
        let token = if mode == "open" { None } else { Some(log_in(&base).await) };
        Ok(Self { port, token, process, _provider: provider })
    }

    /// Its process id.
    #[must_use]
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

async fn log_in(base: &str) -> String {
    let metadata = Request::get(&format!("{base}/.well-known/oauth-authorization-server"));
    let client = OAuthClient {
        transport: Sockets,
        resource: format!("{base}/mcp"),
        resource_metadata: Value::Null,
        server_metadata: metadata.timeout(Duration::from_secs(20)).send().await.json(),
        client_id: String::new(),
        client_secret: None,
        redirect_uri: "http://127.0.0.1:53682/callback".to_owned(),
        scope: "openid".to_owned(),
    };
    client.register().await.log_in(&mut Browser::new("alice")).await.access_token
}
