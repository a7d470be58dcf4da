//! The testbed: a real Envoy with the filter, an identity provider, the official MCP "everything"
//! server and a recorder that keeps every byte, all on loopback; and the two drivers that stories
//! use, a [`browser`] and an [`oauth_client`].
//!
//! A story asks for what it needs and gets addresses:
//!
//! ```no_run
//! # async fn story() {
//! use portcullis_testbed::{browser::Browser, oauth_client::OAuthClient, testbed::Testbed};
//!
//! let bed = Testbed::builder().workers(2).start().await;
//! let client = OAuthClient::discover(&bed.resource()).await.register().await;
//! let login = client.log_in(&mut Browser::new("alice")).await;
//! let reply = bed.get("/api/things").bearer(&login.access_token).send().await;
//! assert_eq!(reply.status, 200);
//! bed.assert_healthy().await;
//! # }
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "the testbed serves tests: what cannot go on fails loudly"
)]
#![allow(clippy::print_stderr, reason = "a failing test shows logs and where its files are")]

pub mod bending_server;
pub mod bridge;
pub mod bridge_client;
pub mod browser;
pub mod chaos;
pub mod delay_proxy;
pub mod document_server;
pub mod envoy;
pub mod http;
pub mod kept_connection;
pub mod loopback_server;
pub mod misplaced_secrets;
pub mod nginx;
pub mod oauth_client;
pub mod paths;
pub mod process;
pub mod raw_http2;
pub mod recorder;
pub mod redis;
pub mod relay;
pub mod resp;
pub mod rotating_provider;
pub mod testbed;
pub mod token_exchange_server;
pub mod token_issuer;
