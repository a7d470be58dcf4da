//! The symmetric keys of the gateway: sealing stored values and authenticating issued credentials.
//!
//! Every use has its own key, derived by HKDF-SHA256 (RFC 5869) from the configured secret and a
//! label, so a value made for one purpose is useless for another. The first secret seals and
//! authenticates; all of them open and verify, so a secret can be replaced without logging anyone
//! out.

use std::fmt;

use portcullis_cipher as cipher;
use subtle::ConstantTimeEq as _;

use super::derive::DerivedKeys;
pub use super::derive::{KeyId, Purpose};
pub use super::envelope::{Draft, Opened};
use super::envelope::{HEAD_BYTES, TAG_BYTES};
use crate::crypto::secret::Secret;

/// The keys derived from the configured secrets, newest first.
pub struct KeyRing {
    /// `None` in a ring that is closed.
    newest: Option<DerivedKeys>,
    older: Vec<DerivedKeys>,
}

/// Why a list of secrets is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRingError {
    /// The list is empty.
    Empty,
    /// The secret at this index (from 0) has fewer than 32 bytes.
    TooShort {
        /// Its index in the list.
        index: usize,
    },
    /// The secret at this index (from 0) has the key id of an earlier one; usually it is the same
    /// secret twice.
    Repeated {
        /// Its index in the list.
        index: usize,
    },
}

/// Why a sealed value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// It is not an envelope of this version.
    Malformed,
    /// It names a key that is not in the ring.
    UnknownKey,
    /// It was changed, or sealed for another purpose or other associated data.
    Forged,
}

impl KeyRing {
    /// Derives the keys. The first secret seals and authenticates; all open and verify.
    ///
    /// # Errors
    /// Returns [`KeyRingError`] with the index of the secret.
    pub fn new(secrets: Vec<Secret<Vec<u8>>>) -> Result<Self, KeyRingError> {
        let mut keys: Vec<DerivedKeys> = Vec::with_capacity(secrets.len());
        for (index, secret) in secrets.iter().enumerate() {
            if secret.expose().len() < MIN_SECRET_BYTES {
                return Err(KeyRingError::TooShort { index });
            }
            let derived = DerivedKeys::of(secret);
            if keys.iter().any(|earlier| earlier.id == derived.id) {
                return Err(KeyRingError::Repeated { index });
            }
            keys.push(derived);
        }
        let mut keys = keys.into_iter();
        let newest = keys.next().ok_or(KeyRingError::Empty)?;
        Ok(Self { newest: Some(newest), older: keys.collect() })
    }

    /// Returns a ring without any key, for a gateway that issues nothing: nothing opens or verifies
    /// in it, and what it seals or authenticates is empty or zeros, and good nowhere.
    #[must_use]
    pub const fn closed() -> Self {
        Self { newest: None, older: Vec::new() }
    }

    /// Returns the ring whose sealing keys are derived from this one's and `context`, by
    /// HKDF-SHA256: what it seals opens in a ring of the same secrets and context only. Ids and
    /// MACs are the same.
    #[must_use]
    pub fn sealing_for(&self, context: &[u8; 32]) -> Self {
        let derive = |keys: &DerivedKeys| keys.sealing_for(context);
        Self { newest: self.newest.as_ref().map(derive), older: self.older.iter().map(derive).collect() }
    }

    /// Returns the id of the newest key, which seals and authenticates.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.newest.as_ref().map_or(KeyId([0; 4]), |newest| newest.id)
    }

    /// Returns `true` if a key of this id is in the ring.
    #[must_use]
    pub fn knows(&self, id: KeyId) -> bool {
        self.key(id).is_some()
    }

    /// Seals `plain` with XChaCha20-Poly1305 under the newest key.
    ///
    /// The envelope is version byte 2, key id (4 bytes), nonce (24 bytes), ciphertext and tag. Its
    /// head is not authenticated by `aad`, which is safe: there is one version, the id chooses the
    /// key, and the nonce is an input of the cipher. `nonce` must be fresh random bytes: at 24
    /// bytes a collision is out of reach.
    #[must_use]
    pub fn seal(&self, nonce: [u8; 24], purpose: Purpose, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut draft = Draft::with_room(plain.len());
        draft.append(plain);
        self.seal_draft(nonce, purpose, aad, draft)
    }

    /// perf: decision 8. As [`KeyRing::seal`], without a copy: the value is encrypted where it was
    /// written.
    #[must_use]
    pub fn seal_draft(&self, nonce: [u8; 24], purpose: Purpose, aad: &[u8], draft: Draft) -> Vec<u8> {
        let Some(newest) = &self.newest else { return Vec::new() };
        let mut envelope = draft.into_envelope();
        let head = newest.head(nonce);
        if let Some((start, text)) = envelope.split_first_chunk_mut() {
            *start = head;
            #[expect(
                clippy::expect_used,
                reason = "encryption fails only past 256 GiB, more than a wasm memory can hold"
            )]
            let tag = cipher::encrypt(newest.sealing(purpose), nonce, aad, text).expect("the message is short");
            envelope.extend_from_slice(&tag);
        }
        envelope
    }

    /// Returns `true` if an envelope names the newest key. It may still be forged.
    #[must_use]
    pub fn is_by_newest(&self, sealed: &[u8]) -> bool {
        self.newest.as_ref().is_some_and(|newest| sealed.get(1..5) == Some(newest.id.as_bytes()))
    }

    /// Opens an envelope that [`KeyRing::seal`] made for the same purpose and associated data.
    ///
    /// # Errors
    /// Returns [`OpenError`], which reveals nothing that is not public in the envelope.
    pub fn open(&self, purpose: Purpose, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.open_in_place(purpose, aad, sealed.to_vec()).map(|opened| opened.expose().to_vec())
    }

    /// perf: decision 8. As [`KeyRing::open`], without a copy: the value is decrypted inside the
    /// envelope.
    ///
    /// # Errors
    /// As [`KeyRing::open`].
    pub fn open_in_place(&self, purpose: Purpose, aad: &[u8], mut sealed: Vec<u8>) -> Result<Opened, OpenError> {
        let (head, rest) = sealed.split_first_chunk_mut::<HEAD_BYTES>().ok_or(OpenError::Malformed)?;
        let (text, tag) = rest.split_last_chunk_mut::<TAG_BYTES>().ok_or(OpenError::Malformed)?;
        let (version, named) = head.split_first().ok_or(OpenError::Malformed)?;
        let (id, nonce) = named.split_first_chunk::<4>().ok_or(OpenError::Malformed)?;
        let nonce: [u8; 24] = nonce.try_into().map_err(|_| OpenError::Malformed)?;
        if *version != super::envelope::VERSION {
            return Err(OpenError::Malformed);
        }
        let key = self.key(KeyId(*id)).ok_or(OpenError::UnknownKey)?.sealing(purpose);
        cipher::decrypt(key, nonce, aad, text, *tag).map_err(|cipher::Forged| OpenError::Forged)?;
        Ok(Opened(sealed))
    }

    /// Returns the HMAC-SHA256 of the parts under the newest key. Parts are length-prefixed, so
    /// moving a boundary changes the MAC.
    #[must_use]
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        self.newest.as_ref().map_or([0; 32], |newest| newest.mac(purpose, parts))
    }

    /// Returns `true` if `mac` is the MAC of the parts under the key of this id; `false` for a key
    /// not in the ring. Compares in constant time.
    #[must_use]
    pub fn verify_mac(&self, purpose: Purpose, key_id: KeyId, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.key(key_id).is_some_and(|key| key.mac(purpose, parts).ct_eq(mac).into())
    }

    fn key(&self, id: KeyId) -> Option<&DerivedKeys> {
        self.newest.iter().chain(&self.older).find(|key| key.id == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing(newest {}, {} older)", self.current(), self.older.len())
    }
}

const MIN_SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use hkdf::Hkdf;
    use hmac::{Hmac, Mac as _};
    use sha2::Sha256;

    use super::*;
    use crate::crypto::derive::SALT;

    const PURPOSES: [Purpose; 8] = [
        Purpose::Record,
        Purpose::Consent,
        Purpose::Csrf,
        Purpose::Cookie,
        Purpose::AuthorizationCode,
        Purpose::RefreshToken,
        Purpose::RefreshSuccessor,
        Purpose::ClientId,
    ];

    fn ring(secrets: &[u8]) -> KeyRing {
        KeyRing::new(secrets.iter().map(|byte| Secret::new(vec![*byte; 32])).collect()).unwrap()
    }

    fn sealed() -> Vec<u8> {
        ring(&[1]).seal([7; 24], Purpose::Record, b"key:1", b"plain")
    }

    #[test]
    fn a_sealed_value_opens_for_its_purpose_and_data_only() {
        let ring = ring(&[1]);
        assert_eq!(ring.open(Purpose::Record, b"key:1", &sealed()).as_deref(), Ok(&b"plain"[..]));
        assert_eq!(ring.open(Purpose::Record, b"key:2", &sealed()), Err(OpenError::Forged));
        assert_eq!(ring.open(Purpose::Record, b"", &sealed()), Err(OpenError::Forged));
        for purpose in PURPOSES.into_iter().filter(|purpose| *purpose != Purpose::Record) {
            assert_eq!(ring.open(purpose, b"key:1", &sealed()), Err(OpenError::Forged), "{purpose:?}");
        }
    }

    #[test]
    fn a_closed_ring_makes_nothing_that_counts_and_accepts_nothing() {
        let closed = KeyRing::closed();
        for ring in [&closed, &closed.sealing_for(&[7; 32])] {
            assert_eq!(ring.seal([7; 24], Purpose::Record, b"", b"plain"), b"");
            for sealed in [sealed(), Vec::new(), vec![0; 100]] {
                assert!(ring.open(Purpose::Record, b"key:1", &sealed).is_err() && !ring.is_by_newest(&sealed));
            }
            let mac = ring.mac(Purpose::Csrf, &[b"a"]);
            assert!(!ring.verify_mac(Purpose::Csrf, ring.current(), &[b"a"], &mac) && !ring.knows(ring.current()));
        }
    }

    #[test]
    fn a_sealed_value_opens_in_the_same_context_only() {
        let (own, other) = (ring(&[2, 1]).sealing_for(&[3; 32]), ring(&[1]).sealing_for(&[4; 32]));
        let sealed_in = ring(&[1]).sealing_for(&[3; 32]).seal([7; 24], Purpose::Record, b"key:1", b"plain");
        assert_eq!(own.open(Purpose::Record, b"key:1", &sealed_in).as_deref(), Ok(&b"plain"[..]));
        for stranger in [&other, &ring(&[1])] {
            assert_eq!(stranger.open(Purpose::Record, b"key:1", &sealed_in), Err(OpenError::Forged));
        }
        assert_eq!(own.open(Purpose::Record, b"key:1", &sealed()), Err(OpenError::Forged));
        for purpose in PURPOSES.into_iter().filter(|purpose| *purpose != Purpose::Record) {
            assert_eq!(own.open(purpose, b"key:1", &sealed_in), Err(OpenError::Forged), "{purpose:?}");
        }
        assert_eq!(own.current(), ring(&[2]).current());
        assert_eq!(own.mac(Purpose::Consent, &[b"a"]), ring(&[2]).mac(Purpose::Consent, &[b"a"]));
    }

    #[test]
    fn what_is_opened_in_place_is_the_value_and_is_not_printed() {
        let opened = ring(&[1]).open_in_place(Purpose::Record, b"key:1", sealed()).unwrap();
        assert_eq!((opened.expose(), format!("{opened:?}").as_str()), (&b"plain"[..], "Opened(..)"));
        let empty = ring(&[1]).seal([7; 24], Purpose::Record, b"", b"");
        assert_eq!(ring(&[1]).open_in_place(Purpose::Record, b"", empty).unwrap().expose(), b"");
    }

    #[test]
    fn a_draft_is_sealed_as_the_value_that_was_written_however_it_was_written() {
        let ring = ring(&[1]);
        for room in [0, 5, 100] {
            let mut draft = Draft::with_room(room);
            assert_eq!(draft.write(b"pl").unwrap(), 2);
            draft.write_all(b"ain").unwrap();
            draft.flush().unwrap();
            assert_eq!(ring.seal_draft([7; 24], Purpose::Record, b"key:1", draft), sealed(), "{room}");
        }
        let empty = ring.seal_draft([7; 24], Purpose::Record, b"", Draft::with_room(0));
        assert_eq!(ring.open(Purpose::Record, b"", &empty).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn an_envelope_shows_if_the_newest_key_sealed_it() {
        assert!(ring(&[1]).is_by_newest(&sealed()));
        assert!(!ring(&[2, 1]).is_by_newest(&sealed()));
        for short in [0, 1, 4] {
            assert!(!ring(&[1]).is_by_newest(&sealed()[..short]), "{short}");
        }
    }

    #[test]
    fn every_single_bit_flip_is_noticed() {
        let ring = ring(&[1]);
        for bit in 0..sealed().len() * 8 {
            let mut changed = sealed();
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0 => OpenError::Malformed,
                1..=4 => OpenError::UnknownKey,
                _ => OpenError::Forged,
            };
            assert_eq!(ring.open(Purpose::Record, b"key:1", &changed), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn a_value_that_names_another_key_of_the_ring_is_forged() {
        let ring = ring(&[2, 1]);
        let mut changed = sealed();
        changed[1..5].copy_from_slice(ring.current().as_bytes());
        assert_eq!(ring.open(Purpose::Record, b"key:1", &changed), Err(OpenError::Forged));
    }

    #[test]
    fn a_shortened_or_lengthened_value_is_refused() {
        let ring = ring(&[1]);
        for length in 0..sealed().len() {
            assert!(ring.open(Purpose::Record, b"key:1", &sealed()[..length]).is_err(), "{length}");
        }
        let mut longer = sealed();
        longer.push(0);
        assert_eq!(ring.open(Purpose::Record, b"key:1", &longer), Err(OpenError::Forged));
        assert_eq!(ring.open(Purpose::Record, b"key:1", &[]), Err(OpenError::Malformed));
    }

    #[test]
    fn after_a_rotation_the_old_key_opens_and_the_new_key_seals() {
        let rotated = ring(&[2, 1]);
        assert_eq!(rotated.open(Purpose::Record, b"key:1", &sealed()).as_deref(), Ok(&b"plain"[..]));
        let fresh = rotated.seal([8; 24], Purpose::Record, b"", b"");
        assert_eq!(ring(&[1]).open(Purpose::Record, b"", &fresh), Err(OpenError::UnknownKey));
        assert_eq!(ring(&[2]).open(Purpose::Record, b"", &fresh).as_deref(), Ok(&b""[..]));
        assert_eq!(ring(&[2]).open(Purpose::Record, b"key:1", &sealed()), Err(OpenError::UnknownKey));
    }

    #[test]
    fn a_mac_is_hmac_over_the_parts_with_their_lengths() {
        let ring = ring(&[1]);
        let (_, hkdf) = Hkdf::<Sha256>::extract(Some(SALT), &[1; 32]);
        let mut key = [0; 64];
        hkdf.expand(b"mac/consent", &mut key).unwrap();
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new((&key).into());
        mac.update(b"\0\0\0\x02ab\0\0\0\x01c");
        for _ in 0..2 {
            let again: [u8; 32] = mac.clone().finalize().into_bytes().into();
            assert_eq!(ring.mac(Purpose::Consent, &[b"ab", b"c"]), again);
        }
    }

    #[test]
    fn a_mac_is_bound_to_purpose_key_and_part_boundaries() {
        let ring = ring(&[1]);
        let id = ring.current();
        let mac = ring.mac(Purpose::Consent, &[b"ab", b"c"]);
        assert!(ring.verify_mac(Purpose::Consent, id, &[b"ab", b"c"], &mac));
        for parts in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"c", b""], &[b"c", b"ab"], &[]] {
            assert!(!ring.verify_mac(Purpose::Consent, id, parts, &mac), "{parts:?}");
        }
        assert!(!ring.verify_mac(Purpose::Cookie, id, &[b"ab", b"c"], &mac));
        assert!(!ring.verify_mac(Purpose::Consent, KeyId([0; 4]), &[b"ab", b"c"], &mac));
        assert!(!ring.verify_mac(Purpose::Consent, id, &[b"ab", b"c"], &mac[..31]));
        assert!(!ring.verify_mac(Purpose::Consent, id, &[b"ab", b"c"], b""));
    }

    #[test]
    fn an_older_key_still_verifies_its_macs() {
        let old = ring(&[1]);
        let mac = old.mac(Purpose::Cookie, &[b"x"]);
        let rotated = ring(&[2, 1]);
        assert!(rotated.verify_mac(Purpose::Cookie, old.current(), &[b"x"], &mac));
        assert!(!rotated.verify_mac(Purpose::Cookie, rotated.current(), &[b"x"], &mac));
        assert!(rotated.knows(old.current()) && !old.knows(rotated.current()));
    }

    #[test]
    fn unfit_secrets_are_named_by_their_index() {
        let secrets = |list: &[&[u8]]| list.iter().map(|secret| Secret::new(secret.to_vec())).collect();
        assert_eq!(KeyRing::new(Vec::new()).unwrap_err(), KeyRingError::Empty);
        assert_eq!(KeyRing::new(secrets(&[&[1; 32], &[2; 31]])).unwrap_err(), KeyRingError::TooShort { index: 1 });
        assert_eq!(KeyRing::new(secrets(&[&[1; 32], &[1; 32]])).unwrap_err(), KeyRingError::Repeated { index: 1 });
    }

    #[test]
    fn key_ids_have_one_spelling() {
        let id = ring(&[1]).current();
        assert_eq!(KeyId::parse(&id.to_string()), Some(id));
        assert_eq!(KeyId::parse("00000abc"), Some(KeyId([0, 0, 10, 0xbc])));
        for text in ["", "0000abc", "00000ABC", "+0000abc", "000000abc", "0000 abc", "0000xabc"] {
            assert_eq!(KeyId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn printing_a_ring_shows_ids_only() {
        let ring = ring(&[1, 2]);
        assert_eq!(format!("{ring:?}"), format!("KeyRing(newest {}, 1 older)", ring.current()));
    }
}
