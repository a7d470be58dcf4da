use super::*;

fn text(claim: IdentityClaim, caller: &Caller<'_>) -> Option<String> {
    let field = caller.field(&Rc::from("x-caller"), claim)?;
    Some(String::from_utf8(field.value.expose().clone()).unwrap())
}

#[test]
fn no_name_can_break_a_header_or_be_read_as_another() {
    for (name, value) in [
        ("Alice", "Alice"),
        ("Alice B. O'Neil, \"Jr\"", "Alice B. O'Neil, \"Jr\""),
        ("Zo\u{eb}", "Zo%C3%AB"),
        ("\u{6771}", "%E6%9D%B1"),
        ("a\r\nx-user-id: admin", "a%0D%0Ax-user-id: admin"),
        ("a\0b\x7fc\td", "a%00b%7Fc%09d"),
        (" a b ", "%20a b%20"),
        (" ", "%20"),
        ("100%", "100%25"),
        ("%41", "%2541"),
    ] {
        let caller = Caller { user: "u", name: Some(name.into()), ..Caller::default() };
        assert_eq!(text(IdentityClaim::Name, &caller).as_deref(), Some(value));
        let encoded = encoded(name, false);
        assert!(encoded.iter().all(|byte| matches!(byte, b' '..=b'~')), "{name:?}");
    }
}

#[test]
fn a_group_is_one_group_whatever_it_is_called() {
    let caller = |groups: &[&'static str]| Caller {
        groups: groups.iter().map(|group| Cow::Borrowed(*group)).collect(),
        ..Caller::default()
    };
    for (groups, value) in [
        (&["dev"][..], Some("dev")),
        (&["dev", "ops"], Some("dev,ops")),
        (&["dev,admin", "a b"], Some("dev%2Cadmin,a b")),
        (&["", "ops", ""], Some("ops")),
        (&[""], None),
        (&[], None),
    ] {
        assert_eq!(text(IdentityClaim::Groups, &caller(groups)).as_deref(), value, "{groups:?}");
    }
}

#[test]
fn what_is_not_known_empty_or_too_long_has_no_header() {
    let caller = Caller { user: "u", ..Caller::default() };
    for claim in [IdentityClaim::Subject, IdentityClaim::Email, IdentityClaim::Name, IdentityClaim::Groups] {
        assert_eq!(text(claim, &caller), None, "{claim:?}");
    }
    assert_eq!(text(IdentityClaim::Sub, &caller).as_deref(), Some("u"));
    let named = |name: String| Caller { name: Some(name.into()), ..Caller::default() };
    assert_eq!(text(IdentityClaim::Name, &named(String::new())), None);
    assert!(text(IdentityClaim::Name, &named("n".repeat(MAX_VALUE))).is_some());
    assert_eq!(text(IdentityClaim::Name, &named("n".repeat(MAX_VALUE + 1))), None);
}
