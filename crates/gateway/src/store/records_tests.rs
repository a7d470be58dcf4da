use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_storage_api::wire::Space;

use super::*;

const KEY: Key = Key { kind: Kind::Consent, id: [0xa7; 32] };

/// Two types of one kind that are written alike.
#[derive(Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct One {
    #[n(1)]
    text: String,
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Other {
    #[n(1)]
    text: String,
}

impl Record for One {
    const KIND: Kind = Kind::Consent;
    const TYPE: &'static str = "one";
}

impl Record for Other {
    const KIND: Kind = Kind::Consent;
    const TYPE: &'static str = "other";
}

fn sealer(secrets: &[u8], issuer: &str, space: Option<&str>) -> Sealer {
    let ring = KeyRing::new(secrets.iter().map(|byte| Secret::new(vec![*byte; 32])).collect()).unwrap();
    let space = space.map(|name| Space::new("prod", name).unwrap());
    Sealer::new(&ring, issuer, space.as_ref())
}

fn usual() -> Sealer {
    sealer(&[1], "https://a.example", Some("gateway"))
}

fn record() -> One {
    One { text: "text".to_owned() }
}

fn sealed() -> Vec<u8> {
    seal(&usual(), &KEY, &record(), [7; 24]).unwrap()
}

#[test]
fn a_record_opens_under_its_name_and_type_only() {
    assert_eq!(open(&usual(), &KEY, &sealed()), Some(record()));
    assert_eq!(open::<Other>(&usual(), &KEY, &sealed()), None, "another type of the same kind and form");
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != KEY.kind) {
        assert_eq!(open::<One>(&usual(), &Key { kind, ..KEY }, &sealed()), None, "{kind:?}");
    }
    for byte in 0..KEY.id.len() {
        let mut id = KEY.id;
        id[byte] ^= 1;
        assert_eq!(open::<One>(&usual(), &Key { id, ..KEY }, &sealed()), None, "byte {byte} of the id");
    }
}

#[test]
fn no_store_can_move_a_record_to_another_gateway_with_the_same_secret() {
    for (issuer, space) in [
        ("https://b.example", Some("gateway")),
        ("https://a.example/", Some("gateway")),
        ("https://a.example", Some("other")),
        ("https://a.example", None),
    ] {
        assert_eq!(open::<One>(&sealer(&[1], issuer, space), &KEY, &sealed()), None, "{issuer} {space:?}");
    }
}

#[test]
fn a_record_opens_as_long_as_its_secret_is_configured() {
    let with = |secrets: &[u8]| open::<One>(&sealer(secrets, "https://a.example", Some("gateway")), &KEY, &sealed());
    assert_eq!(with(&[2, 1]), Some(record()));
    assert_eq!(with(&[2]), None);
}

#[test]
fn parts_of_a_seal_do_not_run_into_each_other() {
    // All but the last part have a fixed length.
    let bound = bound_to::<One>(&[3], &KEY).concat();
    assert_eq!(bound, [&[3], &[0xa7; 32][..], b"one"].concat());
}
