//! What the gateway stores, and how: every record is sealed before it leaves the gateway, to the
//! gateway, to its name and to its type, so that a store can neither read one nor pass one off as
//! another.
//!
//! The form of a record is not part of the seal: a record of one release is read by the next
//! and by the previous one ([`crate::store::encoding`]).

use minicbor::{Decode, Encode};
use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::key_ring::{Opened, Purpose};
use portcullis_storage_api::{Key, Kind, Swap, Ttl, Version, Versioned};

use crate::config::Sealer;
use crate::error::DependencyError;
use crate::ports::{Ports, Store, StoreAnomaly};
use crate::store::encoding;

/// A type of stored record.
pub trait Record: Encode<()> + for<'b> Decode<'b, ()> {
    /// The kind in the record's name.
    const KIND: Kind;

    /// The type's name in the seal. Types may share a kind but not this, and the name of a type
    /// that is gone is not given to another.
    const TYPE: &'static str;
}

/// Names a record by the parts that identify it within its kind; the parts cannot run into each
/// other.
#[must_use]
pub fn key(kind: Kind, parts: &[&[u8]]) -> Key {
    Key { kind, id: *digest_parts(parts).as_bytes() }
}

/// A record as loaded, with the version that a change must name.
pub struct VersionedRecord<R> {
    /// The record.
    pub record: R,
    /// Its version.
    pub version: Version,
}

/// Typed, sealed access to the store.
pub struct Records<'a, P> {
    sealer: &'a Sealer,
    ports: &'a P,
}

impl<'a, P: Ports> Records<'a, P> {
    /// Over the store of these ports, sealed by `sealer`.
    pub fn new(sealer: &'a Sealer, ports: &'a P) -> Self {
        Self { sealer, ports }
    }

    /// The ports behind it.
    pub(crate) fn ports(&self) -> &'a P {
        self.ports
    }

    /// Reads a record. One that does not open is counted and treated as absent: it was sealed under
    /// a secret that is gone, or was tampered with, and neither may stop the user from starting
    /// over.
    ///
    /// # Errors
    /// [`DependencyError::Store`].
    pub async fn load<R: Record>(&self, key: &Key) -> Result<Option<VersionedRecord<R>>, DependencyError> {
        let Some(stored) = self.ports.store().get(key).await? else { return Ok(None) };
        Ok(self.loaded(key, stored))
    }

    /// A record that was read together with others, as [`Records::load`] gives it.
    pub(crate) fn loaded<R: Record>(&self, key: &Key, stored: Versioned) -> Option<VersionedRecord<R>> {
        self.open(key, stored.value).map(|record| VersionedRecord { record, version: stored.version })
    }

    /// Starts the life of a record again that was just read. Nothing happens when it was changed
    /// since. Returns `false` if it was sealed by an older secret that is gone.
    ///
    /// # Errors
    /// [`DependencyError`].
    pub(crate) async fn extend<R: Record>(
        &self,
        key: &Key,
        stored: Versioned,
        ttl: Ttl,
    ) -> Result<bool, DependencyError> {
        let Some(value) = self.by_newest::<R>(key, stored.value)? else { return Ok(false) };
        let _conflict = self.ports.store().compare_and_swap(key, stored.version, value, ttl).await?;
        Ok(true)
    }

    /// Returns the bytes to write when only the TTL changes: unchanged if sealed with the newest
    /// secret, otherwise re-sealed. What stays unchanged is not verified here: every reader opens
    /// it.
    fn by_newest<R: Record>(&self, key: &Key, sealed: Vec<u8>) -> Result<Option<Vec<u8>>, DependencyError> {
        if self.sealer.is_by_newest(&sealed) {
            return Ok(Some(sealed));
        }
        self.open::<R>(key, sealed).map(|record| self.seal(key, &record)).transpose()
    }

    /// Writes a record, whatever was there.
    ///
    /// # Errors
    /// [`DependencyError`].
    pub async fn save<R: Record>(&self, key: &Key, record: &R, ttl: Ttl) -> Result<(), DependencyError> {
        Ok(self.ports.store().put(key, self.seal(key, record)?, ttl).await?)
    }

    /// Writes a record only where none is; tells whether it did.
    ///
    /// # Errors
    /// [`DependencyError`].
    pub async fn create<R: Record>(&self, key: &Key, record: &R, ttl: Ttl) -> Result<bool, DependencyError> {
        Ok(self.ports.store().put_new(key, self.seal(key, record)?, ttl).await?)
    }

    /// Writes a record if it still has this version; tells whether it did.
    ///
    /// # Errors
    /// [`DependencyError`].
    pub async fn swap<R: Record>(
        &self,
        key: &Key,
        version: Version,
        record: &R,
        ttl: Ttl,
    ) -> Result<bool, DependencyError> {
        let swap = self.ports.store().compare_and_swap(key, version, self.seal(key, record)?, ttl).await?;
        Ok(swap == Swap::Swapped)
    }

    /// Deletes a record.
    ///
    /// # Errors
    /// [`DependencyError::Store`].
    pub async fn delete(&self, key: &Key) -> Result<(), DependencyError> {
        Ok(self.ports.store().delete(key).await?)
    }

    fn seal<R: Record>(&self, key: &Key, record: &R) -> Result<Vec<u8>, DependencyError> {
        let nonce = self.ports.random()?;
        // The types of records can be written; were one not, nothing is stored.
        seal(self.sealer, key, record, nonce).ok_or(DependencyError::Internal)
    }

    fn open<R: Record>(&self, key: &Key, sealed: Vec<u8>) -> Option<R> {
        self.read::<R, R>(key, sealed, |record| encoding::from_bytes(record))
    }

    /// Opens a stored record and gives what `read` takes of it; the rest is wiped. One that does
    /// not open, or that `read` does not understand, is counted as in [`Records::load`].
    pub(crate) fn read<R: Record, T>(
        &self,
        key: &Key,
        sealed: Vec<u8>,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let taken = opened::<R>(self.sealer, key, sealed).and_then(|record| read(record.expose()));
        if taken.is_none() {
            self.ports.count(StoreAnomaly::Unopenable);
        }
        taken
    }
}

/// Seals a record for its name; `None` if its type cannot be written. `nonce` must be fresh random
/// bytes.
#[must_use]
pub fn seal<R: Record>(sealer: &Sealer, key: &Key, record: &R, nonce: [u8; 24]) -> Option<Vec<u8>> {
    let draft = encoding::to_draft(record).ok()?;
    Some(sealer.seal(nonce, Purpose::Record, &bound_to::<R>(&[key.kind as u8], key), draft))
}

/// Opens a stored record under its name; `None` when it was sealed under a secret that is not
/// configured, by another gateway, under another name or as another type.
#[must_use]
pub fn open<R: Record>(sealer: &Sealer, key: &Key, sealed: &[u8]) -> Option<R> {
    encoding::from_bytes(opened::<R>(sealer, key, sealed.to_vec())?.expose())
}

fn opened<R: Record>(sealer: &Sealer, key: &Key, sealed: Vec<u8>) -> Option<Opened> {
    sealer.open(Purpose::Record, &bound_to::<R>(&[key.kind as u8], key), sealed)
}

/// The context that a record is sealed to besides the gateway: the kind and the id in its name, and
/// its type, of which only the last has no fixed length.
fn bound_to<'a, R: Record>(kind: &'a [u8; 1], key: &'a Key) -> [&'a [u8]; 3] {
    [kind, &key.id, R::TYPE.as_bytes()]
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod records_tests;
