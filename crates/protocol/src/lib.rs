//! The rules that Portcullis enforces, as pure functions.
//!
//! Nothing here does I/O, reads a clock, draws randomness or awaits: time and random bytes are
//! arguments, so the same code has the same result natively, in wasm and in a test. A value that
//! proves something (a verified token, a matched redirect URI, a granted scope) has a private
//! constructor: holding one is the proof.
//!
//! Reading order: [`oauth`] (one file a rule of OAuth 2.1), [`jose`] (keys, signatures, claims),
//! [`credentials`] (codes, refresh tokens and ids), [`crypto`] (sealing and MACs), [`mcp`], then
//! the small values: [`http`], [`url`], [`json`], [`base64url`], [`bytes`].

pub mod base64url;
pub mod bytes;
pub mod credentials;
pub mod crypto;
pub mod http;
pub mod jose;
pub mod json;
pub mod mcp;
pub mod oauth;
pub mod url;
