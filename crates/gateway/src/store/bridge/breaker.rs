//! The circuit breaker before the bridge: when calls fail one after the other, the next ones are
//! not made for a moment. A store that is unavailable for seconds must not cost every request its
//! timeout. There is one breaker for each worker, and it is three numbers, so it cannot grow.

use std::cell::Cell;

/// Decides whether a call is worth making.
#[derive(Default)]
pub(super) struct Breaker(Cell<State>);

#[derive(Clone, Copy)]
enum State {
    /// Calls are made; the last `failures` have failed.
    Closed { failures: u32 },
    /// No call is made before this time. The one after it is a probe.
    Open { until_ms: u64, pause_ms: u64 },
    /// One call is finding out; no other is made.
    Probing { pause_ms: u64 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Leave to make a call at this time, in milliseconds; `None` when it would most likely fail.
    pub(super) fn pass(&self, now_ms: u64) -> Option<Pass<'_>> {
        let probes = match self.0.get() {
            State::Closed { .. } => false,
            State::Open { until_ms, pause_ms } if now_ms >= until_ms => {
                self.0.set(State::Probing { pause_ms });
                true
            }
            State::Open { .. } | State::Probing { .. } => return None,
        };
        Some(Pass { breaker: self, probes })
    }
}

/// Leave to make one call. Dropped without a word, it proves nothing: a client hung up.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probes: bool,
}

impl Pass<'_> {
    /// The bridge answered, whatever it said.
    pub(super) fn answered(mut self) {
        self.probes = false;
        self.breaker.0.set(State::Closed { failures: 0 });
    }

    /// It did not. `random` spreads the workers' next tries.
    pub(super) fn failed(mut self, now_ms: u64, random: u64) {
        let state = match self.breaker.0.get() {
            State::Closed { failures } if failures.saturating_add(1) < MAX_FAILURES => {
                State::Closed { failures: failures.saturating_add(1) }
            }
            State::Closed { .. } => open(now_ms, FIRST_PAUSE_MS, random),
            State::Probing { pause_ms } if self.probes => {
                open(now_ms, pause_ms.saturating_mul(2).min(MAX_PAUSE_MS), random)
            }
            // A call that was made before the breaker opened says nothing new.
            known @ (State::Open { .. } | State::Probing { .. }) => known,
        };
        self.probes = false;
        self.breaker.0.set(state);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let (true, State::Probing { pause_ms }) = (self.probes, self.breaker.0.get()) {
            self.breaker.0.set(State::Open { until_ms: 0, pause_ms });
        }
    }
}

/// Opens for half the pause and a random part of the other half.
fn open(now_ms: u64, pause_ms: u64, random: u64) -> State {
    let half = pause_ms / 2;
    let more = random.checked_rem(half.saturating_add(1)).unwrap_or(0);
    State::Open { until_ms: now_ms.saturating_add(half).saturating_add(more), pause_ms }
}

/// The number of failures in a row that opens it.
const MAX_FAILURES: u32 = 5;
const FIRST_PAUSE_MS: u64 = 250;
/// A failover takes three seconds, and this comes on top of it: two tries a second cost a store
/// that is unavailable nothing.
const MAX_PAUSE_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: u64, times: u32) {
        for _ in 0..times {
            breaker.pass(now).unwrap().failed(now, u64::MAX);
        }
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_an_answer_starts_the_count_anew() {
        let breaker = Breaker::default();
        fail(&breaker, 0, 4);
        breaker.pass(0).unwrap().answered();
        fail(&breaker, 0, 4);
        assert!(breaker.pass(0).is_some());
        fail(&breaker, 0, 1);
        assert!(breaker.pass(0).is_none());
    }

    #[test]
    fn after_the_pause_one_call_finds_out_for_all() {
        let breaker = Breaker::default();
        fail(&breaker, 0, 5);
        assert!(breaker.pass(124).is_none());
        let probe = breaker.pass(250).unwrap();
        assert!(breaker.pass(250).is_none() && breaker.pass(100_000).is_none());
        probe.answered();
        assert!(breaker.pass(250).is_some());
    }

    #[test]
    fn the_pause_grows_to_half_a_second_and_is_spread_over_its_second_half() {
        for random in [0, 1, 77, u64::MAX] {
            let breaker = Breaker::default();
            fail(&breaker, 0, 5);
            let mut now = 0_u64;
            for pause in [250, 500, 500, 500] {
                assert!(breaker.pass(now + pause / 2 - 1).is_none());
                now += pause;
                breaker.pass(now).unwrap().failed(now, random);
            }
        }
        let breaker = Breaker::default();
        for _ in 0..5 {
            breaker.pass(0).unwrap().failed(0, 0);
        }
        assert!(breaker.pass(124).is_none() && breaker.pass(125).is_some());
    }

    #[test]
    fn an_answer_to_the_probe_makes_the_next_pause_short_again() {
        let breaker = Breaker::default();
        fail(&breaker, 0, 5);
        fail(&breaker, 250, 1);
        breaker.pass(750).unwrap().answered();
        fail(&breaker, 750, 5);
        assert!(breaker.pass(1_000).is_some());
    }

    #[test]
    fn a_probe_whose_client_hung_up_lets_the_next_call_find_out() {
        let breaker = Breaker::default();
        fail(&breaker, 0, 5);
        drop(breaker.pass(250).unwrap());
        let probe = breaker.pass(250).unwrap();
        assert!(breaker.pass(250).is_none());
        probe.failed(250, 0);
        assert!(breaker.pass(250 + 249).is_none());
    }

    #[test]
    fn calls_from_before_it_opened_neither_lengthen_the_pause_nor_end_a_probe() {
        let breaker = Breaker::default();
        let (late, later) = (breaker.pass(0).unwrap(), breaker.pass(0).unwrap());
        let dropped = breaker.pass(0).unwrap();
        fail(&breaker, 0, 5);
        late.failed(240, u64::MAX);
        let probe = breaker.pass(250).unwrap();
        later.failed(250, u64::MAX);
        drop(dropped);
        assert!(breaker.pass(250).is_none());
        probe.answered();
        assert!(breaker.pass(250).is_some());
    }

    #[test]
    fn a_late_answer_shows_that_the_bridge_is_there() {
        let breaker = Breaker::default();
        let late = breaker.pass(0).unwrap();
        fail(&breaker, 0, 5);
        late.answered();
        assert!(breaker.pass(1).is_some());
    }
}
