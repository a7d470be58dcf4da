//! The prose of a file: comments and strings of code, paragraphs of Markdown and pages.

/// A run of prose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prose {
    /// What it is.
    pub kind: Kind,
    /// Its lines without their comment signs, each with its number in the file, from 1.
    pub lines: Vec<(usize, String)>,
}

/// The kind of a run of prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Comment lines that follow each other.
    Comment,
    /// The same, as documentation of an item.
    Documentation,
    /// A string.
    Text,
    /// A paragraph or a list item of Markdown, or a page's text.
    Paragraph,
}

/// The prose of a file, by the way its name ends. A file of a kind that has none, or is not known,
/// has none.
#[must_use]
pub fn prose(path: &str, text: &str) -> Vec<Prose> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    match ending {
        "rs" => joined(code(text, &RUST)),
        "mjs" | "js" | "c" => joined(code(text, &C_LIKE)),
        "lua" => joined(code(text, &LUA)),
        "py" => joined(code(text, &PYTHON)),
        "sh" | "yaml" | "yml" | "toml" | "Makefile" | "run" | "conf" => hash_comments(text),
        "md" => markdown(text),
        "html" => text.lines().enumerate().map(|(index, line)| paragraph(index.saturating_add(1), line)).collect(),
        _ => Vec::new(),
    }
}

/// How a language writes comments and strings.
struct Syntax {
    /// The signs that begin a comment to the end of the line.
    line: &'static [&'static str],
    /// The signs around other comments.
    block: &'static [(&'static str, &'static str)],
    /// The signs around a string, the longest first.
    quotes: &'static [&'static str],
    /// Strings without escapes (`r#"…"#`), and quotes that may be a lifetime.
    is_rust: bool,
}

const RUST: Syntax = Syntax { line: &["//"], block: &[("/*", "*/")], quotes: &["\""], is_rust: true };
const C_LIKE: Syntax = Syntax { line: &["//"], block: &[("/*", "*/")], quotes: &["\"", "'", "`"], is_rust: false };
const LUA: Syntax = Syntax { line: &["--"], block: &[("--[[", "]]")], quotes: &["\"", "'"], is_rust: false };
const PYTHON: Syntax = Syntax { line: &["#"], block: &[], quotes: &["\"\"\"", "'''", "\"", "'"], is_rust: false };

/// Comments and strings in the order of the text, one a line or a string.
fn code(text: &str, syntax: &Syntax) -> Vec<Prose> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1_usize;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let (length, piece) = if let Some((open, close)) = syntax.block.iter().find(|(open, _)| rest.starts_with(open))
        {
            let length = end_of(rest, open.len(), close, false);
            (length, rest.get(open.len()..length.saturating_sub(close.len())).map(|body| (Kind::Comment, body)))
        } else if let Some(sign) = syntax.line.iter().find(|sign| rest.starts_with(**sign)) {
            let length = rest.find('\n').unwrap_or(rest.len());
            (length, rest.get(sign.len()..length).map(|body| comment(body, syntax)))
        } else if let (true, Some(hashes)) = (syntax.is_rust && !is_word(before), raw_hashes(rest)) {
            let open = rest.find('"').map_or(rest.len(), |at| at.saturating_add(1));
            let close = format!("\"{}", "#".repeat(hashes));
            let length = end_of(rest, open, &close, false);
            (length, rest.get(open..length.saturating_sub(close.len())).map(|body| (Kind::Text, body)))
        } else if let Some(quote) = syntax.quotes.iter().find(|quote| rest.starts_with(**quote)) {
            let length = end_of(rest, quote.len(), quote, true);
            (length, rest.get(quote.len()..length.saturating_sub(quote.len())).map(|body| (Kind::Text, body)))
        } else if syntax.is_rust && first == '\'' {
            (length_of_char(rest), None)
        } else {
            (first.len_utf8(), None)
        };
        let (passed, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if let Some((kind, body)) = piece {
            let lines = body.lines().enumerate().map(|(index, text)| (line.saturating_add(index), clean(text, kind)));
            found.push(Prose { kind, lines: lines.collect() });
        }
        line = line.saturating_add(passed.matches('\n').count());
        before = passed.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    found
}

fn comment<'a>(body: &'a str, syntax: &Syntax) -> (Kind, &'a str) {
    match body.strip_prefix(['/', '!']).filter(|_| syntax.is_rust) {
        Some(body) => (Kind::Documentation, body),
        None => (Kind::Comment, body),
    }
}

/// Where a comment or string that begins at the start of `text` ends, its closing sign included.
fn end_of(text: &str, open: usize, close: &str, escapes: bool) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip_while(|(at, _)| *at < open) {
        if is_escaped {
            is_escaped = false;
        } else if escapes && character == '\\' {
            is_escaped = true;
        } else if text.get(at..).is_some_and(|rest| rest.starts_with(close)) {
            return at.saturating_add(close.len());
        }
    }
    text.len()
}

/// How many `#` a raw string at the start of `text` has, if there is one.
fn raw_hashes(text: &str) -> Option<usize> {
    let after = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let hashes = after.chars().take_while(|character| *character == '#').count();
    after.get(hashes..)?.starts_with('"').then_some(hashes)
}

/// The length of a character literal or a lifetime's quote at the start of `text`.
fn length_of_char(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), _) => {
            let end = characters.find(|(_, character)| *character == '\'');
            end.map_or(text.len(), |(at, _)| at.saturating_add(1))
        }
        (_, Some((at, '\''))) => at.saturating_add(1),
        (_, _) => 1,
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// A comment's line without what some put before each (` * `); a string's without the signs of its
/// line ends.
fn clean(line: &str, kind: Kind) -> String {
    let line = line.trim();
    match kind {
        Kind::Comment | Kind::Documentation => line.strip_prefix("* ").unwrap_or(line).to_owned(),
        Kind::Text | Kind::Paragraph => line.replace("\\n", " ").trim_end_matches('\\').trim().to_owned(),
    }
}

/// Joins comments on lines that follow each other. An empty line in one ends a run.
fn joined(pieces: Vec<Prose>) -> Vec<Prose> {
    let mut found: Vec<Prose> = Vec::new();
    for piece in pieces {
        let first = piece.lines.first().map_or(0, |(line, _)| *line);
        let is_empty = piece.lines.iter().all(|(_, text)| text.is_empty());
        match found.last_mut() {
            Some(last)
                if piece.kind != Kind::Text
                    && last.kind == piece.kind
                    && last
                        .lines
                        .last()
                        .is_some_and(|(line, text)| line.saturating_add(1) == first && !text.is_empty()) =>
            {
                last.lines.extend(piece.lines);
            }
            _ if is_empty && piece.kind == Kind::Text => {}
            _ => found.push(piece),
        }
    }
    found
}

/// Files whose comments begin with `#`: the rest of a line counts as a comment where one stands on
/// its own or after a space, and every other line as text.
fn hash_comments(text: &str) -> Vec<Prose> {
    let mut pieces = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index.saturating_add(1);
        let at = if line.trim_start().starts_with('#') { line.find('#') } else { line.find(" # ") };
        let (code, comment) = at.and_then(|at| line.split_at_checked(at)).unwrap_or((line, ""));
        if !code.trim().is_empty() {
            pieces.push(Prose { kind: Kind::Text, lines: vec![(number, code.trim().to_owned())] });
        }
        if at.is_some() {
            let body = comment.trim().trim_start_matches('#').trim().to_owned();
            pieces.push(Prose { kind: Kind::Comment, lines: vec![(number, body)] });
        }
    }
    joined(pieces)
}

/// Paragraphs and list items; code, and code in a line, is left out.
fn markdown(text: &str) -> Vec<Prose> {
    let mut found: Vec<Prose> = Vec::new();
    let mut is_code = false;
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            is_open = false;
        } else if !is_code {
            let begins = line.trim().is_empty() || line.trim_start().starts_with(['-', '*', '|', '#']);
            let number = index.saturating_add(1);
            match found.last_mut().filter(|_| is_open && !begins) {
                Some(last) => last.lines.push((number, line.trim().to_owned())),
                None => found.push(paragraph(number, line)),
            }
            is_open = !line.trim().is_empty();
        }
    }
    for prose in &mut found {
        let mut is_code = false;
        for (_, line) in &mut prose.lines {
            line.retain(|character| {
                is_code ^= character == '`';
                !is_code || character == '`'
            });
        }
    }
    found
}

fn paragraph(number: usize, line: &str) -> Prose {
    Prose { kind: Kind::Paragraph, lines: vec![(number, line.trim().to_owned())] }
}

#[cfg(test)]
#[path = "prose_tests.rs"]
mod prose_tests;
