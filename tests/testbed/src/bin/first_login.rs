//! `make run`: the testbed on readable ports, one whole login and tool call with the official
//! TypeScript client, told step by step, then the addresses to go on by hand.
//!
//! `PORT=` sets the gateway's port (8080), `ONCE=1` stops after the steps,
//! `STORE=memory|standalone|sentinel` sets where logins are kept. The exit code tells whether all
//! went well.

#![allow(clippy::indexing_slicing, reason = "a member that JSON lacks reads as null")]

use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::{OAuthClient, claims};
use portcullis_testbed::paths;
use portcullis_testbed::recorder::Recorded;
use portcullis_testbed::testbed::Testbed;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("\n  {} {why}\n", mark(false)));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or_else(|| "8080".to_owned());
    let port = port.parse().map_err(|_| format!("PORT={port} is no port"))?;
    let once = env::var("ONCE").is_ok_and(|once| !once.is_empty() && once != "0");
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let shown = async {
        say("Starting Envoy with the filter, an identity provider and an MCP server …");
        let bed = Testbed::builder().port(port).tap_mcp().try_start().await?;
        say(&format!("\n  gateway            {}", bed.gateway()));
        say(&format!("  identity provider  {}", bed.idp()));
        say(&format!("  MCP server         {}, reached through the gateway at {}", bed.mcp_backend(), bed.resource()));
        say_store(&bed);
        say("\nA login and a tool call with the official TypeScript client, without a browser:\n");
        show_client(&bed).await?;
        show_back_end(&bed).await?;
        Ok::<Testbed, String>(bed)
    };
    let bed = tokio::select! {
        bed = shown => bed?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    if once {
        say("\nAll steps passed.\n");
        return Ok(());
    }
    say(&next_steps(&bed).await?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    say("\nStopping.");
    Ok(())
}

/// Says where logins are kept.
fn say_store(bed: &Testbed) {
    let told = bed.to_json();
    let addresses = |value: &Value| {
        let addresses = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        addresses.collect::<Vec<_>>().join(", ")
    };
    if let Some(socket) = told["bridge"]["socket"].as_str() {
        say(&format!(
            "  redis-bridge       {socket}, observed at {}",
            told["bridge"]["observer"].as_str().unwrap_or("-")
        ));
        say(&format!("  Redis              {}", addresses(&told["redis"]["servers"])));
        let sentinels = addresses(&told["redis"]["sentinels"]);
        if !sentinels.is_empty() {
            say(&format!("  Redis Sentinel     {sentinels}"));
        }
    } else {
        say("  logins             in Envoy's memory; STORE=standalone or STORE=sentinel keeps them in Redis");
    }
}

/// Runs the client and tells its steps.
async fn show_client(bed: &Testbed) -> Result<(), String> {
    let script = paths::in_tests("clients/client.mjs");
    let mut command = std::process::Command::new("node");
    command.arg(script).arg(bed.resource()).arg(USER).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.map_err(|error| error.to_string())?.map_err(|error| format!("cannot run node: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let steps: Vec<Value> = printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    // The library looks everything up again at each turn; once is enough to tell.
    let mut told: Vec<String> = Vec::new();
    for line in steps.iter().filter_map(|step| tell(step, bed)) {
        if !told.contains(&line) {
            say(&line);
        }
        told.push(line);
    }
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("the client stopped after that:\n{complaint}\nEnvoy's log:\n{}", bed.envoy_log()))
}

fn tell(step: &Value, bed: &Testbed) -> Option<String> {
    let word = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
    let status = step["status"].as_u64().unwrap_or_default();
    let (name, what) = match step["step"].as_str()? {
        "refused" if step["challenge"].as_str().is_some_and(|challenge| challenge.contains("invalid_token")) => {
            ("refused", "a token that was tampered with: 401 invalid_token".to_owned())
        }
        "refused" => ("refused", "no token: 401, with the address of the resource's metadata".to_owned()),
        "resource metadata" => ("discovery", format!("{} is protected by {}", bed.resource(), bed.issuer())),
        "server metadata" => ("discovery", "the endpoints of the authorization server".to_owned()),
        "registered" => ("registration", "the client introduced itself and got an id".to_owned()),
        "consent and login" => {
            ("consent, login", format!("{} approved the client, then signed in at the provider", word("user")))
        }
        "token" => ("token", "code and PKCE verifier became an access and a refresh token".to_owned()),
        "connected" => ("connected", format!("an MCP session; the server offers {} tools", step["tools"])),
        "tool call" => ("tool call", format!("echo answered {:?}", word("answer"))),
        "refreshed" => ("refresh", "the refresh token was exchanged, and replaced".to_owned()),
        _ => return None,
    };
    let refused = name == "refused";
    Some(format!("  {} {name:<16}{what}", mark(refused || (200..300).contains(&status) || status == 0)))
}

/// Proves from what the MCP server really received that the gateway swapped the tokens.
async fn show_back_end(bed: &Testbed) -> Result<(), String> {
    let seen: Vec<Recorded> = bed.mcp_recorded().await;
    let subjects: Option<Vec<Value>> =
        seen.iter().map(|request| Some(upstream_claims(request, &bed.idp())?["sub"].clone())).collect();
    let swapped = !seen.is_empty() && subjects.is_some_and(|subjects| subjects.iter().all(|subject| subject == USER));
    if !swapped {
        return Err(format!("the MCP server was reached without {USER}'s upstream token: {seen:#?}"));
    }
    // The client's tokens name the gateway as issuer, so a search for what every one of them holds
    // finds any.
    let clients_token = seen.iter().filter_map(Recorded::bearer).find(|token| claims(token)["iss"] == bed.issuer());
    if clients_token.is_some() {
        return Err("the MCP server received the client's own token".to_owned());
    }
    let count = seen.len();
    say(&format!(
        "  {} {:<16}{count} requests, each with {USER}'s own token of the identity provider",
        mark(true),
        "backend saw"
    ));
    say(&format!("    {:<16}(sub={USER}); the client's token in none of them", ""));
    Ok(())
}

fn upstream_claims(request: &Recorded, idp: &str) -> Option<Value> {
    let claims = claims(&request.bearer()?);
    (claims["iss"] == idp).then_some(claims)
}

/// A login for `/api` whose token the reader can use, and a login page for the reader's own
/// browser.
async fn next_steps(bed: &Testbed) -> Result<String, String> {
    let (resource, api, recorder) = (bed.resource(), bed.api_resource(), bed.recorder());
    let log_in = tokio::spawn({
        let (api, redirect_uri) = (api.clone(), format!("{recorder}/callback"));
        async move {
            let mut client = OAuthClient::discover(&api).await;
            client.redirect_uri = redirect_uri;
            let client = client.register().await;
            let tokens = client.log_in(&mut Browser::new(USER)).await;
            (tokens.access_token, client.authorization().url())
        }
    });
    let (token, login_page) = log_in.await.map_err(|error| error.to_string())?;
    let file = token_file();
    std::fs::write(&file, token).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(format!(
        "
Everything keeps running until Ctrl-C. What to try by hand:

  the refusal       curl -i {resource}
  the metadata      curl {gateway}/.well-known/oauth-authorization-server
  a call            curl -H \"Authorization: Bearer $(cat {file})\" {api}/hello
  what arrived      curl {recorder}/_recorded
  MCP Inspector     npx @modelcontextprotocol/inspector, then connect to {resource} (Streamable HTTP)
  your browser      open this, approve, and sign in under any name; it ends at the recorder:
                    {login_page}
",
        gateway = bed.gateway(),
        file = file.display(),
    ))
}

fn token_file() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::project().join("target"), PathBuf::from).join("run-token")
}

fn mark(good: bool) -> &'static str {
    if good { "✓" } else { "✗" }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Who signs in.
const USER: &str = "alice";
