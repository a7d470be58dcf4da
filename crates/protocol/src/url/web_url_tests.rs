//! Our parser compared with that of browsers, for which the `url` crate stands.

use proptest::prelude::*;
use url::Url;

use super::*;
use crate::oauth::redirect::RedirectUri;

/// URLs that are accepted, and their text afterwards.
const TAKEN: [(&str, &str); 22] = [
    ("https://A.example", "https://a.example/"),
    ("HTTPS://a.example:443/x?y", "https://a.example/x?y"),
    ("hTTp://a.example:80", "http://a.example/"),
    ("http://a.example:443/", "http://a.example:443/"),
    ("https://a.example:80/", "https://a.example:80/"),
    ("https://a.example:1/", "https://a.example:1/"),
    ("https://a.example:65535/", "https://a.example:65535/"),
    ("http://127.0.0.1:8080/a%20b/?", "http://127.0.0.1:8080/a%20b/?"),
    ("http://[::1]:80/", "http://[::1]/"),
    ("https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    ("https://[2001:db8:0:1:1:1:1:1]/", "https://[2001:db8:0:1:1:1:1:1]/"),
    ("https://[1::]/", "https://[1::]/"),
    ("https://xn--bcher-kva.example:8443/realms/r", "https://xn--bcher-kva.example:8443/realms/r"),
    ("https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example/"),
    ("https://a_b.example/a-b._~!$&'()*+,;=:@", "https://a_b.example/a-b._~!$&'()*+,;=:@"),
    ("https://a.example?a=b&c=%C3%BC", "https://a.example/?a=b&c=%C3%BC"),
    ("https://a.example//a//b", "https://a.example//a//b"),
    ("https://a.example/...", "https://a.example/..."),
    ("https://a.example/.well-known/a.b", "https://a.example/.well-known/a.b"),
    ("https://a.example/%C3%bc/%41", "https://a.example/%C3%bc/%41"),
    ("https://a.example/a?b?c/../d", "https://a.example/a?b?c/../d"),
    ("https://1.a.2b/", "https://1.a.2b/"),
];

/// URLs that are refused, although a browser visits most of them.
const REFUSED: [&str; 84] = [
    "",
    "a.example",
    "//a.example/",
    "/a",
    "https",
    "https:",
    "https:a.example",
    "https:/a.example",
    "https:\\\\a.example",
    "https://",
    "https:///a.example",
    "https://:443/",
    "https://?a",
    "ftp://a.example/",
    "ws://a.example/",
    "file://a.example/",
    "app://a.example/",
    "httpss://a.example/",
    " https://a.example",
    "https://a.example ",
    "\thttps://a.example",
    "ht\ntps://a.example",
    "https://a.ex\tample/",
    "https://a.example/a\nb",
    "https://a.example/a\rb",
    "https://a.example/\0",
    "https://a.example/\u{7f}",
    "https://a.example/a b",
    "https://a.example/\"",
    "https://a.example/<a>",
    "https://a.example/^",
    "https://a.example/`",
    "https://a.example/{a}",
    "https://a.example/a|b",
    "https://a.example\\b",
    "https://a.example/a\\b",
    "https://a.example/%5c",
    "https://a.example/%5C..",
    "https://a.example/%255c",
    "https://a.example/.",
    "https://a.example/..",
    "https://a.example/./a",
    "https://a.example/a/../b",
    "https://a.example/%2e%2E/b",
    "https://a.example/.%2e/b",
    "https://a.example/%252e%252e/b",
    "https://a.example/..;a/b",
    "https://a.example/..%2fb",
    "https://a.example/%00",
    "https://a.example/%0a",
    "https://a.example/%7f",
    "https://a.example/%",
    "https://a.example/%4",
    "https://a.example/%zz",
    "https://a.example/?%",
    "https://a.example/?%zz",
    "https://a.example/\u{fc}",
    "https://a.example/?\u{fc}",
    "https://b\u{fc}cher.example/",
    "https://a\u{3002}example/",
    "https://\u{ff41}.example/",
    "https://a\u{ad}.example/",
    "https://a.example:/",
    "https://a.example:0/",
    "https://a.example:0443/",
    "https://a.example:65536/",
    "https://a.example:+1/",
    "https://a.example:1:2/",
    "https://a.example:x/",
    "https://a.example./",
    "https://a..example/",
    "https://.example/",
    "https://xn--/",
    "https://a%2eexample/",
    "https://a,b/",
    "https://127.1/",
    "https://0x7f.0.0.1/",
    "https://2130706433/",
    "https://[::1/",
    "https://[::1]a/",
    "https://[0::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::1%25lo]/",
    "https://[v1.a]/",
];

/// Returns `true` if both parsers agree on a text; `None` if ours refuses it.
fn agrees(text: &str) -> Option<Result<(), String>> {
    let ours = WebUrl::parse(text).ok()?;
    let browsers = match Url::parse(text) {
        Ok(url) => url,
        // Our parser does not decode the text after `xn--`. A parser that does may find it invalid,
        // and then visits nothing.
        Err(_) if ours.authority().contains("xn--") => return Some(Ok(())),
        Err(error) => return Some(Err(format!("{text}: {error}"))),
    };
    // Browsers escape an apostrophe in a query, which means the same (RFC 3986 §2.3, §6.2.2.2).
    let query = ours.query().map(|query| query.replace('\'', "%27"));
    let same = ours.is_https() == (browsers.scheme() == "https")
        && ours.parts.scheme == browsers.scheme()
        && ours.parts.host.as_deref() == browsers.host_str()
        && ours.parts.port == browsers.port()
        && ours.origin() == browsers.origin().ascii_serialization()
        && ours.path() == browsers.path()
        && query.as_deref() == browsers.query()
        && (browsers.username(), browsers.password(), browsers.fragment()) == ("", None, None)
        && WebUrl::parse(&ours.to_string()).as_ref() == Ok(&ours);
    Some(if same { Ok(()) } else { Err(format!("{text}: {ours:?} and {browsers:?}")) })
}

#[test]
fn a_url_is_read_as_browsers_read_it() {
    for (text, written) in TAKEN {
        assert_eq!(WebUrl::parse(text).map(|url| url.to_string()).as_deref(), Ok(written), "{text}");
        assert_eq!(agrees(text), Some(Ok(())));
        assert_eq!(Url::parse(text).unwrap().as_str(), written, "{text}");
    }
    let url = WebUrl::parse("http://localhost:9/a?b").unwrap();
    assert_eq!((url.authority().as_str(), url.request_target().as_str()), ("localhost:9", "/a?b"));
}

#[test]
fn what_is_not_a_web_url_is_refused_by_cause() {
    for text in REFUSED {
        assert_eq!(WebUrl::parse(text), Err(WebUrlError::NotAbsolute), "{text:?}");
    }
    for text in [
        "https://u@a.example/",
        "https://u:p@a.example/",
        "https://@a.example/",
        "https://:@a.example/",
        "https://a.example:1@b.example/",
        "https://a.example/#",
        "https://a.example/#f",
        "https://a.example#f",
        "https://a.example#@b.example/",
    ] {
        assert_eq!(WebUrl::parse(text), Err(WebUrlError::UserOrFragment), "{text}");
    }
    // An @ after the authority belongs to the path or the query.
    assert!(WebUrl::parse("https://a.example/@b").is_ok() && WebUrl::parse("https://a.example?@b").is_ok());
    let longest = format!("https://a.example/{}", "a".repeat(2048 - 18));
    assert!(WebUrl::parse(&longest).is_ok());
    assert_eq!(WebUrl::parse(&format!("{longest}a")), Err(WebUrlError::NotAbsolute));
}

#[test]
fn this_machine_has_three_names() {
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:1"] {
        assert!(WebUrl::parse(&format!("http://{host}/")).unwrap().is_loopback(), "{host}");
    }
    for host in ["localhost.example", "a.localhost", "127.0.0.2", "[::2]", "[::]", "0.0.0.0"] {
        assert!(!WebUrl::parse(&format!("http://{host}/")).unwrap().is_loopback(), "{host}");
    }
}

/// Pieces to change a URL with: harmless text, and everything that parsers disagree about.
const PIECES: [&str; 72] = [
    "a", "Z", "0", "9", "-", "_", "~", "!", "$", "&", "'", "(", ")", "*", "+", ",", ";", "=", ":", "@", "/", "?", "#",
    "[", "]", "%", ".", "..", "./", "/..", "//", "%2e", "%2E%2e", "%2f", "%5c", "%25", "%252e", "%00", "%0a", "%41",
    "%c3%bc", "%C3", "%zz", "\\", "\\\\", " ", "\t", "\n", "\r", "\0", "\"", "<", ">", "^", "`", "{", "|", "}",
    "\u{fc}", "\u{3002}", "\u{ff0f}", "\u{ad}", "xn--", "xn--a", "0x", "0x7f", "127.1", ":0", ":443", "::", "[::1]",
    "user@",
];

/// An accepted URL after some insertions, removals and replacements.
fn changed() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(&PIECES[..]));
    (0..TAKEN.len(), prop::collection::vec(change, 1..4)).prop_map(|(base, changes)| {
        let mut text: Vec<char> = TAKEN[base].0.chars().collect();
        for (place, kind, piece) in changes {
            let place = place.index(text.len().max(1)).min(text.len());
            let removed = usize::from(kind > 0 && place < text.len());
            let piece = if kind == 1 { "" } else { piece };
            text.splice(place..place.saturating_add(removed), piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn accepted_urls_are_read_the_same_by_browsers(text in changed()) {
        if let Some(agreed) = agrees(&text) {
            prop_assert_eq!(agreed, Ok(()));
        }
    }

    #[test]
    fn a_redirect_that_may_be_registered_leads_browsers_to_the_same_place(
        text in changed(),
        scheme in prop::sample::select(&["", "app", "com.example.app", "vscode"][..]),
    ) {
        let text = match text.split_once("://") {
            Some((_, rest)) if !scheme.is_empty() => format!("{scheme}://{rest}"),
            _ => text,
        };
        if RedirectUri::register(&text).is_ok() {
            let parts = UriParts::parse(&text).unwrap();
            match Url::parse(&text) {
                Ok(browsers) => {
                    prop_assert_eq!(browsers.scheme(), &parts.scheme);
                    prop_assert_eq!(browsers.host_str().unwrap_or_default().to_ascii_lowercase(), host_of(&parts), "{}", text);
                    let path = if parts.scheme.starts_with("http") && parts.path.is_empty() { "/" } else { &parts.path };
                    prop_assert_eq!(browsers.path(), path, "{}", text);
                    prop_assert!(browsers.username().is_empty() && browsers.password().is_none(), "{}", text);
                }
                Err(_) => prop_assert!(text.to_ascii_lowercase().contains("xn--"), "{}", text),
            }
        }
    }
}

/// The host; for a private scheme it includes the port.
fn host_of(parts: &UriParts) -> &str {
    let host = parts.host.as_deref().unwrap_or_default();
    if parts.scheme.starts_with("http") { host } else { host.split(':').next().unwrap_or_default() }
}
