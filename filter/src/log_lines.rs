//! The one place that logs what can happen again while the filter runs, with a limit by cause.

use std::cell::RefCell;

use log::Level;
use portcullis_gateway::runtime::log_limit::{LogLimit, LogLine};

use crate::host;

/// The recent log lines of a worker.
#[derive(Default)]
pub(crate) struct LogLines(RefCell<LogLimit<String>>);

impl LogLines {
    /// Logs an event of this cause, which may take several lines, unless the cause was logged
    /// lately. The next one that is logged says how many were not.
    pub(crate) fn write(&self, level: Level, cause: &str, lines: &[String]) {
        let LogLine::Write { suppressed } = self.0.borrow_mut().line(cause.to_owned(), host::now()) else { return };
        for line in lines {
            log::log!(level, "{line}");
        }
        if suppressed > 0 {
            log::log!(level, "{cause}: {suppressed} earlier events were not logged");
        }
    }

    /// Logs a line that is a cause of its own: it holds nothing that a client sent.
    pub(crate) fn write_line(&self, level: Level, line: String) {
        let LogLine::Write { suppressed } = self.0.borrow_mut().line(line.clone(), host::now()) else { return };
        match suppressed {
            0 => log::log!(level, "{line}"),
            _ => log::log!(level, "{line} (and {suppressed} times before, not logged)"),
        }
    }
}
