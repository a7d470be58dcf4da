//! The language of comments, messages and documentation: `docs/glossary.md` says why.

use crate::prose::{Kind, Prose, prose};

/// The words and beginnings that a file's prose must not have.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Phrases, each with what to write instead. Case and line ends do not count.
    pub phrases: &'a [(&'a str, &'a str)],
    /// How a documentation comment must not begin.
    pub beginnings: &'a [&'a str],
}

/// Where a file's prose has refused words: `path:line: says …`.
#[must_use]
pub fn refused_words(path: &str, text: &str, refused: &Refused<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for prose in prose(path, text) {
        let (whole, starts) = flat(&prose);
        for (phrase, instead) in refused.phrases {
            for (at, _) in whole.match_indices(phrase).filter(|(at, _)| is_alone(&whole, *at, phrase.len())) {
                let line = starts.iter().rev().find(|(start, _)| *start <= at).map_or(0, |(_, line)| *line);
                found.push(format!("{path}:{line}: `{phrase}`: {instead}"));
            }
        }
        if prose.kind == Kind::Documentation {
            let first = prose.lines.first();
            let begins = |beginning: &&&str| {
                first.is_some_and(|(_, text)| text.starts_with(**beginning) && is_alone(text, 0, beginning.len()))
            };
            if let (Some((line, _)), Some(beginning)) = (first, refused.beginnings.iter().find(begins)) {
                found
                    .push(format!("{path}:{line}: begins with `{beginning}`: begin with a verb (`Returns`) or a noun"));
            }
        }
    }
    found
}

/// Where a comment, or a line of Markdown, is wider than `width` columns: `path:line: …`. Addresses
/// and the targets of links do not count, tables and code may be of any width.
#[must_use]
pub fn wide_lines(path: &str, text: &str, width: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for prose in prose(path, text).into_iter().filter(|prose| prose.kind != Kind::Text) {
        for (number, comment) in &prose.lines {
            let Some(line) = number.checked_sub(1).and_then(|index| lines.get(index)) else { continue };
            let counted = without_addresses(line).chars().count();
            let is_prose = path.ends_with(".md") || prose.kind != Kind::Paragraph;
            if is_prose && counted > width && !line.trim_start().starts_with('|') && !comment.starts_with('|') {
                found.push(format!("{path}:{number}: {counted} columns"));
            }
        }
    }
    found
}

/// A run of prose as one line in lower case, with where in it each line of the file begins.
fn flat(prose: &Prose) -> (String, Vec<(usize, usize)>) {
    let mut whole = String::new();
    let mut starts = Vec::new();
    for (line, text) in &prose.lines {
        starts.push((whole.len(), *line));
        for word in text.split_whitespace() {
            whole.push_str(&word.to_lowercase());
            whole.push(' ');
        }
    }
    (whole, starts)
}

fn is_alone(text: &str, at: usize, length: usize) -> bool {
    let is_word = |character: char| character.is_alphanumeric();
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    let after = text.get(at.saturating_add(length)..).and_then(|after| after.chars().next());
    !before.is_some_and(is_word) && !after.is_some_and(is_word)
}

fn without_addresses(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(at) = ["](", "https://", "http://"].iter().filter_map(|sign| rest.find(sign)).min() {
        let (before, address) = rest.split_at_checked(at).unwrap_or((rest, ""));
        kept.push_str(before);
        let end = address.find([')', ' ', '>', '"']).unwrap_or(address.len());
        rest = address.get(end..).unwrap_or_default();
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Refused<'_> = Refused {
        phrases: &[("is away", "is unavailable"), ("nobody", "no one")],
        beginnings: &["Gives", "Tells whether"],
    };

    #[test]
    fn refused_words_are_found_in_comments_strings_and_markdown() {
        let code = "/// Gives one.\n///\n/// When the store is\n/// away.\nfn f() { g(\"Nobody\"); } // anew, nobody\nfn nobody() {}";
        let expected = [
            "a.rs:1: begins with `Gives`: begin with a verb (`Returns`) or a noun",
            "a.rs:3: `is away`: is unavailable",
            "a.rs:5: `nobody`: no one",
            "a.rs:5: `nobody`: no one",
        ];
        assert_eq!(refused_words("a.rs", code, &REFUSED), expected);
        let text = "It is\naway. Run as `nobody`.\n\n```\nnobody\n```\nThis is awaybound.\n- It is\n\naway";
        assert_eq!(refused_words("a.md", text, &REFUSED), ["a.md:1: `is away`: is unavailable"]);
        assert_eq!(refused_words("a.yaml", "user: nobody\n", &REFUSED), ["a.yaml:1: `nobody`: no one"]);
        assert_eq!(refused_words("a.html", "<p>nobody</p>", &REFUSED), ["a.html:1: `nobody`: no one"]);
        assert_eq!(refused_words("a.json", "nobody", &REFUSED), [""; 0]);
    }

    #[test]
    fn only_what_a_comment_begins_with_is_its_beginning() {
        assert_eq!(
            refused_words("a.rs", "/// One that Gives.\n/// Gives more.\n// Gives\n/// Givess", &REFUSED),
            [""; 0]
        );
    }

    #[test]
    fn wide_comments_and_paragraphs_are_found_but_no_tables_code_or_addresses() {
        let wide = "word ".repeat(10);
        for (path, text) in [
            ("a.rs", format!("fn f() {{}}\n    // {wide}.")),
            ("a.rs", format!("\nfn f() {{}} // {wide}.")),
            ("a.yaml", format!("\n# {wide}.")),
            ("a.py", format!("\n# {wide}.")),
            ("a.lua", format!("\n-- {wide}.")),
            ("a.mjs", format!("\n/* {wide}. */")),
            ("a.md", format!("\n- {wide}.")),
        ] {
            let found = wide_lines(path, &text, 40);
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].starts_with(&format!("{path}:2: ")), "{found:?}");
        }
        for (path, text) in [
            ("a.md", format!("| {wide} |")),
            ("a.md", format!("```\n{wide}\n```")),
            ("a.md", format!("[word](https://example.com/{})", "long".repeat(20))),
            ("a.rs", format!("let text = \"{wide}\";")),
            ("a.rs", format!("/// | {wide} |")),
            ("a.rs", format!("// https://example.com/{}", "long".repeat(20))),
            ("a.yaml", format!("key: {wide}")),
            ("a.html", wide.clone()),
        ] {
            assert_eq!(wide_lines(path, &text, 40), [""; 0], "{text}");
        }
    }
}
