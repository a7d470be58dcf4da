//! Redirect URIs: what may be registered, and that a registered one is met exactly.

use portcullis_testbed::http::Request;
use serde_json::json;

use super::testbed;
use crate::support::{assert_error, assert_page, client};

#[tokio::test]
async fn a_redirect_uri_that_could_lead_elsewhere_cannot_be_registered() {
    let bed = testbed().await;
    let client = client(bed).await;
    let fragment = "a redirect URI has no fragment; leave out `#` and what follows";
    let user = "a redirect URI has no user information; leave out what precedes `@`";
    let character = "it has a character that a URI cannot have; percent-encode it";
    let path = "its path has dot segments or escapes that servers read differently; write it plainly";
    let host = "its host is not valid; write it as browsers do, without wildcards";
    let port = "its port is not a number from 1 to 65535";
    let plain = "http is for localhost, 127.0.0.1 and [::1] only; use https";
    let scheme = "browsers and systems act on this scheme themselves; use https, or a scheme of the app's own";
    let relative = "a redirect URI is absolute; begin it with a scheme and `//` or `/`";
    let long = format!("https://app.example/{}", "a".repeat(2_048));
    for (uri, description) in [
        ("https://app.example/cb#", fragment),
        ("https://app.example/cb#token", fragment),
        ("https://app.example@evil.example/cb", user),
        ("https://user:password@app.example/cb", user),
        ("https://app.example\\@evil.example/cb", character),
        ("https://app.example/c b", character),
        ("https://app.example/cb\r\nLocation: x", character),
        ("https://app.example/\tcb", character),
        ("https://app.example/\u{0}", character),
        ("https://\u{ff45}vil.example/cb", character),
        ("https://app.example/%zz", path),
        ("https://app.example/a/../cb", path),
        ("https://app.example/a/%2e%2e/cb", path),
        ("https://app.example/./cb", path),
        ("https://app.example/a%5ccb", path),
        ("https://*.app.example/cb", host),
        ("https:///cb", host),
        ("https://app.example./cb", host),
        ("https://app.example:/cb", port),
        ("https://app.example:0/cb", port),
        ("https://app.example:99999/cb", port),
        ("http://app.example/cb", plain),
        ("http://localhost.evil.example/cb", plain),
        ("http://127.0.0.1.evil.example/cb", plain),
        ("http://127.0.0.2/cb", plain),
        ("http://0.0.0.0/cb", plain),
        ("javascript:alert(1)", scheme),
        ("JavaScript:alert(1)", scheme),
        ("data:text/html,x", scheme),
        ("file:///etc/passwd", scheme),
        ("vbscript:x", scheme),
        ("blob:https://app.example/x", scheme),
        ("httpss://app.example/cb", scheme),
        ("/cb", relative),
        ("//app.example/cb", relative),
        ("app.example/cb", relative),
        ("", relative),
        (&long, "a redirect URI has at most 2048 characters"),
    ] {
        for (index, uris) in [json!([uri]), json!(["https://app.example/good", uri])].into_iter().enumerate() {
            let description = format!("redirect_uris[{index}]: {description}");
            let mut registration = client.registration();
            registration["redirect_uris"] = uris;
            let reply = client.register_with(&registration).await;
            assert_error(&reply, 400, "invalid_redirect_uri", &description, uri);
        }
    }
    for uris in
        [json!([]), json!("https://app.example/cb"), json!([7]), json!(null), json!(vec!["https://a.example/"; 11])]
    {
        let mut registration = client.registration();
        registration["redirect_uris"] = uris.clone();
        let reply = client.register_with(&registration).await;
        let description = "redirect_uris must be an array of 1 to 10 strings";
        assert_error(&reply, 400, "invalid_redirect_uri", description, &uris.to_string());
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn nobody_is_sent_to_a_redirect_uri_that_is_not_registered() {
    let bed = testbed().await;
    let client = client(bed).await;
    let mut registration = client.registration();
    registration["redirect_uris"] = json!([
        "https://app.example/cb?a=b",
        "http://127.0.0.1:53682/callback",
        "http://[::1]/callback",
        "com.example.app:/cb"
    ]);
    let registered = client.register_with(&registration).await.json();
    let right = client.authorization().with("client_id", registered["client_id"].as_str().expect("an id"));
    for uri in [
        "https://evil.example/cb?a=b",
        "https://app.example/cb",
        "https://app.example/cb?a=b&c=d",
        "https://app.example/cb?a=B",
        "https://app.example/cb/?a=b",
        "https://app.example/cb?a=b#",
        "https://app.example/CB?a=b",
        "https://APP.example/cb?a=b",
        "HTTPS://app.example/cb?a=b",
        "https://app.example:443/cb?a=b",
        "https://app.example:8443/cb?a=b",
        "https://app.example/%63b?a=b",
        "https://app.example/x/../cb?a=b",
        "https://app.example.evil.example/cb?a=b",
        "https://app.example@evil.example/cb?a=b",
        "https://evil.example\\@app.example/cb?a=b",
        "https://user@app.example/cb?a=b",
        "http://app.example/cb?a=b",
        "//app.example/cb?a=b",
        "https://app.example/cb?a=b ",
        " https://app.example/cb?a=b",
        "https://app.example/cb?a=b\r\nx: y",
        "http://127.0.0.1:53682/callback/",
        "http://127.0.0.1:53682/callback?x=y",
        "http://127.0.0.1:53682/other",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:53682@evil.example/callback",
        "http://localhost:53682/callback",
        "http://127.0.0.2:53682/callback",
        "http://2130706433/callback",
        "https://127.0.0.1:53682/callback",
        "com.example.app:/cb/other",
        "com.example.app2:/cb",
        "javascript:alert(1)",
    ] {
        let reply = right.clone().with("redirect_uri", uri).send().await;
        let message = "The application asked to be answered at an address that it has not registered.";
        assert_page(&reply, 400, message, uri);
        assert!(!reply.text().contains("evil"), "{uri}: the page repeats it");
    }
    // The port of a loopback address is the one thing that may differ (RFC 8252 section 7.3).
    for uri in [
        "https://app.example/cb?a=b",
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1/callback",
        "http://[::1]:53682/callback",
        "com.example.app:/cb",
    ] {
        assert_eq!(right.clone().with("redirect_uri", uri).send().await.status, 200, "{uri}");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn what_the_registered_query_says_of_state_and_issuer_does_not_count() {
    let bed = testbed().await;
    let client = client(bed).await;
    let mut registration = client.registration();
    let uri = "https://app.example/cb?a=b&iss=https%3A%2F%2Fevil.example&state=evil&code=evil";
    registration["redirect_uris"] = json!([uri]);
    let registered = client.register_with(&registration).await.json();
    let request = client
        .authorization()
        .with("client_id", registered["client_id"].as_str().expect("an id"))
        .with("redirect_uri", uri)
        .with("prompt", "none");
    let reply = Request::get(&request.url()).send().await;
    // A web site gets its error by the link of a page.
    assert_eq!((reply.status, reply.header("location")), (400, None), "{reply:?}");
    let text = reply.text();
    let (_, link) = text.split_once("<a href=\"").expect("a link");
    let link = link.split('"').next().expect("its end").replace("&#38;", "&");
    let location = url::Url::parse(&link).expect("a URL");
    let all = |name: &str| -> Vec<String> {
        location.query_pairs().filter(|(held, _)| held == name).map(|(_, value)| value.into_owned()).collect()
    };
    assert_eq!(all("a"), ["b"]);
    assert_eq!(all("iss"), [bed.issuer()]);
    assert_eq!(all("state"), [request.state]);
    assert_eq!(all("error"), ["interaction_required"]);
    bed.assert_healthy().await;
}
