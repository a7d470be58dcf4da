//! The request target as Envoy routes it (RFC 9112 §3.2.1, RFC 3986 §3.3), refused if a backend
//! could read it as another path.
//!
//! A rule is bound to a path prefix, so a path that the gateway and a backend read differently
//! would bypass the rule. Nothing is normalised: a path is compared as sent, and refused if some
//! backend could read it as lying under other prefixes. The readings are listed in
//! `path/reading.rs`.

mod error;
mod reading;

use std::borrow::Cow;

pub use error::PathError;

/// A request target in origin form whose path every backend splits into the same segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePath<'a> {
    path: &'a [u8],
    query: Option<&'a [u8]>,
    /// The path after every transformation that a backend may apply. It must not lie under a prefix
    /// unless the path itself does.
    folded: Cow<'a, [u8]>,
}

/// Some backend could read the path as lying under a longer prefix than the path itself does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmbiguousPrefix;

impl<'a> RoutePath<'a> {
    /// Parses the bytes of `:path`, at most 8 KiB.
    ///
    /// # Errors
    /// Returns a [`PathError`] if the target is not in origin form or its path could be split in
    /// two ways.
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
        // perf: decision 8. Nearly every path is plain: without escapes and parameters, and with no
        // segment that is empty or begins with a dot.
        let folded = if is_plain { Cow::Borrowed(path) } else { reading::folded(path)? };
        Ok(Self { path, query, folded })
    }

    /// Returns the path as sent, without the query; printable ASCII.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// Returns the query as sent, without the `?`; empty for a bare `?`. Printable ASCII.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        self.query
    }

    /// Returns the index of the longest prefix that the path lies under, by whole segments.
    ///
    /// The prefixes are in plain form: each begins with `/` and does not end with one, or is empty
    /// and matches every path; no escapes, no parameters, no segment that ends with a dot; all
    /// different when letter case is ignored. A path lies under a prefix if it is spelled exactly
    /// like it: no client has a reason to spell it `/%6dcp`, `/MCP` or `/mcp;v=1`, and backends
    /// differ in which of these they take for `/mcp`.
    ///
    /// # Errors
    /// Returns [`AmbiguousPrefix`] if the path could be read as lying under a longer prefix than it
    /// does. A prefix that it lies under exactly matches in every reading, so the result is the
    /// longest prefix of every reading.
    pub fn longest_prefix<'p>(
        &self,
        prefixes: impl IntoIterator<Item = &'p str>,
    ) -> Result<Option<usize>, AmbiguousPrefix> {
        let (mut found, mut maybe) = (None, None);
        for (index, prefix) in prefixes.into_iter().enumerate() {
            if self.is_under(prefix) {
                found = found.max(Some((prefix.len(), index)));
            } else if reading::may_be_under(&self.folded, prefix) {
                maybe = maybe.max(Some(prefix.len()));
            }
        }
        if maybe > found.map(|(length, _)| length) { Err(AmbiguousPrefix) } else { Ok(found.map(|(_, index)| index)) }
    }

    fn is_under(&self, prefix: &str) -> bool {
        match self.path.strip_prefix(prefix.as_bytes()) {
            Some(rest) => matches!(rest.first(), None | Some(b'/')),
            None => false,
        }
    }
}

/// Returns why a byte is refused that may stand nowhere in a target.
const fn refusal(byte: u8) -> PathError {
    match byte {
        b'#' => PathError::Fragment,
        0x80.. => PathError::NotAscii,
        _ => PathError::ControlByte,
    }
}

/// The meaning of a byte that is not encoded.
#[derive(Clone, Copy)]
enum Kind {
    /// Only itself.
    Plain,
    /// It may stand nowhere in a target.
    Refused,
    /// The first one ends the path.
    Query,
    /// An escape, a parameter, or a byte that is refused in a path only.
    Special,
    /// After a slash, it begins an empty segment or maybe a dot segment.
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

/// perf: decision 8. [`kind`] of every byte, since every byte of every target is looked up.
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

/// The maximum length of a request target; longer ones are refused before any work.
const MAX_TARGET_BYTES: usize = 8 * 1024;

#[cfg(test)]
#[path = "path/backends.rs"]
mod backends;
#[cfg(test)]
#[path = "path/path_tests.rs"]
mod path_tests;
