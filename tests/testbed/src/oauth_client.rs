//! The OAuth client of the [test kit](portcullis_testkit::oauth_client), over sockets.

pub use portcullis_testkit::oauth_client::{Callback, Parameters, Tokens, challenge_parameter, claims};

use crate::http::Sockets;

/// A client of one resource.
pub type OAuthClient = portcullis_testkit::oauth_client::OAuthClient<Sockets>;
/// An authorization request.
pub type Authorization = portcullis_testkit::oauth_client::Authorization<Sockets>;
/// A request to the token endpoint.
pub type TokenRequest = portcullis_testkit::oauth_client::TokenRequest<Sockets>;
