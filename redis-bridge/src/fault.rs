//! What Redis can refuse or fail to do, told apart by what has to follow.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use portcullis_storage_api::wire::RefusalCause;

/// Why a command was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// There is no connection to a master.
    NoMaster,
    /// The connection was given up because the master moved.
    Retired,
    /// The connection could not be made or broke.
    Unreachable,
    /// No answer came in time.
    TimedOut,
    /// READONLY: this is a replica.
    ReadOnly,
    /// The server says that it is no master.
    NotMaster,
    /// LOADING: it is reading its data.
    Loading,
    /// MASTERDOWN: a replica that lost its master.
    MasterDown,
    /// NOREPLICAS: fewer replicas than `min-replicas-to-write`; nothing was written.
    NoReplicas,
    /// OOM: it is at `maxmemory`; nothing was written.
    OutOfMemory,
    /// MISCONF: it cannot save to its disk and takes no writes.
    CannotPersist,
    /// BUSY: a script holds it up.
    Busy,
    /// NOPERM: the ACL user may not do this.
    NotPermitted,
    /// NOSCRIPT: the script must be sent whole.
    NoScript,
    /// WRONGTYPE: something else is stored under the name.
    WrongType,
    /// WRONGPASS, NOAUTH: the user or the password is wrong.
    WrongPassword,
    /// It has as many clients as it takes.
    TooManyClients,
    /// MOVED, by a server that is used as if it were alone, or again and again: the slot is
    /// elsewhere.
    Moved,
    /// ASK, TRYAGAIN: the slot is on its way to another server.
    Moving,
    /// CLUSTERDOWN: the server does not see enough of its cluster.
    ClusterDown,
    /// An answer that is none of these.
    Unexpected,
}

impl Fault {
    /// Tells what went wrong.
    #[must_use]
    pub fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) {
            return Self::NoScript;
        }
        let told = format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default());
        if told.contains("max number of clients") {
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

    /// Whether the master must be looked for anew at once: it moved, or this connection is of no
    /// more use.
    pub(crate) fn asks_for_the_master(self) -> bool {
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

    /// Whether it says that the connection leads to a replica. Nothing was written then.
    pub(crate) fn tells_of_a_replica(self) -> bool {
        matches!(self, Self::ReadOnly | Self::NotMaster | Self::MasterDown)
    }

    /// What the caller is told. Everything that is no word about the record is "unavailable": a
    /// caller must never take trouble with the store for an absent record.
    pub(crate) fn refusal(self) -> RefusalCause {
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

    /// Its word in logs and metrics.
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
