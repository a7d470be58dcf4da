//! Header fields that the gateway sets on a request to a backend, and whose names are reserved for
//! it.
//!
//! A backend believes what such a field says, so a client's own field of that name never reaches
//! it, on any path, however it is spelled. CGI and what follows it (WSGI, FastCGI, Rack) put a
//! field into a variable by its letters and digits alone: `X-User-Id`, `x_user_id` and, in some
//! servers, `x.user.id` are the variable `HTTP_X_USER_ID` (RFC 3875 §4.1.18).

use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;

/// One header field that the gateway sets.
#[derive(Debug, Clone)]
pub struct HeaderField {
    /// The field's name, lower case.
    pub name: Rc<str>,
    /// The field's value: visible ASCII and inner spaces.
    pub value: Rc<Secret<Vec<u8>>>,
}

/// The names of the fields that the gateway sets for any resource. They are removed from requests
/// on each path, since another resource, or a path without one, may have the same backend.
///
/// `Authorization` and `Proxy-Authorization` are not among them: a backend verifies what they hold.
/// A protected resource never gets a client's; an unprotected path does.
#[derive(Debug)]
pub struct ReservedNames {
    /// Each in lower case, with a hyphen for whatever is no letter and no digit.
    names: Vec<Box<[u8]>>,
    /// A bit for each length that a name has.
    lengths: u64,
}

impl ReservedNames {
    /// Reserves these names; `None` if there are none to reserve.
    #[must_use]
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Option<Rc<Self>> {
        let mut reserved = Self { names: Vec::new(), lengths: 0 };
        for name in names.filter(|name| !CREDENTIALS.contains(name)) {
            if !reserved.has(name.as_bytes()) {
                reserved.lengths |= length_bit(name.as_bytes());
                reserved.names.push(name.bytes().map(fold).collect());
            }
        }
        (!reserved.names.is_empty()).then(|| Rc::new(reserved))
    }

    /// Returns `true` if a backend may take a field of this name for one of the gateway's.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        // Most names differ in length from all of these.
        self.lengths & length_bit(name) != 0 && self.names.iter().any(|reserved| is_spelling_of(name, reserved))
    }
}

/// Returns `true` if no trailer may have this name: a backend that adds trailers to the headers
/// would take it for a field of the gateway's, or for credentials (RFC 9110 §6.5.1).
#[must_use]
pub fn is_refused_in_trailers(reserved: Option<&ReservedNames>, name: &[u8]) -> bool {
    reserved.is_some_and(|reserved| reserved.has(name))
        || CREDENTIALS.iter().any(|credentials| is_spelling_of(name, credentials.as_bytes()))
}

fn is_spelling_of(name: &[u8], folded: &[u8]) -> bool {
    name.len() == folded.len() && name.iter().zip(folded).all(|(byte, reserved)| fold(*byte) == *reserved)
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// The bit of a length; the last one is that of all greater lengths, too.
fn length_bit(name: &[u8]) -> u64 {
    1_u64.checked_shl(u32::try_from(name.len()).unwrap_or(u32::MAX)).unwrap_or(1 << 63)
}

/// Names of fields with credentials, in lower case.
const CREDENTIALS: [&str; 2] = ["authorization", "proxy-authorization"];

#[cfg(test)]
mod tests {
    use super::*;

    fn reserved(names: &[&'static str]) -> Option<Rc<ReservedNames>> {
        ReservedNames::of(names.iter().copied())
    }

    #[test]
    fn a_name_is_reserved_in_every_spelling_that_a_backend_may_fold_into_it() {
        let reserved = reserved(&["x-user-id", "x-api-key", "user"]).unwrap();
        for name in [
            "x-user-id",
            "X-User-Id",
            "x_user_id",
            "x-user_id",
            "x_user-id",
            "X_USER_ID",
            "x.user.id",
            "x~user|id",
            "x-api-key",
            "x!api#key",
            "user",
            "USER",
        ] {
            assert!(reserved.has(name.as_bytes()), "{name}");
        }
        for name in ["", "x-user-i", "x-user-ids", "xuserid", "x-user--id", "-x-user-id", "x-user-jd", "users", "use"] {
            assert!(!reserved.has(name.as_bytes()), "{name}");
        }
        assert!(reserved.has(b"x\xffuser\0id"), "names are bytes");
    }

    #[test]
    fn long_names_are_told_apart_too() {
        let long = "x-".to_owned() + &"a".repeat(100);
        let reserved = ReservedNames::of([long.as_str()].into_iter()).unwrap();
        assert!(reserved.has(long.as_bytes()) && reserved.has(long.replace('-', "_").as_bytes()));
        assert!(!reserved.has(format!("{long}a").as_bytes()) && !reserved.has(&long.as_bytes()[1..]));
    }

    #[test]
    fn credentials_are_not_reserved_and_refused_in_trailers_all_the_same() {
        assert!(reserved(&[]).is_none() && reserved(&["authorization", "proxy-authorization"]).is_none());
        let reserved = reserved(&["authorization", "x-user"]).unwrap();
        assert!(!reserved.has(b"authorization") && reserved.has(b"x_user"));
        for (name, bare, with) in [
            ("authorization", true, true),
            ("Proxy_Authorization", true, true),
            ("x-user", false, true),
            ("X_User", false, true),
            ("grpc-status", false, false),
        ] {
            assert_eq!(is_refused_in_trailers(None, name.as_bytes()), bare, "{name}");
            assert_eq!(is_refused_in_trailers(Some(&reserved), name.as_bytes()), with, "{name}");
        }
    }
}
