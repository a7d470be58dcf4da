//! Which build of the filter runs.

use crate::host;

/// Writes version and commit to the log, and as the name of a gauge that is 1: Envoy's metrics have
/// no labels of a module's own.
pub(crate) fn announce() {
    log::info!("portcullis {VERSION}, commit {COMMIT}");
    host::set_gauge(&format!("portcullis.build_info.{}.{COMMIT}", VERSION.replace('.', "_")), 1);
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the Makefile builds.
const COMMIT: &str = match option_env!("PORTCULLIS_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
