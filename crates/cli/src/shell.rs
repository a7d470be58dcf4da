//! What goes with an installed program: completions and man pages.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::say::complain;

/// Writes a shell's completions to standard output.
pub(crate) fn completions(shell: Shell, command: &mut Command) -> ExitCode {
    clap_complete::generate(shell, command, "portcullis", &mut io::stdout());
    ExitCode::SUCCESS
}

/// Writes a man page for the program and for each of its commands.
pub(crate) fn man(folder: &Path, command: Command) -> ExitCode {
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{}: {error}", folder.display()));
            ExitCode::from(2)
        }
    }
}
