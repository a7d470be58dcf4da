//! JSON with places.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::check::node::{Content, Field, Node, Written};
use crate::check::problem::Problem;
use crate::check::text::{Style, Text};

/// Reads a text as JSON. Names that are given twice are reported, and the first one counts.
///
/// # Errors
/// Where it is no JSON.
pub(crate) fn read(text: &Text) -> Result<(Node, Vec<Problem>), Problem> {
    // The grammar is serde_json's; what follows it only finds the places.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text.content()) {
        return Err(syntax(text, &error));
    }
    let mut reader = Reader { text, at: 0, twice: Vec::new() };
    match reader.value() {
        Some(node) => Ok((node, reader.twice)),
        None => Err(Problem::new(text.place(0), "", "not JSON")),
    }
}

fn syntax(text: &Text, error: &serde_json::Error) -> Problem {
    let place = text.place(text.offset(error.line(), error.column().max(1)));
    let message = error.to_string();
    // Of syntax alone it says what it expected, and repeats nothing.
    let what = match error.classify() {
        Category::Syntax | Category::Eof => message.split(" at line ").next().unwrap_or_default(),
        Category::Data | Category::Io => "cannot be read",
    };
    Problem::new(place, "", format!("not JSON: {what}"))
}

/// Goes through text that is JSON.
struct Reader<'a> {
    text: &'a Text,
    at: usize,
    twice: Vec<Problem>,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let place = self.text.place(self.at);
        let content = match first {
            b'{' => self.map()?,
            b'[' => self.list()?,
            b'"' => Content::String(self.string()?),
            _ => self.word()?,
        };
        Some(Node { place, content })
    }

    fn map(&mut self) -> Option<Content> {
        let mut fields: Vec<Field> = Vec::new();
        self.step();
        loop {
            match self.peek()? {
                b'}' => {
                    self.step();
                    return Some(Content::Map(fields));
                }
                b',' => self.step(),
                _ => {
                    let name_place = self.text.place(self.at);
                    let name = self.string()?.value;
                    self.peek()?;
                    self.step();
                    let value = self.value()?;
                    if fields.iter().any(|field| field.name == name) {
                        self.twice.push(Problem::new(name_place, "", "a field is given twice"));
                    } else {
                        fields.push(Field { name, name_place, value });
                    }
                }
            }
        }
    }

    fn list(&mut self) -> Option<Content> {
        let mut items = Vec::new();
        self.step();
        loop {
            match self.peek()? {
                b']' => {
                    self.step();
                    return Some(Content::List(items));
                }
                b',' => self.step(),
                _ => items.push(self.value()?),
            }
        }
    }

    fn string(&mut self) -> Option<Written> {
        let start = self.at;
        let mut escaped = false;
        for (offset, byte) in self.text.content().as_bytes().get(start..)?.iter().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at = start.checked_add(offset)?.checked_add(1)?;
                    let source = start..self.at;
                    let value = serde_json::from_str(self.text.content().get(source.clone())?).ok()?;
                    return Some(Written { value, source, style: Style::DoubleQuoted });
                }
                _ => {}
            }
        }
        None
    }

    fn word(&mut self) -> Option<Content> {
        let rest = self.text.content().get(self.at..)?;
        let end = rest.find(|letter: char| matches!(letter, ',' | ']' | '}') || letter.is_ascii_whitespace());
        let word = rest.get(..end.unwrap_or(rest.len()))?;
        self.at = self.at.checked_add(word.len())?;
        match word {
            "null" => Some(Content::Null),
            "true" => Some(Content::Bool(true)),
            "false" => Some(Content::Bool(false)),
            number => serde_json::from_str(number).ok().map(Content::Number),
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        self.skip();
        self.text.content().as_bytes().get(self.at).copied()
    }

    fn skip(&mut self) {
        let bytes = self.text.content().as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.step();
        }
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}
