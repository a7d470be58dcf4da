//! The one place that logs what can happen again while the filter runs, with a limit by cause.

use std::cell::RefCell;

use log::Level;
use portcullis_gateway::runtime::log_limit::{LogLimit, LogLine};

use crate::host;

/// The recent log lines of a worker.
#[derive(Default)]
pub(crate) struct LogLines(RefCell<LogLimit<&'static str>>);

impl LogLines {
    /// Logs an event of this cause, which may take several lines, unless too many of the cause were
    /// logged. The next one that is logged says how many were not.
    pub(crate) fn write(&self, level: Level, cause: &'static str, lines: &[String]) {
        let LogLine::Write { suppressed } = self.0.borrow_mut().line(cause, host::now()) else { return };
        for line in lines {
            log::log!(level, "{line}");
        }
        if suppressed > 0 {
            log::log!(level, "{cause}: {suppressed} earlier events were not logged");
        }
    }
}
