//! The `WWW-Authenticate` header of a refused request (RFC 6750 §3, RFC 9728 §5.1).

use super::error::ErrorCode;
use super::scope::ScopeSet;
use std::fmt;

/// A Bearer challenge. `Display` writes the header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The absolute URL of the protected-resource metadata (RFC 9728 §5.1).
    pub resource_metadata: &'a str,
    /// All scopes that the operation needs; an empty set is omitted.
    pub scope: &'a ScopeSet,
    /// The error; `None` if the request had no token (RFC 6750 §3.1).
    pub error: Option<ErrorCode>,
    /// A description for developers; omitted without an error.
    pub description: Option<&'a str>,
}

impl<'a> Challenge<'a> {
    /// Returns the challenge for a request without a token.
    #[must_use]
    pub fn new(resource_metadata: &'a str, scope: &'a ScopeSet) -> Self {
        Self { resource_metadata, scope, error: None, description: None }
    }

    /// Returns the same challenge with an error.
    #[must_use]
    pub fn with_error(self, error: ErrorCode, description: &'a str) -> Self {
        Self { error: Some(error), description: Some(description), ..self }
    }
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer resource_metadata={}", Quoted(self.resource_metadata))?;
        if !self.scope.is_empty() {
            write!(f, ", scope={}", Quoted(&self.scope.to_string()))?;
        }
        if let Some(error) = self.error {
            write!(f, ", error={}", Quoted(error.as_str()))?;
            if let Some(description) = self.description {
                write!(f, ", error_description={}", Quoted(description))?;
            }
        }
        Ok(())
    }
}

/// A quoted-string (RFC 9110 §5.6.4) of printable ASCII. Any other character is left out, so that
/// no value can end the header line.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        if self.0.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            f.write_str(self.0)?;
            return f.write_str("\"");
        }
        for c in self.0.chars().filter(|c| matches!(c, ' '..='~')) {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = "https://h/.well-known/x";

    #[test]
    fn a_request_without_a_token_gets_no_error_code() {
        let (none, two) = (ScopeSet::default(), ScopeSet::parse("read write").unwrap());
        let bare = Challenge::new(METADATA, &none);
        assert_eq!(bare.to_string(), r#"Bearer resource_metadata="https://h/.well-known/x""#);
        let described = Challenge { description: Some("not shown"), ..Challenge::new(METADATA, &two) };
        assert_eq!(described.to_string(), r#"Bearer resource_metadata="https://h/.well-known/x", scope="read write""#);
    }

    #[test]
    fn a_refused_token_gets_code_and_description() {
        let scope = ScopeSet::parse("read").unwrap();
        let challenge = Challenge::new(METADATA, &scope).with_error(ErrorCode::InvalidToken, "expired");
        assert_eq!(
            challenge.to_string(),
            r#"Bearer resource_metadata="https://h/.well-known/x", scope="read", error="invalid_token", error_description="expired""#
        );
    }

    #[test]
    fn no_value_leaves_its_quotes_or_its_line() {
        let scope = ScopeSet::default();
        let challenge = Challenge::new("a\", error=\"x\\\r\nset-cookie: é\u{0}b", &scope);
        assert_eq!(challenge.to_string(), r#"Bearer resource_metadata="a\", error=\"x\\set-cookie: b""#);
    }
}
