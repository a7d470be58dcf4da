//! What the gateway stores, and how: every record is sealed before it leaves the gateway, under a
//! name that is part of the seal, so that a store can neither read one nor pass one off as another.

use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::key_ring::{Draft, KeyRing, Opened, Purpose};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_storage_api::{Key, Kind, StoreError, Swap, Ttl, Version, Versioned};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ports::{NoEntropy, Oddity, Ports, Store};
use crate::sessions::state::Session;

/// A kind of stored record.
pub trait Record: Serialize + DeserializeOwned {
    /// The kind in the record's name.
    const KIND: Kind;
}

/// That a pending login was used. It says nothing more: only its name counts.
#[derive(Serialize, Deserialize)]
pub struct UsedLogin;

/// A checked authorization request.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// The client.
    pub client_id: String,
    /// Where the answer goes; it matched a registered URI.
    pub redirect_uri: String,
    /// The client's state, returned as it came.
    pub state: Option<String>,
    /// The client's PKCE challenge.
    pub challenge: String,
    /// The scopes to be granted.
    pub scope: GrantedScope,
    /// The resource, in canonical form.
    pub resource: String,
    /// What the provider is asked to do besides (`login` or `select_account`), where the client
    /// wants it.
    pub prompt: Option<String>,
}

/// A registered client.
#[derive(Clone, Serialize, Deserialize)]
pub struct Client {
    /// Its `client_id`; the record's name is only a digest of it.
    pub id: String,
    /// The name it gave itself.
    pub name: Option<String>,
    /// Its redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Whether it may have refresh tokens.
    pub refresh: bool,
    /// When it registered, in Unix seconds.
    pub registered_at: u64,
}

/// A consent to be remembered. Its name holds everything it covers.
#[derive(Serialize, Deserialize)]
pub struct Consent {
    /// When it was given, in Unix seconds.
    pub given_at: u64,
}

/// The `prompt` that a user's next login is sent to the provider with.
#[derive(Serialize, Deserialize)]
pub struct NextPrompt {
    /// Its value: `login`, `consent` or `select_account`.
    pub prompt: String,
}

/// A user as a provider knows them.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// Our name for the user: the `sub` of our tokens.
    pub id: String,
    /// The provider's issuer.
    pub issuer: String,
    /// The provider's name for the user.
    pub subject: String,
    /// When the user first logged in, in Unix seconds.
    pub created_at: u64,
}

/// The provider's tokens of one session. What a call needs of them comes first: it reads no
/// further.
#[derive(Clone, Serialize, Deserialize)]
pub struct Upstream {
    /// What the back end is given.
    #[serde(with = "sealed_text")]
    pub access_token: Secret<String>,
    /// When these tokens were obtained, in Unix seconds.
    pub obtained_at: u64,
    /// When the access token expires, in Unix seconds, if the provider said.
    pub expires_at: Option<u64>,
    /// What the next access token is got with.
    #[serde(with = "sealed_optional_text")]
    pub refresh_token: Option<Secret<String>>,
    /// The provider's name for the user, which a refreshed ID token must repeat.
    pub subject: String,
    /// Since when the provider refuses to renew them for a reason that is not the user's grant, in
    /// Unix seconds.
    pub refused_since: Option<u64>,
}

impl Record for UsedLogin {
    const KIND: Kind = Kind::Pending;
}
impl Record for Client {
    const KIND: Kind = Kind::Client;
}
impl Record for Consent {
    const KIND: Kind = Kind::Consent;
}
impl Record for NextPrompt {
    const KIND: Kind = Kind::Consent;
}
impl Record for User {
    const KIND: Kind = Kind::User;
}
impl Record for Session {
    const KIND: Kind = Kind::Session;
}
impl Record for Upstream {
    const KIND: Kind = Kind::Upstream;
}

/// Names a record by the parts that identify it within its kind; the parts cannot run into each
/// other.
#[must_use]
pub fn key(kind: Kind, parts: &[&[u8]]) -> Key {
    Key { kind, id: *digest_parts(parts).as_bytes() }
}

/// The key of a session.
#[must_use]
pub fn session_key(session: SessionId) -> Key {
    key(Kind::Session, &[session.as_bytes()])
}

/// Tells the tokens of one provider from those of another among the records of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderId([u8; 16]);

impl ProviderId {
    /// By the provider's name in the configuration: half a digest of it.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut id = [0; 16];
        overwrite(&mut id, digest_parts(&[name.as_bytes()]).as_bytes());
        Self(id)
    }
}

/// The key of a session's tokens at a provider. It begins like the session's, so the store inside
/// Envoy has both in one cell and finds them with one read.
#[must_use]
pub fn upstream_key(session: &Key, provider: ProviderId) -> Key {
    let mut id = session.id;
    overwrite(id.iter_mut().skip(16), &provider.0);
    Key { kind: Kind::Upstream, id }
}

/// The keys of a session and of its tokens at a provider, to be read together.
#[must_use]
pub fn session_keys(session: SessionId, provider: ProviderId) -> [Key; 2] {
    let key = session_key(session);
    [key, upstream_key(&key, provider)]
}

fn overwrite<'a>(bytes: impl IntoIterator<Item = &'a mut u8>, with: &[u8]) {
    bytes.into_iter().zip(with).for_each(|(byte, with)| *byte = *with);
}

/// Something that a request needs is away. Nothing may be concluded about the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The store.
    Store(StoreError),
    /// The random generator.
    Entropy,
    /// The signing key's implementation.
    Signer,
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoEntropy> for Unavailable {
    fn from(_: NoEntropy) -> Self {
        Self::Entropy
    }
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

/// The one place where a secret becomes text: inside a record that is about to be sealed.
mod sealed_text {
    use portcullis_protocol::crypto::secret::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// As [`sealed_text`], for a secret that may be absent.
mod sealed_optional_text {
    use portcullis_protocol::crypto::secret::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret<String>>, serializer: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod records_tests;
