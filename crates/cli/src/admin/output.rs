//! The commands' results, as a table or as JSON on standard output, and progress on standard error.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::time::{Duration, Instant};

use portcullis_storage_api::Key;
use portcullis_storage_api::wire::hex;
use serde_json::{Map, Value};

use crate::admin::connection::Expiry;
use crate::admin::error::AdminError;
use crate::terminal::{json, plain};

/// The result of one command.
pub(crate) struct Output<W: Write = BufWriter<Stdout>> {
    to: W,
    json: bool,
    headed: bool,
    /// Whether the rows already show on the terminal how far it got.
    shows_rows: bool,
}

/// A field of a row: its name in JSON, its title and least width in a table, and what it holds.
pub(crate) struct Field {
    name: &'static str,
    title: &'static str,
    width: usize,
    /// In JSON.
    value: Value,
    /// In a table.
    text: String,
}

impl Field {
    /// The same in both forms.
    pub(crate) fn new(name: &'static str, title: &'static str, width: usize, value: impl Into<Value>) -> Self {
        let value = value.into();
        Self { name, title, width, text: text(&value), value }
    }

    /// Seconds in JSON, and days, hours and minutes in a table.
    pub(crate) fn span(name: &'static str, title: &'static str, seconds: Option<u64>) -> Self {
        let text = seconds.map_or_else(|| "never".to_owned(), span);
        Self { name, title, width: 8, value: Value::from(seconds), text }
    }

    /// When a record expires.
    pub(crate) fn expiry(expiry: Expiry) -> Self {
        Self::span("expires_in_seconds", "EXPIRES", expiry.seconds())
    }
}

impl Output {
    /// To standard output.
    pub(crate) fn new(json: bool) -> Self {
        let shows_rows = io::stdout().is_terminal();
        Self { to: BufWriter::new(io::stdout()), json, headed: false, shows_rows }
    }
}

impl<W: Write> Output<W> {
    /// Writes one row of a list, and the titles above the first.
    pub(crate) fn row(&mut self, fields: Vec<Field>) -> Result<(), AdminError> {
        if self.json {
            let fields: Map<String, Value> =
                fields.into_iter().map(|field| (field.name.to_owned(), field.value)).collect();
            return self.line(&json(&Value::Object(fields)));
        }
        let titles = (!self.headed).then(|| fields.iter().map(|field| (field.title, field.width)).collect::<Vec<_>>());
        self.headed = true;
        if let Some(titles) = titles {
            self.line(&cells(titles.into_iter()))?;
        }
        self.line(&cells(fields.iter().map(|field| (field.text.as_str(), field.width))))
    }

    /// Writes one result: a document, or a line for each part.
    pub(crate) fn result(&mut self, parts: Vec<(&'static str, Value)>) -> Result<(), AdminError> {
        if self.json {
            let parts: Map<String, Value> = parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            return self.line(&json(&Value::Object(parts)));
        }
        let widest = parts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in parts {
            let name = name.replace('_', " ");
            self.line(&format!("{name:<widest$}  {}", text(&value)))?;
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) fn finish(&mut self) -> Result<(), AdminError> {
        self.to.flush().map_err(AdminError::Output)
    }

    /// Progress for a command that writes its rows as it goes, and for one that writes at its end.
    pub(crate) fn progress(&self, rows: bool) -> Progress<io::Stderr> {
        let wanted = io::stderr().is_terminal() && !(rows && self.shows_rows);
        Progress::new(io::stderr(), wanted)
    }

    fn line(&mut self, line: &str) -> Result<(), AdminError> {
        writeln!(self.to, "{line}").map_err(AdminError::Output)
    }
}

/// How far a long command got: a line that is written over, once a second.
pub(crate) struct Progress<W: Write> {
    to: W,
    wanted: bool,
    shown: bool,
    next: Instant,
    count: u64,
}

impl<W: Write> Progress<W> {
    fn new(to: W, wanted: bool) -> Self {
        Self { to, wanted, shown: false, next: later(Instant::now()), count: 0 }
    }

    /// Counts records that were read.
    pub(crate) fn add(&mut self, records: usize) {
        self.add_at(records, Instant::now());
    }

    /// Sets how many records were read.
    pub(crate) fn set(&mut self, records: usize) {
        self.count = 0;
        self.add(records);
    }

    fn add_at(&mut self, records: usize, now: Instant) {
        self.count = self.count.saturating_add(u64::try_from(records).unwrap_or(u64::MAX));
        if self.wanted && now >= self.next {
            self.shown = true;
            self.next = later(now);
            // An output that nothing reads any more is no failure.
            let _ = write!(self.to, "\r{} records …", self.count);
            let _ = self.to.flush();
        }
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(self.to, "\r\x1b[K");
            let _ = self.to.flush();
        }
    }
}

/// The digest in a record's name.
pub(crate) fn digits(key: &Key) -> String {
    hex(&key.id)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => plain(text),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Object(parts) if parts.is_empty() => "none".to_owned(),
        Value::Object(parts) => {
            let parts = parts.iter().map(|(name, value)| format!("{} {}", plain(name), text(value)));
            parts.collect::<Vec<_>>().join(", ")
        }
    }
}

/// The last is not filled up.
fn cells<'a>(cells: impl Iterator<Item = (&'a str, usize)>) -> String {
    let line: String = cells.map(|(text, width)| format!("{text:<width$}  ")).collect();
    line.trim_end().to_owned()
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / DAY, seconds % DAY / HOUR, seconds % HOUR / MINUTE);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % MINUTE),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

fn later(now: Instant) -> Instant {
    now.checked_add(INTERVAL).unwrap_or(now)
}

const INTERVAL: Duration = Duration::from_secs(1);
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::is_harmful;

    fn output(json: bool) -> Output<Vec<u8>> {
        Output { to: Vec::new(), json, headed: false, shows_rows: false }
    }

    const EVIL: &str = "a\u{1b}[31m\u{9b}2J\r\n\u{7f}\u{202e}\u{e0041}é";

    #[test]
    fn no_letter_of_a_record_moves_a_terminal() {
        assert_eq!(plain(EVIL), "a\\u{1b}[31m\\u{9b}2J\\u{d}\\u{a}\\u{7f}\\u{202e}\\u{e0041}é");
        for json in [false, true] {
            let mut output = output(json);
            output.row(vec![Field::new("name", "NAME", 4, EVIL)]).unwrap();
            output.result(vec![("names", Value::from(vec![EVIL]))]).unwrap();
            let written = String::from_utf8(output.to).unwrap();
            assert!(written.chars().all(|letter| letter == '\n' || !is_harmful(letter)), "{written:?}");
            assert_eq!(written.lines().count(), if json { 2 } else { 3 });
        }
    }

    #[test]
    fn json_says_what_the_record_says() {
        let mut output = output(true);
        output.row(vec![Field::new("name", "NAME", 4, EVIL), Field::span("life", "LIFE", None)]).unwrap();
        let row: Value = serde_json::from_slice(&output.to).unwrap();
        assert_eq!(row["name"], EVIL);
        assert!(row["life"].is_null());
    }

    #[test]
    fn a_table_has_its_titles_once_and_its_columns_aligned() {
        let mut output = output(false);
        for (name, seconds) in [("a", 59), ("bcdef", 100_000)] {
            output.row(vec![Field::new("n", "NAME", 5, name), Field::span("s", "LIFE", Some(seconds))]).unwrap();
        }
        assert_eq!(String::from_utf8(output.to).unwrap(), "NAME   LIFE\na      59s\nbcdef  1d 3h\n");
        assert_eq!((span(61).as_str(), span(3_700).as_str()), ("1m 1s", "1h 1m"));
    }

    #[test]
    fn progress_is_told_once_a_second_and_wiped_at_the_end() {
        let mut written = Vec::new();
        let start = Instant::now();
        let mut progress = Progress::new(&mut written, true);
        for tenth in 0..25_u32 {
            progress.add_at(1, start + Duration::from_millis(100) * (tenth + 5));
        }
        drop(progress);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written.matches("records …").count(), 2, "{written:?}");
        assert!(written.ends_with("\r\x1b[K"));
        let mut silent = Vec::new();
        Progress::new(&mut silent, false).add_at(1, start + Duration::from_secs(60));
        assert!(silent.is_empty());
    }
}
