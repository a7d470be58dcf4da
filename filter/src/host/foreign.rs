//! Functions of Envoy's own, which are no part of the ABI.

use proxy_wasm::hostcalls;

/// Calls a function of Envoy's own; `None` if it is missing or refuses the arguments.
pub(super) fn foreign(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function(name, Some(arguments)).ok().map(Option::unwrap_or_default)
}
