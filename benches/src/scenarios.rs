//! The ladder: every scenario for a moment, in turn, many times. What drifts meanwhile hits all of
//! them alike, and what a scenario adds is reported against the scenarios of the same round.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::load::Load;
use crate::scenario::{Passes, Sample, Scenario, Supply};

/// Measures every scenario once a round, for this time.
///
/// # Errors
/// A request that did not pass.
pub(crate) fn climb(scenarios: &mut [Scenario], rounds: usize, time: Duration) -> Result<(), String> {
    let mut loads = scenarios.iter().map(|scenario| Load::open(scenario.port)).collect::<Result<Vec<_>, _>>()?;
    for (scenario, load) in scenarios.iter_mut().zip(&mut loads) {
        scenario.measure(load, WARM_UP, MAX_TOKENS)?;
    }
    for round in 1..=rounds {
        let mut turns: Vec<_> = scenarios.iter_mut().zip(&mut loads).collect();
        // Up, then down: none always comes right after the same other one.
        if round.is_multiple_of(2) {
            turns.reverse();
        }
        for (scenario, load) in turns {
            let sample = scenario.measure(load, time, MAX_TOKENS)?;
            scenario.samples.push(sample);
        }
        if round.is_multiple_of(TOLD) || round == rounds {
            report(&format!("round {round} of {rounds}"));
        }
    }
    Ok(())
}

/// The table, for people.
#[must_use]
pub(crate) fn table(scenarios: &[Scenario]) -> String {
    let mut lines = vec![format!(
        "{:<18} {:>10} {:>19} {:>10} {:>9} {:>9}   {}",
        "scenario", "cpu µs", "min – max", "added µs", "× header", "req/s", "what a request passes"
    )];
    let header = added(scenarios, "one_header");
    for scenario in scenarios {
        let cpu = Spread::of(scenario.samples.iter().map(|sample| sample.cpu_us));
        let rps = Spread::of(scenario.samples.iter().map(|sample| sample.rps));
        let added = added(scenarios, scenario.key);
        let times = if added > 0.0 { format!("{:.2}", added / header) } else { String::new() };
        let range = format!("{:.2} – {:.2}", cpu.least, cpu.most);
        let figures = format!(
            "{:<18} {:>10.2} {range:>19} {added:>10.2} {times:>9} {:>9.0}",
            scenario.key, cpu.median, rps.median
        );
        lines.push(format!("{figures}   {}", scenario.what));
    }
    lines.join("\n")
}

/// The same for programs: the medians of every scenario.
#[must_use]
pub(crate) fn document(scenarios: &[Scenario]) -> Value {
    let entry = |scenario: &Scenario| {
        let cpu = Spread::of(scenario.samples.iter().map(|sample| sample.cpu_us)).median;
        let rps = Spread::of(scenario.samples.iter().map(|sample| sample.rps)).median;
        let added = added(scenarios, scenario.key);
        (scenario.key.to_owned(), json!({ "cpu_us": round(cpu), "added_us": round(added), "rps": rps.round() }))
    };
    Value::Object(scenarios.iter().map(entry).collect::<Map<_, _>>())
}

/// How many requests of the samples were of these scenarios.
#[must_use]
pub(crate) fn requests(scenarios: &[Scenario], which: impl Fn(&Scenario) -> bool) -> u64 {
    scenarios
        .iter()
        .filter(|scenario| which(scenario))
        .flat_map(|scenario| &scenario.samples)
        .map(|sample: &Sample| sample.requests)
        .sum()
}

/// Whether a scenario sends our filter tokens that the worker does not know.
#[must_use]
pub(crate) fn is_cold(scenario: &Scenario) -> bool {
    matches!(scenario.supply, Supply::InTurn(_)) && scenario.passes == Passes::GoodTokensInjected
}

/// Says how far it has come.
pub(crate) fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The least, the middle and the most of some values.
pub(crate) struct Spread {
    /// The least.
    pub least: f64,
    /// The middle one.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self { least: at(0), median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), most: at(last) }
    }
}

/// The added time of a scenario over a request that passes no filter: the median of what it is
/// above that one in the same round.
fn added(scenarios: &[Scenario], key: &str) -> f64 {
    let samples =
        |key: &str| scenarios.iter().find(|scenario| scenario.key == key).map_or(&[][..], |scenario| &scenario.samples);
    let pairs = samples(key).iter().zip(samples("none"));
    Spread::of(pairs.map(|(one, bare)| one.cpu_us - bare.cpu_us)).median
}

/// To two places.
#[must_use]
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Enough for V8 to compile what is hot and for Envoy's buffers to exist.
const WARM_UP: Duration = Duration::from_millis(300);
/// How many requests with another token each are made ready for a turn at most.
const MAX_TOKENS: usize = 2000;
/// After how many rounds it says how far it has come.
const TOLD: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(key: &'static str, costs: &[f64]) -> Scenario {
        let samples = costs.iter().map(|&cpu_us| Sample { cpu_us, rps: 1e6 / cpu_us, requests: 10 }).collect();
        let supply = Supply::Again(String::new());
        Scenario {
            key,
            what: "",
            port: 0,
            under: "",
            supply,
            passes: Passes::Everything,
            processes: Vec::new(),
            samples,
        }
    }

    #[test]
    fn what_a_scenario_adds_is_told_against_the_same_round() {
        // The second round was slow for both of them.
        let scenarios = [scenario("none", &[10.0, 30.0, 12.0]), scenario("one_header", &[14.0, 36.0, 15.0])];
        let document = document(&scenarios);
        assert_eq!(document["none"], json!({ "cpu_us": 12.0, "added_us": 0.0, "rps": 83333.0 }));
        assert_eq!(document["one_header"]["cpu_us"], json!(15.0));
        assert_eq!(document["one_header"]["added_us"], json!(4.0));
    }

    #[test]
    fn the_table_has_a_line_for_every_scenario() {
        let scenarios =
            [scenario("none", &[10.0, 10.0]), scenario("one_header", &[12.0, 12.0]), scenario("fast", &[13.0, 17.0])];
        let table = table(&scenarios);
        let fast = table.lines().last().unwrap();
        assert!(fast.starts_with("fast") && fast.contains("13.00 – 17.00") && fast.contains("2.50"), "{table}");
    }
}
