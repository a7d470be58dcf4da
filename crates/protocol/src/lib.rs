//! The rules that Portcullis enforces, as pure functions.
//!
//! Nothing here does I/O, reads a clock, draws randomness or awaits: time and random bytes are
//! arguments, so the same code gives the same answer natively, in wasm and in a test. A value that
//! proves something (a verified token, a matched redirect URI, a granted scope) has a private
//! constructor: holding one is the proof.
//!
//! Reading order: [`oauth`] (one file a rule of OAuth 2.1), [`jose`] (keys, signatures, claims),
//! [`opaque`] (codes and refresh tokens), [`key_ring`] (sealing and MACs), then the small values:
//! [`http`], [`path`], [`bearer`], [`secret`], [`web_url`], [`comparison`].

pub mod base64url;
pub mod bearer;
pub mod comparison;
pub mod digest;
pub mod http;
pub mod jose;
pub mod json;
pub mod key_ring;
pub mod oauth;
pub mod opaque;
pub mod path;
pub mod secret;
pub mod web_url;
