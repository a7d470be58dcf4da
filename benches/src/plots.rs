//! Draws what was recorded: one SVG file for each measurement whose JSON document is there.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::growth::PARTS;
use crate::scenarios::report;
use crate::text;

/// Draws the documents of one folder into another. What was not measured is not drawn.
///
/// # Errors
/// A document that cannot be read, or a file that cannot be written.
pub(crate) fn draw(recorded: &Path, into: &Path) -> Result<(), String> {
    fs::create_dir_all(into).map_err(text)?;
    let mut plots: Vec<(&str, Plot)> = vec![("ladder", ladder), ("start", memory)];
    plots.extend(PARTS.iter().map(|part| (part.name, growth as Plot)));
    for (name, plot) in plots {
        let Ok(document) = fs::read(recorded.join(name).with_extension("json")) else { continue };
        let document: Value = serde_json::from_slice(&document).map_err(|error| format!("{name}.json: {error}"))?;
        let path = into.join(name).with_extension("svg");
        fs::write(&path, plot(&document)).map_err(text)?;
        report(&format!("drew {}", path.display()));
    }
    Ok(())
}

/// Makes a picture of a document.
type Plot = fn(&Value) -> String;

/// What each scenario adds, the least first.
fn ladder(document: &Value) -> String {
    let scenarios = document.as_object().into_iter().flatten();
    let mut bars: Vec<(&str, f64)> =
        scenarios.map(|(name, scenario)| (name.as_str(), number(scenario, "added_us"))).collect();
    bars.retain(|(name, _)| *name != "none");
    bars.sort_by(|one, other| one.1.total_cmp(&other.1));
    let most = bars.iter().map(|bar| bar.1).fold(1.0, f64::max);
    let height = TOP + bars.len() as f64 * BAR + BELOW;
    let mut svg = opened("What a request adds, µs of Envoy's processor", "make bench ONLY=ladder PLOTS=1", height);
    for (place, (name, added)) in bars.into_iter().enumerate() {
        let (y, length) = (TOP + place as f64 * BAR, (added / most * BAR_ROOM).max(1.0));
        put(&mut svg, (LEFT_OF_BARS - 8.0, y + 15.0), "end", name);
        let colour = COLOURS[0];
        let bar = format_args!("<rect x='{LEFT_OF_BARS}' y='{y}' width='{length:.1}' height='18' fill='{colour}'/>\n");
        svg.push_str(&bar.to_string());
        put(&mut svg, (LEFT_OF_BARS + length + 6.0, y + 15.0), "start", &format!("{added:.1}"));
    }
    svg + "</svg>\n"
}

/// Memory over requests, with the filter and without.
fn memory(document: &Value) -> String {
    let line = |name: &str| {
        let points = document["memory"][name].as_array().into_iter().flatten();
        points.filter_map(|point| Some((point[0].as_f64()?, point[1].as_f64()?))).collect()
    };
    Curves {
        title: "Resident memory of Envoy with one worker, MiB",
        command: "make bench ONLY=start PLOTS=1",
        below: "requests",
        logarithmic: false,
        lines: vec![("with the filter", line("filter")), ("without", line("without"))],
    }
    .drawn()
}

/// The cost of a call over what grows.
fn growth(document: &Value) -> String {
    let words = |name: &str| document[name].as_str().unwrap_or_default();
    let points = || document["points"].as_array().into_iter().flatten();
    let results = points().next().and_then(|point| point["results"].as_object()).into_iter().flatten();
    let line = |(name, _): (&'_ String, &Value)| {
        let along = points()
            .filter_map(|point| Some((point["at"].as_f64()?, point["results"][name.as_str()]["cpu_us"].as_f64()?)));
        (NAMES.iter().find(|(held, _)| held == name).map_or("", |(_, words)| *words), along.collect())
    };
    Curves {
        title: words("title"),
        command: words("command"),
        below: words("across"),
        logarithmic: true,
        lines: results.map(line).collect(),
    }
    .drawn()
}

struct Curves<'a> {
    title: &'a str,
    command: &'a str,
    /// What the points are counted in.
    below: &'a str,
    /// Whether each step to the right is ten times as much.
    logarithmic: bool,
    lines: Vec<(&'a str, Vec<(f64, f64)>)>,
}

impl Curves<'_> {
    fn drawn(&self) -> String {
        let across = |x: f64| if self.logarithmic { x.max(1.0).log10() } else { x };
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let least = points().map(|point| across(point.0)).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| across(point.0)).fold(f64::NEG_INFINITY, f64::max);
        let highest = rounded_up(points().map(|point| point.1).fold(1.0, f64::max));
        let x = |value: f64| LEFT + (across(value) - least) / (most - least).max(f64::MIN_POSITIVE) * WIDE;
        let y = |value: f64| TOP + HIGH - value / highest * HIGH;
        let mut svg = opened(self.title, self.command, TOP + HIGH + BELOW + 20.0);
        for step in 0..=STEPS {
            let value = highest * f64::from(step) / f64::from(STEPS);
            let (height, end) = (y(value), LEFT + WIDE);
            let _ = writeln!(svg, "<path d='M{LEFT} {height:.1}H{end}' stroke='#ddd'/>");
            put(&mut svg, (LEFT - 6.0, height + 4.0), "end", &shown(value));
        }
        let ends = || self.lines.iter().map(|(_, points)| points.last().map_or(f64::INFINITY, |last| last.1));
        let marks = self.lines.first().map(|(_, points)| points.as_slice()).unwrap_or_default();
        // No more marks than there is room for.
        for (at, _) in marks.iter().step_by(marks.len().div_ceil(MARKS).max(1)) {
            put(&mut svg, (x(*at), TOP + HIGH + 18.0), "middle", &shown(*at));
        }
        put(&mut svg, (LEFT + WIDE / 2.0, TOP + HIGH + 36.0), "middle", self.below);
        for ((name, points), colour) in self.lines.iter().zip(COLOURS) {
            let path: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
            let path = path.join(" ");
            let _ = writeln!(svg, "<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>");
            for point in points {
                let _ =
                    writeln!(svg, "<circle cx='{:.1}' cy='{:.1}' r='2.5' fill='{colour}'/>", x(point.0), y(point.1));
            }
            if let Some((_, last)) = points.last() {
                // Where lines end close together, only the lowest one has room below.
                let lowest = ends().len() > 2 && ends().all(|end| end >= *last);
                put(&mut svg, (LEFT + WIDE, y(*last) + if lowest { 14.0 } else { -8.0 }), "end", name);
            }
        }
        svg + "</svg>\n"
    }
}

/// The beginning of a picture: its size, its title, and how it is made.
fn opened(title: &str, command: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 720 {height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='720' height='{height}' fill='#fff'/>\n"
    );
    put(&mut svg, (10.0, 20.0), "start", title);
    put(&mut svg, (10.0, height - 8.0), "start", command);
    svg
}

fn put(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{words}</text>");
}

/// One, two or five times a power of ten that is no less.
fn rounded_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

/// With three digits that tell.
fn shown(value: f64) -> String {
    let (scaled, unit) = match value {
        millions if millions >= 1e6 => (millions / 1e6, " M"),
        thousands if thousands >= 1e3 => (thousands / 1e3, " k"),
        other => (other, ""),
    };
    let places = 10_f64.powf((2.0 - scaled.max(1.0).log10().floor()).max(0.0));
    format!("{}{unit}", (scaled * places).round() / places)
}

fn number(entry: &Value, name: &str) -> f64 {
    entry[name].as_f64().unwrap_or_default()
}

const TOP: f64 = 40.0;
const BELOW: f64 = 40.0;
const LEFT: f64 = 60.0;
const WIDE: f64 = 630.0;
const HIGH: f64 = 240.0;
const BAR: f64 = 24.0;
const LEFT_OF_BARS: f64 = 150.0;
const BAR_ROOM: f64 = 500.0;
/// Lines across.
const STEPS: u32 = 5;
/// The most numbers below.
const MARKS: usize = 7;
const COLOURS: [&str; 3] = ["#1f5fa8", "#b8531c", "#4a7d2f"];
/// What the results of growth are called in pictures.
const NAMES: [(&str, &str); 5] = [
    ("cold", "a token never seen"),
    ("fast", "a token seen before"),
    ("no_filter", "no filter"),
    ("authorize", "authorize"),
    ("token", "token"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_recorded_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let (recorded, into) = (folder.path().join("bench"), folder.path().join("plots"));
        fs::create_dir_all(&recorded).unwrap();
        let point =
            |at, cold, fast| json!({ "at": at, "results": { "cold": { "cpu_us": cold }, "fast": { "cpu_us": fast } } });
        let points = [point(1_000, 100.0, 20.0), point(100_000, 110.0, 21.0)];
        let document = json!({ "title": "A call", "command": "make bench ONLY=sessions", "points": points });
        fs::write(recorded.join("sessions.json"), document.to_string()).unwrap();
        draw(&recorded, &into).unwrap();
        let drawn: Vec<_> = fs::read_dir(&into).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(drawn, ["sessions.svg"]);
        let svg = fs::read_to_string(into.join("sessions.svg")).unwrap();
        // The least number of sessions is at the left end, the most at the right, and twice the
        // cost is twice as high.
        assert!(svg.contains("points='60.0,160.0 690.0,148.0'"), "{svg}");
        assert!(svg.contains("ONLY=sessions") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn bars_are_as_long_as_what_they_stand_for() {
        let svg = ladder(&json!({ "none": { "added_us": 0.0 }, "b": { "added_us": 10.0 }, "a": { "added_us": 5.0 } }));
        let (a, b) = (svg.find("width='250.0'").unwrap(), svg.find("width='500.0'").unwrap());
        assert!(a < b && !svg.contains(">none<"), "{svg}");
    }

    #[test]
    fn sizes_are_shown_with_three_digits() {
        let sizes = [0.0, 1.0, 64.0, 1_000.0, 1_008.0, 65_536.0, 100_000.0, 1_048_576.0];
        assert_eq!(sizes.map(shown), ["0", "1", "64", "1 k", "1.01 k", "65.5 k", "100 k", "1.05 M"]);
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!([0.9, 1.0, 11.0, 49.0, 51.0].map(rounded_up), [1.0, 1.0, 20.0, 50.0, 100.0]);
    }
}
