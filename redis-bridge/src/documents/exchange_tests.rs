use hyper::header::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::documents::tests::rules;

/// What becomes of an answer, byte for byte; the server closes after it.
async fn answered(bytes: &[u8]) -> Result<Document, FetchFailure> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let server = async {
        let _ = theirs.read(&mut [0; 4_096]).await.unwrap();
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
    };
    let target = Target::new("https://client.example:8443/a?b=c", &rules()).unwrap();
    tokio::join!(exchange(ours, &target), server).0
}

fn with(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}").into_bytes()
}

fn json(body: &str) -> Vec<u8> {
    with(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()), body)
}

#[tokio::test]
async fn a_request_says_no_more_than_it_must() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let target = Target::new("https://client.example:8443/a?b=c", &rules()).unwrap();
    let server = async {
        let mut head = vec![0; 4_096];
        let length = theirs.read(&mut head).await.unwrap();
        theirs.write_all(&json("{}")).await.unwrap();
        String::from_utf8_lossy(&head[..length]).into_owned()
    };
    let (fetched, head) = tokio::join!(exchange(ours, &target), server);
    assert_eq!(fetched.unwrap().body.as_bytes(), b"{}");
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /a?b=c HTTP/1.1");
    lines.sort_unstable();
    let expected = [
        "accept-encoding: identity",
        "accept: application/json",
        "connection: close",
        "host: client.example:8443",
        "user-agent: portcullis",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_body_may_fill_its_limit_and_not_pass_it() {
    let full = "x".repeat(MAX_DOCUMENT_BYTES);
    assert_eq!(answered(&json(&full)).await.unwrap().body.as_bytes(), full.as_bytes());
    let over = "x".repeat(MAX_DOCUMENT_BYTES + 1);
    let chunked = |body: &str| {
        let head = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
        with(head, &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
    };
    assert_eq!(answered(&chunked(&full)).await.unwrap().body.as_bytes(), full.as_bytes());
    assert_eq!(answered(&json(&over)).await, Err(FetchFailure::TooLarge));
    assert_eq!(answered(&chunked(&over)).await, Err(FetchFailure::TooLarge));
    assert_eq!(answered(&with("content-type: application/json\r\n", &over)).await, Err(FetchFailure::TooLarge));
    let claimed = with("content-type: application/json\r\ncontent-length: 1000000000000\r\n", "");
    assert_eq!(answered(&claimed).await, Err(FetchFailure::TooLarge));
}

#[tokio::test]
async fn a_redirect_and_every_other_status_are_failures() {
    for (status, failure) in [
        ("301 Moved", FetchFailure::Redirect),
        ("302 Found", FetchFailure::Redirect),
        ("304 Not Modified", FetchFailure::Redirect),
        ("307 Temporary", FetchFailure::Redirect),
        ("308 Permanent", FetchFailure::Redirect),
        ("101 Switching Protocols", FetchFailure::Status),
        ("201 Created", FetchFailure::Status),
        ("204 No Content", FetchFailure::Status),
        ("206 Partial", FetchFailure::Status),
        ("404 Not Found", FetchFailure::Status),
        ("500 Oops", FetchFailure::Status),
    ] {
        let head = "location: https://169.254.169.254/\r\ncontent-type: application/json\r\ncontent-length: 0\r\n";
        let answer = format!("HTTP/1.1 {status}\r\n{head}\r\n");
        assert_eq!(answered(answer.as_bytes()).await, Err(failure), "{status}");
    }
}

#[tokio::test]
async fn what_is_no_good_http_is_a_failure() {
    let many: String = (0..=MAX_HEADERS).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(MAX_HEADER_BYTES));
    for bytes in [
        Vec::new(),
        b"+PONG\r\n".to_vec(),
        b"{}".to_vec(),
        b"SSH-2.0-x\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{}".to_vec(),
        with("content-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n", "{}"),
        with("content-type: application/json\r\ntransfer-encoding: chunked\r\n", "zz\r\n"),
        with(&many, ""),
        with(&long, ""),
    ] {
        assert_eq!(answered(&bytes).await, Err(FetchFailure::Connect), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn only_json_that_is_not_compressed_is_taken() {
    let of = async |head: &str| answered(&with(&format!("{head}content-length: 2\r\n"), "{}")).await;
    let taken = [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("application/client+json", "application/client+json"),
    ];
    for (sent, meant) in taken {
        assert_eq!(of(&format!("content-type: {sent}\r\n")).await.unwrap().content_type, meant);
    }
    let identity = "content-type: application/json\r\ncontent-encoding: identity\r\n";
    assert!(of(identity).await.is_ok());
    for head in [
        "".to_owned(),
        "content-type: text/html\r\n".to_owned(),
        "content-type: text/json\r\n".to_owned(),
        "content-type: application/jsonp\r\n".to_owned(),
        "content-type: application/+json\r\n".to_owned(),
        "content-type: application/a b+json\r\n".to_owned(),
        "content-type: application/json, text/html\r\n".to_owned(),
        "content-type: application/json\r\ncontent-type: text/html\r\n".to_owned(),
        format!("content-type: application/{}+json\r\n", "x".repeat(MAX_CONTENT_TYPE_BYTES)),
        "content-type: application/json\r\ncontent-encoding: gzip\r\n".to_owned(),
    ] {
        assert_eq!(of(&head).await, Err(FetchFailure::ContentType), "{head}");
    }
}

#[test]
fn how_long_it_may_be_kept_is_what_the_strictest_word_says() {
    let of = |lines: &[&str], age: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        if let Some(age) = age {
            headers.insert(AGE, HeaderValue::from_static(age));
        }
        max_age(&headers)
    };
    assert_eq!(of(&[], None), None);
    assert_eq!(of(&["public, must-revalidate"], None), None);
    assert_eq!(of(&["public, Max-Age=3600"], None), Some(3_600));
    assert_eq!(of(&["max-age=3600", "max-age=60"], None), Some(60));
    assert_eq!(of(&["max-age=3600"], Some("3000")), Some(600));
    assert_eq!(of(&["max-age=60"], Some("3000")), Some(0));
    assert_eq!(of(&["max-age=60"], Some("x")), Some(0));
    assert_eq!(of(&["max-age=3600, s-maxage=\"60\""], None), Some(60));
    for line in ["no-store", "max-age=60, no-cache", "private, max-age=60", "max-age", "max-age=x", "max-age=-1"] {
        assert_eq!(of(&[line], None), Some(0), "{line}");
    }
}

#[test]
fn a_date_counts_where_no_directive_does() {
    let of = |fields: &[(HeaderName, &'static str)]| {
        let pairs = fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        max_age(&pairs.collect())
    };
    let date = (DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
    let expires = (EXPIRES, "Sun, 06 Nov 1994 08:59:37 GMT");
    assert_eq!(of(std::slice::from_ref(&date)), None);
    assert_eq!(of(&[date.clone(), expires.clone()]), Some(600));
    assert_eq!(of(&[date.clone(), expires.clone(), (AGE, "100")]), Some(500));
    assert_eq!(of(std::slice::from_ref(&expires)), Some(0));
    assert_eq!(of(&[date.clone(), (EXPIRES, "0")]), Some(0));
    assert_eq!(of(&[date.clone(), expires.clone(), (CACHE_CONTROL, "max-age=60")]), Some(60));
    assert_eq!(of(&[date, expires, (CACHE_CONTROL, "no-store")]), Some(0));
}
