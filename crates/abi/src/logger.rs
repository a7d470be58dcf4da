//! The `log` crate's messages in Envoy's log.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::hostcalls;

/// Sends what is logged, down to [`Level::Info`], and every panic to the host.
pub(crate) fn install() {
    // Either fails only where it was done before.
    let _ = log::set_logger(&HostLog);
    log::set_max_level(LevelFilter::Info);
    std::panic::set_hook(Box::new(|panic| hostcalls::log(CRITICAL, &panic.to_string())));
}

struct HostLog;

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            hostcalls::log(number(record.level()), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn number(level: Level) -> u32 {
    match level {
        Level::Trace => 0,
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    }
}

const CRITICAL: u32 = 5;
