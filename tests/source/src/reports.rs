//! The table of reports and the tests that keep what was mended: `docs/field-reports.md`.

use crate::files::Files;

/// Returns what is wrong with the rows of a document: a row without a test, and a test that does
/// not exist. A row is a line of a table after its head; its last cell names tests as
/// `` `path::name` ``.
#[must_use]
pub fn untested(document: &str, sources: &Files) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows(document) {
        let report = row.first().copied().unwrap_or_default();
        let tests: Vec<&str> = row.last().map_or(Vec::new(), |cell| cell.split('`').skip(1).step_by(2).collect());
        if row.len() < 2 || tests.is_empty() {
            wrong.push(format!("{report}: names no test"));
        }
        for test in tests {
            if !exists(test, sources) {
                wrong.push(format!("{report}: there is no test `{test}`"));
            }
        }
    }
    wrong
}

/// Returns the number of rows of a document's tables.
#[must_use]
pub fn count(document: &str) -> usize {
    rows(document).count()
}

/// The cells of each row; the head of a table and the line below it are no rows.
fn rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = document.lines().zip(document.lines().skip(1).chain([""]));
    let rows = lines.filter(|(line, next)| line.starts_with("| ") && !next.starts_with("|---"));
    rows.map(|(line, _)| line.trim_matches('|').split('|').map(str::trim).collect())
}

fn exists(test: &str, sources: &Files) -> bool {
    let Some((path, name)) = test.rsplit_once("::") else { return false };
    sources.text(path).is_some_and(|text| {
        let declaration = format!("fn {name}(");
        text.match_indices(&declaration).any(|(at, _)| is_attributed(text.get(..at).unwrap_or_default()))
    })
}

/// Whether the text before a function ends with an attribute, as a test's does.
fn is_attributed(before: &str) -> bool {
    before.trim_end_matches("async ").trim_end().ends_with(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Files {
        Files::from([("a/b.rs", "#[test]\nfn it_holds() {}\n\n#[tokio::test]\nasync fn too() {}\n\nfn helper() {}\n")])
    }

    fn wrong(cell: &str) -> Vec<String> {
        untested(&format!("| Report | Test |\n|---|---|\n| one | {cell} |\n"), &sources())
    }

    #[test]
    fn a_row_that_names_tests_is_right() {
        assert_eq!(wrong("`a/b.rs::it_holds`"), Vec::<String>::new());
        assert_eq!(wrong("`a/b.rs::it_holds`<br>`a/b.rs::too`"), Vec::<String>::new());
    }

    #[test]
    fn a_row_without_a_test_is_wrong() {
        assert_eq!(wrong(""), ["one: names no test"]);
        assert_eq!(wrong("it_holds"), ["one: names no test"]);
    }

    #[test]
    fn a_row_with_a_test_that_does_not_exist_is_wrong() {
        for test in ["a/b.rs::it", "a/c.rs::it_holds", "it_holds", "a/b.rs::helper"] {
            assert_eq!(wrong(&format!("`{test}`")), [format!("one: there is no test `{test}`")]);
        }
    }

    #[test]
    fn the_head_of_a_table_is_no_row() {
        assert_eq!(
            count("| Report | Test |\n|---|---|\n| one | `t` |\n\ntext\n\n| A | B |\n|---|---|\n| two | `t` |\n"),
            2
        );
    }
}
