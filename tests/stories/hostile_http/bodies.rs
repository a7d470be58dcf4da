//! Bodies that are too large, too slow, cut off, or in pieces.

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::Request;
use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use tokio::io::AsyncWriteExt as _;

use super::{Scene, scene};
use crate::support::{
    assert_error, assert_serves, assert_unseen, connect, exchange, exchange_in_pieces, read_answers, unique,
};

#[tokio::test]
async fn a_body_over_the_limit_is_refused_wherever_one_is_read() {
    let scene = scene().await;
    let bed = &scene.bed;
    let post =
        |path: &str, kind: &str, bytes: usize| bed.post(path).header("content-type", kind).body(vec![b'a'; bytes]);
    let token = post("/oauth/token", FORM, 16 * 1024 + 1).send().await;
    assert_error(&token, 413, "invalid_request", "the body is larger than 16 KiB", "token");
    let register = post("/oauth/register", "application/json", 64 * 1024 + 1).send().await;
    assert_error(&register, 413, "invalid_client_metadata", "the body is larger than 64 KiB", "register");
    let consent = post("/oauth/consent", FORM, 16 * 1024 + 1).send().await;
    assert_eq!(consent.status, 413, "{consent:?}");
    assert!(consent.text().contains("This answer is too large"), "{consent:?}");
    for path in ["/oauth/token", "/oauth/register", "/oauth/consent"] {
        for bytes in [100_000, 3_000_000] {
            let head = scene.head("POST", path, format!("content-type: {FORM}\r\ntransfer-encoding: chunked\r\n"));
            let body = format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(bytes));
            let reply = exchange(bed, &[head, body.into_bytes()].concat()).await;
            assert_eq!(reply.status(), 413, "{bytes} chunked bytes to {path}: {reply:?}");
        }
    }
    // A form of just the limit is read, and refused for what it says.
    let form = format!("grant_type=password&x={}", "a".repeat(16 * 1024 - 22));
    let reply = bed.post("/oauth/token").header("content-type", FORM).body(form).send().await;
    assert_error(&reply, 400, "unsupported_grant_type", "the grant type is not supported", "at the limit");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn a_large_body_to_the_back_end_goes_through_whole_or_not_at_all() {
    let scene = scene().await;
    let path = format!("/api/large-{}", unique());
    let body = vec![b'b'; 3_000_000];
    let refused = [scene.head("POST", &path, "content-length: 3000000\r\n"), body.clone()].concat();
    assert_eq!(exchange(&scene.bed, &refused).await.status(), 401);
    assert_unseen(&scene.bed, &path).await;
    let reply = scene.bed.post(&path).bearer(&scene.tokens.access_token).body(body.clone()).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = scene.bed.recorded().await.into_iter().find(|request| request.path == path).expect("the call");
    assert!(seen.body == body, "{} bytes arrived", seen.body.len());
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn a_slow_body_is_waited_for_while_others_are_served() {
    let scene = scene().await;
    let (code, verifier) = code(scene, "bob").await;
    let (head, body) = redemption(scene, &code, &verifier);
    let mut connection = connect(&scene.bed).await;
    connection.write_all(&head).await.expect("sent");
    for piece in body.as_bytes().chunks(body.len().div_ceil(10)) {
        // Others on the same worker go first: the piece arrives when they are done.
        for _ in 0..4 {
            assert_serves(&scene.bed, &scene.tokens.access_token).await;
        }
        connection.write_all(piece).await.expect("sent");
    }
    let reply = read_answers(&mut connection, 1, true).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_uses_nothing_up() {
    let scene = scene().await;
    let (code, verifier) = code(scene, "carol").await;
    let (head, body) = redemption(scene, &code, &verifier);
    for cut in [0, 1, body.len() / 2, body.len() - 1] {
        let mut connection = connect(&scene.bed).await;
        connection.write_all(&[&head, &body.as_bytes()[..cut]].concat()).await.expect("sent");
        assert_serves(&scene.bed, &scene.tokens.access_token).await;
        drop(connection);
    }
    // Half a head, and nothing but a connection.
    for bytes in [&head[..20], b""] {
        let mut connection = connect(&scene.bed).await;
        connection.write_all(bytes).await.expect("sent");
        drop(connection);
    }
    scene.assert_unharmed().await;
    let reply = exchange(&scene.bed, &[head, body.into_bytes()].concat()).await;
    assert_eq!(reply.status(), 200, "the code was left alone: {reply:?}");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn a_chunked_body_says_the_same_wherever_it_is_split() {
    let scene = scene().await;
    let verifier = "v".repeat(43);
    let body = form(&scene.client, "made-up", &verifier);
    let head = scene.head("POST", "/oauth/token", format!("content-type: {FORM}\r\ntransfer-encoding: chunked\r\n"));
    for split in 1..body.len() {
        let (first, second) = body.split_at(split);
        let reply = exchange_in_pieces(
            &scene.bed,
            &[&head, chunk(first, "").as_bytes(), chunk(second, ";ext=\"x\"").as_bytes(), b"0\r\n\r\n"],
        )
        .await;
        assert_eq!(reply.status(), 400, "split at {split}: {reply:?}");
        assert!(reply.0.contains("the code is not one of this server"), "split at {split}: {reply:?}");
    }
    let (code, verifier) = code(scene, "dave").await;
    let letters: Vec<String> =
        form(&scene.client, &code, &verifier).chars().map(|letter| chunk(&letter.to_string(), "")).collect();
    let pieces: Vec<&[u8]> = std::iter::once(head.as_slice())
        .chain(letters.iter().map(String::as_bytes))
        .chain([&b"0\r\n\r\n"[..]])
        .collect();
    let reply = exchange_in_pieces(&scene.bed, &pieces).await;
    assert_eq!(reply.status(), 200, "every letter a chunk: {reply:?}");
    for broken in ["zz\r\n", "-1\r\n", "5\r\nabc", "ffffffffffffffffff\r\n", "5;\r\n\r\n"] {
        let reply = exchange_in_pieces(&scene.bed, &[&head, broken.as_bytes(), b"\r\n\r\n0\r\n\r\n"]).await;
        assert_eq!(reply.status(), 400, "{broken:?}: {reply:?}");
    }
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn trailers_end_a_body_and_carry_no_rights() {
    let scene = scene().await;
    let (code, verifier) = code(scene, "erin").await;
    let chunked = |fields: &str| format!("{fields}content-type: {FORM}\r\ntransfer-encoding: chunked\r\n");
    let trailers = format!("0\r\n{}x-user: root\r\ncookie: a=b\r\nx-bytes: \u{ff}\r\n\r\n", scene.bearer());
    let body = chunk(&form(&scene.client, &code, &verifier), "");
    let head = scene.head("POST", "/oauth/token", chunked(""));
    let reply = exchange_in_pieces(&scene.bed, &[&head, body.as_bytes(), trailers.as_bytes()]).await;
    assert_eq!(reply.status(), 200, "{reply:?}");

    let path = format!("/api/trailers-{}", unique());
    let head = scene.head("POST", &path, chunked(""));
    let reply = exchange_in_pieces(&scene.bed, &[&head, body.as_bytes(), trailers.as_bytes()]).await;
    assert_eq!(reply.status(), 401, "{reply:?}");
    assert_unseen(&scene.bed, &path).await;

    let head = scene.head("POST", &path, chunked(&scene.bearer()));
    let reply = exchange_in_pieces(&scene.bed, &[&head, body.as_bytes(), trailers.as_bytes()]).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    let seen = scene.bed.recorded().await.into_iter().find(|request| request.path == path).expect("the call");
    assert!(!seen.contains("root") && !seen.contains(&scene.tokens.access_token), "{seen:?}");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_its_body_is_answered() {
    let scene = scene().await;
    let (code, verifier) = code(scene, "frank").await;
    let form = form(&scene.client, &code, &verifier);
    let url = format!("{}/oauth/token", scene.bed.gateway());
    let request = Request::post(&url).header("content-type", FORM).header("expect", "100-continue").body(form);
    let tokens = Tokens::read(&request.send().await);
    assert_serves(&scene.bed, &tokens.access_token).await;
    scene.assert_unharmed().await;
}

async fn code(scene: &Scene, user: &str) -> (String, String) {
    let authorization = scene.client.authorization();
    let callback = scene.client.authorize(&mut Browser::new(user), &authorization).await;
    (callback.code().to_owned(), authorization.verifier)
}

/// The head and the body of a request that redeems a code.
fn redemption(scene: &Scene, code: &str, verifier: &str) -> (Vec<u8>, String) {
    let body = form(&scene.client, code, verifier);
    let fields = format!("content-type: {FORM}\r\ncontent-length: {}\r\n", body.len());
    (scene.head("POST", "/oauth/token", fields), body)
}

/// The form of a request that redeems a code.
pub(super) fn form(client: &OAuthClient, code: &str, verifier: &str) -> String {
    let parameters = client.redeem_request(code, verifier).parameters.0;
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish()
}

fn chunk(text: &str, extension: &str) -> String {
    format!("{:x}{extension}\r\n{text}\r\n", text.len())
}

pub(super) const FORM: &str = "application/x-www-form-urlencoded";
