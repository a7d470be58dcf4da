//! `portcullis`: the commands of an operator.
//!
//! It may know everything: the gateway's configuration and records, and, as a library, the bridge's
//! configuration and connections. Nothing of the product depends on it.

mod admin;
mod arguments;
mod check;
mod environment;
mod file;
mod log;
mod migrate;
mod operate;
mod say;
mod shell;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use arguments::{Arguments, Command};

/// Runs the command that the process's arguments name. Returns the exit code.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Admin(admin) => operate::operate(&admin),
        Command::Check(check) => check.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::Completions { shell } => shell::completions(shell, &mut Arguments::command()),
        Command::Man { folder } => shell::man(&folder, Arguments::command()),
    }
}
