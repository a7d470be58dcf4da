//! Fetches the keys of a trusted issuer.

use std::rc::Rc;

use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::upstream::discovery::fetch_issuer_keys;

/// Fetches the keys of the trusted issuer at a place of the configuration, unless that was done a
/// moment ago. What was known before stays in use where it fails.
pub async fn fetch<P: Ports>(gateway: Rc<Gateway>, place: usize, ports: P) {
    let Some(issuer) = gateway.config().trusted_issuers.get(place) else { return };
    let keys = gateway.issuer_keys();
    let now = ports.now();
    let asks = keys.state(place, |state| {
        let asks = state.is_unknown(now) || (state.known.is_some() && state.may_ask_again(now));
        if asks {
            (state.asked_at, state.is_being_fetched) = (Some(now), true);
        }
        asks
    });
    if asks != Some(true) {
        return;
    }
    let fetched = fetch_issuer_keys(issuer, &ports).await;
    keys.state(place, |state| state.is_being_fetched = false);
    match fetched {
        Ok(fetched) => {
            ports.provider_answered(&issuer.site.issuer);
            keys.state(place, |state| (state.known, state.failed) = (Some(fetched), None));
        }
        Err((url, error)) => {
            ports.provider_failed(error.failure(&issuer.site.issuer, &url));
            keys.state(place, |state| state.failed = Some((ports.now(), error)));
        }
    }
}
