//! The command line.

use clap::{Parser, Subcommand};

use crate::admin::Admin;

/// Operates Portcullis: its configurations and its records.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show records, end them, save them and restore them.
    Admin(Admin),
}
