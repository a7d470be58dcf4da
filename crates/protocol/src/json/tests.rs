//! Tests of both parsers, which must agree.

use serde_json::{Map, Value};

use super::*;

/// Parses with both parsers, which must agree.
fn parse(text: &str) -> Result<Map<String, Value>, JsonError> {
    let object = parse_object(text.as_bytes(), Limits::TOKEN);
    assert_eq!(ObjectMembers::parse(text.as_bytes(), Limits::TOKEN).map(ObjectMembers::into_map), object, "{text}");
    object
}

#[test]
fn members_have_their_unescaped_names() {
    let members = ObjectMembers::parse(br#"{"a":"x","\u0062":"y\n","c":7,"d":-7,"e":["f"]}"#, Limits::TOKEN).unwrap();
    let read: Vec<_> = members.iter().collect();
    let expected = [
        ("a", &MemberValue::String("x".into())),
        ("b", &MemberValue::String("y\n".into())),
        ("c", &MemberValue::UInt(7)),
        ("d", &MemberValue::Other(Value::from(-7))),
        ("e", &MemberValue::Other(serde_json::json!(["f"]))),
    ];
    assert_eq!(read, expected);
}

#[test]
fn an_object_keeps_its_values() {
    let object = parse(r#" {"a":[1,-2,1.5,null,true,"x\u0041"],"b":{"a":{}}} "#).unwrap();
    assert_eq!(Value::Object(object), serde_json::json!({"a": [1, -2, 1.5, null, true, "xA"], "b": {"a": {}}}));
}

#[test]
fn a_repeated_member_is_refused_at_every_level_and_in_every_spelling() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"x":[{"y":[{"a":1,"b":2,"a":3}]}]}"#,
        r#"{"":1,"":1}"#,
    ] {
        assert_eq!(parse(text), Err(JsonError::DuplicateMember), "{text}");
    }
}

#[test]
fn one_name_in_two_objects_is_no_repetition() {
    assert!(parse(r#"{"a":{"a":1},"b":{"a":1},"A":2}"#).is_ok());
}

#[test]
fn anything_but_one_object_is_refused() {
    for text in ["[]", "null", "1", "\"x\"", "true"] {
        assert_eq!(parse(text), Err(JsonError::NotAnObject), "{text}");
    }
    for text in [
        "",
        "{",
        "{}{}",
        "{} x",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":NaN}",
        "{\"a\":01}",
        "\u{feff}{}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\ud800\"}",
        "//\n{}",
    ] {
        assert_eq!(parse(text), Err(JsonError::Syntax), "{text:?}");
    }
    assert_eq!(parse_object(b"{\"a\":\"\xff\"}", Limits::TOKEN), Err(JsonError::NotUtf8));
    assert_eq!(ObjectMembers::parse(b"{\"a\":\"\xff\"}", Limits::TOKEN).err(), Some(JsonError::NotUtf8));
}

#[test]
fn depth_is_bounded_exactly() {
    let nested = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth), 1, "}".repeat(depth));
    assert!(parse(&nested(8)).is_ok());
    assert_eq!(parse(&nested(9)), Err(JsonError::TooDeep));
    let arrays = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&arrays(7)).is_ok());
    assert_eq!(parse(&arrays(8)), Err(JsonError::TooDeep));
    assert_eq!(parse(&"{\"a\":".repeat(3000)), Err(JsonError::TooDeep));
}

#[test]
fn size_is_bounded_exactly() {
    let limits = Limits { bytes: 10, depth: 2 };
    assert!(parse_object(b"{\"a\":1234}", limits).is_ok());
    assert_eq!(parse_object(b"{\"a\":12345}", limits), Err(JsonError::TooLarge));
    assert!(ObjectMembers::parse(b"{\"a\":1234}", limits).is_ok());
    assert_eq!(ObjectMembers::parse(b"{\"a\":12345}", limits).err(), Some(JsonError::TooLarge));
    assert_eq!(ObjectMembers::parse(b"{}", Limits { bytes: 10, depth: 0 }).err(), Some(JsonError::TooDeep));
}

#[test]
fn numbers_keep_the_difference_between_integers_and_floats() {
    let object = parse(r#"{"i":9223372036854775808,"f":1.0,"n":-1,"big":18446744073709551616}"#).unwrap();
    assert_eq!(object["i"].as_u64(), Some(1 << 63));
    assert_eq!(object["f"].as_u64(), None);
    assert_eq!(object["n"].as_u64(), None);
    assert_eq!(object["big"].as_u64(), None);
}
