//! The words of the whole tree: comments, strings, Markdown, pages. docs/glossary.md says why.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;

use portcullis_source_tests::files::{Files, project};
use portcullis_source_tests::tokens::named_with_prefix;
use portcullis_source_tests::words::{Refused, refused_words, wide_lines};

#[test]
fn words_are_the_fields_words() {
    let files = written();
    let found: Vec<String> = files.iter().flat_map(|(path, text)| refused_words(path, text, &REFUSED)).collect();
    assert_none(&found, "refused words");
}

#[test]
fn comments_and_markdown_wrap_at_a_hundred_columns() {
    let files = written();
    let found: Vec<String> = files.iter().flat_map(|(path, text)| wide_lines(path, text, 100)).collect();
    assert_none(&found, "lines over 100 columns");
}

#[test]
fn limits_are_named_max() {
    let found = named_with_prefix(&written(), &["MOST_", "LONGEST_", "USUAL_"]).unwrap();
    assert_none(&found, "names for limits and defaults: write `MAX_…`, `…_CAPACITY`, `DEFAULT_…`");
}

/// Every file that people wrote. What lists the refused words is left out, and what a lock file's
/// tool wrote.
fn written() -> Files {
    let files = Files::read(&project(), &ENDINGS).unwrap();
    files.only(|path| !EXCEPT.contains(&path))
}

fn assert_none(found: &[String], what: &str) {
    let mut by_area: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for line in found {
        let folders = if line.starts_with("crates/") { 2 } else { 1 };
        let area: Vec<&str> = line.split(['/', ':']).take(folders).collect();
        by_area.entry(area.join("/")).or_default().push(line);
    }
    let by_area: Vec<String> = by_area.iter().map(|(area, lines)| format!("{area}: {}", lines.len())).collect();
    assert!(found.is_empty(), "{} {what} ({})\n{}", found.len(), by_area.join(", "), found.join("\n"));
}

const ENDINGS: [&str; 14] =
    [".rs", ".md", ".py", ".mjs", ".js", ".lua", ".sh", ".yaml", ".yml", ".toml", ".html", ".c", "Makefile", ".ci/run"];

const EXCEPT: [&str; 2] = ["tests/source/src/words.rs", "tests/source/tests/words.rs"];

const REFUSED: Refused<'_> = Refused {
    phrases: &[
        ("came to", "say what is returned, or what the result was"),
        ("is away", "`is unavailable`, `cannot be reached`"),
        ("anew", "`again`, or say what is created"),
        ("beside", "`next to`, `with`, `besides` and what is added"),
        ("so many", "say which number"),
        ("none of ours", "say what it is not: `not issued by this gateway`"),
        ("whoever", "say who: a client, a user, an attacker"),
        ("nobody", "say who does not, or use the passive"),
        ("somebody", "say who: a client, a user, an operator"),
        ("everybody", "say who: every client, all users"),
        ("anybody", "say who: any client"),
        ("a word on", "`about`"),
        ("end of all time", "say which value"),
        ("is told", "`reads`, `receives`, `is configured with`"),
        ("are told", "`read`, `receive`, `are configured with`"),
        ("what is asked", "`the request`"),
        ("in vain", "`without result`, or say what failed"),
        ("oddity", "`anomaly`"),
        ("oddities", "`anomalies`"),
        ("back end", "`backend`"),
        ("back ends", "`backends`"),
        ("back-end", "`backend`"),
        ("time-out", "`timeout`"),
        ("time-outs", "`timeouts`"),
        ("look-up", "`lookup`"),
        ("look-ups", "`lookups`"),
        ("roundtrip", "`round trip`"),
        ("roundtrips", "`round trips`"),
    ],
    beginnings: &["Gives", "Tells", "What a", "What an"],
};
