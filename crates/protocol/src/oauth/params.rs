//! Parameters of queries and form bodies, `application/x-www-form-urlencoded` (RFC 6749 §3.1, §3.2
//! and appendix B).

use crate::url::percent_encoding::{self, encode_into};
use std::fmt;
use zeroize::Zeroizing;

/// Decoded parameters. Values may be codes, tokens and verifiers: `Debug` shows names only, and
/// values are wiped on drop.
pub struct Params {
    pairs: Vec<(String, Zeroizing<String>)>,
    repeated: Vec<String>,
}

/// Limits of one query or body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum length of the encoded text in bytes.
    pub bytes: usize,
    /// The maximum number of parameters.
    pub parameters: usize,
}

impl Limits {
    /// The limits of an OAuth endpoint: 16 KiB and 64 parameters. The sender needs no credentials,
    /// so this also bounds what anyone can make a gateway hold of a body.
    pub const OAUTH: Self = Self { bytes: 16 * 1024, parameters: 64 };
}

/// Why parameters cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamsError {
    /// More bytes than [`Limits::bytes`].
    TooLong,
    /// More parameters than [`Limits::parameters`].
    TooMany,
    /// A malformed percent escape, a raw control byte or a raw byte outside ASCII.
    BadEncoding,
    /// The decoded bytes are not UTF-8.
    NotUtf8,
}

/// The parameter of this name is repeated (RFC 6749 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated(pub String);

/// Which parameter of a request is repeated (RFC 6749 §3.1 and §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repetition {
    /// `resource`, which RFC 8707 §2 allows: here one token is for one resource.
    Resource,
    /// Another parameter, known or not.
    Other,
}

impl Params {
    /// Decodes a query (without its `?`) or a form body.
    ///
    /// # Errors
    /// Returns a [`ParamsError`] if the text is over a limit or not strictly encoded. A repeated
    /// name is no error here, because only some of them forbid a redirect: see
    /// [`Params::repeated`].
    pub fn parse(encoded: &[u8], limits: Limits) -> Result<Self, ParamsError> {
        if encoded.len() > limits.bytes {
            return Err(ParamsError::TooLong);
        }
        let mut pairs: Vec<(String, Zeroizing<String>)> = Vec::new();
        let mut repeated: Vec<String> = Vec::new();
        for pair in encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= limits.parameters {
                return Err(ParamsError::TooMany);
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = Zeroizing::new(decode(halves.next().unwrap_or_default())?);
            if pairs.iter().any(|(earlier, _)| *earlier == name) && !repeated.contains(&name) {
                repeated.push(name.clone());
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs, repeated })
    }

    /// Returns the value of a parameter; `None` if it is absent or empty, which RFC 6749 §3.1
    /// treats alike.
    ///
    /// # Errors
    /// Returns [`Repeated`] if the parameter is repeated, also with an empty value.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut found = self.pairs.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = found.next();
        if found.next().is_some() {
            return Err(Repeated(name.to_owned()));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// Returns a name that is repeated, known or not (RFC 6749 §3.1).
    #[must_use]
    pub fn repeated(&self) -> Option<&str> {
        self.repeated.first().map(String::as_str)
    }

    /// Returns which parameter is repeated: `resource` before any other, since its error has a code
    /// of its own.
    #[must_use]
    pub fn repetition(&self) -> Option<Repetition> {
        let is_resource = self.repeated.iter().any(|repeated| repeated == "resource");
        let other = self.repeated().map(|_| Repetition::Other);
        if is_resource { Some(Repetition::Resource) } else { other }
    }

    /// Returns `true` if the parameter is present, also with an empty value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| n == name)
    }
}

/// Encodes pairs for a query or a form body. A space becomes `%20`, which every decoder accepts.
#[must_use]
pub fn encode(pairs: &[(&str, &str)]) -> String {
    let bytes = pairs.iter().map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(2));
    // Twice the length: URIs are among the values, and every escape takes three bytes.
    let mut encoded = String::with_capacity(bytes.fold(0, usize::saturating_add).saturating_mul(2));
    for (name, value) in pairs {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        encode_into(&mut encoded, name);
        encoded.push('=');
        encode_into(&mut encoded, value);
    }
    encoded
}

/// Encodes one value as [`encode`] does.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len().saturating_mul(2));
    encode_into(&mut encoded, text);
    encoded
}

/// Adds parameters to the query of a URI and keeps the existing ones byte for byte (RFC 6749
/// §3.1.2).
///
/// Response parameters that the URI already has (`code`, `state`, `iss`, `error` and its
/// companions) and those in `pairs` are removed first, so that the client finds each of them once
/// (RFC 9207 §2.4). A fragment is dropped.
#[must_use]
pub fn append_query(uri: &str, pairs: &[(&str, &str)]) -> String {
    let uri = uri.split('#').next().unwrap_or_default();
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let is_replaced = |pair: &&str| {
        let name = decode(pair.split('=').next().unwrap_or_default().as_bytes());
        name.is_ok_and(|name| {
            RESPONSE_PARAMETERS.contains(&name.as_str()) || pairs.iter().any(|(added, _)| *added == name)
        })
    };
    let mut parts: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !is_replaced(pair)).collect();
    let added = encode(pairs);
    if !added.is_empty() {
        parts.push(&added);
    }
    if parts.is_empty() { base.to_owned() } else { format!("{base}?{}", parts.join("&")) }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the parameters are too long",
            Self::TooMany => "there are too many parameters",
            Self::BadEncoding => "the parameters are not form-urlencoded",
            Self::NotUtf8 => "a parameter is not UTF-8",
        })
    }
}

impl std::error::Error for ParamsError {}

impl fmt::Display for Repetition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource => "resource is repeated",
            Self::Other => "a parameter is repeated",
        })
    }
}

fn decode(encoded: &[u8]) -> Result<String, ParamsError> {
    if !encoded.iter().all(u8::is_ascii_graphic) {
        return Err(ParamsError::BadEncoding);
    }
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return String::from_utf8(encoded.to_vec()).map_err(|_| ParamsError::NotUtf8);
    }
    let spaced: Zeroizing<Vec<u8>> =
        Zeroizing::new(encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect());
    let decoded = percent_encoding::decode(&spaced).ok_or(ParamsError::BadEncoding)?;
    String::from_utf8(decoded).map_err(|_| ParamsError::NotUtf8)
}

/// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2).
const RESPONSE_PARAMETERS: [&str; 6] = ["code", "state", "iss", "error", "error_description", "error_uri"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(encoded: &str) -> Params {
        Params::parse(encoded.as_bytes(), Limits::OAUTH).unwrap()
    }

    fn refused(encoded: &[u8]) -> ParamsError {
        Params::parse(encoded, Limits::OAUTH).unwrap_err()
    }

    #[test]
    fn values_are_decoded_once() {
        let params = parse("a=1+2&b=%C3%A9%2B&c=x=y&&d=%2541");
        assert_eq!(params.one("a"), Ok(Some("1 2")));
        assert_eq!(params.one("b"), Ok(Some("é+")));
        assert_eq!(params.one("c"), Ok(Some("x=y")));
        assert_eq!(params.one("d"), Ok(Some("%41")));
        assert_eq!(params.repeated(), None);
    }

    #[test]
    fn an_empty_value_is_an_omitted_parameter() {
        let params = parse("a=&b");
        assert_eq!(params.one("a"), Ok(None));
        assert_eq!(params.one("b"), Ok(None));
        assert_eq!(params.one("c"), Ok(None));
        assert!(params.has("b") && !params.has("c"));
    }

    #[test]
    fn a_repeated_parameter_is_found_in_every_spelling() {
        let params = parse("z=1&client_id=a&x=1&%63lient_id=");
        assert_eq!(params.repeated(), Some("client_id"));
        assert_eq!(params.repetition(), Some(Repetition::Other));
        assert_eq!(params.one("client_id"), Err(Repeated("client_id".into())));
        assert_eq!(params.one("z"), Ok(Some("1")));
    }

    #[test]
    fn loose_encoding_is_refused() {
        for encoded in ["a=%", "a=%2", "a=%zz", "a=%+1", "%=1", "a= b", "a=\n", "a=é"] {
            assert_eq!(refused(encoded.as_bytes()), ParamsError::BadEncoding, "{encoded:?}");
        }
        assert_eq!(refused(b"a=%ff"), ParamsError::NotUtf8);
        assert_eq!(refused(b"a=%c0%af"), ParamsError::NotUtf8);
        assert_eq!(refused(b"a=%ed%a0%80"), ParamsError::NotUtf8);
    }

    #[test]
    fn limits_hold_to_the_byte_and_the_parameter() {
        assert!(Params::parse(&[b'a'; 16 * 1024], Limits::OAUTH).is_ok());
        assert_eq!(refused(&[b'a'; 16 * 1024 + 1]), ParamsError::TooLong);
        let many: Vec<String> = (0..64).map(|n| format!("p{n}=1")).collect();
        assert!(Params::parse(many.join("&").as_bytes(), Limits::OAUTH).is_ok());
        assert_eq!(refused(format!("{}&x=1", many.join("&")).as_bytes()), ParamsError::TooMany);
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", parse("code=secret")), r#"["code"]"#);
    }

    #[test]
    fn a_query_is_appended_and_the_existing_one_kept() {
        let pairs = [("code", "a b"), ("iss", "https://as")];
        for (uri, expected) in [
            ("https://c/cb", "https://c/cb?code=a%20b&iss=https%3A%2F%2Fas"),
            ("https://c/cb?", "https://c/cb?code=a%20b&iss=https%3A%2F%2Fas"),
            ("https://c/cb?a=%2F&b", "https://c/cb?a=%2F&b&code=a%20b&iss=https%3A%2F%2Fas"),
            ("app:/cb", "app:/cb?code=a%20b&iss=https%3A%2F%2Fas"),
        ] {
            assert_eq!(append_query(uri, &pairs), expected);
        }
        assert_eq!(append_query("https://c/cb?a=1", &[]), "https://c/cb?a=1");
    }

    #[test]
    fn response_parameters_of_the_registered_uri_give_way_to_ours() {
        let uri = "https://c/cb?iss=evil&a=1&%69ss=evil&c%6Fde=x&state&error=e&error_description=d&tenant=x";
        assert_eq!(append_query(uri, &[("tenant", "t"), ("code", "c")]), "https://c/cb?a=1&tenant=t&code=c");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(pairs in prop::collection::vec((".{0,20}", ".{1,20}"), 0..8)) {
            let borrowed: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let params = Params::parse(encode(&borrowed).as_bytes(), Limits::OAUTH).unwrap();
            let read: Vec<(&str, &str)> = params.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(read, borrowed);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Params::parse(&bytes, Limits::OAUTH);
        }
    }
}
