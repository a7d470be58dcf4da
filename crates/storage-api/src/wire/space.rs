//! The space of a request: the gateway whose records it is about.

use crate::text::{Malformed, Text, as_text};

/// The namespace and the name of one gateway, `namespace/name` on the wire.
///
/// Both are DNS labels (RFC 1123 §2.1, at most 63 characters of `a-z0-9-`), so that a stored name
/// can contain neither a brace, a colon nor a pattern of a caller, and two spaces share no name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Space {
    namespace: String,
    name: String,
}

impl Space {
    /// Checks a namespace and a name.
    ///
    /// # Errors
    /// [`Malformed`] unless both are DNS labels.
    pub fn new(namespace: &str, name: &str) -> Result<Self, Malformed> {
        if !is_label(namespace) || !is_label(name) {
            return Err(Malformed);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The gateway's name within the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Text for Space {
    const FORM: &'static str = "a namespace, a slash and a name, both DNS labels";

    fn to_text(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn of_text(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        Self::new(namespace, name).ok()
    }
}

as_text!(Space);

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
