//! The parser of private keys against malformed and inconsistent keys, and compared with the
//! parsers of RustCrypto.

use p256::pkcs8::der::{Decode as _, asn1::OctetStringRef};
use p256::pkcs8::{DecodePrivateKey as _, ObjectIdentifier, PrivateKeyInfoRef};
use portcullis_testkit::example_keys::{ED25519, P256, P384, RSA};
use rsa::pkcs1::RsaPrivateKey;
use rsa::pkcs8::PrivateKeyInfo;

use super::*;

const P256_SEC1: &str = include_str!("../../../testdata/keys/p256.sec1.pem");
const P384_SEC1: &str = include_str!("../../../testdata/keys/p384.sec1.pem");
const RSA_PKCS1: &str = include_str!("../../../testdata/keys/rsa2048.pkcs1.pem");

const RSA_ID: &[u8] = &[6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0];
const P256_OID: &[u8] = &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7];
const P384_OID: &[u8] = &[6, 5, 43, 129, 4, 0, 34];
const EC_OID: &[u8] = &[6, 7, 42, 134, 72, 206, 61, 2, 1];
const ED25519_OID: &[u8] = &[6, 3, 43, 101, 112];

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    der::element(tag, parts).unwrap().to_vec()
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    der::unsigned(bytes).unwrap().to_vec()
}

fn read(label: &str, der: &[u8]) -> Result<Parts, KeyError> {
    let pem = pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap();
    Parts::from_block(&pem)
}

fn cause(label: &str, der: &[u8]) -> KeyError {
    read(label, der).err().unwrap_or_else(|| panic!("a {label} is taken: {der:02x?}"))
}

fn decoded(pem: &str) -> (&str, Vec<u8>) {
    pem_rfc7468::decode_vec(pem.as_bytes()).unwrap()
}

/// A PKCS#8 of these parts, which each test changes.
fn pkcs8(version: u8, algorithm: &[&[u8]], private: &[u8], rest: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, version], &tlv(0x30, algorithm), &tlv(4, &[private]), rest])
}

fn sec1(scalar: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, 1], &tlv(4, &[scalar]), &rest.concat()])
}

fn public_of(point: &[u8]) -> Vec<u8> {
    tlv(0xa1, &[&tlv(3, &[&[0], point])])
}

/// The scalar and the point of the key for P-256.
fn p256_halves() -> ([u8; 32], Vec<u8>) {
    let key = p256::SecretKey::from_pkcs8_der(&decoded(P256).1).unwrap();
    (key.to_bytes().into(), key.public_key().to_sec1_point(false).as_bytes().to_vec())
}

/// PKCS#1 of the RSA key with some of its nine numbers replaced; the first is the version.
fn pkcs1(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let (_, der) = decoded(RSA_PKCS1);
    let key = RsaPrivateKey::try_from(&der[..]).unwrap();
    let mut numbers: Vec<Vec<u8>> = [
        key.modulus,
        key.public_exponent,
        key.private_exponent,
        key.prime1,
        key.prime2,
        key.exponent1,
        key.exponent2,
        key.coefficient,
    ]
    .iter()
    .map(|number| integer(number.as_bytes()))
    .collect();
    numbers.insert(0, integer(&[]));
    for (place, number) in changes {
        numbers[*place] = number.to_vec();
    }
    tlv(0x30, &[&numbers.concat()])
}

#[test]
fn every_form_of_key_that_was_ever_accepted_is_accepted() {
    let (scalar, point) = p256_halves();
    let curve = tlv(0xa0, &[P256_OID]);
    let seed = tlv(4, &[&[7; 32]]);
    for (label, der) in [
        ("EC PRIVATE KEY", sec1(&scalar, &[])),
        ("EC PRIVATE KEY", sec1(&scalar, &[&curve])),
        ("EC PRIVATE KEY", sec1(&scalar, &[&public_of(&point)])),
        ("EC PRIVATE KEY", sec1(&scalar, &[&curve, &public_of(&point)])),
        ("EC PRIVATE KEY", sec1(&[1; 48], &[])),
        ("PRIVATE KEY", pkcs8(0, &[EC_OID, P256_OID], &sec1(&scalar, &[&curve, &public_of(&point)]), &[])),
        ("PRIVATE KEY", pkcs8(0, &[EC_OID, P256_OID], &sec1(&scalar, &[]), &tlv(0xa0, &[]))),
        ("PRIVATE KEY", pkcs8(1, &[EC_OID, P256_OID], &sec1(&scalar, &[]), &tlv(0x81, &[&[0], &point]))),
        ("PRIVATE KEY", pkcs8(0, &[ED25519_OID], &seed, &[])),
        ("PRIVATE KEY", pkcs8(0, &[RSA_ID], &pkcs1(&[]), &[])),
        ("RSA PRIVATE KEY", pkcs1(&[])),
    ] {
        assert!(read(label, &der).is_ok(), "{label} {der:02x?}");
        assert!(theirs(label, &der).is_some(), "{label} {der:02x?}");
    }
}

#[test]
fn a_second_spelling_of_the_outer_form_is_refused() {
    for pem in [P256, P256_SEC1, P384, P384_SEC1, ED25519, RSA, RSA_PKCS1] {
        let (label, whole) = decoded(pem);
        let head = match whole[1] {
            0x82 => 4,
            0x81 => 3,
            _ => 2,
        };
        let content = &whole[head..];
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let indefinite = [&[0x30, 0x80][..], content, &[0, 0]].concat();
        let longer = [&[0x30, 0x83, 0, high, low][..], content].concat();
        let trailing = [&whole[..], &[0]].concat();
        let twice = [&whole[..], &whole].concat();
        let a_set = [&[0x31], &whole[1..]].concat();
        for der in [&indefinite, &longer, &trailing, &twice, &a_set, &whole[..whole.len() - 1].to_vec()] {
            assert_eq!(cause(label, der), KeyError::Pem, "{label} {:02x?}", &der[..6]);
        }
        // Trailing bytes after the last member.
        assert_eq!(cause(label, &tlv(0x30, &[content, &[5, 0]])), KeyError::Der);
    }
}

#[test]
fn pkcs8_that_is_none_is_refused_by_cause() {
    let (scalar, point) = p256_halves();
    let (ec, p256): (_, &[&[u8]]) = (sec1(&scalar, &[]), &[EC_OID, P256_OID]);
    let public = tlv(0x81, &[&[0], &point]);
    let refused = |der: &[u8]| cause("PRIVATE KEY", der);
    for (what, der, why) in [
        ("the third version", pkcs8(2, p256, &ec, &[]), KeyError::Der),
        ("a negative version", pkcs8(0xff, p256, &ec, &[]), KeyError::Der),
        ("a public half in the first version", pkcs8(0, p256, &ec, &public), KeyError::Der),
        ("the second version without one", pkcs8(1, p256, &ec, &[]), KeyError::Der),
        ("another public half", pkcs8(1, p256, &ec, &tlv(0x81, &[&[0], &[4; 65]])), KeyError::Inconsistent),
        ("a public half with odd bits", pkcs8(1, p256, &ec, &tlv(0x81, &[&[1], &point])), KeyError::Der),
        ("a public half in a wrapping", pkcs8(1, p256, &ec, &public_of(&point)), KeyError::Der),
        ("no curve", pkcs8(0, &[EC_OID], &ec, &[]), KeyError::UnsupportedAlgorithm),
        (
            "a curve of its own",
            pkcs8(0, &[EC_OID, &tlv(0x30, &[&[2, 1, 1]])], &ec, &[]),
            KeyError::UnsupportedAlgorithm,
        ),
        ("the other curve", pkcs8(0, &[EC_OID, P384_OID], &ec, &[]), KeyError::Inconsistent),
        (
            "something behind the curve",
            pkcs8(0, &[EC_OID, P256_OID, &[5, 0]], &ec, &[]),
            KeyError::UnsupportedAlgorithm,
        ),
        ("RSA without NULL", pkcs8(0, &[&RSA_ID[..11]], &pkcs1(&[]), &[]), KeyError::UnsupportedAlgorithm),
        (
            "Ed25519 with NULL",
            pkcs8(0, &[ED25519_OID, &[5, 0]], &tlv(4, &[&[7; 32]]), &[]),
            KeyError::UnsupportedAlgorithm,
        ),
        ("RSA that holds an EC key", pkcs8(0, &[RSA_ID], &ec, &[]), KeyError::Der),
        ("EC that holds an RSA key", pkcs8(0, p256, &pkcs1(&[]), &[]), KeyError::Der),
        ("an EC key in a bare scalar", pkcs8(0, p256, &scalar, &[]), KeyError::Der),
        ("something behind the inner key", pkcs8(0, p256, &[&ec[..], &[5, 0]].concat(), &[]), KeyError::Der),
        ("a seed without its wrapping", pkcs8(0, &[ED25519_OID], &[7; 32], &[]), KeyError::Der),
        ("a short seed", pkcs8(0, &[ED25519_OID], &tlv(4, &[&[7; 31]]), &[]), KeyError::Der),
        ("a long seed", pkcs8(0, &[ED25519_OID], &tlv(4, &[&[7; 33]]), &[]), KeyError::Der),
        (
            "something behind the seed",
            pkcs8(0, &[ED25519_OID], &[&tlv(4, &[&[7; 32]])[..], &[0]].concat(), &[]),
            KeyError::Der,
        ),
        ("nothing inside", pkcs8(0, p256, &[], &[]), KeyError::Der),
    ] {
        assert_eq!(refused(&der), why, "{what}");
    }
}

#[test]
fn unsound_ec_keys_are_refused_by_cause() {
    let (scalar, point) = p256_halves();
    let compressed = [&[2 | (point[64] & 1)], &point[1..33]].concat();
    let hybrid = [&[6 | (point[64] & 1)], &point[1..]].concat();
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    let mut order = [0xff; 32];
    order[4..8].fill(0);
    order[16..].copy_from_slice(&[
        0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ]);
    let curve = tlv(0xa0, &[P256_OID]);
    let refused = |der: &[u8]| cause("EC PRIVATE KEY", der);
    for (what, der, why) in [
        ("another version", tlv(0x30, &[&[2, 1, 0], &tlv(4, &[&scalar])]), KeyError::Der),
        ("a version in two bytes", tlv(0x30, &[&[2, 2, 0, 1], &tlv(4, &[&scalar])]), KeyError::Der),
        ("a scalar of zero", sec1(&[0; 32], &[&curve]), KeyError::Inconsistent),
        ("the order as scalar", sec1(&order, &[&curve]), KeyError::Inconsistent),
        ("more than the order", sec1(&[0xff; 32], &[&curve]), KeyError::Inconsistent),
        ("a scalar without its first byte", sec1(&[1; 31], &[&curve]), KeyError::Inconsistent),
        ("no scalar", sec1(&[], &[&curve]), KeyError::Inconsistent),
        ("a zero before the scalar", sec1(&[&[0][..], &scalar].concat(), &[&curve]), KeyError::Inconsistent),
        ("a length that is no curve's", sec1(&scalar[1..], &[]), KeyError::UnsupportedAlgorithm),
        ("the curve of a longer key", sec1(&scalar, &[&tlv(0xa0, &[P384_OID])]), KeyError::Inconsistent),
        ("an unknown curve", sec1(&scalar, &[&tlv(0xa0, &[&[6, 1, 1]])]), KeyError::UnsupportedAlgorithm),
        ("no curve in its place", sec1(&scalar, &[&tlv(0xa0, &[])]), KeyError::UnsupportedAlgorithm),
        ("two curves", sec1(&scalar, &[&tlv(0xa0, &[P256_OID, P256_OID])]), KeyError::UnsupportedAlgorithm),
        ("RSA as curve", sec1(&scalar, &[&tlv(0xa0, &[&RSA_ID[..11]])]), KeyError::UnsupportedAlgorithm),
        ("a compressed point", sec1(&scalar, &[&public_of(&compressed)]), KeyError::Inconsistent),
        ("a point in hybrid form", sec1(&scalar, &[&public_of(&hybrid)]), KeyError::Inconsistent),
        ("a point off the curve", sec1(&scalar, &[&public_of(&off_curve)]), KeyError::Inconsistent),
        ("the point at infinity", sec1(&scalar, &[&public_of(&[0])]), KeyError::Inconsistent),
        ("no point", sec1(&scalar, &[&public_of(&[])]), KeyError::Inconsistent),
        (
            "something behind the point",
            sec1(&scalar, &[&tlv(0xa1, &[&tlv(3, &[&[0], &point]), &[5, 0]])]),
            KeyError::Der,
        ),
        ("a point before the curve", sec1(&scalar, &[&public_of(&point), &curve]), KeyError::Der),
        ("a point twice", sec1(&scalar, &[&public_of(&point), &public_of(&point)]), KeyError::Der),
    ] {
        assert_eq!(refused(&der), why, "{what}");
    }
}

#[test]
fn weak_or_broken_rsa_keys_are_refused_by_cause() {
    let (_, whole) = decoded(RSA_PKCS1);
    let n = RsaPrivateKey::try_from(&whole[..]).unwrap().modulus.as_bytes().to_vec();
    let modulus = |length: usize, first: u8, last: u8| {
        let mut number = vec![0xff; length];
        number[0] = first;
        number[length - 1] = last;
        integer(&number)
    };
    for (what, place, number, why) in [
        ("several primes", 0, vec![2, 1, 1], KeyError::Der),
        ("a negative modulus", 1, [&[2, 0x82, 1, 0][..], &n].concat(), KeyError::Der),
        ("a modulus with two zeros before", 1, [&[2, 0x82, 1, 2, 0, 0][..], &n].concat(), KeyError::Der),
        ("an empty modulus", 1, vec![2, 0], KeyError::Der),
        ("a modulus of zero", 1, vec![2, 1, 0], KeyError::RsaSize),
        ("2047 bits", 1, modulus(256, 0x7f, 0xff), KeyError::RsaSize),
        ("4097 bits", 1, modulus(513, 1, 0xff), KeyError::RsaSize),
        ("8193 bits", 1, modulus(1025, 1, 0xff), KeyError::RsaSize),
        ("an even modulus", 1, modulus(256, 0xff, 0xfe), KeyError::RsaSize),
        ("an exponent of zero", 2, vec![2, 1, 0], KeyError::RsaExponent),
        ("an exponent of one", 2, vec![2, 1, 1], KeyError::RsaExponent),
        ("an exponent of three", 2, vec![2, 1, 3], KeyError::RsaExponent),
        ("an exponent below 65537", 2, vec![2, 3, 0, 0xff, 0xff], KeyError::RsaExponent),
        ("an even exponent", 2, vec![2, 3, 1, 0, 2], KeyError::RsaExponent),
        ("an exponent of 33 bits", 2, vec![2, 5, 1, 0, 0, 0, 1], KeyError::RsaExponent),
        ("a negative exponent", 2, vec![2, 3, 0x81, 0, 1], KeyError::Der),
        ("an exponent with a zero before", 2, vec![2, 4, 0, 1, 0, 1], KeyError::Der),
        ("a negative private exponent", 3, vec![2, 1, 0x80], KeyError::Der),
        ("a prime that is no number", 4, vec![4, 1, 3], KeyError::Der),
        ("no coefficient", 8, vec![], KeyError::Der),
        ("a tenth number", 8, vec![2, 1, 1, 2, 1, 1], KeyError::Der),
    ] {
        let der = pkcs1(&[(place, &number)]);
        assert_eq!(cause("RSA PRIVATE KEY", &der), why, "{what}");
        assert_eq!(cause("PRIVATE KEY", &pkcs8(0, &[RSA_ID], &der, &[])), why, "{what}");
    }
    assert!(read("RSA PRIVATE KEY", &pkcs1(&[(1, &modulus(512, 0xff, 0xff))])).is_ok(), "4096 bits");
    assert!(read("RSA PRIVATE KEY", &pkcs1(&[(2, &integer(&[0xff; 4]))])).is_ok(), "an exponent of 32 bits");
}

#[test]
fn accepted_keys_are_the_same_keys_to_rustcrypto() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (scalar, point) = p256_halves();
    let bare = sec1(&scalar, &[&tlv(0xa0, &[P256_OID])]);
    let second_version = pkcs8(1, &[EC_OID, P256_OID], &sec1(&scalar, &[]), &tlv(0x81, &[&[0], &point]));
    for ((label, whole), changes) in [
        (("EC PRIVATE KEY", bare), 2_000),
        (("PRIVATE KEY", second_version), 2_000),
        (decoded(P256), 2_000),
        (decoded(P256_SEC1), 2_000),
        (decoded(P384), 1_500),
        (decoded(P384_SEC1), 1_500),
        (decoded(ED25519), 6_000),
        (decoded(RSA), 8_000),
        (decoded(RSA_PKCS1), 8_000),
    ] {
        let heads = heads(&whole);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..changes {
            let mut der = whole.clone();
            for _ in 0..=random.below(2) {
                random.change(&mut der, &heads);
            }
            match read(label, &der) {
                Ok(parts) => {
                    taken += 1;
                    let ours = (parts.material.public_bits(), private_of(&parts));
                    assert_eq!(theirs(label, &der), Some(ours), "{label} {der:02x?}");
                }
                Err(_) => refused += 1,
            }
        }
        assert!(taken >= 3 && refused >= 1_000, "{label}: {taken} taken, {refused} refused");
    }
}

/// The private part that a signer uses: the scalar, the seed, or all numbers of an RSA key.
fn private_of(parts: &Parts) -> Vec<u8> {
    match parts.material.family() {
        Family::P256 | Family::P384 => {
            let mut key = Der::new(&parts.private).sequence().unwrap();
            key.unsigned().unwrap();
            key.element(OCTET_STRING).unwrap().to_vec()
        }
        Family::Rsa => parts.private.to_vec(),
        Family::Ed25519 => Der::new(&parts.private).element(OCTET_STRING).unwrap().to_vec(),
    }
}

/// The public bits and the private part as RustCrypto parses them.
fn theirs(label: &str, der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let p256 =
        |key: p256::SecretKey| (key.public_key().to_sec1_point(false).as_bytes().to_vec(), key.to_bytes().to_vec());
    let p384 =
        |key: p384::SecretKey| (key.public_key().to_sec1_point(false).as_bytes().to_vec(), key.to_bytes().to_vec());
    let rsa = |der: &[u8]| {
        let key = RsaPrivateKey::try_from(der).ok()?;
        let public = tlv(0x30, &[&integer(key.modulus.as_bytes()), &integer(key.public_exponent.as_bytes())]);
        Some((public, der.to_vec()))
    };
    let oid = |oid: &[u8]| ObjectIdentifier::from_bytes(&oid[2..]).unwrap();
    match label {
        "EC PRIVATE KEY" => p256::SecretKey::from_sec1_der(der)
            .map(p256)
            .or_else(|_| p384::SecretKey::from_sec1_der(der).map(p384))
            .ok(),
        "RSA PRIVATE KEY" => rsa(der),
        _ => {
            let info = PrivateKeyInfoRef::try_from(der).ok()?;
            if info.algorithm.oid == oid(ED25519_OID) {
                let seed = <&OctetStringRef>::from_der(info.private_key.as_bytes()).ok()?.as_bytes();
                let pair = KeyPair::from_seed(Seed::from_slice(seed).ok()?);
                return Some((pair.pk.to_vec(), seed.to_vec()));
            }
            if info.algorithm.oid == oid(&RSA_ID[..11]) {
                return rsa(PrivateKeyInfo::try_from(der).ok()?.private_key);
            }
            if info.algorithm.parameters_oid().ok()? == oid(P256_OID) {
                return p256::SecretKey::from_pkcs8_der(der).ok().map(p256);
            }
            p384::SecretKey::from_pkcs8_der(der).ok().map(p384)
        }
    }
}

/// The offsets of tags, lengths and the first byte after each: a change there is one of form.
fn heads(der: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at: usize = 0;
    while let Some((&tag, rest)) = der.get(at..).and_then(<[u8]>::split_first) {
        let (head, length) = match rest {
            [0x81, long, ..] => (3, usize::from(*long)),
            [0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            [short, ..] => (2, usize::from(*short)),
            [] => break,
        };
        let content = at.saturating_add(head);
        places.extend(at..=content);
        let holds_more = match tag {
            0x30 | 0xa0 | 0xa1 => true,
            4 => matches!(der.get(content), Some(0x30 | 4)) && length > 32,
            _ => false,
        };
        at = if holds_more { content } else { content.saturating_add(length) };
    }
    places.retain(|place| *place < der.len());
    places
}

/// The xorshift generator of Marsaglia, so that every run uses the same values.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next().checked_rem(u64::try_from(bound).unwrap()).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        let telling = [0, 1, 2, 3, 4, 5, 6, 0x20, 0x30, 0x7f, 0x80, 0x81, 0x82, 0xa0, 0xa1, 0xff];
        if self.below(2) == 0 { telling[self.below(telling.len())] } else { self.next().to_le_bytes()[0] }
    }

    fn change(&mut self, der: &mut Vec<u8>, heads: &[usize]) {
        let anywhere = self.below(der.len());
        let place =
            if self.below(8) == 0 { anywhere } else { heads[self.below(heads.len())].min(der.len().saturating_sub(1)) };
        match self.below(8) {
            0 => der.insert(place, self.byte()),
            1 => drop(der.remove(place)),
            2 => der.truncate(place.max(1)),
            3 => der.push(self.byte()),
            4 => der[place] ^= 1 << self.below(8),
            5 => der[place] = der[place].wrapping_add(1),
            _ => der[place] = self.byte(),
        }
    }
}
