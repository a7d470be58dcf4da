//! What the gateway stores, and how: every record is sealed before it leaves the gateway, under a
//! name that is part of the seal, so that a store can neither read one nor pass one off as another.

use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::key_ring::{Draft, KeyRing, Opened, Purpose};
use portcullis_storage_api::{Key, Kind, StoreError, Swap, Ttl, Version, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Unavailable;
use crate::ports::{Oddity, Ports, Store};

/// A kind of stored record.
pub trait Record: Serialize + DeserializeOwned {
    /// The kind in the record's name.
    const KIND: Kind;
}

/// Names a record by the parts that identify it within its kind; the parts cannot run into each
/// other.
#[must_use]
pub fn key(kind: Kind, parts: &[&[u8]]) -> Key {
    Key { kind, id: *digest_parts(parts).as_bytes() }
}

/// A record as loaded, with the version that a change must name.
pub struct Loaded<R> {
    /// The record.
    pub record: R,
    /// Its version.
    pub version: Version,
}

/// A record that opened, as it is stored.
pub struct Found(Vec<u8>);

/// Typed, sealed access to the store.
pub struct Records<'a, P> {
    ring: &'a KeyRing,
    ports: &'a P,
}

impl<'a, P: Ports> Records<'a, P> {
    /// Over the given store and secrets.
    pub fn new(ring: &'a KeyRing, ports: &'a P) -> Self {
        Self { ring, ports }
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
    /// [`Unavailable::Store`].
    pub async fn load<R: Record>(&self, key: &Key) -> Result<Option<Loaded<R>>, Unavailable> {
        let Some(stored) = self.ports.store().get(key).await? else { return Ok(None) };
        Ok(self.loaded(key, stored))
    }

    /// A record that was read together with others, as [`Records::load`] gives it.
    pub(crate) fn loaded<R: Record>(&self, key: &Key, stored: Versioned) -> Option<Loaded<R>> {
        self.open(key, stored.value).map(|record| Loaded { record, version: stored.version })
    }

    /// As [`Records::load`], but leaves the record unread and gives what is stored, for
    /// [`Records::renew`].
    ///
    /// # Errors
    /// [`Unavailable::Store`].
    pub async fn find<R: Record>(&self, key: &Key) -> Result<Option<Found>, Unavailable> {
        let Some(stored) = self.ports.store().get(key).await? else { return Ok(None) };
        let sealed = stored.value.clone();
        Ok(self.read::<R, _>(key, stored.value, |_| Some(Found(sealed))))
    }

    /// Starts the life of a record anew, whatever was there meanwhile.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn renew<R: Record>(&self, key: &Key, Found(sealed): Found, ttl: Ttl) -> Result<(), Unavailable> {
        match self.by_newest::<R>(key, sealed)? {
            Some(value) => Ok(self.ports.store().put(key, value, ttl).await?),
            None => Ok(()),
        }
    }

    /// Starts the life of a record again that was just read. Nothing happens when it was changed
    /// since.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(crate) async fn extend<R: Record>(&self, key: &Key, stored: Versioned, ttl: Ttl) -> Result<(), Unavailable> {
        if let Some(value) = self.by_newest::<R>(key, stored.value)? {
            let _conflict = self.ports.store().compare_and_swap(key, stored.version, value, ttl).await?;
        }
        Ok(())
    }

    /// What to store for a record to last: itself, as it is, unless an older secret sealed it,
    /// which may go. Nobody believes what stays as it is: whoever reads it opens it.
    fn by_newest<R: Record>(&self, key: &Key, sealed: Vec<u8>) -> Result<Option<Vec<u8>>, Unavailable> {
        if self.ring.is_by_newest(&sealed) {
            return Ok(Some(sealed));
        }
        self.open::<R>(key, sealed).map(|record| self.seal(key, &record)).transpose()
    }

    /// Writes a record, whatever was there.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn save<R: Record>(&self, key: &Key, record: &R, ttl: Ttl) -> Result<(), Unavailable> {
        Ok(self.ports.store().put(key, self.seal(key, record)?, ttl).await?)
    }

    /// Writes a record only where none is; tells whether it did.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn create<R: Record>(&self, key: &Key, record: &R, ttl: Ttl) -> Result<bool, Unavailable> {
        Ok(self.ports.store().put_new(key, self.seal(key, record)?, ttl).await?)
    }

    /// Writes a record if it still has this version; tells whether it did.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn swap<R: Record>(
        &self,
        key: &Key,
        version: Version,
        record: &R,
        ttl: Ttl,
    ) -> Result<bool, Unavailable> {
        let swap = self.ports.store().compare_and_swap(key, version, self.seal(key, record)?, ttl).await?;
        Ok(swap == Swap::Swapped)
    }

    /// Deletes a record.
    ///
    /// # Errors
    /// [`Unavailable::Store`].
    pub async fn delete(&self, key: &Key) -> Result<(), Unavailable> {
        Ok(self.ports.store().delete(key).await?)
    }

    fn seal<R: Record>(&self, key: &Key, record: &R) -> Result<Vec<u8>, Unavailable> {
        let nonce = self.ports.random()?;
        // Records are plain structs of strings and numbers, so serializing one cannot fail; were it
        // to, nothing is stored.
        let mut draft = Draft::with_room(USUAL_BYTES);
        postcard::to_io(record, &mut draft).map_err(|_| Unavailable::Store(StoreError::TooLarge))?;
        Ok(self.ring.seal_draft(nonce, Purpose::Record, &associated_data::<R>(key), draft))
    }

    fn open<R: Record>(&self, key: &Key, sealed: Vec<u8>) -> Option<R> {
        self.read::<R, R>(key, sealed, |record| postcard::from_bytes(record).ok())
    }

    /// Opens a stored record and gives what `read` takes of it; the rest is wiped. One that does
    /// not open, or that `read` does not understand, is counted as in [`Records::load`].
    pub(crate) fn read<R: Record, T>(
        &self,
        key: &Key,
        sealed: Vec<u8>,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let taken = opened::<R>(self.ring, key, sealed).and_then(|record| read(record.expose()));
        if taken.is_none() {
            self.ports.count(Oddity::Unopenable);
        }
        taken
    }
}

/// Opens a stored record under its name; `None` when it was sealed under a secret that is not in
/// the ring, under another name, as another type or in another layout.
#[must_use]
pub fn open<R: Record>(ring: &KeyRing, key: &Key, sealed: &[u8]) -> Option<R> {
    postcard::from_bytes(opened::<R>(ring, key, sealed.to_vec())?.expose()).ok()
}

fn opened<R: Record>(ring: &KeyRing, key: &Key, sealed: Vec<u8>) -> Option<Opened> {
    ring.open_in_place(Purpose::Record, &associated_data::<R>(key), sealed).ok()
}

/// The version of every record's layout. It is part of the seal: a record of another layout does
/// not open. Records do not name their members, so whoever adds, removes or moves one raises it.
const LAYOUT: u8 = 6;

/// What a record is sealed to: the kind and the id in its name, its type and its layout.
fn associated_data<R: Record>(key: &Key) -> [u8; 35] {
    let mut data = [LAYOUT; 35];
    let [kind, id @ .., of, _] = &mut data;
    (*kind, *id, *of) = (key.kind as u8, key.id, R::KIND as u8);
    data
}

/// Room for a session or the tokens of most providers.
const USUAL_BYTES: usize = 1024;

#[cfg(test)]
#[path = "records_tests.rs"]
mod records_tests;
