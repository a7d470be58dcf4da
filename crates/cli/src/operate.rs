//! `portcullis admin`: from the command line to an exit code.

use std::path::Path;
use std::process::ExitCode;

use portcullis_redis_bridge::config::admin::AdminConfig;
use tokio::runtime::Builder;

use crate::admin::Admin;
use crate::say::complain;
use crate::{environment, log};

/// Runs one of the commands on records. Returns the exit code: 0 when done, 1 when not, 2 for wrong
/// arguments or a wrong configuration.
pub(crate) fn operate(admin: &Admin) -> ExitCode {
    // TLS needs to be told whose cryptography it uses; only a second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    log::start();
    let config = match read(&admin.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    config.redis.warn_if_insecure();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let done = runtime.block_on(async {
        tokio::select! {
            done = admin.run(&config) => Some(done),
            // A file that is half written is removed when the command is dropped.
            _ = tokio::signal::ctrl_c() => None,
        }
    });
    match done {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
        None => failed("interrupted"),
    }
}

/// Reads the configuration, or says everything that is wrong with it.
fn read(path: &Path) -> Result<AdminConfig, ExitCode> {
    let wrong = |what: &str| {
        complain(&format!("{}: {what}", path.display()));
        ExitCode::from(2)
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    AdminConfig::read(&text, &environment::variables()).map_err(|problems| {
        for problem in problems {
            wrong(&problem.to_string());
        }
        ExitCode::from(2)
    })
}

fn failed(error: &str) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}
