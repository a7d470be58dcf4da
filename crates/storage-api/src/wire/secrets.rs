//! The verb that reads the secrets of the bridge.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::records::wait;
use crate::bounds::refuse_unless;
use crate::text::{Malformed, Text, as_text, hex, of_hex};

/// The request of `secrets`. Answered at once unless the revision is the known one, else after a
/// change or at the timeout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secrets {
    /// The names: 1 to [`MAX_SECRETS`].
    #[serde(deserialize_with = "names")]
    pub names: Vec<SecretName>,
    /// The known revision of the same names in the same order; `null` for none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub known: Option<Revision>,
    /// The timeout: at most [`MAX_WAIT_MILLISECONDS`](super::MAX_WAIT_MILLISECONDS).
    #[serde(deserialize_with = "wait")]
    pub timeout_milliseconds: u32,
}

/// The answer to `secrets`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretsAnswer {
    /// The revision of the secrets.
    pub revision: Revision,
    /// The secrets in the order of the names, all from one moment; `null` if the revision is the
    /// known one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub secrets: Option<Vec<Secret>>,
}

/// One secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// The name.
    pub name: SecretName,
    /// The content.
    pub value: SecretValue,
}

/// The name of a secret: a file name of 1 to [`MAX_SECRET_NAME_BYTES`] characters of `a-zA-Z0-9._-`
/// that does not start with a dot, so that it cannot lead out of the folder or to the internal
/// entries of a mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Malformed`] unless it has the form.
    pub fn new(name: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = (1..=MAX_SECRET_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed);
        if fits && !name.starts_with('.') { Ok(Self(name.to_owned())) } else { Err(Malformed) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for SecretName {
    const FORM: &'static str = "1 to 64 letters of a-z A-Z 0-9 . _ -, the first no dot";

    fn to_text(&self) -> String {
        self.0.clone()
    }

    fn of_text(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }
}

as_text!(SecretName);

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content of a secret, at most [`MAX_SECRET_BYTES`]; base64url without padding on the wire
/// (RFC 4648 §5). Wiped on drop, redacted in `Debug`.
#[derive(Clone)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Checks the size.
    ///
    /// # Errors
    /// [`Malformed`] for more than [`MAX_SECRET_BYTES`].
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, Malformed> {
        if bytes.len() > MAX_SECRET_BYTES { Err(Malformed) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    /// Without the length, which may be a password's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

impl Serialize for SecretValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(self.as_bytes())))
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map(Zeroizing::new);
        // Without the error, which quotes a byte of the secret.
        bytes.ok().and_then(|bytes| Self::new(bytes).ok()).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Other("another text"), &"at most 16 KiB in base64url without padding")
        })
    }
}

/// A digest of names and contents: the same at every bridge and after a restart. 64 hex digits on
/// the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub [u8; 32]);

impl Text for Revision {
    const FORM: &'static str = "64 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(Self)
    }
}

as_text!(Revision);

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SecretName>, D::Error> {
    let fits = |names: &Vec<SecretName>| (1..=MAX_SECRETS).contains(&names.len());
    refuse_unless(Vec::deserialize(deserializer)?, fits, "the names of 1 to 32 secrets")
}

/// The maximum of names in one request.
pub const MAX_SECRETS: usize = 32;

/// The maximum of bytes in a name.
pub const MAX_SECRET_NAME_BYTES: usize = 64;

/// The maximum of bytes in a secret.
pub const MAX_SECRET_BYTES: usize = 16 * 1024;
