use super::*;

#[test]
fn rust_comments_and_strings_are_told_from_code() {
    let code = r##"
//! One
//! run.

/// Two.
fn f<'a>(x: &'a str) -> char { // three
    g("four \" // five", r#"six "seven""#, b"eight", '"', '\'', 'x', "\\");
    /* nine
     * ten */
    let br = for_r"x";
}
"##;
    let expected = [
        (Kind::Documentation, 2, "One run."),
        (Kind::Documentation, 5, "Two."),
        (Kind::Comment, 6, "three"),
        (Kind::Text, 7, "four \\\" // five"),
        (Kind::Text, 7, "six \"seven\""),
        (Kind::Text, 7, "eight"),
        (Kind::Comment, 8, "nine ten"),
        (Kind::Text, 10, "x"),
    ];
    assert_eq!(summary("a.rs", code), expected.map(|(kind, line, text)| (kind, line, text.to_owned())));
}

#[test]
fn other_languages_have_comments_and_strings_of_their_own() {
    for (path, text, expected) in [
        ("a.py", "x = '''one\ntwo''' # three\n", vec![(Kind::Text, 1, "one two"), (Kind::Comment, 2, "three")]),
        (
            "a.lua",
            "-- one\nx = 'two' --[[ three ]]",
            vec![(Kind::Comment, 1, "one"), (Kind::Text, 2, "two"), (Kind::Comment, 2, "three")],
        ),
        ("a.mjs", "f(`one`); // two", vec![(Kind::Text, 1, "one"), (Kind::Comment, 1, "two")]),
        ("a.yaml", "a: b#c # one\n# two\n", vec![(Kind::Text, 1, "a: b#c"), (Kind::Comment, 1, "one two")]),
        ("Makefile", "# one\nall:\n", vec![(Kind::Comment, 1, "one"), (Kind::Text, 2, "all:")]),
        (
            "a.md",
            "One\n`two` three.\n- four\n\n```\nfive\n```",
            vec![(Kind::Paragraph, 1, "One `` three."), (Kind::Paragraph, 3, "- four"), (Kind::Paragraph, 4, "")],
        ),
        ("a.bin", "# one", vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(kind, line, text)| (kind, line, text.to_owned())).collect();
        assert_eq!(summary(path, text), expected, "{path}");
    }
}

fn summary(path: &str, text: &str) -> Vec<(Kind, usize, String)> {
    let runs = prose(path, text).into_iter().map(|prose| {
        let line = prose.lines.first().map_or(0, |(line, _)| *line);
        let lines: Vec<String> = prose.lines.into_iter().map(|(_, text)| text).collect();
        (prose.kind, line, lines.join(" "))
    });
    runs.collect()
}
