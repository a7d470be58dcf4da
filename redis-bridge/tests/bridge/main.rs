//! The bridge's own process against real Redis servers and sentinels, and against a scripted one where a real one
//! would have to be broken first. Needs `redis-server` on the path.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod client;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod filter_store;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod mutual_tls;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod tls;
