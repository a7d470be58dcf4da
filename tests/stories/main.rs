//! The stories: what clients, backends, providers and operators see of Portcullis in a real Envoy.
//! A module a subject.
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a story fails loudly, and prints what it measured"
)]

mod backend_refusals;
mod bending_provider;
mod chaos;
mod chromium;
mod client_authentication;
mod client_documents;
mod connections;
mod discovery;
mod envoy_configs;
mod grant_refusals;
mod honest_clients;
mod hostile_http;
mod injection;
mod kubernetes;
mod login_floods;
mod login_load;
mod machine;
mod mcp_clients;
mod migrated;
mod module;
mod oauth2_provider;
mod open_streams;
mod operator;
mod path_readings;
mod privacy;
mod refresh_storm;
mod registrations;
mod revocation;
mod rolling_upgrade;
mod scripted_backend;
mod secrets;
mod several_providers;
mod store;
mod support;
mod survival;
mod testbed;
mod token_refusals;
mod trusted_issuers;
mod upstream_refresh;
mod workers;
