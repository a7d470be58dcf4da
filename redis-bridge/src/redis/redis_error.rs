//! The failures of commands and connections, told apart by how the bridge reacts.

use redis::{ErrorKind, ServerErrorKind};

use portcullis_storage_api::wire::RefusalCause;

/// The cause of a failed command or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RedisError {
    /// No master is connected.
    NoMaster,
    /// The connection was closed because the master changed.
    Retired,
    /// The connection failed or was closed.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// `READONLY`: the server is a replica.
    ReadOnly,
    /// The server's own role is not master.
    NotMaster,
    /// `LOADING`: the server is loading its data.
    Loading,
    /// `MASTERDOWN`: the server is a replica without a connection to its master.
    MasterDown,
    /// `NOREPLICAS`: fewer replicas than `min-replicas-to-write`; nothing was written.
    NoReplicas,
    /// `OOM`: the server is at `maxmemory`; nothing was written.
    OutOfMemory,
    /// `MISCONF`: the server cannot write to its disk and refuses writes.
    CannotPersist,
    /// `BUSY`: a script blocks the server.
    Busy,
    /// `NOPERM`: the ACL user lacks a command or a key pattern.
    NotPermitted,
    /// `NOSCRIPT`: the script must be sent with its text.
    NoScript,
    /// `WRONGTYPE`: the key holds another data type.
    WrongType,
    /// `WRONGPASS` or `NOAUTH`: the user or the password is wrong.
    WrongPassword,
    /// The server is at `maxclients`.
    TooManyClients,
    /// `MOVED` from a server that is configured as a single one, or too many redirections.
    Moved,
    /// `ASK` or `TRYAGAIN`: the slot is being migrated.
    Moving,
    /// `CLUSTERDOWN`: the server does not see enough of its cluster.
    ClusterDown,
    /// Any other answer.
    Unexpected,
}

impl From<&redis::RedisError> for RedisError {
    fn from(error: &redis::RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) {
            return Self::NoScript;
        }
        let text = format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default());
        if text.contains("max number of clients") {
            return Self::TooManyClients;
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::WrongPassword;
        }
        match error.code() {
            Some("READONLY") => Self::ReadOnly,
            Some("LOADING") => Self::Loading,
            Some("MASTERDOWN") => Self::MasterDown,
            Some("NOREPLICAS") => Self::NoReplicas,
            Some("OOM") => Self::OutOfMemory,
            Some("MISCONF") => Self::CannotPersist,
            Some("BUSY") => Self::Busy,
            Some("NOPERM") => Self::NotPermitted,
            Some("NOSCRIPT") => Self::NoScript,
            Some("WRONGTYPE") => Self::WrongType,
            Some("WRONGPASS" | "NOAUTH") => Self::WrongPassword,
            Some("MOVED") => Self::Moved,
            Some("ASK" | "TRYAGAIN") => Self::Moving,
            Some("CLUSTERDOWN") => Self::ClusterDown,
            // A command inside a script. Redis gives this refusal no code of its own.
            Some(_) if error.detail().is_some_and(|words| words.contains("can't run this command")) => {
                Self::NotPermitted
            }
            Some(_) => Self::Unexpected,
            None if error.is_io_error() || error.is_connection_dropped() => Self::Unreachable,
            None => Self::Unexpected,
        }
    }
}

impl RedisError {
    /// Returns `true` if the master must be searched at once: it changed, or the connection is of
    /// no more use.
    pub(crate) fn requires_discovery(self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut | Self::ReadOnly | Self::NotMaster | Self::MasterDown => true,
            Self::NoMaster
            | Self::Retired
            | Self::Loading
            | Self::NoReplicas
            | Self::OutOfMemory
            | Self::CannotPersist
            | Self::Busy
            | Self::NotPermitted
            | Self::NoScript
            | Self::WrongType
            | Self::WrongPassword
            | Self::TooManyClients
            | Self::Moved
            | Self::Moving
            | Self::ClusterDown
            | Self::Unexpected => false,
        }
    }

    /// Returns `true` if the server refuses every write alike, until its state changes.
    pub(crate) fn is_of_every_write(self) -> bool {
        match self {
            Self::Loading | Self::NoReplicas | Self::CannotPersist | Self::Busy | Self::ClusterDown => true,
            Self::NoMaster
            | Self::Retired
            | Self::Unreachable
            | Self::TimedOut
            | Self::ReadOnly
            | Self::NotMaster
            | Self::MasterDown
            | Self::OutOfMemory
            | Self::NotPermitted
            | Self::NoScript
            | Self::WrongType
            | Self::WrongPassword
            | Self::TooManyClients
            | Self::Moved
            | Self::Moving
            | Self::Unexpected => false,
        }
    }

    /// Returns `true` if the answer came from a replica. Nothing was written then.
    pub(crate) fn is_from_replica(self) -> bool {
        matches!(self, Self::ReadOnly | Self::NotMaster | Self::MasterDown)
    }

    /// Returns the refusal that the caller receives. Every failure that says nothing about the
    /// record is [`RefusalCause::Unavailable`]: a caller must never take it for an absent record.
    pub(crate) fn refusal_cause(self) -> RefusalCause {
        match self {
            Self::OutOfMemory => RefusalCause::Full,
            Self::WrongType => RefusalCause::Corrupt,
            Self::NoMaster
            | Self::Retired
            | Self::Unreachable
            | Self::TimedOut
            | Self::ReadOnly
            | Self::NotMaster
            | Self::Loading
            | Self::MasterDown
            | Self::NoReplicas
            | Self::CannotPersist
            | Self::Busy
            | Self::NotPermitted
            | Self::NoScript
            | Self::WrongPassword
            | Self::TooManyClients
            | Self::Moved
            | Self::Moving
            | Self::ClusterDown
            | Self::Unexpected => RefusalCause::Unavailable,
        }
    }

    /// Returns the label in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoMaster => "no_master",
            Self::Retired => "master_moved",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::ReadOnly => "readonly",
            Self::NotMaster => "not_master",
            Self::Loading => "loading",
            Self::MasterDown => "masterdown",
            Self::NoReplicas => "noreplicas",
            Self::OutOfMemory => "oom",
            Self::CannotPersist => "misconf",
            Self::Busy => "busy",
            Self::NotPermitted => "noperm",
            Self::NoScript => "noscript",
            Self::WrongType => "wrongtype",
            Self::WrongPassword => "wrong_password",
            Self::TooManyClients => "max_clients",
            Self::Moved => "moved",
            Self::Moving => "slot_moving",
            Self::ClusterDown => "clusterdown",
            Self::Unexpected => "unexpected",
        }
    }
}
