//! Whole flows through the one entry that requests have, with every port scripted: what a browser,
//! a client, a provider and a store can do to the gateway, and what they get for it.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

mod absent_values;
mod allowed_users;
mod audited;
mod backend_refusal;
mod bending_provider;
mod browser;
mod callback;
mod client;
mod client_assertion;
mod client_authentication;
mod client_document_refusals;
mod client_documents;
mod clocks;
mod connection_page;
mod connections;
mod consent;
mod costs;
mod dead_ends;
mod default_endpoints;
mod fixture;
mod injection;
mod keys;
mod login;
mod oauth2_provider;
mod outages;
mod protect;
mod provider;
mod provider_chain;
mod provider_choice;
mod provider_pages;
mod refresh;
mod registration;
mod remembered_consent;
mod revoke;
mod rotation;
mod sealed;
mod session_states;
mod store_outage;
mod tenants;
mod token;
mod token_exchange;
mod trusted_issuer_keys;
mod trusted_issuers;
mod two_providers;
mod under_way;
mod user_profile;
mod users;
