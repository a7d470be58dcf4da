//! Floors of a crate: its rooms (a folder, or a file on its own, directly under `src`) from the top
//! down; a room imports from its own floor and those below.

use crate::imports::Imports;

/// The imports that lead upwards, and the rooms that no floor lists, one line each.
///
/// The root file is above every floor.
#[must_use]
pub fn upward_imports(imports: &Imports, floors: &[&[&str]]) -> Vec<String> {
    let floor = |file: &str| floors.iter().position(|rooms| rooms.contains(&room(file)));
    let is_root = |file: &str| file == "lib.rs" || file == "main.rs";
    let mut found = Vec::new();
    for (from, targets) in imports.iter().filter(|(from, _)| !is_root(from)) {
        let Some(own) = floor(from) else {
            found.push(format!("{from}: the table of floors does not list `{}`", room(from)));
            continue;
        };
        for (to, lines) in targets.iter().filter(|(to, _)| is_root(to) || floor(to).is_some_and(|other| other < own)) {
            for line in lines {
                found.push(format!("{from}:{} names {} of {to}, which is above it", line.number, line.path));
            }
        }
    }
    found
}

fn room(file: &str) -> &str {
    file.split_once('/').map_or_else(|| file.strip_suffix(".rs").unwrap_or(file), |(folder, _)| folder)
}
