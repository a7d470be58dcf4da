//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use portcullis_redis_bridge::version::{COMMIT, VERSION};

use crate::admin::Admin;
use crate::check::Check;
use crate::migrate::Migrate;

/// Operates Portcullis: its configurations and its records.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version = format!("{VERSION} (commit {COMMIT})"), arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check configurations of the filter and of redis-bridge, without Envoy and without secrets.
    Check(Check),
    /// Make configurations of other gateways' files.
    Migrate(Migrate),
    /// Show records, end them, save them and restore them.
    Admin(Admin),
    /// Write a shell's completions to standard output.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the man pages into a folder.
    Man {
        /// The folder; made if it is not there.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}
