//! Why a request target is refused.

use std::fmt;

/// Why a request target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// Longer than 8 KiB.
    TooLong,
    /// Not in origin form: it does not start with `/`.
    NotOriginForm,
    /// A space or control byte, raw or percent-encoded in the path (an encoded space is allowed).
    ControlByte,
    /// A raw byte outside ASCII.
    NotAscii,
    /// A `#`, which no request target may carry.
    Fragment,
    /// A backslash, raw, percent-encoded or as a character that stands for it: some backends read
    /// it as `/`.
    Backslash,
    /// A slash that is percent-encoded, once or twice, or a character that stands for it: some
    /// backends split the path there (nginx, before it finds a location), others do not.
    EncodedSlash,
    /// An escape that results from decoding another one: a backend that decodes twice reads another
    /// path.
    EncodedTwice,
    /// A `%` without two hexadecimal digits after it.
    BadEscape,
    /// Percent-encoded bytes that are not UTF-8 (RFC 3986 §2.5), among them overlong forms of `/`
    /// and `.`.
    NotUtf8,
    /// A segment that is empty, or empty without its parameters (`;…`): some backends drop it.
    EmptySegment,
    /// A `.` or `..` segment in any spelling, or one of dots and spaces only, of which Windows
    /// leaves nothing.
    DotSegment,
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
            Self::EncodedSlash => "the path has an encoded slash",
            Self::EncodedTwice => "the path has a percent escape that is encoded twice",
            Self::BadEscape => "the path has a malformed percent escape",
            Self::NotUtf8 => "the path has escapes that are not UTF-8",
            Self::EmptySegment => "the path has an empty segment",
            Self::DotSegment => "the path has a dot segment",
        })
    }
}

impl std::error::Error for PathError {}
