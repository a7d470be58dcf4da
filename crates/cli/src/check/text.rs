//! A text, and where in the file each of its letters is. A text inside another, such as JSON in a
//! YAML string, knows its places in the file, too.

use std::ops::Range;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, from 1, in letters.
    pub(crate) column: usize,
}

/// How a string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// JSON's, or YAML's in double quotes.
    DoubleQuoted,
    /// YAML's in single quotes.
    SingleQuoted,
    /// YAML's without quotes.
    Plain,
    /// YAML's `|`.
    Literal,
    /// YAML's `>`.
    Folded,
}

/// A text with its places.
#[derive(Debug)]
pub(crate) struct Text {
    content: String,
    /// One for each byte, and one for the end.
    places: Vec<Place>,
}

impl Text {
    /// A whole file.
    pub(crate) fn of_file(content: &str) -> Self {
        let content = content.strip_prefix('\u{feff}').unwrap_or(content).to_owned();
        let mut places = Vec::with_capacity(content.len().saturating_add(1));
        let mut place = START;
        for letter in content.chars() {
            places.extend(std::iter::repeat_n(place, letter.len_utf8()));
            place = if letter == '\n' {
                Place { line: place.line.saturating_add(1), column: 1 }
            } else {
                Place { column: place.column.saturating_add(1), ..place }
            };
        }
        places.push(place);
        Self { content, places }
    }

    /// The text of a string that is written at `source` in this one and means `decoded`.
    pub(crate) fn embedded(&self, source: Range<usize>, style: Style, decoded: &str) -> Self {
        let start = source.start;
        let written = self.content.get(source).unwrap_or_default();
        let offsets = offsets(written, style, decoded);
        let place = |offset: usize| self.place(start.saturating_add(offset));
        let places = match offsets {
            Some(offsets) => offsets.into_iter().map(place).collect(),
            // Where it cannot be followed, everything is where the string begins.
            None => vec![place(0); decoded.len().saturating_add(1)],
        };
        Self { content: decoded.to_owned(), places }
    }

    pub(crate) fn content(&self) -> &str {
        &self.content
    }

    /// Where a byte of the content is in the file; the end for one behind it.
    pub(crate) fn place(&self, offset: usize) -> Place {
        self.places.get(offset).or_else(|| self.places.last()).copied().unwrap_or(START)
    }

    /// The byte at a line and a column of bytes in the content, both from 1.
    pub(crate) fn offset(&self, line: usize, column: usize) -> usize {
        let before: usize = self.content.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        before.saturating_add(column.saturating_sub(1)).min(self.content.len())
    }
}

/// For each byte of `decoded`, and for its end, where in `written` it is.
fn offsets(written: &str, style: Style, decoded: &str) -> Option<Vec<usize>> {
    match style {
        Style::Literal => literal(written, decoded),
        Style::Folded => {
            let (first, indentation) = (body(written), indentation(written));
            let spaces = written.get(first..)?.bytes().take_while(|byte| *byte == b' ').count();
            let first = first.saturating_add(spaces.min(indentation));
            Follower::new(written, first, Some(indentation)).follow(decoded, style)
        }
        Style::DoubleQuoted | Style::SingleQuoted => Follower::new(written, 1, None).follow(decoded, style),
        Style::Plain => Follower::new(written, 0, None).follow(decoded, style),
    }
}

/// Line by line: a literal's lines are the source's without their indentation.
fn literal(written: &str, decoded: &str) -> Option<Vec<usize>> {
    let mut offsets = Vec::with_capacity(decoded.len().saturating_add(1));
    let mut at = body(written);
    for line in decoded.split_inclusive('\n') {
        let source = written.get(at..)?.split_inclusive('\n').next().unwrap_or_default();
        let bare = line.trim_end_matches('\n');
        let indented = source.trim_end_matches(['\n', '\r']);
        // A blank line may be indented less than the others.
        let indentation = if bare.is_empty() { indented.len() } else { indented.len().checked_sub(bare.len())? };
        if !bare.is_empty() && indented.get(indentation..) != Some(bare) {
            return None;
        }
        let first = at.saturating_add(indentation);
        offsets.extend((0..line.len()).map(|offset| first.saturating_add(offset)));
        at = at.saturating_add(source.len());
    }
    offsets.push(at);
    Some(offsets)
}

/// Where the lines of a block scalar begin: behind the line with its `|` or `>`.
fn body(written: &str) -> usize {
    if written.starts_with(['|', '>']) {
        written.find('\n').map_or(written.len(), |end| end.saturating_add(1))
    } else {
        0
    }
}

fn indentation(written: &str) -> usize {
    let first = body(written);
    // Where it begins with its first letter, that line's indentation is before it.
    let partial = first == 0 && !written.starts_with(' ');
    let lines = written.get(first..).unwrap_or_default().lines().skip(usize::from(partial));
    let spaces = |line: &str| line.len().saturating_sub(line.trim_start_matches(' ').len());
    lines.filter(|line| !line.trim().is_empty()).map(spaces).min().unwrap_or(0)
}

/// Goes through what is written along with what it means.
struct Follower<'a> {
    written: &'a str,
    at: usize,
    /// Of a block scalar; in others, all white space at a line's start is indentation.
    indentation: Option<usize>,
}

impl<'a> Follower<'a> {
    fn new(written: &'a str, at: usize, indentation: Option<usize>) -> Self {
        Self { written, at, indentation }
    }

    fn follow(mut self, decoded: &str, style: Style) -> Option<Vec<usize>> {
        let mut offsets = Vec::with_capacity(decoded.len().saturating_add(1));
        let mut letters = decoded.chars().peekable();
        while let Some(letter) = letters.next() {
            let rest = self.written.get(self.at..)?;
            if let Some(breaks) = self.line_breaks(rest) {
                // One break is a space, and of several all but the first are breaks.
                let mut nth: usize = 0;
                let offset = |nth: usize| breaks.get(nth).or_else(|| breaks.last()).copied();
                offsets.push(offset(nth)?);
                while letter == '\n' && letters.peek() == Some(&'\n') {
                    letters.next();
                    nth = nth.saturating_add(1);
                    offsets.push(offset(nth)?);
                }
                continue;
            }
            offsets.extend(std::iter::repeat_n(self.at, letter.len_utf8()));
            let width = match (style, rest.chars().next()?) {
                (Style::DoubleQuoted, '\\') => self.escape(rest)?,
                (Style::SingleQuoted, '\'') => 2,
                (_, found) if found == letter => letter.len_utf8(),
                // What is chomped at the end of a block scalar.
                _ if letter == '\n' => 0,
                _ => return None,
            };
            self.at = self.at.saturating_add(width);
        }
        offsets.push(self.at);
        Some(offsets)
    }

    /// Goes over line breaks and the white space around them, if they come next.
    fn line_breaks(&mut self, rest: &str) -> Option<Vec<usize>> {
        let blank = if self.indentation.is_some() {
            0
        } else {
            rest.len().saturating_sub(rest.trim_start_matches([' ', '\t']).len())
        };
        if !rest.get(blank..)?.starts_with(['\n', '\r']) {
            return None;
        }
        let mut breaks = Vec::new();
        let mut at = self.at.saturating_add(blank);
        loop {
            let line = self.written.get(at..)?;
            let start = line.strip_prefix("\r\n").or_else(|| line.strip_prefix('\n'));
            let Some(start) = start else { break };
            breaks.push(at);
            at = at.saturating_add(line.len().saturating_sub(start.len()));
            let spaces = start.len().saturating_sub(start.trim_start_matches([' ', '\t']).len());
            let spaces = self.indentation.map_or(spaces, |most| spaces.min(most));
            at = at.saturating_add(spaces);
        }
        self.at = at;
        (!breaks.is_empty()).then_some(breaks)
    }

    /// The bytes of an escape.
    fn escape(&self, rest: &str) -> Option<usize> {
        Some(match rest.chars().nth(1)? {
            'x' => 4,
            // In JSON, a letter outside of the basic plane is a pair of them.
            'u' if rest
                .get(2..4)
                .is_some_and(|high| matches!(high.to_ascii_lowercase().as_str(), "d8" | "d9" | "da" | "db")) =>
            {
                12
            }
            'u' => 6,
            'U' => 10,
            '\n' | '\r' => return None,
            letter => letter.len_utf8().saturating_add(1),
        })
    }
}

const START: Place = Place { line: 1, column: 1 };
