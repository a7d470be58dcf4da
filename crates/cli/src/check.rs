//! `portcullis check`: checks configurations without Envoy, without Redis and without secrets.

mod bridge;
pub(crate) mod documents;
mod find;
pub(crate) mod json;
pub(crate) mod node;
mod plugin;
pub(crate) mod problem;
mod report;
pub(crate) mod text;
mod yaml;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use find::{Found, find};
use problem::Problem;
use report::{Checked, Outcome};
use text::Text;

use crate::file::content;

/// Which files to check, and how.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files with configurations; `-` for standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Also look up the variables that are named, and check the keys and secrets in them; of
    /// redis-bridge, also read the files that are named.
    #[arg(long)]
    secrets: bool,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Check {
    /// Checks every file and writes the result. Returns the exit code: 0 where all is well, 1 with
    /// problems, 2 where a file cannot be read.
    pub(crate) fn run(&self) -> ExitCode {
        let checked: Vec<Checked> = self.files.iter().map(|file| self.check(file)).collect();
        match self.format {
            Format::Text => report::text(&checked),
            Format::Json => report::json(&checked),
        }
        ExitCode::from(checked.iter().map(Checked::exit_code).max().unwrap_or(0))
    }

    fn check(&self, file: &Path) -> Checked {
        let outcome = match content(file) {
            Ok(content) => self.check_content(&content),
            Err(error) => Outcome::Unreadable(error.to_string()),
        };
        Checked { file: file.display().to_string(), outcome }
    }

    fn check_content(&self, content: &str) -> Outcome {
        match find(Text::of_file(content)) {
            Ok(found) => {
                let mut problems: Vec<Problem> = found.iter().flat_map(|found| self.problems(found)).collect();
                problems.sort();
                problems.dedup();
                Outcome::Read(found.len(), problems)
            }
            Err(problems) => Outcome::Read(0, problems),
        }
    }

    fn problems(&self, found: &Found) -> Vec<Problem> {
        match found {
            Found::PluginText(text) => plugin::check_text(text, self.secrets),
            Found::PluginTree(node) => plugin::check_tree(node, self.secrets),
            Found::Bridge(text, node) => bridge::check(text, node, self.secrets),
        }
    }
}
