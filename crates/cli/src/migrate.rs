//! `portcullis migrate`: configurations from other gateways' files.

mod authorization_server;
mod clusters;
mod document;
mod durations;
mod environment;
mod field;
mod gateway;
mod incoming;
mod inject;
mod leftovers;
mod objects;
mod output;
mod provider;
mod report;
mod servers;
mod source;
mod storage;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use gateway::gateways;
use leftovers::leftovers;
use objects::Objects;
use output::Target;
use report::Report;
use servers::servers;
use source::Source;

use crate::file::content;
use crate::say::complain;
use crate::terminal::plain;

/// What to migrate from.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Make configurations of the filter and of redis-bridge from the resources of ToolHive's
    /// operator, and report line by line what is not carried over.
    Toolhive(Toolhive),
}

/// Which files to migrate, and where to.
#[derive(Debug, Args)]
struct Toolhive {
    /// Files with resources (MCPServer, MCPRemoteProxy, VirtualMCPServer, MCPExternalAuthConfig,
    /// MCPOIDCConfig, ConfigMap, Secret), in YAML or JSON; `-` for standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The folder to write to; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "stdout")]
    output: PathBuf,
    /// Replace files that are there.
    #[arg(long, conflicts_with = "stdout")]
    force: bool,
    /// Write the configurations to standard output, and the report to standard error.
    #[arg(long)]
    stdout: bool,
}

impl Migrate {
    /// Makes the configurations and writes them. Returns the exit code: 0 where all is carried
    /// over, 1 where something is not, 2 where nothing is written.
    pub(crate) fn run(&self) -> ExitCode {
        match &self.from {
            From::Toolhive(toolhive) => ExitCode::from(toolhive.run()),
        }
    }
}

impl Toolhive {
    fn run(&self) -> u8 {
        let mut report = Report::default();
        let mut sources = Vec::new();
        for file in &self.files {
            match content(file) {
                Ok(content) => match Source::read(file, &content) {
                    Ok(source) => sources.push(source),
                    Err(problem) => report.unreadable(&file.display().to_string(), &problem),
                },
                Err(error) => {
                    complain(&format!("{}: {error}", plain(&file.display().to_string())));
                    return NOTHING;
                }
            }
        }
        let objects = Objects::of(&sources, &mut report);
        let servers = servers(&objects, &mut report);
        let gateways = gateways(&servers, &objects, &mut report);
        leftovers(&objects, &mut report);
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let target = if self.stdout { Target::Stdout } else { Target::Folder(&self.output, self.force) };
        if report.is_refused() {
            report.lines(&files).iter().for_each(|line| complain(line));
            return NOTHING;
        }
        match output::write(&gateways, &report.lines(&files), &target) {
            Ok(has_problems) => u8::from(has_problems || report.has_left()),
            Err(error) => {
                complain(&error);
                NOTHING
            }
        }
    }
}

/// The exit code where nothing is written.
const NOTHING: u8 = 2;
