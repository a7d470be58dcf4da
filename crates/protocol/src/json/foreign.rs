//! A JSON object of an identity provider, of which only the members that are needed are read.
//!
//! The other members are skipped without being read: they may be repeated, nested to any depth, or
//! hold numbers and text that no reader here could represent. The document is bounded by its length
//! alone, since skipping needs no recursion.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::strict::JsonError;

/// The needed members of one object.
#[derive(Debug, Clone)]
pub struct ForeignObject<'a>(Vec<(&'a str, ForeignValue<'a>)>);

/// The value of a needed member, as its JSON text. `null` is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignValue<'a>(&'a str);

impl<'a> ForeignObject<'a> {
    /// Parses one object and keeps the members with these names.
    ///
    /// A byte order mark before it is ignored (RFC 8259 §8.1).
    ///
    /// # Errors
    /// Returns a [`JsonError`] if the text is longer than `max_bytes` bytes, is not one JSON object
    /// in UTF-8, or repeats a member that is needed; never [`JsonError::TooDeep`].
    pub fn parse(text: &'a [u8], names: &[&'a str], max_bytes: usize) -> Result<Self, JsonError> {
        if text.len() > max_bytes {
            return Err(JsonError::TooLarge);
        }
        let text = std::str::from_utf8(text).map_err(|_| JsonError::NotUtf8)?;
        Self::of_text(text.strip_prefix('\u{feff}').unwrap_or(text), names)
    }

    fn of_text(text: &'a str, names: &[&'a str]) -> Result<Self, JsonError> {
        if !text.trim_start().starts_with('{') {
            let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
            return Err(if is_json { JsonError::NotAnObject } else { JsonError::Syntax });
        }
        let mut repeated = false;
        let mut input = serde_json::Deserializer::from_str(text);
        let members = input
            .deserialize_map(NeededMembers { names, repeated: &mut repeated })
            .and_then(|members| input.end().map(|()| members));
        members.map(Self).map_err(|_| if repeated { JsonError::DuplicateMember } else { JsonError::Syntax })
    }

    /// Returns the value of a member; `None` if it is absent or `null`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ForeignValue<'a>> {
        self.0.iter().find(|(held, value)| *held == name && value.0 != "null").map(|(_, value)| *value)
    }

    /// Returns the text of a member that is a string; `None` if it is anything else.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.text()
    }

    /// Returns the needed members as a map; `None` if one of them cannot be represented.
    #[must_use]
    pub fn to_map(&self) -> Option<Map<String, Value>> {
        // Filled one by one: collecting into a map sorts, which is much code.
        let mut map = Map::new();
        for (name, value) in self.0.iter().filter(|(_, value)| value.0 != "null") {
            map.insert((*name).to_owned(), serde_json::from_str(value.0).ok()?);
        }
        Some(map)
    }
}

impl<'a> ForeignValue<'a> {
    /// Returns the text of a string. One with an unpaired surrogate is none (RFC 8259 §8.2).
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// Returns the text of a string that can name a user: 1 to 255 bytes without control
    /// characters. OpenID Connect Core §2 has ASCII alone for `sub`; providers use others, too.
    #[must_use]
    pub fn name(self) -> Option<Cow<'a, str>> {
        let is_name = |text: &str| (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
        self.text().filter(|text| is_name(text))
    }

    /// Returns the digits of a whole number that is not negative, as they are written: a number
    /// that names something may be larger than any type of numbers holds.
    #[must_use]
    pub fn digits(self) -> Option<&'a str> {
        Some(self.0).filter(|text| text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Returns a number, with or without fraction and exponent, as the nearest one of 64 bits. One
    /// that is too large is infinite.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        let first = self.0.bytes().next()?;
        let too_large = match first {
            b'-' => f64::NEG_INFINITY,
            b'0'..=b'9' => f64::INFINITY,
            _ => return None,
        };
        // It is a JSON number, of which only one that is too large cannot be read.
        Some(serde_json::from_str(self.0).unwrap_or(too_large))
    }

    /// Returns the items of an array.
    #[must_use]
    pub fn items(self) -> Option<Vec<Self>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.0).ok()?;
        Some(items.into_iter().map(|item| Self(item.get())).collect())
    }

    /// Returns `true` or `false`, also where they are written as text, which some providers do.
    #[must_use]
    pub fn boolean(self) -> Option<bool> {
        match self.0 {
            "true" | "\"true\"" => Some(true),
            "false" | "\"false\"" => Some(false),
            _ => None,
        }
    }

    /// Returns the member that these names lead to, from the outermost; `None` if it is absent or
    /// `null`, also where something on the way is no object.
    ///
    /// # Errors
    /// [`JsonError::DuplicateMember`] if one of them is repeated.
    pub fn inner(self, names: &'a [String]) -> Result<Option<Self>, JsonError> {
        let mut value = Some(self);
        for name in names {
            value = match value.map(|value| value.object(&[name])) {
                Some(Ok(object)) => object.get(name),
                Some(Err(JsonError::DuplicateMember)) => return Err(JsonError::DuplicateMember),
                Some(Err(_)) | None => None,
            };
        }
        Ok(value)
    }

    /// Returns the members with these names of an object.
    ///
    /// # Errors
    /// As [`ForeignObject::parse`].
    pub fn object(self, names: &[&'a str]) -> Result<ForeignObject<'a>, JsonError> {
        ForeignObject::of_text(self.0, names)
    }
}

/// Visits the object: keeps the text of needed members, and skips the others.
struct NeededMembers<'n, 'a> {
    names: &'n [&'a str],
    repeated: &'n mut bool,
}

impl<'a> Visitor<'a> for NeededMembers<'_, 'a> {
    type Value = Vec<(&'a str, ForeignValue<'a>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut needed: Self::Value = Vec::new();
        while let Some(name) = members.next_key_seed(NeededName(self.names))? {
            let Some(name) = name else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if needed.iter().any(|(held, _)| *held == name) {
                *self.repeated = true;
                return Err(A::Error::custom("repeated"));
            }
            needed.push((name, ForeignValue(members.next_value::<&'a RawValue>()?.get())));
        }
        Ok(needed)
    }
}

/// Deserializes a name: `None` for one that is not needed, whatever its characters are.
struct NeededName<'n, 'a>(&'n [&'a str]);

impl<'a> DeserializeSeed<'a> for NeededName<'_, 'a> {
    type Value = Option<&'a str>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'a> Visitor<'a> for NeededName<'_, 'a> {
    type Value = Option<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|needed| needed.as_bytes() == name).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "é"];

    fn parse(text: &str) -> Result<ForeignObject<'_>, JsonError> {
        ForeignObject::parse(text.as_bytes(), &NAMES, 64 * 1024)
    }

    #[test]
    fn what_is_not_needed_is_skipped_whatever_it_is() {
        for unknown in [
            r#""x":1,"x":2"#,
            r#""x":{"a":1,"a":2}"#,
            r#""x":1e999"#,
            r#""x":"\ud800""#,
            r#""\ud800":1"#,
            r#""x":null"#,
            r#""":[]"#,
        ] {
            let text = format!(r#"{{{unknown},"a":"1"}}"#);
            assert_eq!(parse(&text).unwrap().text("a").as_deref(), Some("1"), "{text}");
        }
        let deep = format!(r#"{{"x":{}{},"a":7}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(parse(&deep).unwrap().get("a").unwrap().number(), Some(7.0));
    }

    #[test]
    fn a_needed_member_must_not_be_repeated_in_any_spelling() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"a":null,"x":{},"a":1}"#, r#"{"é":1,"\u00e9":2}"#]
        {
            assert_eq!(parse(text).unwrap_err(), JsonError::DuplicateMember, "{text}");
        }
        assert!(parse(r#"{"a":{"a":1,"a":2},"b":1,"A":3}"#).is_ok());
    }

    #[test]
    fn a_byte_order_mark_and_whitespace_around_it_are_ignored() {
        for text in ["\u{feff}{\"a\":1}", " \r\n{\"a\" :\t1 }\n", "\u{feff} {\"a\":1}"] {
            assert_eq!(parse(text).unwrap().get("a").unwrap().number(), Some(1.0), "{text:?}");
        }
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in ["[]", "null", "1", "\"x\"", "true", " [{\"a\":1}]"] {
            assert_eq!(parse(text).unwrap_err(), JsonError::NotAnObject, "{text}");
        }
        for text in ["", "{", "{}{}", "{} x", "{\"a\":1,}", "{a:1}", "{\"a\":NaN}", "{\"x\":01}", "<html>", "a=b"] {
            assert_eq!(parse(text).unwrap_err(), JsonError::Syntax, "{text:?}");
        }
        assert_eq!(ForeignObject::parse(b"{\"a\":\"\xff\"}", &NAMES, 100).unwrap_err(), JsonError::NotUtf8);
        assert!(ForeignObject::parse(b"{}", &NAMES, 2).is_ok());
        assert_eq!(ForeignObject::parse(b"{ }", &NAMES, 2).unwrap_err(), JsonError::TooLarge);
    }

    #[test]
    fn null_is_no_value_and_a_value_has_one_type() {
        let text = r#"{"a":null,"b":"\u00e9\n","é":[1,"x",{"a":2}]}"#;
        let object = parse(text).unwrap();
        assert_eq!((object.get("a"), object.get("c")), (None, None));
        let value = object.get("b").unwrap();
        assert_eq!((value.text().as_deref(), value.number(), value.items()), (Some("é\n"), None, None));
        let items = object.get("é").unwrap().items().unwrap();
        let [one, text, inner] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!((one.number(), one.text(), text.text().as_deref()), (Some(1.0), None, Some("x")));
        assert_eq!(inner.object(&NAMES).unwrap().get("a").unwrap().number(), Some(2.0));
        assert_eq!(one.object(&NAMES).unwrap_err(), JsonError::NotAnObject);
        assert_eq!(object.to_map().unwrap().keys().collect::<Vec<_>>(), ["b", "é"]);
        let surrogate = parse(r#"{"a":"\ud800","b":1e999}"#).unwrap();
        assert_eq!((surrogate.text("a"), surrogate.to_map()), (None, None));
    }

    #[test]
    fn a_name_is_a_short_string_and_digits_are_a_whole_number() {
        let value = |text: &'static str| ForeignValue(text);
        for text in ["\"\"", "\"a\\nb\"", "\"\\u0000\"", "7", "true", "[\"a\"]", "{}", "null"] {
            assert_eq!(value(text).name(), None, "{text}");
        }
        assert_eq!(value("\"\\u00e9 7\"").name().as_deref(), Some("é 7"));
        for text in ["583231", "0", "18446744073709551616"] {
            assert_eq!(value(text).digits(), Some(text));
        }
        for text in ["-1", "1.0", "1e3", "\"1\"", "true", "[1]", "{}"] {
            assert_eq!(value(text).digits(), None, "{text}");
        }
        let long = |bytes: usize| format!("{{\"a\":\"{}\",\"b\":{}}}", "x".repeat(bytes), "1".repeat(bytes));
        let (fits, not) = (long(255), long(256));
        let (fits, not) = (parse(&fits).unwrap(), parse(&not).unwrap());
        assert!(fits.get("a").unwrap().name().is_some() && fits.get("b").unwrap().digits().is_some());
        assert!(not.get("a").unwrap().name().is_none() && not.get("b").unwrap().digits().is_none());
    }

    #[test]
    fn truth_may_be_written_as_text_and_nothing_else_is_truth() {
        for (text, expected) in [
            ("true", Some(true)),
            ("\"true\"", Some(true)),
            ("false", Some(false)),
            ("\"false\"", Some(false)),
            ("1", None),
            ("\"1\"", None),
            ("\"True\"", None),
            ("[true]", None),
            ("null", None),
        ] {
            assert_eq!(ForeignValue(text).boolean(), expected, "{text}");
        }
    }

    #[test]
    fn a_path_leads_through_objects_alone() {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let inner = |text: &'static str, names: &[&str]| {
            let names = path(names);
            ForeignValue(text).inner(&names).map(|found| found.map(|found| found.0.to_owned()))
        };
        let text = r#"{"a":{"b":[1],"c":null},"x":1,"x":2}"#;
        assert_eq!(inner(text, &[]), Ok(Some(text.to_owned())));
        assert_eq!(inner(text, &["a", "b"]), Ok(Some("[1]".to_owned())));
        for names in [&["b"][..], &["a", "c"], &["a", "c", "b"], &["a", "b", "0"]] {
            assert_eq!(inner(text, names), Ok(None), "{names:?}");
        }
        assert_eq!(inner(text, &["x"]), Err(JsonError::DuplicateMember));
    }

    #[test]
    fn a_number_may_have_a_fraction_and_an_exponent() {
        for (text, number) in
            [("3600", 3600.0), ("3600.0", 3600.0), ("3.6e3", 3600.0), ("36E+2", 3600.0), ("-1", -1.0), ("0.5", 0.5)]
        {
            assert_eq!(parse(&format!("{{\"a\":{text}}}")).unwrap().get("a").unwrap().number(), Some(number), "{text}");
        }
        assert_eq!(parse(r#"{"a":1e999}"#).unwrap().get("a").unwrap().number(), Some(f64::INFINITY));
        for text in ["\"1\"", "true", "[1]", "{}"] {
            assert_eq!(parse(&format!("{{\"a\":{text}}}")).unwrap().get("a").unwrap().number(), None, "{text}");
        }
    }
}
