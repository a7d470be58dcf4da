//! The request target as Envoy routes it (RFC 9112 §3.2.1, RFC 3986 §3.3), refused when a back end could read it as
//! another path.

use std::borrow::Cow;
use std::fmt;

/// A request target in origin form whose path has one meaning.
///
/// A rule is bound to a path prefix, so a spelling that Envoy routes one way and a back end reads another way would
/// step around the rule. Such spellings are refused here rather than normalised: nothing downstream has to agree with
/// our idea of a normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePath<'a> {
    path: &'a [u8],
    query: Option<&'a [u8]>,
    /// The path percent-decoded and without path parameters: what prefixes are compared with.
    compared: Cow<'a, [u8]>,
}

/// Why a request target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// Longer than 8 KiB.
    TooLong,
    /// Not in origin form: it does not start with `/`.
    NotOriginForm,
    /// A space or control byte, raw or percent-encoded in the path.
    ControlByte,
    /// A raw byte outside ASCII.
    NotAscii,
    /// A `#`, which no request target may carry.
    Fragment,
    /// A backslash, raw or percent-encoded: some back ends read it as `/`.
    Backslash,
    /// A `%` that two hexadecimal digits do not follow.
    BadEscape,
    /// `//`: some back ends fold it.
    EmptySegment,
    /// A `.` or `..` segment in any spelling.
    DotSegment,
}

impl<'a> RoutePath<'a> {
    /// Reads the bytes of `:path`, at most 8 KiB.
    ///
    /// # Errors
    /// A [`PathError`] when the target is not in origin form or its path could be read in two ways.
    pub fn parse(target: &'a [u8]) -> Result<Self, PathError> {
        if target.len() > MAX_TARGET_BYTES {
            return Err(PathError::TooLong);
        }
        if target.first() != Some(&b'/') {
            return Err(PathError::NotOriginForm);
        }
        let (mut end, mut is_plain) = (None, true);
        for (index, byte) in target.iter().copied().enumerate() {
            match KINDS.get(usize::from(byte)) {
                Some(Kind::Plain) => {}
                Some(Kind::Refused) | None => return Err(refusal(byte)),
                Some(Kind::Query) => end = end.or(Some(index)),
                Some(Kind::Special) => is_plain &= end.is_some(),
                Some(Kind::Segment) => {
                    let begins = index.checked_sub(1).and_then(|before| target.get(before)) == Some(&b'/');
                    is_plain &= end.is_some() || !begins;
                }
            }
        }
        let (path, query) = match end.and_then(|end| target.split_at_checked(end)) {
            Some((path, query)) => (path, query.get(1..)),
            None => (target, None),
        };
        // Nearly every path is plain: without escapes and parameters, and no segment of it is empty or begins with a dot.
        let compared = if is_plain { Cow::Borrowed(path) } else { compared(path)? };
        Ok(Self { path, query, compared })
    }

    /// The path as sent, without the query; printable ASCII.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// The query as sent, without the `?`; empty for a bare `?`. Printable ASCII.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        self.query
    }

    /// Whether the path is the prefix or lies under it, by whole segments and with exact case.
    ///
    /// The comparison is on the decoded path without path parameters (`;…`), so `/%6dcp` and `/mcp;v=1` are both under
    /// `/mcp`. A trailing slash of the prefix means nothing; `/` has every path under it.
    #[must_use]
    pub fn has_prefix(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        match self.compared.strip_prefix(prefix.as_bytes()) {
            Some(rest) => matches!(rest.first(), None | Some(b'/')),
            None => false,
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the request target is too long",
            Self::NotOriginForm => "the request target does not start with a slash",
            Self::ControlByte => "the request target has a space or control byte",
            Self::NotAscii => "the request target has a byte outside ASCII",
            Self::Fragment => "the request target has a fragment",
            Self::Backslash => "the path has a backslash",
            Self::BadEscape => "the path has a malformed percent escape",
            Self::EmptySegment => "the path has an empty segment",
            Self::DotSegment => "the path has a dot segment",
        })
    }
}

impl std::error::Error for PathError {}

/// Why a byte is refused that stands nowhere in a target.
const fn refusal(byte: u8) -> PathError {
    match byte {
        b'#' => PathError::Fragment,
        0x80.. => PathError::NotAscii,
        _ => PathError::ControlByte,
    }
}

/// What prefixes are compared with, of a path that may hold anything printable.
fn compared(path: &[u8]) -> Result<Cow<'_, [u8]>, PathError> {
    if path.windows(2).any(|pair| matches!(pair, [b'/', b'/'])) {
        return Err(PathError::EmptySegment);
    }
    let decoded = if path.contains(&b'%') {
        let decoded = percent_decode(path).ok_or(PathError::BadEscape)?;
        // A back end that decodes twice must not find a dot segment or backslash that decoding once does not show.
        if let Some(twice) = percent_decode(&decoded) {
            check_decoded(&twice)?;
        }
        Cow::Owned(decoded)
    } else {
        Cow::Borrowed(path)
    };
    check_decoded(&decoded)?;
    Ok(if decoded.contains(&b';') { Cow::Owned(without_parameters(&decoded)) } else { decoded })
}

/// Decodes `%XX`; `None` at a malformed escape. Decodes once and leaves `+` alone.
pub(crate) fn percent_decode(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.contains(&b'%') {
        return Some(bytes.to_vec());
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

/// Refuses what a decoded path must not hold. An encoded slash counts as a separator here, so `..%2f` is a dot segment.
pub(crate) fn check_decoded(path: &[u8]) -> Result<(), PathError> {
    for byte in path {
        match byte {
            b'\\' => return Err(PathError::Backslash),
            0..=0x1f | 0x7f => return Err(PathError::ControlByte),
            _ => {}
        }
    }
    // Servlet containers drop `;…` before they resolve dot segments.
    let is_dot = |segment: &[u8]| matches!(before_semicolon(segment), b"." | b"..");
    if path.split(|byte| *byte == b'/').any(is_dot) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

fn before_semicolon(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or_default()
}

fn without_parameters(decoded: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').map(before_semicolon).collect();
    segments.join(&b'/')
}

/// What a byte may mean where it stands unencoded.
#[derive(Clone, Copy)]
enum Kind {
    /// Itself.
    Plain,
    /// Nowhere in a target.
    Refused,
    /// The first one ends the path.
    Query,
    /// An escape, a parameter, or what is refused in a path alone.
    Special,
    /// After a slash, an empty segment or maybe a dot segment.
    Segment,
}

const fn kind(byte: u8) -> Kind {
    match byte {
        0..=0x20 | b'#' | 0x7f.. => Kind::Refused,
        b'?' => Kind::Query,
        b'%' | b';' | b'\\' => Kind::Special,
        b'/' | b'.' => Kind::Segment,
        _ => Kind::Plain,
    }
}

/// [`kind`] of every byte: every byte of every target is looked up.
#[expect(clippy::indexing_slicing, reason = "the compiler computes it")]
static KINDS: [Kind; 256] = {
    let mut table = [Kind::Plain; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = kind(byte as u8);
        byte += 1;
    }
    table
};

/// The longest request target read; longer ones are refused before any work.
const MAX_TARGET_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(target: &str) -> PathError {
        RoutePath::parse(target.as_bytes()).unwrap_err()
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
    fn a_path_that_can_be_read_in_two_ways_is_refused() {
        for (target, cause) in [
            ("", PathError::NotOriginForm),
            ("mcp", PathError::NotOriginForm),
            ("*", PathError::NotOriginForm),
            ("http://h/mcp", PathError::NotOriginForm),
            ("//h/mcp", PathError::EmptySegment),
            ("/a//mcp", PathError::EmptySegment),
            ("/a/../mcp", PathError::DotSegment),
            ("/./mcp", PathError::DotSegment),
            ("/a/..", PathError::DotSegment),
            ("/a/.", PathError::DotSegment),
            ("/a/%2e%2e/mcp", PathError::DotSegment),
            ("/a/.%2E/mcp", PathError::DotSegment),
            ("/a/..%2fmcp", PathError::DotSegment),
            ("/a%2f..%2Fmcp", PathError::DotSegment),
            ("/a/%252e%252e/mcp", PathError::DotSegment),
            ("/a/..;/mcp", PathError::DotSegment),
            ("/a/..%3bx/mcp", PathError::DotSegment),
            ("/a\\mcp", PathError::Backslash),
            ("/a%5cmcp", PathError::Backslash),
            ("/a%5C..%5Cmcp", PathError::Backslash),
            ("/a%255cmcp", PathError::Backslash),
            ("/a%00", PathError::ControlByte),
            ("/a%0d%0a", PathError::ControlByte),
            ("/a b", PathError::ControlByte),
            ("/a\tb", PathError::ControlByte),
            ("/a?b\r\n", PathError::ControlByte),
            ("/a%", PathError::BadEscape),
            ("/a%2", PathError::BadEscape),
            ("/a%+1", PathError::BadEscape),
            ("/a%zz", PathError::BadEscape),
            ("/a#b", PathError::Fragment),
            ("/a?b#c", PathError::Fragment),
            ("/é", PathError::NotAscii),
        ] {
            assert_eq!(refused(target), cause, "{target}");
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
    fn a_prefix_matches_whole_segments_in_every_spelling() {
        let under = |target: &str, prefix: &str| RoutePath::parse(target.as_bytes()).unwrap().has_prefix(prefix);
        for target in ["/mcp", "/mcp/", "/mcp/x", "/mcp?q", "/%6dcp", "/%6Dcp/x", "/mcp%2fx", "/mcp;v=1", "/mcp%3Bv/x"]
        {
            assert!(under(target, "/mcp"), "{target}");
            assert!(under(target, "/mcp/"), "{target}");
            assert!(under(target, "/"), "{target}");
        }
        for target in ["/mcpx", "/MCP", "/x/mcp", "/mc", "/", "/mcp.json", "/%2fmcp"] {
            assert!(!under(target, "/mcp"), "{target}");
        }
        assert!(under("/a;x/b", "/a/b"));
    }

    proptest! {
        #[test]
        fn a_plain_path_is_what_a_closer_look_finds_it_to_be(target in hostile_target()) {
            if let Ok(route) = RoutePath::parse(&target) {
                prop_assert_eq!(Ok(route.compared), compared(route.path));
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic_and_no_dot_segment_passes(target in hostile_target()) {
            if let Ok(route) = RoutePath::parse(&target) {
                let decoded = percent_decode(route.path()).unwrap();
                prop_assert!(!decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| segment == b".."));
                let _ = route.has_prefix("/mcp");
            }
        }

        #[test]
        fn an_encoded_spelling_of_a_prefix_does_not_slip_past(encoded in prop::collection::vec(any::<bool>(), 4)) {
            let spell = |(byte, encoded): (u8, bool)| {
                if encoded { format!("%{byte:02x}") } else { char::from(byte).to_string() }
            };
            let name: String = b"tool".iter().copied().zip(encoded).map(spell).collect();
            let target = format!("/{name}/x");
            prop_assert!(RoutePath::parse(target.as_bytes()).unwrap().has_prefix("/tool"));
        }
    }

    fn hostile_target() -> impl Strategy<Value = Vec<u8>> {
        let pieces: &[&[u8]] = &[b"/", b".", b"..", b"%2e", b"%2f", b"%5c", b"%25", b"2e", b"mcp", b";", b"?", b"%"];
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| [
                b"/".as_slice(),
                &pieces.concat()
            ]
            .concat()),
        ]
    }
}
