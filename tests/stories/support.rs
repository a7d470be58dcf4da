//! What several stories need: a user who is logged in, a refusal looked at word by word, and bytes
//! on a bare connection.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use portcullis_testbed::testbed::{REQUESTS_FOR_BOTH_WORKERS, Testbed};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Logs a user in to the HTTP resource, whose backend is the recorder.
pub(crate) async fn log_in(bed: &Testbed, user: &str) -> (OAuthClient, Tokens) {
    let client = client(bed).await;
    let tokens = client.log_in(&mut Browser::new(user)).await;
    (client, tokens)
}

/// A registered client of the HTTP resource.
pub(crate) async fn client(bed: &Testbed) -> OAuthClient {
    OAuthClient::discover(&bed.api_resource()).await.register().await
}

/// An RSA key in PEM whose modulus or private exponent has one bit changed: well-formed, and its
/// halves do not fit.
pub(crate) fn contradictory_rsa_key(part: RsaPart) -> String {
    let pem = include_str!("../../crates/protocol/testdata/keys/rsa2048.pkcs1.pem");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).expect("base64");
    // Behind 11 bytes the modulus, behind 277 the private exponent, of 256 bytes each.
    der[match part {
        RsaPart::Modulus => 150,
        RsaPart::PrivateExponent => 400,
    }] ^= 1;
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n"))
}

/// The half of an RSA key that is changed.
pub(crate) enum RsaPart {
    Modulus,
    PrivateExponent,
}

/// The challenge of the HTTP resource: the bare one, or with the error and its description.
pub(crate) fn challenge(bed: &Testbed, error: Option<(&str, &str)>) -> String {
    let bare = format!(
        r#"Bearer resource_metadata="{}/.well-known/oauth-protected-resource/api", scope="openid""#,
        bed.gateway()
    );
    match error {
        Some((code, description)) => format!(r#"{bare}, error="{code}", error_description="{description}""#),
        None => bare,
    }
}

/// Holds when a call was refused with a challenge, in the header and in the body.
#[track_caller]
pub(crate) fn assert_challenged(
    bed: &Testbed,
    reply: &Response,
    status: u16,
    code: &str,
    description: &str,
    what: &str,
) {
    assert_error(reply, status, code, description, what);
    let expected = challenge(bed, Some((code, description)));
    assert_eq!(reply.header("www-authenticate"), Some(expected.as_str()), "{what}");
}

/// Holds when an endpoint answered with this error (RFC 6749 §5.2), in words that no cache keeps.
#[track_caller]
pub(crate) fn assert_error(reply: &Response, status: u16, code: &str, description: &str, what: &str) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    let body = reply.json();
    assert_eq!((body["error"].as_str(), body["error_description"].as_str()), (Some(code), Some(description)), "{what}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
}

/// Holds when an endpoint showed an error page that says this, and did not send the browser
/// anywhere.
#[track_caller]
pub(crate) fn assert_page(reply: &Response, status: u16, message: &str, what: &str) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    assert!(reply.text().contains(message), "{what}: no {message:?} in {reply:?}");
    assert_eq!(reply.header("location"), None, "{what}");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{what}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
}

/// Holds when nothing with this in its path reached the backend.
pub(crate) async fn assert_unseen(bed: &Testbed, path: &str) {
    let seen: Vec<_> = bed.recorded().await.into_iter().filter(|request| request.path.contains(path)).collect();
    assert!(seen.is_empty(), "the backend saw {seen:?}");
}

/// Holds when calls still work: whatever went before, the next request is served.
pub(crate) async fn assert_serves(bed: &Testbed, token: &str) {
    let reply = bed.get("/api/afterwards").bearer(token).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Holds when the access log has this request, a URL at the gateway, with this reason in the audit
/// trail.
pub(crate) async fn assert_audited(bed: &Testbed, url: &str, reason: &str) {
    let path = url.strip_prefix(&bed.gateway()).expect("a URL at the gateway");
    let entry = bed.access_entry(|entry| entry["path"] == path).await;
    // Quoted, because one reason may be the beginning of another.
    assert!(entry["audit"].to_string().replace('\\', "").contains(&format!("\"{reason}\"")), "{reason}: {entry}");
}

/// A number that no other test of this process has, for paths and names.
pub(crate) fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Opens a bare connection to the gateway.
pub(crate) async fn connect(bed: &Testbed) -> TcpStream {
    let stream = TcpStream::connect(authority(&bed.gateway())).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Host and port of a base URL.
pub(crate) fn authority(url: &str) -> &str {
    url.trim_start_matches("http://")
}

/// Sends bytes and reads the answer. Reads while it writes, and what cannot be sent because the
/// gateway has answered and closed is no failure.
pub(crate) async fn exchange(bed: &Testbed, bytes: &[u8]) -> Raw {
    exchange_in_pieces(bed, &[bytes]).await
}

/// As [`exchange`], with each piece written by itself.
pub(crate) async fn exchange_in_pieces(bed: &Testbed, pieces: &[&[u8]]) -> Raw {
    let (mut receiving, mut sending) = connect(bed).await.into_split();
    let send = async {
        for piece in pieces {
            if sending.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // A side that has closed for writing would count as a client that went away.
        std::future::pending::<()>().await;
    };
    let has_body = !pieces.first().is_some_and(|piece| piece.starts_with(b"HEAD "));
    tokio::select! {
        () = send => Raw(String::new()),
        answer = read_answers(&mut receiving, 1, has_body) => answer,
    }
}

/// Reads `count` answers, or what comes until the other side closes: Envoy keeps a connection that
/// it will close open for another second, for the client to close first.
pub(crate) async fn read_answers(stream: &mut (impl AsyncRead + Unpin), count: usize, have_bodies: bool) -> Raw {
    let mut bytes = Vec::new();
    let read = async {
        while complete_answers(&bytes, have_bodies) < count {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(read.is_ok(), "no answer within {PATIENCE:?}: {text}");
    Raw(text)
}

/// How many answers are there as a whole.
fn complete_answers(bytes: &[u8], have_bodies: bool) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.as_ref();
    let mut count = 0;
    while let Some((head, body)) = rest.split_once("\r\n\r\n") {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length = length.filter(|_| have_bodies).unwrap_or(0);
        let Some(after) = body.get(length..) else { break };
        rest = after;
        count += 1;
    }
    count
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Raw(pub String);

impl Raw {
    /// The status, or 0 when the connection was closed without an answer.
    pub(crate) fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
    }
}

/// Asks until this holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < patience, "still not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a request, made on a connection of its own each time, has this answer in both
/// workers of an Envoy.
pub(crate) async fn until_in_both_workers(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    until(what, async || {
        for _ in 0..REQUESTS_FOR_BOTH_WORKERS {
            if !holds().await {
                return false;
            }
        }
        true
    })
    .await;
}

/// A preflight as a browser's script causes one.
pub(crate) fn preflight(url: &str, method: &str) -> Request {
    Request::new("OPTIONS", url)
        .header("origin", "https://app.example")
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization,content-type,mcp-protocol-version")
}

/// How long anything may take that should be quick, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
