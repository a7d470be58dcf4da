//! What was asked of the store and of the gateway while faults went on, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What came of a change, as far as the one who asked for it can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was confirmed as done and durable.
    Acked,
    /// It was said not to be done, at the first try.
    Refused,
    /// It may be done or not.
    Unknown,
}

/// One attempt to replace the value of a counter. Each value names the attempt that wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Swap {
    /// Which counter.
    pub counter: u8,
    /// The attempt's own name, never 0.
    pub id: u64,
    /// The attempt whose value was to be replaced.
    pub base: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// One record that two rivals each tried to be the first to write.
#[derive(Clone, Debug)]
pub struct Contest {
    /// The record's name.
    pub record: u64,
    /// What each rival was told.
    pub rivals: [First; 2],
}

/// The answer to a try to be the first to write a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It was, and the write is durable.
    Won,
    /// Another was.
    Lost,
    /// No answer.
    Unknown,
}

/// How often the writes of a server had been counted at a time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When, since the run began.
    pub at: Duration,
    /// The scripts that it ran so far.
    pub writes: u64,
}

/// One code or refresh token and what its holders got for it.
#[derive(Clone, Debug)]
pub struct Presented {
    /// What it is, for the report.
    pub what: String,
    /// How many different things that may be used now the answers gave.
    pub accepted: usize,
}

/// Attempted swaps whose confirmation does not hold: starting at the `last` value of each counter,
/// what each value replaced leads back to the one it had at first (`origins`); whatever was
/// confirmed must be on that way, and what was refused must not.
#[must_use]
pub fn broken_swaps(swaps: &[Swap], origins: &BTreeMap<u8, u64>, last: &BTreeMap<u8, u64>) -> Vec<String> {
    let known: BTreeMap<u64, Swap> = swaps.iter().map(|swap| (swap.id, *swap)).collect();
    let mut evidence = Vec::new();
    let mut visible = BTreeSet::new();
    for (counter, last) in last {
        let mut id = *last;
        while Some(&id) != origins.get(counter) {
            if !visible.insert(id) {
                evidence.push(format!("counter {counter}: the write {id} replaced itself"));
                break;
            }
            match known.get(&id) {
                Some(swap) if swap.counter == *counter => id = swap.base,
                _ => {
                    evidence.push(format!("counter {counter}: no client wrote {id}"));
                    break;
                }
            }
        }
    }
    for swap in swaps {
        match (swap.outcome, visible.contains(&swap.id)) {
            (Outcome::Acked, false) => evidence.push(format!("an acknowledged write is lost: {swap:?}")),
            (Outcome::Refused, true) => evidence.push(format!("a refused write is visible: {swap:?}")),
            _ => {}
        }
    }
    evidence
}

/// Names that were confirmed as written and are not there.
#[must_use]
pub fn lost_names(acked: &[u64], found: &BTreeSet<u64>) -> Vec<String> {
    let lost = acked.iter().filter(|name| !found.contains(name));
    lost.map(|name| format!("an acknowledged name is lost: {name}")).collect()
}

/// Records that two rivals were the first to write, that neither can have been the first to write,
/// and that one was confirmed to have written and that are not `found`.
#[must_use]
pub fn broken_contests(contests: &[Contest], found: &BTreeSet<u64>) -> Vec<String> {
    let mut evidence = Vec::new();
    for contest in contests {
        let told = |first: First| contest.rivals.iter().filter(|rival| **rival == first).count();
        if told(First::Won) > 1 {
            evidence.push(format!("written first twice: {contest:?}"));
        }
        if told(First::Lost) == contest.rivals.len() {
            evidence.push(format!("a record that neither wrote was in the way: {contest:?}"));
        }
        if told(First::Won) > 0 && !found.contains(&contest.record) {
            evidence.push(format!("an acknowledged record is lost: {contest:?}"));
        }
    }
    evidence
}

/// Writes that a deposed master took later than `allowed_from`.
#[must_use]
pub fn late_writes(samples: &[Sample], allowed_from: Duration) -> u64 {
    let late: Vec<u64> =
        samples.iter().filter(|sample| sample.at >= allowed_from).map(|sample| sample.writes).collect();
    match (late.first(), late.last()) {
        (Some(first), Some(last)) => last.saturating_sub(*first),
        _ => 0,
    }
}

/// Codes and tokens that were worth something to two.
#[must_use]
pub fn accepted_twice(presented: &[Presented]) -> Vec<String> {
    let twice = presented.iter().filter(|presented| presented.accepted > 1);
    twice.map(|presented| format!("accepted {} times: {}", presented.accepted, presented.what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_without_faults_is_clean() {
        let swaps = [swap(1, 0, Outcome::Acked), swap(2, 1, Outcome::Unknown), swap(3, 2, Outcome::Acked)];
        assert_eq!(broken_swaps(&swaps, &origin(), &BTreeMap::from([(0, 3)])), [""; 0]);
        // An unknown one may be lost, and a refused one must be.
        let swaps = [swap(1, 0, Outcome::Acked), swap(2, 1, Outcome::Unknown), swap(4, 1, Outcome::Refused)];
        assert_eq!(broken_swaps(&swaps, &origin(), &BTreeMap::from([(0, 1)])), [""; 0]);
        assert_eq!(broken_swaps(&[], &origin(), &BTreeMap::from([(0, 0)])), [""; 0]);
    }

    #[test]
    fn a_lost_write_is_found_whatever_was_written_over_it() {
        // 2 was acknowledged, but 3 was written over 1: the store went back in between.
        let swaps = [swap(1, 0, Outcome::Acked), swap(2, 1, Outcome::Acked), swap(3, 1, Outcome::Acked)];
        let evidence = broken_swaps(&swaps, &origin(), &BTreeMap::from([(0, 3)]));
        assert_eq!(evidence.len(), 1, "{evidence:?}");
        assert!(evidence[0].contains("lost") && evidence[0].contains("id: 2"), "{evidence:?}");
        // The whole counter went back to where it began, and further.
        assert_eq!(broken_swaps(&swaps[..2], &origin(), &BTreeMap::from([(0, 0)])).len(), 2);
        let further = broken_swaps(&[], &BTreeMap::from([(0, 7)]), &BTreeMap::from([(0, 6)]));
        assert!(further[0].contains("no client wrote 6"), "{further:?}");
    }

    #[test]
    fn a_write_that_was_refused_and_is_there_and_one_that_nobody_made_are_found() {
        let swaps = [swap(1, 0, Outcome::Acked), swap(2, 1, Outcome::Refused)];
        assert_eq!(broken_swaps(&swaps, &origin(), &BTreeMap::from([(0, 2)])).len(), 1);
        let evidence = broken_swaps(&swaps[..1], &origin(), &BTreeMap::from([(0, 9)]));
        assert!(evidence.iter().any(|line| line.contains("no client wrote 9")), "{evidence:?}");
        let ring = [swap(1, 2, Outcome::Unknown), swap(2, 1, Outcome::Unknown)];
        assert_eq!(broken_swaps(&ring, &origin(), &BTreeMap::from([(0, 2)])).len(), 1);
    }

    #[test]
    fn a_lost_name_is_found() {
        assert_eq!(lost_names(&[1, 2], &BTreeSet::from([1, 2, 3])), [""; 0]);
        assert_eq!(lost_names(&[1, 2], &BTreeSet::from([1])).len(), 1);
    }

    #[test]
    fn two_winners_no_winner_and_a_vanished_record_are_found() {
        let broken = |rivals, found: &[u64]| {
            broken_contests(&[Contest { record: 1, rivals }], &found.iter().copied().collect()).len()
        };
        assert_eq!(broken([First::Won, First::Lost], &[1]), 0);
        assert_eq!(broken([First::Unknown, First::Lost], &[]), 0);
        assert_eq!(broken([First::Unknown, First::Unknown], &[]), 0);
        assert_eq!(broken([First::Won, First::Won], &[1]), 1);
        assert_eq!(broken([First::Lost, First::Lost], &[1]), 1);
        assert_eq!(broken([First::Won, First::Lost], &[2]), 1);
        assert_eq!(broken([First::Won, First::Unknown], &[]), 1);
    }

    #[test]
    fn a_late_write_is_found_and_an_early_one_is_allowed() {
        let samples = [(1, 10), (2, 20), (3, 20), (4, 21)].map(|(at, writes)| Sample { at: seconds(at), writes });
        assert_eq!(late_writes(&samples[..3], seconds(2)), 0);
        assert_eq!(late_writes(&samples, seconds(2)), 1);
        assert_eq!(late_writes(&samples, seconds(1)), 11);
        assert_eq!(late_writes(&samples, seconds(9)), 0);
    }

    #[test]
    fn what_two_holders_can_use_is_found() {
        let presented = |accepted| [Presented { what: "code 7".to_owned(), accepted }];
        assert_eq!(accepted_twice(&presented(0)), [""; 0]);
        assert_eq!(accepted_twice(&presented(1)), [""; 0]);
        assert!(accepted_twice(&presented(2))[0].contains("code 7"));
    }

    fn swap(id: u64, base: u64, outcome: Outcome) -> Swap {
        Swap { counter: 0, id, base, outcome }
    }

    fn origin() -> BTreeMap<u8, u64> {
        BTreeMap::from([(0, 0)])
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }
}
