//! What the bridge holds in memory when a thousand callers are connected.

use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, standalone};

use crate::bridge::caller::{Caller, Verb, Way};

/// The resident memory of a new bridge, and with [`CONNECTIONS`] open connections that each read a
/// record once; in MiB.
///
/// # Errors
/// What could not be started, or a request that was not answered.
pub(super) fn measure() -> Result<(f64, f64), String> {
    let redis = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(redis.port), "");
    let way = Way::Bridge(bridge.socket.clone().into_boxed_path());
    let fresh = bridge.resident_mib();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let callers = runtime.map_err(|error| error.to_string())?.block_on(async {
        let mut callers = Vec::new();
        for number in 0..CONNECTIONS {
            let mut caller = Caller::connect(&way, Verb::Get, number).await?;
            caller.seed().await?;
            caller.ask().await?;
            callers.push(caller);
        }
        Ok::<_, String>((bridge.resident_mib(), callers))
    })?;
    Ok((fresh, callers.0))
}

/// How many connections are open.
pub(super) const CONNECTIONS: usize = 1_000;
