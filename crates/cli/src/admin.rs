//! The commands on records: `portcullis admin …`.
//!
//! They reach Redis themselves, as a user of their own. With the gateway's secrets they open
//! records, by the gateway's own code.

mod backup;
mod backup_file;
mod clients;
mod connection;
mod error;
mod logins;
mod output;
mod purge;
mod restore;
mod sessions;
mod stats;
mod user_connections;
mod users;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use portcullis_gateway::config::Sealer;
use portcullis_protocol::crypto::key_ring::{KeyRing, KeyRingError};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_redis_bridge::config::admin::AdminConfig;
use portcullis_storage_api::Kind;
use portcullis_storage_api::wire::Space;

use connection::Connection;
use error::AdminError;
use logins::Selection;
use output::Output;
use restore::RestoreOptions;

/// A command on records, and whose records are meant.
#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The bridge's configuration file (YAML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Write JSON: one document, or one a line for lists.
    #[arg(long, global = true)]
    json: bool,
    /// The namespace of the gateway; default: admin.namespace of the configuration.
    #[arg(long, global = true)]
    namespace: Option<String>,
    /// The gateway's name; default: admin.name of the configuration.
    #[arg(long, global = true)]
    name: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The clients that registered.
    #[command(subcommand)]
    Clients(Clients),
    /// The logins.
    #[command(subcommand)]
    Sessions(Sessions),
    /// The users who are logged in.
    #[command(subcommand)]
    Users(Users),
    /// Count the records of each kind.
    Stats,
    /// Write all lasting records to a file. Values stay sealed.
    Backup {
        /// The file; one that is there is replaced once the new one is whole.
        file: PathBuf,
    },
    /// Write the records of a backup that have not expired and are not there.
    Restore {
        /// The file.
        file: PathBuf,
        /// Tell what would be written, and write nothing.
        #[arg(long)]
        dry_run: bool,
        /// Also write over records that are there.
        #[arg(long)]
        overwrite: bool,
        /// Restore here, though the backup is of another gateway or prefix.
        #[arg(long, value_name = "NAMESPACE/NAME")]
        into: Option<String>,
    },
    /// Delete everything of one gateway, or one kind of it. Clients that were deleted one by one
    /// are forgotten as such.
    #[command(group(ArgGroup::new("how").args(["dry_run", "yes"]).required(true)))]
    Purge {
        /// Only this kind, such as session or client.
        #[arg(long, value_parser = kind)]
        kind: Option<Kind>,
        /// Tell what would be deleted, and delete nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Clients {
    /// List them.
    List,
    /// Show one.
    Show {
        /// Its client_id, or the 64 hex digits of its record's name.
        id: String,
    },
    /// Delete one for good: it is refused from then on, and has to register again.
    Delete {
        /// Its client_id, or the 64 hex digits of its record's name.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Sessions {
    /// List them.
    List {
        #[command(flatten)]
        selection: Selection,
    },
    /// End some, or all.
    #[command(group(
        ArgGroup::new("which")
            .args(["user", "subject", "email", "session", "client", "all"])
            .multiple(true)
            .required(true)
    ))]
    Revoke {
        #[command(flatten)]
        selection: Selection,
        /// Tell how many there are, and end none.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Users {
    /// List them.
    List,
    /// Show one.
    Show {
        /// The `sub` of the gateway's tokens, or the subject or e-mail address at the provider.
        user: String,
    },
    /// End all sessions of one, and what the user has connected.
    Revoke {
        /// The `sub` of the gateway's tokens, or the subject or e-mail address at the provider.
        user: String,
        /// Tell how many there are, and end none.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Admin {
    /// Runs the command, and writes the result to standard output.
    ///
    /// # Errors
    /// An [`AdminError`].
    pub(crate) async fn run(&self, config: &AdminConfig) -> Result<(), AdminError> {
        let mut space = self.space(config)?;
        let sealer = sealer(config, &space)?;
        let mut output = Output::new(self.json);
        if let Command::Restore { into: Some(into), .. } = &self.command {
            let parts = into.split_once('/');
            let into = parts.and_then(|(namespace, name)| Space::new(namespace, name).ok());
            space = into.ok_or(AdminError::Usage("--into is not NAMESPACE/NAME, both DNS labels".to_owned()))?;
        }
        let mut connection = Connection::open(config, space).await?;
        match &self.command {
            Command::Clients(Clients::List) => clients::list(&mut connection, sealer.as_ref(), &mut output).await?,
            Command::Clients(Clients::Show { id }) => {
                clients::show(&mut connection, sealer.as_ref(), id, &mut output).await?
            }
            Command::Clients(Clients::Delete { id }) => {
                clients::delete(&mut connection, sealer.as_ref(), id, &mut output).await?
            }
            Command::Sessions(Sessions::List { selection }) => {
                sessions::list(&mut connection, sealer.as_ref(), selection, &mut output).await?;
            }
            Command::Sessions(Sessions::Revoke { selection, dry_run }) => {
                let trial = sessions::Trial { dry_run: *dry_run, connections: 0 };
                sessions::revoke(&mut connection, sealer.as_ref(), selection, trial, &mut output).await?;
            }
            Command::Users(Users::List) => users::list(&mut connection, sealer.as_ref(), &mut output).await?,
            Command::Users(Users::Show { user }) => {
                users::show(&mut connection, sealer.as_ref(), user, &mut output).await?;
            }
            Command::Users(Users::Revoke { user, dry_run }) => {
                users::revoke(&mut connection, sealer.as_ref(), user, *dry_run, &mut output).await?;
            }
            Command::Stats => stats::stats(&mut connection, &mut output).await?,
            Command::Backup { file } => backup::backup(&mut connection, file, &mut output).await?,
            Command::Restore { file, dry_run, overwrite, into } => {
                let options =
                    RestoreOptions { dry_run: *dry_run, overwrite: *overwrite, allow_other_target: into.is_some() };
                restore::restore(&mut connection, file, options, &mut output).await?;
            }
            Command::Purge { kind, dry_run, .. } => purge::purge(&mut connection, *kind, *dry_run, &mut output).await?,
        }
        output.finish()
    }

    fn space(&self, config: &AdminConfig) -> Result<Space, AdminError> {
        let part = |given: &Option<String>, configured: &Option<String>, flag: &str| {
            let missing =
                || AdminError::Usage(format!("whose records? Give --{flag}, or admin.{flag} in the configuration"));
            given.clone().or_else(|| configured.clone()).ok_or_else(missing)
        };
        let namespace = part(&self.namespace, &config.namespace, "namespace")?;
        let name = part(&self.name, &config.name, "name")?;
        let labels = || AdminError::Usage("--namespace and --name must be DNS labels: a-z, 0-9 and -".to_owned());
        Space::new(&namespace, &name).map_err(|_| labels())
    }
}

/// Returns what opens the gateway's records; `None` if the configuration names no secrets.
fn sealer(config: &AdminConfig, space: &Space) -> Result<Option<Sealer>, AdminError> {
    let issuer = config.issuer.as_deref().unwrap_or_default();
    Ok(ring(config)?.map(|ring| Sealer::new(&ring, issuer, Some(space))))
}

/// Derives the keys from the gateway's secrets; `None` if the configuration names none.
fn ring(config: &AdminConfig) -> Result<Option<KeyRing>, AdminError> {
    let secrets: Vec<Secret<Vec<u8>>> =
        config.gateway_secrets.iter().map(|secret| Secret::new(secret.to_vec())).collect();
    match KeyRing::new(secrets) {
        Ok(ring) => Ok(Some(ring)),
        Err(KeyRingError::Empty) => Ok(None),
        Err(KeyRingError::TooShort { index }) => {
            Err(AdminError::Usage(format!("admin.gatewaySecrets[{index}] has fewer than 32 bytes")))
        }
        Err(KeyRingError::Repeated { index }) => {
            Err(AdminError::Usage(format!("admin.gatewaySecrets[{index}] is the same secret again")))
        }
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    known.ok_or_else(|| format!("not one of {}", Kind::ALL.map(Kind::name).join(", ")))
}
