//! The bridge's own process against real Redis servers and sentinels, and against a scripted one
//! where a real one would have to be broken first. Needs `redis-server` on the path.
#![cfg(test)]

mod certificates;
mod client;
mod cluster;
mod configuration;
mod connections;
mod contract;
mod durability;
mod failover;
mod faults;
mod fetch;
mod fields;
mod filter_store;
mod hostile;
mod limits;
mod mutual_tls;
mod readiness;
mod rights;
mod secrets;
mod socket;
mod tls;
