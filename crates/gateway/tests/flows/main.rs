//! Whole flows through the one entry that requests have, with every port scripted: what a browser, a client, a provider
//! and a store can do to the gateway, and what they get for it.
#![cfg(not(target_arch = "wasm32"))]

#[cfg(test)]
mod away;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod callback;
#[cfg(test)]
mod consent;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod login;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod protect;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod remembered;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod token;
#[cfg(test)]
mod watched;
#[cfg(test)]
mod world;
