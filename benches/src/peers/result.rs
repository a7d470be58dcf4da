//! One peer, or one way to run it: where it listens, what it is sent, and what that costs.

use std::time::Duration;

use portcullis_testbed::http::Request;
use serde_json::{Value, json};

use super::back_end::SHOW;
use crate::cpu;
use crate::load::Load;
use crate::scenario::{self, Sample};

/// One way to a tool call.
pub(super) struct PeerResult {
    /// Its name in `peers.json`.
    pub key: &'static str,
    /// The way of a call, in words.
    pub what: &'static str,
    /// Its port.
    pub port: u16,
    /// Its path.
    pub path: String,
    /// What it calls the tool.
    pub tool: &'static str,
    /// The client's token; none where none is required.
    pub token: Option<String>,
    /// MCP sessions, one for each connection; none where there are none.
    pub sessions: Vec<String>,
    /// What the backend has to see instead of the client's token.
    pub injects: Injects,
    /// The process whose time counts.
    pub process: u32,
    /// What was measured, one sample a round.
    pub samples: Vec<Sample>,
}

/// The credentials that reach the backend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Injects {
    /// Those of the client, or none.
    Nothing,
    /// A token of the identity provider, a JWT other than the client's.
    UpstreamJwt,
    /// A token that the peer was configured with.
    Fixed(&'static str),
    /// There is no backend that could see any.
    NoBackEnd,
}

impl PeerResult {
    /// Checks that a call succeeds with the right credentials, and fails without and with forged
    /// ones.
    ///
    /// # Errors
    /// What happened instead.
    pub(super) async fn prove(&self) -> Result<(), String> {
        let shown = self.call(self.token.as_deref(), SHOW).await?;
        let own = self.token.as_ref().map(|token| format!("Bearer {token}")).unwrap_or_default();
        let text = serde_json::from_slice::<Value>(&shown.body).unwrap_or_default();
        let text = text["result"]["content"][0]["text"].as_str().unwrap_or("no answer of the tool").to_owned();
        let as_named = match self.injects {
            Injects::Nothing => text == own,
            Injects::UpstreamJwt => text.starts_with("Bearer ey") && text != own,
            Injects::Fixed(token) => text.strip_prefix("Bearer ") == Some(token),
            Injects::NoBackEnd => text == SHOW,
        };
        if shown.status != 200 || !as_named {
            return Err(format!("{}: a good call got {}: {}", self.key, shown.status, shown.text()));
        }
        let Some(token) = &self.token else { return Ok(()) };
        for wrong in [None, Some(scenario::forge(token))] {
            let refused = self.call(wrong.as_deref(), SHOW).await?;
            if refused.status != 401 {
                return Err(format!("{}: bad credentials got {refused:?}", self.key));
            }
        }
        Ok(())
    }

    /// Sends calls for a while, and tells what they cost.
    ///
    /// # Errors
    /// A call that failed.
    pub(super) fn measure(&self, load: &mut Load, time: Duration) -> Result<Sample, String> {
        let sessions = self.sessions.iter().map(|session| self.bytes(Some(session)));
        let requests: Vec<Vec<u8>> = if self.sessions.is_empty() { vec![self.bytes(None)] } else { sessions.collect() };
        let before = cpu::used_in_all(self.process)?;
        let outcome = load
            .run(requests.iter().map(Vec::as_slice).cycle(), time, 200)
            .map_err(|error| format!("{}: {error}", self.key))?;
        let cpu = cpu::used_in_all(self.process)?.saturating_sub(before);
        let count = outcome.requests as f64;
        Ok(Sample {
            cpu_us: cpu.as_secs_f64() * 1e6 / count,
            rps: count / outcome.wall.as_secs_f64(),
            requests: outcome.requests,
        })
    }

    async fn call(&self, token: Option<&str>, text: &str) -> Result<portcullis_testbed::http::Response, String> {
        let mut request = Request::post(&format!("http://127.0.0.1:{}{}", self.port, self.path));
        for (name, value) in self.fields(token, self.sessions.first().map(String::as_str)) {
            request = request.header(name, value);
        }
        let request = request.body(call(self.tool, text)).timeout(Duration::from_secs(20));
        request.try_send().await.map_err(|error| format!("{}: {error}", self.key))
    }

    fn fields(&self, token: Option<&str>, session: Option<&str>) -> Vec<(&'static str, String)> {
        let mut fields = FIELDS.map(|(name, value)| (name, value.to_owned())).to_vec();
        fields.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
        fields.extend(session.map(|session| ("mcp-session-id", session.to_owned())));
        fields
    }

    /// The measured request.
    fn bytes(&self, session: Option<&str>) -> Vec<u8> {
        let body = call(self.tool, "hello");
        let fields = self.fields(self.token.as_deref(), session);
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (path, port) = (&self.path, self.port);
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{fields}content-length: {}\r\n\r\n", body.len());
        [head.into_bytes(), body.into_bytes()].concat()
    }
}

fn call(tool: &str, text: &str) -> String {
    let parameters = json!({ "name": tool, "arguments": { "text": text } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters }).to_string()
}

/// What every call carries.
pub(super) const FIELDS: [(&str, &str); 3] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", VERSION),
];
/// The revision of MCP that all of them speak.
pub(super) const VERSION: &str = "2025-11-25";
