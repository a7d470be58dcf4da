//! The readings of a path that is not plain, folded into one.
//!
//! Known readings, each of which some backend has: escapes decoded once or twice; empty segments
//! merged and dot segments resolved, before or after decoding (nginx); parameters (`;…`) removed,
//! before or after decoding (servlet containers); an encoded `?` or `#` that ends the path; `\` and
//! the characters that stand for `/`, `\` or `.` in Unicode read as these; letters in any case
//! (Windows, many routers); dots and spaces dropped at the end of a segment (Windows); full-width
//! letters read as ASCII ones.
//!
//! Anything that may move the boundary of a segment is refused, wherever it stands. The rest is
//! folded into one text, which is only searched for prefixes: `/api/files/C%23;v=1.pdf` is
//! accepted.
//!
//! Not covered: suffixes that a backend gives a meaning (`/admin.json` for `/admin`), and other
//! mappings of Unicode than those in [`fold`]. A rule for such a backend has to name these paths.

use std::borrow::Cow;

use super::error::PathError;
use crate::url::percent_encoding;

/// Folds a path. Returns an error if it could be split in two ways.
pub(super) fn folded(path: &[u8]) -> Result<Cow<'_, [u8]>, PathError> {
    let folded = if path.contains(&b'%') { Cow::Owned(decoded_and_folded(path)?) } else { Cow::Borrowed(path) };
    if folded.contains(&b'\\') {
        return Err(PathError::Backslash);
    }
    let slashes = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
    if slashes(&folded) != slashes(path) {
        return Err(PathError::EncodedSlash);
    }
    let mut segments = folded.strip_prefix(b"/").unwrap_or(&folded).split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_trailing_slash = segment.is_empty() && segments.peek().is_none();
        if !is_trailing_slash {
            check_segment(segment)?;
        }
    }
    Ok(folded)
}

/// Returns `true` if a backend may read a folded path as lying under a prefix in plain form.
pub(super) fn may_be_under(folded: &[u8], prefix: &str) -> bool {
    let first = |path: &[u8]| path.get(1).map(u8::to_ascii_lowercase);
    // perf: decision 8. Most paths and prefixes differ in their first letter.
    if first(folded) != first(prefix.as_bytes()) {
        return false;
    }
    let mut segments = folded.split(|byte| *byte == b'/');
    let is_named = |name: &[u8]| segments.next().is_some_and(|segment| bare(segment).eq_ignore_ascii_case(name));
    prefix.as_bytes().split(|byte| *byte == b'/').all(is_named)
}

fn decoded_and_folded(path: &[u8]) -> Result<Vec<u8>, PathError> {
    let decoded = percent_encoding::decode(path).ok_or(PathError::BadEscape)?;
    let text = std::str::from_utf8(&decoded).map_err(|_| PathError::NotUtf8)?;
    if text.contains(char::is_control) {
        return Err(PathError::ControlByte);
    }
    let folded = if text.is_ascii() { decoded } else { fold(text).into_bytes() };
    if percent_encoding::has_escape(&folded) { Err(PathError::EncodedTwice) } else { Ok(folded) }
}

/// Replaces characters that some backends read as others: by the ASCII character that they stand
/// for, by case, by compatibility (Unicode Standard Annex 15), or by the tables of Windows.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{ff01}'..='\u{ff5e}' => folded.extend(full_width(character)),
            '\u{2024}' | '\u{fe52}' => folded.push('.'),
            '\u{2025}' => folded.push_str(".."),
            '\u{2044}' | '\u{2215}' => folded.push('/'),
            '\u{2216}' | '\u{fe68}' => folded.push('\\'),
            '\u{fe54}' => folded.push(';'),
            '\u{fe56}' => folded.push('?'),
            '\u{fe5f}' => folded.push('#'),
            '\u{fe6a}' => folded.push('%'),
            '\u{a0}' | '\u{3000}' => folded.push(' '),
            // Invisible characters.
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
            // The Kelvin sign, the long s and the like are ASCII letters in another case.
            other if other.to_lowercase().all(|lower| lower.is_ascii()) => folded.extend(other.to_lowercase()),
            other => folded.extend(other.to_uppercase()),
        }
    }
    folded
}

/// Returns the ASCII character that a full-width form stands for.
fn full_width(character: char) -> Option<char> {
    const DISTANCE: u32 = 0xff01 - 0x21;
    char::from_u32(u32::from(character).checked_sub(DISTANCE)?)
}

/// Refuses a segment that some backend drops or resolves to its parent or itself.
fn check_segment(segment: &[u8]) -> Result<(), PathError> {
    match bare(segment) {
        [] if matches!(segment.first(), Some(b'.' | b' ')) => Err(PathError::DotSegment),
        [] => Err(PathError::EmptySegment),
        _ => Ok(()),
    }
}

/// Returns a segment without its parameters, without the part after an encoded `?` or `#`, and
/// without dots and spaces at its end.
fn bare(segment: &[u8]) -> &[u8] {
    let mut bare = segment.split(|byte| matches!(byte, b';' | b'?' | b'#')).next().unwrap_or_default();
    while let [rest @ .., b'.' | b' '] = bare {
        bare = rest;
    }
    bare
}
