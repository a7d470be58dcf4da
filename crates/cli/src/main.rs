//! `portcullis`: what an operator types.

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis_cli::run()
}
