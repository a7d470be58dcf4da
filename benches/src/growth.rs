//! The cost of a call as something becomes more: sessions, clients, workers, connections, or the
//! bytes of a body. Each part sets up a point for each size; the points are measured in turn, so
//! that whatever drifts meanwhile hits all of them alike.
//!
//! Reading order: here, then the parts: [`sessions`] (with [`seed_redis`]), [`memory`],
//! [`clients`], [`traffic`].

mod clients;
mod memory;
mod seed_redis;
mod sessions;
mod traffic;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::cpu;
use crate::gateway::Login;
use crate::load::Load;
use crate::scenario::{OURS, Passes, Scenario, Supply};
use crate::scenarios::{Spread, report, round};
use crate::text;

/// One thing that grows.
pub(crate) struct Part {
    /// The word that asks for it alone.
    pub name: &'static str,
    title: &'static str,
    /// What the sizes are counted in.
    across: &'static str,
    sizes: &'static [usize],
    /// Sets the points up and measures them.
    run: fn(&Plan<'_>) -> Result<(), String>,
}

/// All of them.
pub(crate) const PARTS: [Part; 6] = [
    Part {
        name: "sessions",
        title: "A call as sessions become more, µs of Envoy, bridge and Redis",
        across: "sessions in Redis",
        sizes: &[1_000, 100_000, 1_000_000],
        run: sessions::run,
    },
    Part {
        name: "memory",
        title: "A call as the memory store fills (64 MiB), µs of Envoy",
        across: "sessions in the memory store",
        sizes: &[1_000, 5_000, 100_000],
        run: memory::run,
    },
    Part {
        name: "clients",
        title: "A login as clients become more, µs of Envoy",
        across: "clients that registered",
        sizes: &[10, 1_000, 100_000],
        run: clients::run,
    },
    Part {
        name: "workers",
        title: "A call by the number of workers, µs of Envoy",
        across: "workers",
        sizes: &[1, 2],
        run: traffic::workers,
    },
    Part {
        name: "connections",
        title: "A call by the number of connections, µs of Envoy",
        across: "connections, each with a call under way",
        sizes: &[1, 4, 16, 64],
        run: traffic::connections,
    },
    Part {
        name: "bodies",
        title: "A call by the length of its body, µs of Envoy",
        across: "bytes of the body",
        sizes: &[1 << 10, 1 << 16, 1 << 20],
        run: traffic::bodies,
    },
];

impl Part {
    /// Measures in `rounds` rounds, prints the table and writes a document into the folder. The
    /// variable `SIZES` has other sizes than usual, with commas between them.
    ///
    /// # Errors
    /// What could not be started, or a request that was not answered as it should be.
    pub(crate) fn run(&self, rounds: usize, folder: &Path) -> Result<(), String> {
        let wanted = env::var("SIZES").unwrap_or_default();
        let sizes = wanted.split(',').filter(|size| !size.is_empty()).map(str::parse).collect::<Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|_| format!("SIZES={wanted} are no numbers"))?;
        let sizes = if sizes.is_empty() { self.sizes.to_vec() } else { sizes };
        if sizes.len() > NAMES.len() || sizes.contains(&0) {
            return Err(format!("SIZES takes 1 to {} numbers above 0", NAMES.len()));
        }
        if cpu::can_pin() {
            cpu::pin_this_process()?;
        }
        (self.run)(&Plan { part: self, sizes, rounds, folder })
    }
}

/// One run of a part.
struct Plan<'a> {
    part: &'a Part,
    sizes: Vec<usize>,
    rounds: usize,
    folder: &'a Path,
}

impl Plan<'_> {
    /// The sizes, each with a gateway's name.
    fn named(&self) -> impl Iterator<Item = (&'static str, usize)> {
        NAMES.into_iter().zip(self.sizes.iter().copied())
    }

    /// How many tokens a result that uses each once needs, with those for the check and the
    /// warm-up.
    fn tokens(&self) -> usize {
        (self.rounds + 1) * ONCE + 1
    }

    /// Measures every point once a round, prints the table and writes the document.
    fn measure(&self, mut points: Vec<Point<'_>>) -> Result<(), String> {
        for point in &mut points {
            point.measure()?;
            point.samples.clear();
        }
        for number in 1..=self.rounds {
            report(&format!("round {number} of {}:", self.rounds));
            for point in &mut points {
                point.measure()?;
                let last = point
                    .samples
                    .iter()
                    .map(|(name, values)| format!("{name} {:>8.2} µs", values.last().copied().unwrap_or(f64::NAN)));
                report(&format!("  {:>9} {}: {}", point.at, self.part.across, last.collect::<Vec<_>>().join(", ")));
            }
        }
        self.write_results(&points)
    }

    fn write_results(&self, points: &[Point<'_>]) -> Result<(), String> {
        let document = json!({
            "title": self.part.title,
            "across": self.part.across,
            "command": format!("make bench ONLY={} PLOTS=1", self.part.name),
            "rounds": self.rounds,
            "points": points.iter().map(|point| point.entry(points.first())).collect::<Vec<_>>(),
        });
        fs::create_dir_all(self.folder).map_err(text)?;
        let path = self.folder.join(self.part.name).with_extension("json");
        let written = serde_json::to_string_pretty(&document).map_err(text)?;
        fs::write(&path, written + "\n").map_err(text)?;
        let mut out = std::io::stdout();
        let (title, rounds, table) = (self.part.title, self.rounds, table(&document));
        writeln!(out, "\n{title}; medians of {rounds} rounds.\n\n{table}\n\nAlso in {}", path.display()).map_err(text)
    }
}

/// What is measured at one size.
struct Point<'a> {
    at: usize,
    /// What was seen while it was set up, by name.
    facts: Vec<(&'static str, f64)>,
    results: Vec<Measure<'a>>,
    /// By result, one sample a round.
    samples: Vec<(&'static str, Vec<f64>)>,
}

/// Measures once: by result, the processor time of one call in microseconds.
type Measure<'a> = Box<dyn FnMut() -> Result<Vec<(&'static str, f64)>, String> + 'a>;

impl<'a> Point<'a> {
    fn new(at: usize, facts: Vec<(&'static str, f64)>, results: Vec<Measure<'a>>) -> Self {
        Self { at, facts, results, samples: Vec::new() }
    }

    fn measure(&mut self) -> Result<(), String> {
        for result in &mut self.results {
            for (name, value) in result()? {
                match self.samples.iter_mut().find(|(held, _)| *held == name) {
                    Some((_, values)) => values.push(value),
                    None => self.samples.push((name, vec![value])),
                }
            }
        }
        Ok(())
    }

    /// The medians, and what they are to the first point, of each round on its own.
    fn entry(&self, first: Option<&Self>) -> Value {
        let result = |(name, values): &(&'static str, Vec<f64>)| {
            let spread = Spread::of(values.iter().copied());
            let samples = first.and_then(|first| first.samples.iter().find(|(held, _)| held == name));
            let base = samples.map(|(_, values)| values.as_slice()).unwrap_or_default();
            let ratio = Spread::of(values.iter().zip(base).map(|(own, first)| own / first)).median;
            let entry = json!({
                "cpu_us": round(spread.median), "least_us": round(spread.least), "most_us": round(spread.most),
                "ratio": round(ratio),
            });
            ((*name).to_owned(), entry)
        };
        let facts = self.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(round(*value))));
        json!({
            "at": self.at,
            "results": self.samples.iter().map(result).collect::<Map<_, _>>(),
            "facts": facts.collect::<Map<_, _>>(),
        })
    }
}

/// A token of which each call is a new sight, and one that is used again and again; both checked
/// before.
fn cold_and_fast<'a>(
    login: &Login<'_>,
    tokens: Vec<String>,
    processes: &[u32],
    connections: usize,
) -> Result<Vec<Measure<'a>>, String> {
    let scenario = |key, supply, processes: &[u32]| Scenario {
        key,
        what: "",
        port: login.port(),
        under: OURS,
        supply,
        passes: Passes::GoodTokensInjected,
        processes: processes.to_vec(),
        samples: Vec::new(),
    };
    let cold = scenario("cold", Supply::InTurn(tokens.into()), processes);
    // Asks Envoy alone, the first of them; what others do by themselves meanwhile is no part
    // of it.
    let fast = scenario("fast", Supply::Again(login.token.clone()), &processes[..1]);
    [cold, fast].into_iter().map(|scenario| measured(scenario, connections)).collect()
}

/// Calls of a scenario, after a check that it does what it is called.
fn measured<'a>(mut scenario: Scenario, connections: usize) -> Result<Measure<'a>, String> {
    scenario.prove()?;
    let mut load = Load::of(connections, scenario.port)?;
    Ok(Box::new(move || Ok(vec![(scenario.key, scenario.measure(&mut load, TURN, ONCE)?.cpu_us)])))
}

fn table(document: &Value) -> String {
    let points = document["points"].as_array().map(Vec::as_slice).unwrap_or_default();
    let results = points.first().and_then(|point| point["results"].as_object()).into_iter().flatten();
    let names: Vec<&String> = results.map(|(name, _)| name).collect();
    let columns: String = names.iter().map(|name| format!(" {name:>12} {:>19} {:>6}", "min – max", "×")).collect();
    let mut lines = vec![format!("{:>9}{columns}", "size")];
    for point in points {
        let cells = names.iter().map(|name| {
            let number = |field: &str| point["results"][name.as_str()][field].as_f64().unwrap_or(f64::NAN);
            let range = format!("{:.1} – {:.1}", number("least_us"), number("most_us"));
            format!(" {:>12.2} {range:>19} {:>6.2}", number("cpu_us"), number("ratio"))
        });
        let facts = point["facts"].as_object().into_iter().flatten().map(|(name, value)| format!("  {name} {value}"));
        lines.push(format!("{:>9}{}{}", point["at"].to_string(), cells.collect::<String>(), facts.collect::<String>()));
    }
    lines.join("\n")
}

/// What the gateways are called.
const NAMES: [&str; 4] = ["growth_1", "growth_2", "growth_3", "growth_4"];
/// Tokens that a round uses up, at most.
const ONCE: usize = 1000;
/// How long a result is measured a round, at most.
const TURN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_compared_with_the_first_one_round_by_round() {
        let point = |at, values: [f64; 3]| {
            let mut values = values.into_iter();
            let result = move || Ok(vec![("call", values.next().unwrap())]);
            let mut point = Point::new(at, vec![("held", 7.0)], vec![Box::new(result)]);
            (0..3).for_each(|_| point.measure().unwrap());
            point
        };
        let (first, second) = (point(1, [10.0, 20.0, 40.0]), point(8, [15.0, 30.0, 50.0]));
        let entry = second.entry(Some(&first));
        assert_eq!(
            entry["results"]["call"],
            json!({ "cpu_us": 30.0, "least_us": 15.0, "most_us": 50.0, "ratio": 1.5 })
        );
        let line = table(&json!({ "points": [first.entry(Some(&first)), entry] })).lines().last().unwrap().to_owned();
        assert!(line.trim_start().starts_with('8') && line.ends_with("held 7.0"), "{line}");
    }
}
