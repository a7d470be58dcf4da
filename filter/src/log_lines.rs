//! The one place that logs what can happen again while the filter runs, with a limit by cause.

use std::cell::RefCell;

use log::Level;
use portcullis_gateway::runtime::log_limit::{LogLimit, LogLine};

use crate::host;

/// The recent log lines of a worker.
#[derive(Default)]
pub(crate) struct LogLines(RefCell<LogLimit<String>>);

impl LogLines {
    /// Logs a line, unless the same was logged lately. It holds nothing that a client sent. The
    /// next one that is logged says how many were not.
    pub(crate) fn write(&self, level: Level, line: String) {
        let LogLine::Write { suppressed } = self.0.borrow_mut().line(line.clone(), host::now()) else { return };
        match suppressed {
            0 => log::log!(level, "{line}"),
            _ => log::log!(level, "{line} (and {suppressed} times before, not logged)"),
        }
    }
}
