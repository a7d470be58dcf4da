//! Keeps `docs/operate/audit.md` true: it is written from the table of reasons.
//!
//! `make docs` (this test with `UPDATE=1`) writes it; otherwise a stale file fails.

use std::fmt::Write as _;
use std::path::PathBuf;

use portcullis_gateway::audit::{AuditOutcome, Reason};

#[test]
fn the_reference_of_the_audit_trail_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/audit.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/operate/audit.md is stale; run `make docs`");
}

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
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
`wasm.portcullis` to one JSON object, for access logs and other filters:

| member | value |
|---|---|
| `decision` | `allow`, `deny`, `serve` or `fail`; it follows from the reason |
| `reason` | one of the words below; no two causes share one |
| `resource` | the resource that was asked for, where it is known |
| `client` | the OAuth client, where it was proven |
| `subject` | the user, where it was proven |

Each request also counts in the metric `portcullis.<decision>.<reason>`. A client learns less than
the reason says: every token that cannot be used is `invalid_token` to it. This page is generated;
`make docs` writes it.
";
