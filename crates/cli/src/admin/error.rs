//! Why a command failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::terminal::plain;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum AdminError {
    /// The arguments are wrong, or the configuration lacks what the command needs; nothing was
    /// tried.
    Usage(String),
    /// Redis cannot be reached or used.
    Redis(String),
    /// The user may not call a command of Redis.
    NotGranted {
        /// The command.
        command: &'static str,
        /// Redis's own words.
        said: String,
    },
    /// There is no such record.
    NotFound,
    /// The record that was named does not open.
    DoesNotOpen,
    /// The client was deleted before.
    DeletedBefore,
    /// A record cannot be sealed.
    Seal(String),
    /// No login is of the user, client or session that was asked for.
    NoLogin,
    /// Some sessions did not open, so that they may be any user's.
    Unopened {
        /// How many.
        count: u64,
    },
    /// A file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is no whole backup that may be restored here.
    Backup(String),
    /// The result cannot be written.
    Output(io::Error),
}

impl AdminError {
    /// Returns the exit code of a process that ends with it: 2 for [`AdminError::Usage`], else 1.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Redis(_)
            | Self::NotGranted { .. }
            | Self::NotFound
            | Self::DoesNotOpen
            | Self::DeletedBefore
            | Self::Seal(_)
            | Self::NoLogin
            | Self::Unopened { .. }
            | Self::File { .. }
            | Self::Backup(_)
            | Self::Output(_) => 1,
        }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Backup(what) => f.write_str(what),
            Self::Redis(what) => write!(f, "redis: {}", plain(what)),
            Self::NotGranted { command, said } => {
                write!(f, "redis does not let this user call {command}: grant it +{command} ({})", plain(said))
            }
            Self::NotFound => f.write_str("there is no such record"),
            Self::DoesNotOpen => f.write_str(
                "the record does not open: is a gateway secret missing in admin.gatewaySecrets, or is admin.issuer \
                 another than the gateway's?",
            ),
            Self::DeletedBefore => f.write_str("the client was deleted before"),
            Self::Seal(why) => write!(f, "the record cannot be sealed: {why}"),
            Self::NoLogin => f.write_str("no login was found"),
            Self::Unopened { count } => write!(
                f,
                "{count} sessions did not open and may be meant too: is a gateway secret missing in \
                 admin.gatewaySecrets?"
            ),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Output(error) => write!(f, "the result cannot be written: {error}"),
        }
    }
}

impl std::error::Error for AdminError {}
