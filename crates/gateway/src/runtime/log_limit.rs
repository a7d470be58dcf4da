//! A limit for log lines, by cause: what fails for an hour would otherwise write a line each time
//! it is tried.

use std::collections::VecDeque;

/// How long a cause is not logged again, in seconds.
pub const PERIOD_SECONDS: u64 = 30;

/// The most causes that are distinguished at a time. A further one takes the place of the one that
/// was logged first, so that memory stays bounded whatever the causes are made of.
pub const MAX_CAUSES: usize = 64;

/// What has been logged lately, by cause. A cause must not hold what a client sent: it would let
/// the client write as many lines as it likes.
pub struct LogLimit<C> {
    /// In the order in which they were logged.
    causes: VecDeque<Logged<C>>,
}

/// A cause since it was last logged.
struct Logged<C> {
    cause: C,
    at: u64,
    suppressed: u64,
}

/// Whether a line is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLine {
    /// It is, with the number of lines of its cause that were not written before it.
    Write {
        /// How many lines were left out since the last one that was written.
        suppressed: u64,
    },
    /// It is not.
    Suppress,
}

impl<C> Default for LogLimit<C> {
    fn default() -> Self {
        Self { causes: VecDeque::new() }
    }
}

impl<C: PartialEq> LogLimit<C> {
    /// Decides about a line of this cause at `now`, in seconds of a clock that is best monotonic. A
    /// clock that was set back begins a new period.
    pub fn line(&mut self, cause: C, now: u64) -> LogLine {
        let place = self.causes.iter().position(|logged| logged.cause == cause);
        if let Some(logged) = place.and_then(|place| self.causes.get_mut(place))
            && now.checked_sub(logged.at).is_some_and(|since| since < PERIOD_SECONDS)
        {
            logged.suppressed = logged.suppressed.saturating_add(1);
            return LogLine::Suppress;
        }
        let before = place.and_then(|place| self.causes.remove(place));
        if self.causes.len() >= MAX_CAUSES {
            self.causes.pop_front();
        }
        self.causes.push_back(Logged { cause, at: now, suppressed: 0 });
        LogLine::Write { suppressed: before.map_or(0, |before| before.suppressed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: LogLine = LogLine::Write { suppressed: 0 };

    #[test]
    fn a_cause_is_logged_once_a_period_and_the_next_line_says_how_often_it_was_not() {
        let mut limit = LogLimit::default();
        assert_eq!(limit.line("store", 100), FIRST);
        for now in [100, 115, 100 + PERIOD_SECONDS - 1] {
            assert_eq!(limit.line("store", now), LogLine::Suppress);
        }
        assert_eq!(limit.line("store", 100 + PERIOD_SECONDS), LogLine::Write { suppressed: 3 });
        assert_eq!(limit.line("store", 101 + PERIOD_SECONDS), LogLine::Suppress);
    }

    #[test]
    fn causes_do_not_count_against_each_other() {
        let mut limit = LogLimit::default();
        assert_eq!(limit.line("store", 100), FIRST);
        assert_eq!(limit.line("secrets", 100), FIRST);
        assert_eq!(limit.line("store", 100), LogLine::Suppress);
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nothing() {
        let mut limit = LogLimit::default();
        assert_eq!(limit.line("store", 1_000), FIRST);
        assert_eq!(limit.line("store", 1_001), LogLine::Suppress);
        assert_eq!(limit.line("store", 10), LogLine::Write { suppressed: 1 });
    }

    #[test]
    fn memory_is_bounded_whatever_the_number_of_causes() {
        let mut limit = LogLimit::default();
        for cause in 0..10_000_u32 {
            assert_eq!(limit.line(cause, 100), FIRST);
        }
        assert_eq!(limit.causes.len(), MAX_CAUSES);
        assert_eq!(limit.causes.front().map(|logged| logged.cause), Some(9_936));
    }
}
