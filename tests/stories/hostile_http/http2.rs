//! The same rules over HTTP/2, which has pseudo-headers, cookies in crumbs and trailers of its own.

use std::process::{Command, Stdio};

use portcullis_testbed::oauth_client::claims;
use serde_json::Value;

use super::scene;
use crate::support::{assert_unseen, unique};

#[tokio::test]
async fn http2_requests_are_decided_by_the_same_rules() {
    let scene = scene().await;
    let marker = format!("h2-{}", unique());
    let gateway = scene.bed.gateway();
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", CLIENT, "--", &gateway, &scene.tokens.access_token, &marker]);
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ran").expect("it started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let statuses: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(statuses["good"], 200, "{statuses}");
    assert_eq!(statuses["crumbs"], 200, "{statuses}");
    assert_eq!(statuses["trailers"], 200, "{statuses}");
    assert_eq!(statuses["without"], 401, "{statuses}");
    assert_eq!(statuses["rightsInTrailers"], 401, "{statuses}");
    assert_eq!(statuses["tokenEndpoint"], 400, "{statuses}");
    assert_eq!(statuses["otherAuthority"], 404, "{statuses}");
    assert_eq!(statuses["ambiguous"], 400, "{statuses}");

    assert_unseen(&scene.bed, &format!("{marker}-refused")).await;
    let seen: Vec<_> =
        scene.bed.recorded().await.into_iter().filter(|request| request.path.contains(&marker)).collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    for request in &seen {
        assert_eq!(claims(&request.bearer().expect("the upstream token"))["sub"], "alice");
        assert!(!request.contains(&scene.tokens.access_token) && !request.contains("portcullis-browser"));
        assert!(!request.contains("root"), "a trailer became a header");
    }
    let crumbs = seen.iter().find(|request| request.path.ends_with("crumbs")).expect("the call");
    assert_eq!(crumbs.headers("cookie").join("; "), "a=1; b=2");
    scene.assert_unharmed().await;
}

/// Node's own client: Rust's would be one more dependency for one story.
const CLIENT: &str = r#"
import { connect } from "node:http2";
const [gateway, token, marker] = process.argv.slice(1).filter((word) => word !== "--");
const session = connect(gateway);
const ask = (headers, body, trailers) =>
  new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.on("response", (answer) => { stream.resume(); stream.on("close", () => resolve(answer[":status"])); });
    stream.on("error", reject);
    if (body !== undefined) stream.end(body);
  });
const authorization = `Bearer ${token}`;
const path = (name) => `/api/${marker}-${name}`;
const post = (name) => ({ ":method": "POST", ":path": path(name), "content-type": "text/plain" });
const statuses = {
  good: await ask({ ":path": path("good"), authorization }),
  crumbs: await ask({ ":path": path("crumbs"), authorization, cookie: ["a=1", "portcullis-browser=x", "b=2"] }),
  trailers: await ask({ ...post("trailers"), authorization }, "body", { "x-user": "root" }),
  without: await ask({ ":path": path("refused") }),
  rightsInTrailers: await ask(post("refused"), "body", { authorization }),
  tokenEndpoint: await ask({ ":method": "POST", ":path": "/oauth/token", "content-type": "application/x-www-form-urlencoded" }, "grant_type=password", { "x-user": "root" }),
  otherAuthority: await ask({ ":path": "/.well-known/jwks.json", ":authority": "evil.example" }),
  ambiguous: await ask({ ":path": `/api/..%2f${marker}-refused`, authorization }),
};
session.close();
console.log(JSON.stringify(statuses));
"#;
