//! The bridge's own process against real Redis servers and sentinels, and against a scripted one where a real one
//! would have to be broken first. Needs `redis-server` on the path.

#[cfg(test)]
mod client;
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
mod limits;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod tls;
