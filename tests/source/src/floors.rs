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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Files;
    use crate::imports::imports;

    #[test]
    fn an_import_from_a_floor_above_or_a_room_without_a_floor_is_found() {
        let files = Files::from([
            ("lib.rs", "mod dispatch; mod endpoints; mod state; mod extra; pub struct Root;"),
            ("dispatch.rs", "use crate::endpoints::token::Token; pub struct Route;"),
            ("endpoints.rs", "pub mod token;"),
            ("endpoints/token.rs", "use crate::dispatch::Route; use crate::state::gateway::Gateway; pub struct Token;"),
            ("state.rs", "pub mod gateway;"),
            ("state/gateway.rs", "use crate::endpoints::token::Token;\nuse crate::Root; pub struct Gateway;"),
            ("extra.rs", ""),
        ]);
        let found = upward_imports(&imports(&files).unwrap(), &[&["dispatch"], &["endpoints"], &["state"]]);
        let expected = [
            "endpoints/token.rs:1 names crate::dispatch::Route of dispatch.rs, which is above it",
            "extra.rs: the table of floors does not list `extra`",
            "state/gateway.rs:1 names crate::endpoints::token::Token of endpoints/token.rs, which is above it",
            "state/gateway.rs:2 names crate::Root of lib.rs, which is above it",
        ];
        assert_eq!(found, expected);
    }
}
