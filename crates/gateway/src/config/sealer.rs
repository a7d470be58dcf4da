//! What the gateway seals values with, and to: its secrets, and which gateway it is.

use std::rc::Rc;

use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::key_ring::{Draft, KeyRing, Opened, Purpose};
use portcullis_storage_api::wire::Space;

/// Seals what leaves the gateway, records for a store and cookies and forms for a browser, to this
/// gateway: another one with the same secrets but another issuer or storage space does not open
/// them.
#[derive(Clone)]
pub struct Sealer {
    /// Its sealing keys are those of this gateway alone.
    ring: Rc<KeyRing>,
}

impl Sealer {
    /// Returns the sealer of the gateway with this issuer. `space` is where the bridge keeps its
    /// records; `None` for the memory store, which one gateway has to itself.
    #[must_use]
    pub fn new(ring: &KeyRing, issuer: &str, space: Option<&Space>) -> Self {
        let space = space.map_or(["memory", ""], |space| [space.namespace(), space.name()]);
        let [namespace, name] = space.map(str::as_bytes);
        let gateway = *digest_parts(&[b"gateway", issuer.as_bytes(), namespace, name]).as_bytes();
        Self { ring: Rc::new(ring.sealing_for(&gateway)) }
    }

    /// Seals a value under the newest secret. It opens with the same purpose and the same
    /// `bound_to` only, whose parts are joined as they are: the caller sees to it that no two lists
    /// of one purpose read alike.
    #[must_use]
    pub fn seal(&self, nonce: [u8; 24], purpose: Purpose, bound_to: &[&[u8]], draft: Draft) -> Vec<u8> {
        with_associated_data(bound_to, |data| self.ring.seal_draft(nonce, purpose, data, draft))
    }

    /// Opens a value in place; `None` unless [`Sealer::seal`] made it for the same gateway, purpose
    /// and `bound_to`, under a secret that is still configured.
    #[must_use]
    pub fn open(&self, purpose: Purpose, bound_to: &[&[u8]], sealed: Vec<u8>) -> Option<Opened> {
        with_associated_data(bound_to, |data| self.ring.open_in_place(purpose, data, sealed).ok())
    }

    /// Returns `true` if a value names the newest secret. It may be forged all the same.
    #[must_use]
    pub fn is_by_newest(&self, sealed: &[u8]) -> bool {
        self.ring.is_by_newest(sealed)
    }
}

/// Calls `with` with the parts, joined. Those of a record need no allocation (perf: decision 17).
fn with_associated_data<T>(parts: &[&[u8]], with: impl FnOnce(&[u8]) -> T) -> T {
    let mut stack = [0; STACK_BYTES];
    let mut heap;
    let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    let data = match stack.get_mut(..length) {
        Some(data) => data,
        None => {
            heap = vec![0; length];
            heap.as_mut_slice()
        }
    };
    let mut rest = &mut *data;
    for part in parts {
        let Some((place, after)) = std::mem::take(&mut rest).split_at_mut_checked(part.len()) else { break };
        place.copy_from_slice(part);
        rest = after;
    }
    with(data)
}

/// Room for the associated data of a record.
const STACK_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use portcullis_protocol::crypto::secret::Secret;

    use super::*;

    fn sealer(secrets: &[u8], issuer: &str, space: Option<(&str, &str)>) -> Sealer {
        let ring = KeyRing::new(secrets.iter().map(|byte| Secret::new(vec![*byte; 32])).collect()).unwrap();
        let space = space.map(|(namespace, name)| Space::new(namespace, name).unwrap());
        Sealer::new(&ring, issuer, space.as_ref())
    }

    fn draft() -> Draft {
        let mut draft = Draft::with_room(5);
        draft.write_all(b"value").unwrap();
        draft
    }

    #[test]
    fn a_value_opens_for_its_gateway_purpose_and_binding_only() {
        let one = sealer(&[1], "https://a.example", Some(("prod", "gateway")));
        let sealed = || one.seal([7; 24], Purpose::Record, &[b"session", b"1"], draft());
        let opens = |by: &Sealer, purpose, bound_to: &[&[u8]]| by.open(purpose, bound_to, sealed()).is_some();
        assert_eq!(one.open(Purpose::Record, &[b"session", b"1"], sealed()).unwrap().expose(), b"value");
        assert!(opens(
            &sealer(&[2, 1], "https://a.example", Some(("prod", "gateway"))),
            Purpose::Record,
            &[b"session1"]
        ));
        assert!(!opens(&one, Purpose::Cookie, &[b"session1"]));
        assert!(!opens(&one, Purpose::Record, &[b"session2"]));
        assert!(!opens(&one, Purpose::Record, &[]));
        for (secret, issuer, space) in [
            (2, "https://a.example", Some(("prod", "gateway"))),
            (1, "https://b.example", Some(("prod", "gateway"))),
            (1, "https://a.example", Some(("prod", "other"))),
            (1, "https://a.example", Some(("test", "gateway"))),
            (1, "https://a.example", Some(("gateway", "prod"))),
            (1, "https://a.example", Some(("memory", "gateway"))),
            (1, "https://a.example", None),
        ] {
            assert!(!opens(&sealer(&[secret], issuer, space), Purpose::Record, &[b"session1"]), "{issuer} {space:?}");
        }
    }

    #[test]
    fn a_value_by_the_newest_secret_is_known_from_outside() {
        let sealed = sealer(&[1], "https://a.example", None).seal([7; 24], Purpose::Record, &[], draft());
        assert!(sealer(&[1, 2], "https://a.example", None).is_by_newest(&sealed));
        assert!(!sealer(&[2, 1], "https://a.example", None).is_by_newest(&sealed));
    }
}
