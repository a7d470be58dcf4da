//! Lines for people.

use std::io::{self, Write};

/// Writes a line. An output that nothing reads any more is no failure.
pub(crate) fn say(to: &mut impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

/// Writes why a command failed to standard error.
pub(crate) fn complain(line: &str) {
    say(&mut io::stderr(), line);
}
