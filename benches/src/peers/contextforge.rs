//! ContextForge: one process on SQLite, the backend registered as a gateway, its tool offered by a
//! virtual server.

use std::path::Path;
use std::time::Duration;

use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::process::Process;
use serde_json::{Value, json};

use super::result::{FIELDS, VERSION};
use super::{until_it_serves, venv};
use crate::cpu;
use crate::load::CONNECTIONS;

/// A running gateway with one virtual server.
pub(super) struct Server {
    /// Its port.
    pub port: u16,
    /// The path of the virtual server.
    pub path: String,
    /// The user's token.
    pub token: String,
    /// MCP sessions, one for each connection of the load, when it keeps sessions.
    pub sessions: Vec<String>,
    process: Process,
}

impl Server {
    /// Starts one, with its own MCP sessions or, as by default, without; logs its user in and
    /// registers the backend.
    ///
    /// # Errors
    /// When it does not start, or refuses a step.
    pub(super) async fn start(sessions: bool, port: u16, back_end: u16, dir: &Path) -> Result<Self, String> {
        let name = if sessions { "contextforge-sessions" } else { "contextforge" };
        let arrange = |command: &mut std::process::Command| {
            command.args([
                "mcpgateway.main:app",
                "--host",
                "127.0.0.1",
                "--no-access-log",
                "--port",
                &port.to_string(),
            ]);
            command.env("DATABASE_URL", format!("sqlite:///{}", dir.join(format!("{name}.db")).display()));
            command.env("USE_STATEFUL_SESSIONS", sessions.to_string());
            command.envs(SETTINGS).current_dir(dir);
        };
        let log = dir.join(format!("{name}.log"));
        let mut process =
            cpu::start_alone("contextforge", &venv("contextforge").join("bin/mcpgateway"), arrange, &log)?;
        until_it_serves(&mut process, port, "/health").await?;

        let base = format!("http://127.0.0.1:{port}");
        let login = json!({ "email": USER, "password": PASSWORD });
        let login = asked(Request::post(&format!("{base}/auth/login")).json(&login)).await?.json();
        let token = login["access_token"].as_str().ok_or("no token of the login")?.to_owned();
        let gateway = json!({
            "name": "instant",
            "url": format!("http://127.0.0.1:{back_end}/mcp"),
            "transport": "STREAMABLEHTTP",
            "auth_type": "bearer",
            "auth_token": UPSTREAM_TOKEN,
        });
        asked(Request::post(&format!("{base}/gateways")).bearer(&token).json(&gateway)).await?;
        let tools = asked(Request::get(&format!("{base}/tools")).bearer(&token)).await?.json();
        let server = json!({ "server": { "name": "measured", "associated_tools": [tools[0]["id"]] } });
        let server = asked(Request::post(&format!("{base}/servers")).bearer(&token).json(&server)).await?.json();
        let path = format!("/servers/{}/mcp", server["id"].as_str().ok_or("no id of the virtual server")?);
        let mut opened = Vec::new();
        while sessions && opened.len() < CONNECTIONS {
            opened.push(open_session(&format!("{base}{path}"), &token).await?);
        }
        Ok(Self { port, path, token, sessions: opened, process })
    }

    /// Its process id.
    #[must_use]
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Opens an MCP session, for as long as the gateway runs.
async fn open_session(url: &str, token: &str) -> Result<String, String> {
    let post = |message: Value| {
        let request = Request::post(url).bearer(token);
        FIELDS.iter().fold(request, |request, (name, value)| request.header(name, value)).body(message.to_string())
    };
    let client = json!({ "name": "portcullis-benches", "version": "1" });
    let parameters = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": client });
    let opened = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": parameters });
    let opened = asked(post(opened)).await?;
    let session = opened.header("mcp-session-id").ok_or("no session")?.to_owned();
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    asked(post(ready).header("mcp-session-id", &session)).await?;
    Ok(session)
}

async fn asked(request: Request) -> Result<Response, String> {
    let answer = request.timeout(Duration::from_secs(30)).try_send().await.map_err(|error| error.to_string())?;
    if (200..300).contains(&answer.status) { Ok(answer) } else { Err(format!("contextforge: {answer:?}")) }
}

/// What it sends to the backend: one token for all users, kept encrypted in its database.
pub(super) const UPSTREAM_TOKEN: &str = "a-token-of-the-backend-for-all-users";
const USER: &str = "admin@example.com";
const PASSWORD: &str = "For-The-Measurements-0nly";
/// Its defaults, but for what it wants to be told, a backend on loopback, and no limit of calls a
/// minute.
const SETTINGS: [(&str, &str); 10] = [
    ("JWT_SECRET_KEY", "3f9cKd82LqpZr7Vt1XyWm5Nb0HgTs6Ej"),
    ("AUTH_ENCRYPTION_SECRET", "Qw8Zx2Lr5Vn1Tk7Mb4Hd9Js3Gf6Pc0Ya"),
    ("PLATFORM_ADMIN_EMAIL", USER),
    ("PLATFORM_ADMIN_PASSWORD", PASSWORD),
    ("DEFAULT_USER_PASSWORD", PASSWORD),
    ("BASIC_AUTH_PASSWORD", PASSWORD),
    ("SSRF_ALLOW_LOCALHOST", "true"),
    ("SSRF_ALLOW_PRIVATE_NETWORKS", "true"),
    ("CACHE_TYPE", "memory"),
    ("RATE_LIMITING_ENABLED", "false"),
];
