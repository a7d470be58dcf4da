use minicbor::Encoder;
use portcullis_protocol::crypto::secret::Secret;
use proptest::prelude::*;

use super::*;

/// A value as this release knows it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Known {
    #[n(2)]
    name: String,
    #[cbor(n(4), default)]
    count: u64,
    #[n(6)]
    note: Option<String>,
    #[n(8)]
    list: Vec<String>,
    #[n(10)]
    inner: Inner,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Inner {
    #[cbor(n(2), default)]
    flag: bool,
}

fn known() -> Known {
    Known {
        name: "name".to_owned(),
        count: 70_000,
        note: Some("note".to_owned()),
        list: vec!["one".to_owned(), "other".to_owned()],
        inner: Inner { flag: true },
    }
}

fn encoded<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).unwrap()
}

fn read(bytes: &[u8]) -> Option<Known> {
    from_bytes(bytes)
}

/// The fields of [`known`], each as its number and its encoded value.
fn fields() -> Vec<(u64, Vec<u8>)> {
    let known = known();
    vec![
        (2, encoded(&known.name)),
        (4, encoded(&known.count)),
        (6, encoded(&known.note)),
        (8, encoded(&known.list)),
        (10, encoded(&known.inner)),
    ]
}

fn map(fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).map(fields.len() as u64).unwrap();
    for (number, value) in fields {
        Encoder::new(&mut bytes).u64(*number).unwrap();
        bytes.extend_from_slice(value);
    }
    bytes
}

/// Values of every kind that a later release may write.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|number| encoded(&number)),
        any::<i64>().prop_map(|number| encoded(&number)),
        any::<bool>().prop_map(|flag| encoded(&flag)),
        Just(vec![0xf6]),
        ".{0,40}".prop_map(|text| encoded(&text)),
        proptest::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| encoded(&minicbor::bytes::ByteVec::from(bytes))),
    ];
    leaf.prop_recursive(4, 30, 4, |value| {
        let list = proptest::collection::vec(value.clone(), 0..4).prop_map(|values| {
            let mut bytes = Vec::new();
            Encoder::new(&mut bytes).array(values.len() as u64).unwrap();
            bytes.extend(values.concat());
            bytes
        });
        let fields = proptest::collection::btree_map(1..1_000_u64, value, 0..4)
            .prop_map(|fields| map(&fields.into_iter().collect::<Vec<_>>()));
        prop_oneof![list, fields]
    })
}

proptest! {
    #[test]
    fn unknown_fields_are_skipped_wherever_they_stand(
        unknown in proptest::collection::btree_map(prop_oneof![Just(1), Just(3), Just(5), Just(7), Just(9), 11..u64::from(u32::MAX)], any_value(), 0..5),
        inner in proptest::collection::btree_map(prop_oneof![Just(1), 3..u64::from(u32::MAX)], any_value(), 0..3),
    ) {
        let mut all: std::collections::BTreeMap<u64, Vec<u8>> = fields().into_iter().chain(unknown).collect();
        let inner = inner.into_iter().chain([(2, encoded(&true))]).collect::<std::collections::BTreeMap<_, _>>();
        all.insert(10, map(&inner.into_iter().collect::<Vec<_>>()));
        prop_assert_eq!(read(&map(&all.into_iter().collect::<Vec<_>>())), Some(known()));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _read = read(&bytes);
        let _fields = Fields::of(&bytes).and_then(|mut fields| fields.next());
    }

    #[test]
    fn a_value_with_a_byte_changed_reads_to_a_value_or_not_at_all(place: proptest::sample::Index, byte: u8) {
        let mut bytes = encoded(&known());
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _read = read(&bytes);
    }
}

#[test]
fn a_value_survives_its_encoding() {
    let bytes = encoded(&known());
    assert_eq!(bytes, map(&fields()));
    assert_eq!(read(&bytes), Some(known()));
    assert!(to_draft(&known()).is_ok());
}

#[test]
fn a_missing_field_has_its_default_or_the_value_is_not_read() {
    for (index, (number, _)) in fields().iter().enumerate() {
        let mut rest = fields();
        rest.remove(index);
        let expected = match number {
            4 => Some(Known { count: 0, ..known() }),
            6 => Some(Known { note: None, ..known() }),
            _ => None,
        };
        assert_eq!(read(&map(&rest)), expected, "without {number}");
    }
    let mut rest = fields();
    rest[4].1 = map(&[]);
    assert_eq!(read(&map(&rest)), Some(Known { inner: Inner { flag: false }, ..known() }));
}

#[test]
fn a_value_that_is_cut_off_or_goes_on_is_not_read() {
    let bytes = encoded(&known());
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length]), None, "{length}");
    }
    assert_eq!(read(&[&bytes[..], &[0]].concat()), None);
}

#[test]
fn a_field_that_stands_twice_or_out_of_order_or_without_a_number_is_not_read() {
    for index in 0..fields().len() {
        let mut twice = fields();
        twice.insert(index, twice[index].clone());
        assert_eq!(read(&map(&twice)), None, "{index} twice");
    }
    for index in 1..fields().len() {
        let mut swapped = fields();
        swapped.swap(index - 1, index);
        assert_eq!(read(&map(&swapped)), None, "{index} too early");
    }
    let unknown = |number| [fields(), vec![(number, encoded(&1)), (number, encoded(&2))]].concat();
    assert_eq!(read(&map(&unknown(11))), None, "also an unknown one");
    assert_eq!(read(&map(&[vec![(0, encoded(&1))], fields()].concat())), None, "numbers begin with 1");
    let mut named = map(&fields());
    named.splice(1..2, encoded(&"2"));
    assert_eq!(read(&named), None);
}

#[test]
fn a_field_of_another_type_is_not_read() {
    let others: [Vec<u8>; 6] =
        [encoded(&7_u8), encoded(&-7), encoded(&"text"), encoded(&true), map(&[]), encoded(&[1, 2])];
    for index in 0..fields().len() {
        for other in &others {
            let mut mistyped = fields();
            let same = mistyped[index].1.first().map(|byte| byte >> 5) == other.first().map(|byte| byte >> 5);
            mistyped[index].1.clone_from(other);
            if !same {
                assert_eq!(read(&map(&mistyped)), None, "{index} {other:?}");
            }
        }
    }
}

#[test]
fn what_the_gateway_never_writes_is_not_read() {
    let with = |value: &[u8]| read(&map(&[fields(), vec![(11, value.to_vec())]].concat()));
    assert!(with(&[0xf6]).is_some());
    for value in [
        &[0xff][..],            // a break
        &[0x9f, 0xff],          // an array of indefinite length
        &[0xbf, 0xff],          // a map of indefinite length
        &[0x5f, 0x41, 0, 0xff], // bytes in pieces
        &[0x7f, 0x61, b'a', 0xff],
        &[0xc1, 0], // a tag
        &[0xf7],    // undefined
        &[0xe0],    // an unassigned simple value
        &[0xf8, 0x20],
        &[0xf9, 0, 0], // floating-point numbers
        &[0xfa, 0, 0, 0, 0],
        &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x1c],                                                 // reserved
        &[0xa1, 0xa0, 0],                                        // a map as a key
        &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // more than there is
        &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0],
    ] {
        assert_eq!(with(value), None, "{value:02x?}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |levels: usize| {
        let value = [vec![0x81; levels], vec![0]].concat();
        read(&map(&[fields(), vec![(11, value)]].concat())).is_some()
    };
    // The map itself is one level.
    assert!(nested(usize::from(MAX_DEPTH) - 1));
    assert!(!nested(usize::from(MAX_DEPTH)));
    assert!(!nested(10_000));
    let filled = |bytes: usize| {
        let filler = encoded(&minicbor::bytes::ByteVec::from(vec![0; bytes]));
        let value = map(&[fields(), vec![(11, filler)]].concat());
        (value.len(), read(&value).is_some())
    };
    let around = filled(1_000).0 - 1_000;
    assert_eq!(filled(MAX_BYTES - around), (MAX_BYTES, true));
    assert_eq!(filled(MAX_BYTES - around + 1), (MAX_BYTES + 1, false));
}

#[test]
fn fields_are_read_in_place_and_must_ascend() {
    let bytes = map(&fields());
    let mut fields = Fields::of(&bytes).unwrap();
    assert_eq!(fields.next().unwrap(), 2);
    assert_eq!(fields.text().unwrap(), b"name");
    assert_eq!(fields.next().unwrap(), 4);
    assert_eq!(fields.uint().unwrap(), 70_000);
    assert_eq!(fields.next().unwrap(), 6);
    assert!(fields.array().is_none(), "a text is no array");
    let one = map(&[(3, vec![1])]);
    let mut fields = Fields::of(&one).unwrap();
    assert!(fields.required(2).is_none(), "another field stands there");
    let mut fields = Fields::of(&one).unwrap();
    assert_eq!(fields.required(3).unwrap().uint(), Some(1));
    assert_eq!((fields.next().unwrap(), fields.next().unwrap()), (0, 0));
    let twice = map(&[(2, vec![1]), (2, vec![1])]);
    let mut fields = Fields::of(&twice).unwrap();
    assert_eq!(fields.next().unwrap(), 2);
    fields.uint().unwrap();
    assert!(fields.next().is_none());
    for none in [&[][..], &[0x80], &[0xbf, 0xff], b"text"] {
        assert!(Fields::of(none).is_none(), "{none:?}");
    }
}

/// Two secrets, one of which may be absent.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Secrets {
    #[cbor(n(1), with = "secret")]
    one: Secret<String>,
    #[cbor(n(2), with = "optional_secret", has_nil)]
    other: Option<Secret<String>>,
}

#[test]
fn secrets_stay_secrets_and_are_written_as_bytes() {
    for other in [None, Some("b")] {
        let written =
            Secrets { one: Secret::new("a".to_owned()), other: other.map(|other| Secret::new(other.to_owned())) };
        let bytes = encoded(&written);
        let expected =
            [&[0xa1 + u8::from(other.is_some()), 1, 0x41, b'a'][..], other.map_or(&[], |_| &[2, 0x41, b'b'])];
        assert_eq!(bytes, expected.concat());
        let read: Secrets = from_bytes(&bytes).unwrap();
        assert_eq!(read.one.expose(), "a");
        assert_eq!(read.other.as_ref().map(|other| other.expose().as_str()), other);
    }
    for malformed in [&[0xa1, 1, 0x41, 0xff][..], &[0xa1, 1, 0x61, b'a'], &[0xa1, 2, 0x41, b'b']] {
        assert!(from_bytes::<Secrets>(malformed).is_none(), "{malformed:?}");
    }
}
