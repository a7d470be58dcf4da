use proptest::prelude::*;

use super::backends::{readings, references, serves};
use super::*;

fn refused(target: &str) -> PathError {
    RoutePath::parse(target.as_bytes()).unwrap_err()
}

fn longest(target: &str, prefixes: &[&'static str]) -> Result<Option<&'static str>, AmbiguousPrefix> {
    let path = RoutePath::parse(target.as_bytes()).unwrap_or_else(|error| panic!("{target}: {error}"));
    Ok(path.longest_prefix(prefixes.iter().copied())?.map(|index| prefixes[index]))
}

#[test]
fn path_and_query_are_kept_as_sent() {
    let target = RoutePath::parse(b"/a%20b/c?x=1?y=%zz").unwrap();
    assert_eq!(target.path(), b"/a%20b/c");
    assert_eq!(target.query(), Some(b"x=1?y=%zz".as_slice()));
    assert_eq!(RoutePath::parse(b"/").unwrap().query(), None);
    assert_eq!(RoutePath::parse(b"/?").unwrap().query(), Some(b"".as_slice()));
}

#[test]
fn a_path_that_can_be_split_in_two_ways_is_refused() {
    for (target, cause) in [
        ("", PathError::NotOriginForm),
        ("mcp", PathError::NotOriginForm),
        ("*", PathError::NotOriginForm),
        ("http://h/mcp", PathError::NotOriginForm),
        ("//h/mcp", PathError::EmptySegment),
        ("/a//mcp", PathError::EmptySegment),
        ("/mcp//", PathError::EmptySegment),
        ("/a/;/mcp", PathError::EmptySegment),
        ("/a/;x/mcp", PathError::EmptySegment),
        ("/a/;x=1;y/mcp", PathError::EmptySegment),
        ("/;/mcp", PathError::EmptySegment),
        ("/a/%3b/mcp", PathError::EmptySegment),
        ("/a/%3Bx/mcp", PathError::EmptySegment),
        ("/mcp/;x", PathError::EmptySegment),
        ("/mcp/%3b", PathError::EmptySegment),
        ("/a/%3fx", PathError::EmptySegment),
        ("/a/%23x", PathError::EmptySegment),
        ("/a/%e2%80%8b/mcp", PathError::EmptySegment),
        ("/%2fa/mcp", PathError::EncodedSlash),
        ("/a/%2fmcp", PathError::EncodedSlash),
        ("/a%2Fmcp", PathError::EncodedSlash),
        ("/mcp/%2f", PathError::EncodedSlash),
        ("/mcp%2f", PathError::EncodedSlash),
        ("/a/..%2fmcp", PathError::EncodedSlash),
        ("/a%2f..%2Fmcp", PathError::EncodedSlash),
        ("/a%ef%bc%8fmcp", PathError::EncodedSlash),
        ("/a%e2%88%95mcp", PathError::EncodedSlash),
        ("/a%252fmcp", PathError::EncodedTwice),
        ("/a%25%32%66mcp", PathError::EncodedTwice),
        ("/a/%252e%252e/mcp", PathError::EncodedTwice),
        ("/a%2561", PathError::EncodedTwice),
        ("/a%2520b", PathError::EncodedTwice),
        ("/a%25252fmcp", PathError::EncodedTwice),
        ("/%25zz/%2561", PathError::EncodedTwice),
        ("/a%25u002fmcp", PathError::EncodedTwice),
        ("/a%255cmcp", PathError::EncodedTwice),
        ("/a%ef%bc%852fmcp", PathError::EncodedTwice),
        ("/a/../mcp", PathError::DotSegment),
        ("/./mcp", PathError::DotSegment),
        ("/a/..", PathError::DotSegment),
        ("/a/.", PathError::DotSegment),
        ("/a/%2e%2e/mcp", PathError::DotSegment),
        ("/a/.%2E/mcp", PathError::DotSegment),
        ("/a/..;/mcp", PathError::DotSegment),
        ("/a/.;x/mcp", PathError::DotSegment),
        ("/a/..%3bx/mcp", PathError::DotSegment),
        ("/a/..%3fx/mcp", PathError::DotSegment),
        ("/a/.../mcp", PathError::DotSegment),
        ("/a/..%20/mcp", PathError::DotSegment),
        ("/a/%20/mcp", PathError::DotSegment),
        ("/a/%ef%bc%8e%ef%bc%8e/mcp", PathError::DotSegment),
        ("/a/%e2%80%a5/mcp", PathError::DotSegment),
        ("/a\\mcp", PathError::Backslash),
        ("/a%5cmcp", PathError::Backslash),
        ("/a%5C..%5Cmcp", PathError::Backslash),
        ("/a%ef%bc%bcmcp", PathError::Backslash),
        ("/a%c0%afmcp", PathError::NotUtf8),
        ("/a/%c0%ae%c0%ae/mcp", PathError::NotUtf8),
        ("/a%e0%80%afmcp", PathError::NotUtf8),
        ("/a%ff", PathError::NotUtf8),
        ("/a%ed%a0%80", PathError::NotUtf8),
        ("/a%00", PathError::ControlByte),
        ("/a%0d%0a", PathError::ControlByte),
        ("/a%7f", PathError::ControlByte),
        ("/a%c2%85", PathError::ControlByte),
        ("/a b", PathError::ControlByte),
        ("/a\tb", PathError::ControlByte),
        ("/a?b\r\n", PathError::ControlByte),
        ("/a%", PathError::BadEscape),
        ("/a%2", PathError::BadEscape),
        ("/a%+1", PathError::BadEscape),
        ("/a%zz", PathError::BadEscape),
        ("/a%u002fmcp", PathError::BadEscape),
        ("/a#b", PathError::Fragment),
        ("/a?b#c", PathError::Fragment),
        ("/é", PathError::NotAscii),
    ] {
        assert_eq!(refused(target), cause, "{target}");
    }
}

#[test]
fn what_honest_clients_send_is_accepted() {
    for target in [
        "/",
        "/mcp",
        "/mcp/",
        "/mcp?a=%2f%2e%2e//;x",
        "/mcp/a%20b",
        "/mcp/50%25",
        "/mcp/100%25%20wool",
        "/mcp/r%C3%A9sum%C3%A9.pdf",
        "/mcp/%E6%97%A5%E6%9C%AC%E8%AA%9E",
        "/mcp/%EF%BC%A1%EF%BC%A2.txt",
        "/mcp/%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB",
        "/mcp/c%23",
        "/mcp/why%3f",
        "/mcp/report;v=1",
        "/mcp/a%3Bb",
        "/mcp/user%40host",
        "/mcp/.hidden",
        "/mcp/..hidden",
        "/mcp/a.b.",
        "/mcp/~user",
        "/mcp/%7Euser",
        "/mcp/a+b",
        "/mcp/a%2Bb",
        "/mcp/(x)!$&'*,=:@",
    ] {
        for prefixes in [&["/mcp"][..], &["", "/mcp"]] {
            let expected = if target == "/" { prefixes.iter().find(|prefix| prefix.is_empty()) } else { Some(&"/mcp") };
            assert_eq!(longest(target, prefixes), Ok(expected.copied()), "{target}");
        }
    }
}

#[test]
fn a_target_at_the_limit_is_read_and_one_byte_more_is_refused() {
    let mut target = vec![b'/'];
    target.resize(8192, b'a');
    assert!(RoutePath::parse(&target).is_ok());
    target.push(b'a');
    assert_eq!(RoutePath::parse(&target), Err(PathError::TooLong));
}

#[test]
fn the_longest_prefix_by_whole_segments_is_found() {
    let prefixes = ["/mcp/deep", "", "/mcp", "/other"];
    for (target, expected) in [
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/mcp/x", "/mcp"),
        ("/mcp?x=/mcp/deep", "/mcp"),
        ("/mcp/deeper", "/mcp"),
        ("/mcp/x/deep", "/mcp"),
        ("/mcp/deep", "/mcp/deep"),
        ("/mcp/deep/", "/mcp/deep"),
        ("/mcp/deep/x", "/mcp/deep"),
        ("/mcpx", ""),
        ("/mc", ""),
        ("/mcp.json", ""),
        ("/x/mcp", ""),
        ("/", ""),
        ("/other/mcp/deep", "/other"),
    ] {
        assert_eq!(longest(target, &prefixes), Ok(Some(expected)), "{target}");
    }
    assert_eq!(longest("/mcpx", &["/mcp", "/other"]), Ok(None));
    assert_eq!(longest("/mcp", &[]), Ok(None));
}

#[test]
fn a_prefix_in_any_other_spelling_is_refused() {
    for target in [
        "/MCP",
        "/Mcp/x",
        "/%6dcp",
        "/%6Dcp/x",
        "/mc%70",
        "/mcp;",
        "/mcp;v=1",
        "/mcp;v=1/x",
        "/mcp%3Bv/x",
        "/mcp./x",
        "/mcp..",
        "/mcp%20/x",
        "/mcp%20.%20",
        "/mcp%c2%a0/x",
        "/mcp%3fx",
        "/mcp%23/x",
        "/%ef%bd%8dcp",
        "/%ef%bc%ad%ef%bc%a3%ef%bc%b0",
        "/m%e2%80%8bcp",
        "/mcp%c2%ad/x",
    ] {
        for prefixes in [&["/mcp"][..], &["", "/mcp"], &["/mcp", "/mcp/deep"]] {
            assert_eq!(longest(target, prefixes), Err(AmbiguousPrefix), "{target}");
        }
        // Without a rule bound to it, this spelling is accepted.
        assert_eq!(longest(target, &["", "/other"]), Ok(Some("")), "{target}");
    }
    for target in ["/mcp/DEEP", "/mcp/deep;x", "/mcp/d%65ep/x", "/mcp/deep./x", "/mcp/deep%20"] {
        assert_eq!(longest(target, &["", "/mcp", "/mcp/deep"]), Err(AmbiguousPrefix), "{target}");
        assert_eq!(longest(target, &["", "/mcp"]), Ok(Some("/mcp")), "{target}");
    }
    // The Kelvin sign is a K, and two upper case letters are one lower case letter.
    assert_eq!(longest("/to%e2%84%aaens", &["/tokens"]), Err(AmbiguousPrefix));
    assert_eq!(longest("/pa%c3%9f", &["/pass"]), Err(AmbiguousPrefix));
    // A shorter prefix in another spelling does not affect the longer one.
    assert_eq!(longest("/mcp/deep", &["/MCP", "/mcp/deep"]), Ok(Some("/mcp/deep")));
}

/// No accepted path, decoded, without parameters and folded, lies under a prefix that its rule does
/// not cover: neither above the one that was found nor below another.
#[test]
fn a_million_targets_lie_where_three_backends_find_them() {
    let prefixes = ["/api/admin", "/api", "/a/b"];
    let mut random = 7_u64;
    let mut below = |most: usize| {
        // The generator of Steele and Vigna (splitmix64).
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed >> 33) % u64::try_from(most).unwrap()).unwrap()
    };
    let mut accepted = 0;
    for _ in 0..TARGETS {
        let mut target = HONEST[below(HONEST.len())].as_bytes().to_vec();
        for _ in 0..=below(3) {
            let (at, piece) = (below(target.len() + 1), STRANGE[below(STRANGE.len())]);
            let end = (at + below(2)).min(target.len());
            target.splice(at..end, piece.bytes());
        }
        let Ok(path) = RoutePath::parse(&target) else { continue };
        let Ok(found) = path.longest_prefix(prefixes) else { continue };
        accepted += 1;
        for read in references(path.path()) {
            let longest = prefixes.iter().position(|prefix| serves(&read, prefix));
            let [target, read] = [&target, &read].map(|bytes| String::from_utf8_lossy(bytes));
            assert_eq!(longest, found, "{target} is read as {read}");
        }
    }
    assert!(accepted > TARGETS / 20, "only {accepted} of {TARGETS} were accepted");
}

/// Fewer as wasm, where the test runs once more and slowly.
const TARGETS: usize = if cfg!(target_arch = "wasm32") { 20_000 } else { 1_000_000 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_back_end_finds_the_prefix_that_was_found(target in hostile_target(), with_root in any::<bool>()) {
        let prefixes = if with_root { vec!["/api", "", "/api/admin", "/a/b"] } else { vec!["/api/admin", "/api", "/a/b"] };
        let Ok(path) = RoutePath::parse(&target) else { return Ok(()) };
        let Ok(found) = path.longest_prefix(prefixes.iter().copied()) else { return Ok(()) };
        for read in readings(path.path()) {
            let serving = prefixes.iter().enumerate().filter(|(_, prefix)| serves(&read, prefix));
            let longest = serving.max_by_key(|(_, prefix)| prefix.len()).map(|(index, _)| index);
            let [target, read] = [&target, &read].map(|bytes| String::from_utf8_lossy(bytes));
            prop_assert_eq!(longest, found, "{} is read as {}", target, read);
        }
    }

    #[test]
    fn the_short_way_for_plain_paths_has_the_result_of_folding(target in hostile_target()) {
        if let Ok(route) = RoutePath::parse(&target) {
            prop_assert_eq!(Ok(route.folded), reading::folded(route.path));
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(target in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(path) = RoutePath::parse(&[b"/".as_slice(), &target].concat()) {
            let _ = path.longest_prefix(["", "/mcp"]);
        }
        let _ = RoutePath::parse(&target);
    }
}

/// Paths at and below the prefixes with an unusual piece inserted, and pieces in any order.
fn hostile_target() -> impl Strategy<Value = Vec<u8>> {
    let strange = || prop::sample::select(STRANGE.to_vec());
    let near = (prop::sample::select(HONEST.to_vec()), strange())
        .prop_flat_map(|(honest, strange)| (Just((honest, strange)), 0..=honest.len(), any::<bool>()))
        .prop_map(|((honest, strange), at, replaces)| {
            let (before, after) = honest.as_bytes().split_at(at);
            let rest = if replaces { after.get(1..).unwrap_or_default() } else { after };
            [before, strange.as_bytes(), rest].concat()
        });
    let pieces = prop::collection::vec(strange(), 0..8).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes());
    prop_oneof![near, pieces]
}

const HONEST: [&str; 5] = ["/api/admin", "/api/admin/x", "/api", "/a/b", "/a/b/x"];

/// Pieces that backends read in different ways.
const STRANGE: [&str; 52] = [
    "/",
    "//",
    ".",
    "..",
    "/./",
    "/../",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%252f",
    "%25",
    "2f",
    "5c",
    "%5c",
    "\\",
    ";",
    ";x",
    "/;",
    "/;x/",
    "/..;/",
    "%3b",
    "%3B",
    "?",
    "%3f",
    "%23",
    "%20",
    "%20/",
    "./",
    "%61",
    "a",
    "A",
    "b",
    "api",
    "admin",
    "API",
    "%41pi",
    "%2561",
    "%u0061",
    "%c0%af",
    "%c0%ae",
    "%c1%a1",
    "%ef%bc%8f",
    "%ef%bc%8e",
    "%ef%bd%81",
    "%ef%bc%a1",
    "%ef%bc%9b",
    "%00",
    "+",
    "%2b",
    "~",
    "x",
];
