//! Keeps `docs/operate/audit.md` true: it is written from the table of reasons.
//!
//! `make docs` (this test with `UPDATE=1`) writes it; otherwise a stale file fails.

#![cfg(test)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_gateway::audit::{AuditField, AuditOutcome, Reason};

#[test]
fn the_reference_of_the_audit_trail_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/audit.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/operate/audit.md is stale; run `make docs`");
}

/// A reason that no test expects may be given for anything, or never. It is expected where a test
/// names its word, in quotes or as part of a metric's name.
#[test]
fn every_reason_is_named_by_a_test() {
    let mut tests = String::new();
    read_tests(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.."), false, &mut tests);
    let is_named = |word: &str| [format!("\"{word}\""), format!(".{word}\"")].iter().any(|text| tests.contains(text));
    let unnamed: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).filter(|word| !is_named(word)).collect();
    assert!(unnamed.is_empty(), "these reasons are in no test: {unnamed:?}");
}

/// Appends the Rust and Python files of folders that are called `tests`, files whose name ends
/// in `_tests`, and the tests at the end of a file.
fn read_tests(folder: &Path, in_tests: bool, tests: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_code = name.ends_with(".rs") || name.ends_with(".py");
        if path.is_dir() && !NO_SOURCE.contains(&name.as_str()) {
            read_tests(&path, in_tests || name == "tests", tests);
        } else if path.is_file() && is_code {
            let text = fs::read_to_string(&path).unwrap();
            let whole = in_tests || name.ends_with("_tests.rs");
            let begins = if whole { Some(0) } else { text.find("#[cfg(test)]\nmod tests {") };
            tests.push_str(begins.and_then(|begins| text.get(begins..)).unwrap_or_default());
        }
    }
}

const NO_SOURCE: [&str; 5] = [".git", ".venv", "corpus", "node_modules", "target"];

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for field in AuditField::ALL {
        let _ = writeln!(page, "| `{}` | {} |", field.as_str(), field.meaning().trim());
    }
    page.push_str(READING);
    for (outcome, meaning) in OUTCOMES {
        let _ = write!(page, "\n## `{}`\n\n{meaning}\n\n| reason | meaning |\n|---|---|\n", outcome.as_str());
        for reason in Reason::ALL.iter().filter(|reason| reason.outcome() == outcome) {
            let _ = writeln!(page, "| `{}` | {} |", reason.as_str(), reason.meaning().trim());
        }
    }
    page
}

const OUTCOMES: [(AuditOutcome, &str); 4] = [
    (AuditOutcome::Allow, "The request was sent on."),
    (AuditOutcome::Deny, "The request was refused."),
    (AuditOutcome::Serve, "The gateway answered the request itself, as one of its own endpoints."),
    (AuditOutcome::Fail, "The request could not be decided. These are for the operator, and worth an alert."),
];

const INTRODUCTION: &str = "\
# The audit trail

For each request to a protected resource or to the gateway itself the filter sets the filter state
`wasm.portcullis`, for access logs and other filters. It has these fields; one of which nothing is
known is absent:

| field | value |
|---|---|
";

const READING: &str = "
Every value is a text. What comes from outside is bounded: a value of more than 1,024 bytes is cut
off and ends with `…`, and control characters are replaced, so that no value ends a line of a log.
Names of clients and users are chosen by them: log these in a JSON format, which quotes them; in
a format of plain text a name can look like the text that follows it.

An access log reads a field with `%CEL(filter_state['wasm.portcullis'].reason)%`:

```yaml
log_format:
  json_format:
    reason: \"%CEL(filter_state['wasm.portcullis'].reason)%\"
    user: \"%CEL(filter_state['wasm.portcullis'].user)%\"
    session: \"%CEL(filter_state['wasm.portcullis'].session)%\"
```

Each field costs Envoy some 3 µs a request that is logged, so name those that you look at.
`%FILTER_STATE(wasm.portcullis:TYPED)%` gives all of them as one JSON object, which costs as much as
a dozen; `PLAIN` gives bytes that no log can use. The value is an encoded `google.protobuf.Struct`
([decision 23](../decisions/0023-an-audit-trail-of-fields.md)). Envoy has the request's id without
it: `%REQ(X-REQUEST-ID)%`.

A request says what is proven about it: a token that is refused for its form, its signature or its
claims names neither user nor client. A call after its login was ended still names user, client and
session; the names at the identity provider are gone with the login.

Each request also counts in the metric `portcullis.<decision>.<reason>`. A client learns less than
the reason says: every token that cannot be used is `invalid_token` to it. This page is generated;
`make docs` writes it.

What is wrong with an identity provider or with the store is in Envoy's log, each cause once in half
a minute: the provider's name, the URL and the cause, never a secret. Such calls also count in
`portcullis.provider.<reason>`, and the gauge `portcullis.provider_up.<name>` is 1 while the last
call to the provider brought what it should.
";
