//! A constant script, which Redis runs as one step.

/// A script and its digest.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    /// Computes the digest.
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }

    /// The text.
    pub(crate) fn text(&self) -> &'static str {
        self.text
    }

    /// The SHA-1 that names the script in `EVALSHA`, 40 hex digits.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }
}
