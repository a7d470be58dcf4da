use super::*;
use proptest::prelude::*;

fn registered(uris: &[&str]) -> Vec<RedirectUri> {
    uris.iter().map(|uri| RedirectUri::register(uri).unwrap()).collect()
}

fn matched(registered_uri: &str, requested: &str) -> bool {
    match_registered(&registered(&[registered_uri]), requested).is_some()
}

#[test]
fn web_loopback_and_private_scheme_uris_may_be_registered() {
    for uri in [
        "https://claude.ai/api/mcp/auth_callback",
        "https://app.example.com",
        "https://app.example.com:8443/cb?tenant=a%2Fb",
        "https://xn--bcher-kva.example/cb",
        "https://127.0.0.1/cb",
        "HTTPS://App.Example.com/cb",
        "http://localhost/cb",
        "http://LOCALHOST:3000/cb",
        "http://127.0.0.1:6276/oauth/callback",
        "http://[::1]:8080/cb?x",
        "cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback",
        "vscode://vscode.github-authentication/did-authenticate",
        "vscode-insiders://x/y",
        "windsurf://x",
        "com.example.app:/oauth2redirect",
        "claude://oauth/callback",
        "jetbrains://idea/callback",
        "msteams://oauth/callback",
    ] {
        assert_eq!(RedirectUri::register(uri).map(|kept| kept.as_str().to_owned()), Ok(uri.to_owned()));
    }
}

#[test]
fn a_hostile_uri_is_not_registered() {
    for (uri, cause) in [
        ("", RedirectError::NotAbsolute),
        ("/cb", RedirectError::NotAbsolute),
        ("app.example.com/cb", RedirectError::NotAbsolute),
        ("//app.example.com/cb", RedirectError::NotAbsolute),
        ("c:/windows", RedirectError::NotAbsolute),
        ("app:cb", RedirectError::NotAbsolute),
        ("https://a.example/cb#", RedirectError::Fragment),
        ("https://a.example/cb#x", RedirectError::Fragment),
        ("https://good.example@evil.example/cb", RedirectError::UserInfo),
        ("https://u:p@evil.example/cb", RedirectError::UserInfo),
        ("http://127.0.0.1@evil.example/cb", RedirectError::UserInfo),
        ("app://good@evil/cb", RedirectError::UserInfo),
        ("https://evil.example\\@good.example/cb", RedirectError::BadCharacter),
        ("https://good.example\\.evil.example/cb", RedirectError::BadCharacter),
        ("https://a.example/c b", RedirectError::BadCharacter),
        ("https://a.example/\tcb", RedirectError::BadCharacter),
        ("https://a.example/\r\ncb", RedirectError::BadCharacter),
        (" https://a.example/cb", RedirectError::BadCharacter),
        ("https://a.example/\"><script>", RedirectError::BadCharacter),
        ("https://bücher.example/cb", RedirectError::BadCharacter),
        ("https://evil。example/cb", RedirectError::BadCharacter),
        ("https://a.example/?x=%zz", RedirectError::BadCharacter),
        ("https://a.example/a/../cb", RedirectError::BadPath),
        ("https://a.example/./cb", RedirectError::BadPath),
        ("https://a.example/a/%2e%2E/cb", RedirectError::BadPath),
        ("https://a.example/a/..%2fcb", RedirectError::BadPath),
        ("https://a.example/a/%252e%252e/cb", RedirectError::BadPath),
        ("https://a.example/%25zz/%252e%252e/cb", RedirectError::BadPath),
        ("https://a.example/a%5c..%5ccb", RedirectError::BadPath),
        ("https://a.example/cb%00", RedirectError::BadPath),
        ("https://a.example/cb%0d%0a", RedirectError::BadPath),
        ("https://a.example/%", RedirectError::BadPath),
        ("app:/a/../cb", RedirectError::BadPath),
        ("http://a.example/cb", RedirectError::PlainHttp),
        ("http://localhost.evil.example/cb", RedirectError::PlainHttp),
        ("http://127.0.0.1.evil.example/cb", RedirectError::PlainHttp),
        ("http://127.0.0.2/cb", RedirectError::PlainHttp),
        ("http://10.0.0.1/cb", RedirectError::PlainHttp),
        ("http://0.0.0.0/cb", RedirectError::PlainHttp),
        ("http://2130706433/cb", RedirectError::BadHost),
        ("http://0x7f.1/cb", RedirectError::BadHost),
        ("http://127.1/cb", RedirectError::BadHost),
        ("http://[::ffff:127.0.0.1]/cb", RedirectError::BadHost),
        ("http://[0:0:0:0:0:0:0:1]/cb", RedirectError::BadHost),
        ("http://localhost./cb", RedirectError::BadHost),
        ("https://evil.example%2f.good.example/cb", RedirectError::BadHost),
        ("https://%65vil.example/cb", RedirectError::BadHost),
        ("https://*.example.com/cb", RedirectError::BadHost),
        ("https://*/cb", RedirectError::BadHost),
        ("app://*/cb", RedirectError::BadHost),
        ("https:///cb", RedirectError::BadHost),
        ("https:/a.example/cb", RedirectError::BadHost),
        ("https:a.example", RedirectError::BadHost),
        ("https://:443/cb", RedirectError::BadHost),
        ("https://xn--/cb", RedirectError::BadHost),
        ("https://a.example:0/cb", RedirectError::BadPort),
        ("https://a.example:/cb", RedirectError::BadPort),
        ("https://a.example:65536/cb", RedirectError::BadPort),
        ("https://a.example:+443/cb", RedirectError::BadPort),
        ("javascript:alert(1)", RedirectError::ForbiddenScheme),
        ("JavaScript://a/%0aalert(1)", RedirectError::BadPath),
        ("javascript://a/x", RedirectError::ForbiddenScheme),
        ("data:text/html,x", RedirectError::ForbiddenScheme),
        ("file:///etc/passwd", RedirectError::ForbiddenScheme),
        ("blob:https://a.example/x", RedirectError::ForbiddenScheme),
        ("about:blank", RedirectError::ForbiddenScheme),
        ("vbscript:x", RedirectError::ForbiddenScheme),
        ("ws://a.example/cb", RedirectError::ForbiddenScheme),
        ("wss://a.example/cb", RedirectError::ForbiddenScheme),
        ("ftp://a.example/cb", RedirectError::ForbiddenScheme),
        ("mailto:a", RedirectError::ForbiddenScheme),
        ("httpx://a.example/cb", RedirectError::ForbiddenScheme),
        ("http+unix://a/cb", RedirectError::ForbiddenScheme),
        ("urn:ietf:wg:oauth:2.0:oob", RedirectError::ForbiddenScheme),
        ("ms-msdt:/id PCWDiagnostic", RedirectError::BadCharacter),
        ("ms-msdt:/id", RedirectError::ForbiddenScheme),
        ("MS-MSDT:/id", RedirectError::ForbiddenScheme),
        ("ms-word:ofe|u|x", RedirectError::BadCharacter),
        ("ms-anything-new://x/y", RedirectError::ForbiddenScheme),
        ("microsoft-edge:https://a.example/", RedirectError::ForbiddenScheme),
        ("search-ms:query=x", RedirectError::ForbiddenScheme),
        ("gopher://a.example/", RedirectError::ForbiddenScheme),
        ("ldap://a.example/x", RedirectError::ForbiddenScheme),
        ("ssh://a.example/x", RedirectError::ForbiddenScheme),
        ("x-apple.systempreferences:/x", RedirectError::ForbiddenScheme),
        ("googlechrome://a.example/", RedirectError::ForbiddenScheme),
        ("chrome-extension://x/y", RedirectError::ForbiddenScheme),
        ("intent://a.example/x", RedirectError::ForbiddenScheme),
        ("jnlp://a.example/x", RedirectError::ForbiddenScheme),
    ] {
        assert_eq!(RedirectUri::register(uri).map(|_| ()), Err(cause), "{uri}");
    }
}

#[test]
fn a_uri_of_2048_bytes_is_registered_and_one_more_is_not() {
    let longest = format!("https://a.example/{}", "a".repeat(2048 - 18));
    assert!(RedirectUri::register(&longest).is_ok());
    assert_eq!(RedirectUri::register(&format!("{longest}a")).map(|_| ()), Err(RedirectError::TooLong));
}

#[test]
fn a_request_matches_only_the_very_same_text() {
    let uri = "https://app.example.com/cb?a=1";
    assert!(matched(uri, uri));
    for other in [
        "https://app.example.com/cb?a=1&b=2",
        "https://app.example.com/cb?a=2",
        "https://app.example.com/cb",
        "https://app.example.com/cb/?a=1",
        "https://app.example.com/CB?a=1",
        "https://app.example.com/c%62?a=1",
        "https://APP.example.com/cb?a=1",
        "HTTPS://app.example.com/cb?a=1",
        "https://app.example.com:443/cb?a=1",
        "https://app.example.com:8443/cb?a=1",
        "https://app.example.com./cb?a=1",
        "https://app.example.com.evil.example/cb?a=1",
        "https://evil.example/app.example.com/cb?a=1",
        "https://app.example.com@evil.example/cb?a=1",
        "https://evil.example\\@app.example.com/cb?a=1",
        "https://app.example.com/x/../cb?a=1",
        "https://app.example.com/cb?a=1#",
        "https://app.example.com/cb?a=1 ",
        "http://app.example.com/cb?a=1",
        "",
    ] {
        assert!(!matched(uri, other), "{other}");
    }
    assert!(!matched("com.example.app:/cb", "com.example.app:/other"));
    assert!(match_registered(&[], uri).is_none());
}

#[test]
fn on_loopback_the_port_may_differ() {
    for (ours, requested) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb"),
        ("http://[::1]:1/cb?x", "http://[::1]:2/cb?x"),
        ("http://localhost:3334/cb", "http://localhost:3335/cb"),
        ("http://localhost:3334", "http://localhost:3335"),
        ("http://localhost?x=:3334", "http://localhost:3335?x=:3334"),
        ("HTTP://127.0.0.1:1/cb", "HTTP://127.0.0.1:2/cb"),
        ("http://localhost/cb?", "http://localhost:9/cb?"),
    ] {
        let checked = match_registered(&registered(&["https://a.example/cb", ours]), requested).unwrap();
        assert_eq!(checked.as_str(), requested, "the value of the request is kept");
        assert!(checked.is_loopback());
    }
}

#[test]
fn on_loopback_nothing_but_the_port_may_differ() {
    let ours = "http://127.0.0.1:1/cb?x=1";
    for requested in [
        "HTTP://127.0.0.1:2/cb?x=1",
        "HTTP://127.0.0.1:1/cb?x=1",
        "Http://127.0.0.1/cb?x=1",
        "http://127.0.0.1:2/cb?x=2",
        "http://127.0.0.1:2/cb?x=1&y",
        "http://127.0.0.1:2/cb",
        "http://127.0.0.1:2/cb/?x=1",
        "http://127.0.0.1:2/CB?x=1",
        "http://127.0.0.1:2/c%62?x=1",
        "http://127.0.0.1:2/a/../cb?x=1",
        "http://localhost:2/cb?x=1",
        "http://[::1]:2/cb?x=1",
        "http://127.0.0.2:2/cb?x=1",
        "http://127.1:2/cb?x=1",
        "https://127.0.0.1:2/cb?x=1",
        "http://u@127.0.0.1:2/cb?x=1",
        "http://127.0.0.1:2@evil.example/cb?x=1",
        "http://127.0.0.1.evil.example:2/cb?x=1",
        "http://127.0.0.1:2/cb?x=1#",
        "http://127.0.0.1:0/cb?x=1",
        "http://127.0.0.1:/cb?x=1",
    ] {
        assert!(!matched(ours, requested), "{requested}");
    }
    assert!(!matched("http://localhost/cb", "http://localhost:2/cb?"), "a bare ? is a query");
    assert!(!matched("http://localhost", "http://localhost:2/"), "an empty path is not the root");
    assert!(!matched("http://localhost:3334/cb", "http://LocalHost:3335/cb"), "case is part of the text");
    assert!(!matched("HTTP://localhost/cb", "http://localhost/cb"), "in both directions");
    assert!(!matched("https://localhost:1/cb", "https://localhost:2/cb"), "only http varies its port");
    assert!(!matched("https://127.0.0.1:1/cb", "http://127.0.0.1:2/cb"));
}

#[test]
fn users_are_shown_the_host_or_the_private_scheme() {
    let shown = |uri: &str| {
        let checked = match_registered(&registered(&[uri]), uri).unwrap();
        (checked.host_for_display().to_owned(), checked.origin(), checked.is_loopback())
    };
    let expect = |host: &str, origin: &str, loopback| (host.to_owned(), origin.to_owned(), loopback);
    assert_eq!(shown("https://App.Example:8443/cb"), expect("app.example", "https://app.example:8443", false));
    assert_eq!(shown("http://[::1]:9/cb"), expect("[::1]", "http://[::1]:9", true));
    assert_eq!(
        shown("https://xn--bcher-kva.example/"),
        expect("xn--bcher-kva.example", "https://xn--bcher-kva.example", false)
    );
    assert_eq!(shown("Cursor://localhost/cb"), expect("cursor", "cursor:", false));
}

proptest! {
    #[test]
    fn a_match_never_leads_to_another_host(requested in requested_uri()) {
        let ours = registered(&["https://app.example.com/cb", "http://127.0.0.1:7/cb", "http://localhost/cb"]);
        if let Some(checked) = match_registered(&ours, &requested) {
            // The URL as a browser parses it, independent of our parser.
            let visited = url::Url::parse(checked.as_str()).unwrap();
            let allowed = match visited.scheme() {
                "https" => visited.as_str() == "https://app.example.com/cb",
                _ => matches!(visited.host_str(), Some("127.0.0.1" | "localhost")) && visited.path() == "/cb",
            };
            prop_assert!(allowed, "{requested}");
            prop_assert!(visited.username().is_empty() && visited.query().is_none() && visited.fragment().is_none());
        }
    }

    #[test]
    fn no_text_makes_registration_panic(text in ".{0,80}") {
        let _ = RedirectUri::register(&text);
    }
}

/// Texts close to the registered ones: well-formed URIs that differ in some part, and pieces of
/// URIs in any order.
fn requested_uri() -> impl Strategy<Value = String> {
    let one_of = |parts: &'static [&'static str]| prop::sample::select(parts);
    let near = (
        one_of(&["http://", "http://", "https://", "HTTP://"]),
        one_of(&["", "", "u@", "127.0.0.1@", "evil.example\\@"]),
        one_of(&["127.0.0.1", "localhost", "[::1]", "127.1", "127.0.0.2", "app.example.com", "evil.example"]),
        one_of(&["", ":7", ":8080", ":0", ":7@evil.example", ".evil.example"]),
        one_of(&["/cb", "/cb", "/cb/", "/cb?", "/cb#", "/x/../cb", "/c%62", ""]),
    );
    let pieces = one_of(&[
        "http://",
        "https://",
        "app.example.com",
        "127.0.0.1",
        "evil.example",
        "/cb",
        ":7",
        "@",
        "\\",
        "?",
        "#",
        "%2f",
        " ",
        "\t",
    ]);
    prop_oneof![
        near.prop_map(|(scheme, user, host, port, tail)| [scheme, user, host, port, tail].concat()),
        prop::collection::vec(pieces, 1..7).prop_map(|pieces| pieces.concat()),
    ]
}

#[test]
fn a_web_site_is_served_over_https_by_another_machine() {
    for (text, is_web_site) in [
        ("https://app.example/cb", true),
        ("https://localhost/cb", false),
        ("https://127.0.0.1/cb", false),
        ("http://127.0.0.1:3000/cb", false),
        ("com.example.app:/cb", false),
    ] {
        let uri = RedirectUri::register(text).unwrap();
        assert_eq!(uri.is_web_site(), is_web_site, "{text}");
        assert_eq!(match_registered(&[uri], text).unwrap().is_web_site(), is_web_site, "{text}");
    }
}
