//! Several providers: the legs of a login, and what is no login at all.

use super::*;

/// A document with these providers, each a name and the part that it has in a login.
fn with_providers(written: &[(&str, &str)]) -> Value {
    let one = minimal()["upstreamProviders"][0].clone();
    let provider = |(name, login): &(&str, &str)| {
        let provider = with(one.clone(), "/name", json!(name));
        if login.is_empty() { provider } else { with(provider, "/login", json!(login)) }
    };
    with(minimal(), "/upstreamProviders", written.iter().map(provider).collect())
}

/// The names of the providers of each leg.
fn legs(written: &[(&str, &str)]) -> Vec<String> {
    let config = compile(&with_providers(written)).unwrap();
    let names = |leg| config.providers.of(leg).map(|provider| provider.name.to_string()).collect::<Vec<_>>().join("|");
    config.providers.legs().iter().map(names).collect()
}

#[test]
fn each_required_provider_is_a_leg_and_all_choices_are_one_at_the_place_of_the_first() {
    for (written, expected) in [
        (&[("corp", "")][..], &["corp"][..]),
        (&[("b", ""), ("a", "required")], &["b", "a"]),
        (&[("a", "onDemand"), ("b", "")], &["b"]),
        (&[("a", "choice"), ("b", "choice")], &["a|b"]),
        (&[("a", "choice"), ("b", ""), ("c", "choice"), ("d", "onDemand")], &["a|c", "b"]),
        (&[("a", ""), ("b", "choice"), ("c", ""), ("d", "choice")], &["a", "b|d", "c"]),
    ] {
        assert_eq!(legs(written), expected, "{written:?}");
    }
}

#[test]
fn a_login_goes_on_where_its_legs_are_those_of_the_configuration_and_nowhere_else() {
    let config = compile(&with_providers(&[("a", "choice"), ("b", ""), ("c", "choice"), ("d", "onDemand")])).unwrap();
    let id = |name: &str| config.providers.iter().find(|provider| &*provider.name == name).unwrap().id;
    let gone = ProviderId::of("gone", "https://idp.example");
    let word = |done: &[ProviderId]| match config.providers.progress(done) {
        Progress::Next(leg) => config.providers.of(leg).map(|provider| &*provider.name).collect::<Vec<_>>().join("|"),
        Progress::Complete => "complete".to_owned(),
        Progress::Changed => "changed".to_owned(),
    };
    for (done, expected) in [
        (&[][..], "a|c"),
        (&[id("c")], "b"),
        (&[id("c"), id("b")], "complete"),
        (&[id("b")], "changed"),
        (&[gone], "changed"),
        (&[id("c"), id("a")], "changed"),
        (&[id("c"), id("b"), id("d")], "changed"),
    ] {
        assert_eq!(word(done), expected);
    }
    let choice = config.providers.choice().unwrap();
    let at = |chosen| config.providers.at(choice, chosen).map(|provider| &*provider.name);
    assert_eq!([None, Some(id("b")), Some(id("d")), Some(id("c"))].map(at), [None, None, None, Some("c")]);
    let offered = ["a", "b", "c", "d", "e", ""].map(|name| config.providers.offered(name).is_some());
    assert_eq!(offered, [true, false, true, false, false, false]);
}

#[test]
fn providers_that_make_no_login_are_refused() {
    let many = |count: usize, login: &'static str| -> Vec<(String, &str)> {
        (0..count).map(|number| (format!("p{number}"), login)).collect()
    };
    let table: [(Vec<(String, &str)>, &str); 6] = [
        (vec![("a".to_owned(), "onDemand")], "upstreamProviders: users log in at none of them"),
        (
            vec![("a".to_owned(), "choice"), ("b".to_owned(), "onDemand")],
            "upstreamProviders[0].login: needs a second provider to choose from",
        ),
        (vec![("a".to_owned(), ""), ("a".to_owned(), "choice")], "upstreamProviders[1].login: needs a second"),
        (vec![("a".to_owned(), ""), ("a".to_owned(), "")], "upstreamProviders[1].name: is another provider's name too"),
        (many(9, ""), "upstreamProviders: a login may have at most 8 legs"),
        (many(33, "choice"), "upstreamProviders: must be at most 32"),
    ];
    for (written, expected) in table {
        let written: Vec<(&str, &str)> = written.iter().map(|(name, login)| (name.as_str(), *login)).collect();
        let found = problems(&with_providers(&written));
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{written:?}: {found:?}");
    }
    assert_eq!(legs(&many(8, "").iter().map(|(name, login)| (name.as_str(), *login)).collect::<Vec<_>>()).len(), 8);
    let problem = problem_of(with(minimal(), "/upstreamProviders/0/login", json!("sometimes")));
    assert_eq!(problem, r#"upstreamProviders[0].login: must be one of "required", "choice", "onDemand""#);
}

#[test]
fn a_provider_is_shown_by_its_display_name_or_its_name() {
    let shown = |document: &Value| compile(document).unwrap().providers.iter().next().unwrap().display_name.to_string();
    assert_eq!(shown(&with_providers(&[("corp", "")])), "corp");
    let named = |name: &str| with(minimal(), "/upstreamProviders/0/displayName", json!(name));
    assert_eq!(shown(&named("Acme Größe <b>")), "Acme Größe <b>");
    for name in [String::new(), "a\nb".to_owned(), "x".repeat(65)] {
        let found = problems(&named(&name));
        let expected = "upstreamProviders[0].displayName: must be 1 to 64 bytes without control characters";
        assert_eq!(found, [expected]);
    }
}
