//! No circle of files: no file imports from one that imports, directly or not, from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::imports::{Imports, Line};

/// Files of which each is reached from each by imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// The files, sorted.
    pub files: Vec<String>,
    /// The shortest ways round: one that is as short as any, and every pair that imports from each
    /// other.
    pub shortest: Vec<Vec<Import>>,
}

/// One file's import from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The importing file.
    pub from: String,
    /// The file imported from.
    pub to: String,
    /// The lines of `from` that make it.
    pub lines: Vec<Line>,
}

/// Finds every circle, the largest first.
#[must_use]
pub fn circles(imports: &Imports) -> Vec<Circle> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (file.as_str(), reach(imports, file))).collect();
    let mut left: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    let mut circles = Vec::new();
    while let Some(file) = left.pop_first() {
        let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
        if !reaches(file, file) {
            continue;
        }
        let files: Vec<&str> =
            imports.keys().map(String::as_str).filter(|other| reaches(file, other) && reaches(other, file)).collect();
        for other in &files {
            left.remove(other);
        }
        let ways = files.iter().filter_map(|file| shortest_way_round(imports, file));
        let ways: BTreeSet<Vec<String>> = ways.map(from_least).collect();
        let least = ways.iter().map(Vec::len).min().unwrap_or_default().max(2);
        let mut shortest: Vec<&Vec<String>> = ways.iter().filter(|way| way.len() == least).collect();
        if least > 2 {
            shortest.truncate(1);
        }
        let shortest = shortest.into_iter().map(|way| way_of(imports, way)).collect();
        circles.push(Circle { files: files.into_iter().map(str::to_owned).collect(), shortest });
    }
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.files.len()));
    circles
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "circle of {} files: {}", self.files.len(), self.files.join(", "))?;
        for way in &self.shortest {
            let files: Vec<&str> = way.iter().map(|import| import.from.as_str()).collect();
            writeln!(f, "  {} → {}", files.join(" → "), files.first().unwrap_or(&""))?;
            for import in way {
                for line in import.lines.iter().take(SHOWN_LINES) {
                    writeln!(f, "    {}:{} names {} of {}", import.from, line.number, line.path, import.to)?;
                }
                if let Some(more) = import.lines.len().checked_sub(SHOWN_LINES).filter(|more| *more > 0) {
                    writeln!(f, "    … and {more} more of {} from {}", import.from, import.to)?;
                }
            }
        }
        Ok(())
    }
}

/// The files that `file` imports from, directly or not.
fn reach<'a>(imports: &'a Imports, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file];
    while let Some(file) = next.pop() {
        for to in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    reached
}

/// The files of a shortest way from `file` back to it, itself first.
fn shortest_way_round(imports: &Imports, file: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![file.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let targets = way.last().and_then(|last| imports.get(last)).into_iter().flat_map(BTreeMap::keys);
        for to in targets {
            if to == file {
                return Some(way);
            }
            if seen.insert(to) {
                let mut longer = way.clone();
                longer.push(to.clone());
                ways.push_back(longer);
            }
        }
    }
    None
}

/// The same way, begun at the file that sorts first.
fn from_least(mut way: Vec<String>) -> Vec<String> {
    let least = way.iter().enumerate().min_by_key(|(_, file)| *file).map_or(0, |(index, _)| index);
    way.rotate_left(least);
    way
}

fn way_of(imports: &Imports, way: &[String]) -> Vec<Import> {
    let nexts = way.iter().cycle().skip(1);
    let import = |(from, to): (&String, &String)| {
        let lines = imports.get(from).and_then(|targets| targets.get(to)).cloned().unwrap_or_default();
        Import { from: from.clone(), to: to.clone(), lines }
    };
    way.iter().zip(nexts).map(import).collect()
}

const SHOWN_LINES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_circle_is_found_with_the_shortest_way_round_it() {
        let imports =
            of(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "c"), ("e", "a"), ("x", "y"), ("y", "x")]);
        let circles = circles(&imports);
        let files: Vec<String> = circles.iter().map(|circle| circle.files.join(" ")).collect();
        assert_eq!(files, ["a b c d", "x y"]);
        let ways: Vec<usize> = circles.iter().map(|circle| circle.shortest.len()).collect();
        assert_eq!(ways, [1, 1]);
        let text = circles[0].to_string();
        assert!(text.contains("c → d → c") && text.contains("c:7 names crate::d of d"), "{text}");
    }

    #[test]
    fn a_longer_circle_is_told_once() {
        let circles = circles(&of(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]));
        assert_eq!(circles.len(), 1);
        assert_eq!(circles[0].shortest.len(), 1);
        assert!(circles[0].to_string().contains("a → b → c → a"));
    }

    #[test]
    fn files_without_a_circle_have_none() {
        assert_eq!(circles(&of(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")])), []);
    }

    fn of(pairs: &[(&str, &str)]) -> Imports {
        let mut imports = Imports::new();
        for (from, to) in pairs {
            let line = Line { number: 7, path: format!("crate::{to}") };
            imports.entry((*from).to_owned()).or_default().insert((*to).to_owned(), vec![line]);
            imports.entry((*to).to_owned()).or_default();
        }
        imports
    }
}
