//! Upstream tokens that are due, whichever way they are renewed.

use std::rc::Rc;

use crate::decision::RefreshOutcome;
use crate::ports::{Ports, UpstreamTokenRef};
use crate::state::gateway::Gateway;
use crate::upstream::exchange::exchange;
use crate::upstream::refresh::{Cause, refresh_with};

/// Renews upstream tokens when they are due or no longer accepted: a provider's with its refresh
/// token, and those of an exchange by another exchange.
pub async fn renew<P: Ports>(gateway: Rc<Gateway>, token: UpstreamTokenRef, cause: Cause, ports: P) -> RefreshOutcome {
    match gateway.config().exchange(token.provider) {
        Some(settings) => exchange(&gateway, settings, token, cause, &ports).await,
        None => refresh_with(&gateway, token, cause, &ports).await,
    }
}
