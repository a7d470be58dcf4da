//! Connections that one operation at a time has to itself.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::redis::connection::Connection;

/// Open connections, free and in use.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Member>>);

struct Member {
    connection: Connection,
    is_free: bool,
}

/// A connection in use. Dropped before it is given back, it was left in the middle of something,
/// and is closed.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    connection: Connection,
    is_whole: bool,
}

impl Pool {
    /// Takes a free connection, if there is one.
    pub(crate) fn take(&self) -> Option<Lease<'_>> {
        let mut members = self.open_members();
        let free = members.iter_mut().find(|member| member.is_free)?;
        free.is_free = false;
        Some(Lease { pool: self, connection: free.connection.clone(), is_whole: false })
    }

    /// Adds a new connection, which is in use from the start.
    pub(crate) fn add(&self, connection: Connection) -> Lease<'_> {
        self.open_members().push(Member { connection: connection.clone(), is_free: false });
        Lease { pool: self, connection, is_whole: false }
    }

    /// Returns every open connection.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.open_members().iter().map(|member| member.connection.clone()).collect()
    }

    /// Lets go of every connection; those in use last until their operation ends.
    pub(crate) fn clear(&self) {
        self.open_members().clear();
    }

    fn open_members(&self) -> MutexGuard<'_, Vec<Member>> {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| !member.connection.is_closed());
        members
    }
}

impl Lease<'_> {
    /// Gives the connection back: everything that was asked on it was answered.
    pub(crate) fn give_back(mut self) {
        self.is_whole = true;
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
        if !self.is_whole {
            return self.connection.give_up();
        }
        let mut members = self.pool.open_members();
        if let Some(own) = members.iter_mut().find(|member| member.connection.is(&self.connection)) {
            own.is_free = true;
        }
    }
}
