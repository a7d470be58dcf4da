//! What a server is asked about itself, on a connection that never writes.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use crate::config::Endpoint;
use crate::redis::dialer::{Dialer, is_master, replicas};
use crate::redis::redis_error::Fault;

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is the master, with this many replicas in step.
    Master { replicas: u64 },
    /// It is the master, and may not be asked about replicas.
    Denied,
    /// It is a replica.
    Replica,
}

/// Asks one server at a time.
pub(crate) struct Questions {
    dialer: Dialer,
    /// Whether a replica will do.
    takes_replicas: bool,
    connection: Option<MultiplexedConnection>,
    /// Whether WAIT was denied when it was called last.
    denied: bool,
    /// Questions since WAIT was denied.
    since_denied: u32,
}

/// Asks a master for its replicas: `sought` of them have `patience` to confirm what was written.
#[derive(Clone, Copy)]
struct Wait {
    sought: u64,
    patience: Duration,
}

impl Questions {
    /// For servers that are reached so.
    pub(crate) fn new(dialer: Dialer, takes_replicas: bool) -> Self {
        Self { dialer, takes_replicas, connection: None, denied: false, since_denied: 0 }
    }

    /// Whether WAIT is denied.
    pub(crate) fn is_denied(&self) -> bool {
        self.denied
    }

    /// Whether any server was reached.
    pub(crate) fn has_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Turns to another server, and makes sure that it is what is looked for.
    ///
    /// # Errors
    /// [`Fault::NotMaster`] for a replica where that will not do, or why it cannot be asked.
    pub(crate) async fn turn_to(&mut self, endpoint: &Endpoint) -> Result<(), Fault> {
        (self.connection, self.denied) = (None, false);
        let mut connection = self.dialer.connect(endpoint).await?;
        let is_master = timeout(QUESTION, is_master(&mut connection)).await.map_err(|_| Fault::TimedOut)??;
        if !is_master && !self.takes_replicas {
            return Err(Fault::NotMaster);
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Asks the server whether it is the master, and how many replicas have confirmed once `sought`
    /// have, or after `patience`.
    ///
    /// # Errors
    /// [`Fault::NotMaster`] for a replica where that will not do, or why there is no answer.
    pub(crate) async fn ask(&mut self, sought: u64, patience: Duration) -> Result<Said, Fault> {
        let wait = self.wait(sought, patience);
        let connection = self.connection.as_mut().ok_or(Fault::Unreachable)?;
        let said = timeout(QUESTION, said(connection, wait, self.takes_replicas)).await.map_err(|_| Fault::TimedOut)?;
        self.noted(said)
    }

    /// Asks the server that was asked last. A connection that is closed or silent says nothing
    /// about the server, so new ones are tried; all within the time that an answer may take.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub(crate) async fn ask_again(&mut self, endpoint: &Endpoint) -> Result<Said, Fault> {
        // Only those that happen to be in step: one that has just come back and goes again would
        // hold up every write.
        let wait = self.wait(0, Duration::ZERO);
        let tries = async {
            let mut last = Fault::TimedOut;
            for _ in 0..TRIES {
                match timeout(HALF, self.said_again(endpoint, wait)).await.unwrap_or(Err(Fault::TimedOut)) {
                    Err(fault @ (Fault::Unreachable | Fault::TimedOut)) => (last, self.connection) = (fault, None),
                    said => return said,
                }
            }
            Err(last)
        };
        let said = timeout(QUESTION, tries).await.unwrap_or(Err(Fault::TimedOut));
        self.noted(said)
    }

    async fn said_again(&mut self, endpoint: &Endpoint, wait: Option<Wait>) -> Result<Said, Fault> {
        let connection = match &mut self.connection {
            Some(known) => known,
            none => none.insert(self.dialer.connect(endpoint).await?),
        };
        said(connection, wait, self.takes_replicas).await
    }

    /// A grant can come later, but the server logs what it denies: not every second.
    fn wait(&mut self, sought: u64, patience: Duration) -> Option<Wait> {
        self.since_denied = if self.denied { self.since_denied.saturating_add(1) % ASK_AGAIN } else { 0 };
        (self.since_denied == 0).then_some(Wait { sought, patience })
    }

    fn noted(&mut self, said: Result<Said, Fault>) -> Result<Said, Fault> {
        if let Ok(said) = said {
            self.denied = said == Said::Denied;
        }
        said
    }
}

async fn said(connection: &mut MultiplexedConnection, wait: Option<Wait>, takes_replicas: bool) -> Result<Said, Fault> {
    if !is_master(connection).await? {
        return if takes_replicas { Ok(Said::Replica) } else { Err(Fault::NotMaster) };
    }
    let Some(Wait { sought, patience }) = wait else { return Ok(Said::Denied) };
    match replicas(connection, sought, patience).await {
        Ok(count) => Ok(Said::Master { replicas: count }),
        Err(Fault::NotPermitted) => Ok(Said::Denied),
        Err(fault) => Err(fault),
    }
}

const QUESTION: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);
/// One on the connection that is there, and two on new ones: also a new one can be closed at once.
const TRIES: usize = 3;
const ASK_AGAIN: u32 = 30;
