//! Connections that are each used by one operation at a time.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::redis::connection::Connection;

/// Open connections, idle and in use.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Entry>>);

struct Entry {
    connection: Connection,
    is_idle: bool,
}

/// A connection in use. Closed on drop unless it was released: an operation that ended early left
/// it with an answer outstanding.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    connection: Connection,
    is_released: bool,
}

impl Pool {
    /// Takes an idle connection.
    pub(crate) fn take(&self) -> Option<Lease<'_>> {
        let mut entries = self.open_entries();
        let entry = entries.iter_mut().find(|entry| entry.is_idle)?;
        entry.is_idle = false;
        Some(Lease { pool: self, connection: entry.connection.clone(), is_released: false })
    }

    /// Adds a new connection and leases it.
    pub(crate) fn add(&self, connection: Connection) -> Lease<'_> {
        self.open_entries().push(Entry { connection: connection.clone(), is_idle: false });
        Lease { pool: self, connection, is_released: false }
    }

    /// Returns every open connection.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.open_entries().iter().map(|entry| entry.connection.clone()).collect()
    }

    /// Removes every connection; one in use stays open until its operation ends.
    pub(crate) fn clear(&self) {
        self.open_entries().clear();
    }

    fn open_entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| !entry.connection.is_closed());
        entries
    }
}

impl Lease<'_> {
    /// Returns the connection to the pool after every command on it was answered.
    pub(crate) fn release(mut self) {
        self.is_released = true;
    }
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if !self.is_released {
            return self.connection.abandon();
        }
        let mut entries = self.pool.open_entries();
        if let Some(own) = entries.iter_mut().find(|entry| entry.connection.is_same(&self.connection)) {
            own.is_idle = true;
        }
    }
}
