//! Which file imports from which. A path counts for the file in which the named item is declared:
//! re-exports are followed, so a parent that only declares modules and re-exports imports nothing,
//! and who imports through it imports from the child.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::Files;
use crate::modules::{By, Modules, Name};

/// Imports by importing file, then by the file imported from, with the lines that make them.
pub type Imports = BTreeMap<String, BTreeMap<String, Vec<Line>>>;

/// A line that imports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Its number in the importing file, from 1.
    pub number: usize,
    /// The path that it names.
    pub path: String,
}

/// The imports between the files of one crate, in all its targets: `lib.rs`, `main.rs` and the
/// binaries under `bin/`.
///
/// # Errors
///
/// The file and the reason where one is missing or is not Rust, or there is no target.
pub fn imports(files: &Files) -> Result<Imports, String> {
    let is_root = |path: &&str| {
        *path == "lib.rs" || *path == "main.rs" || path.strip_prefix("bin/").is_some_and(|name| !name.contains('/'))
    };
    let roots: Vec<&str> = files.iter().map(|(path, _)| path).filter(is_root).collect();
    if roots.is_empty() {
        return Err("no lib.rs and no main.rs".to_owned());
    }
    let mut imports = Imports::new();
    for root in roots {
        add_imports(&Modules::parse(files, root)?, &mut imports);
    }
    Ok(imports)
}

fn add_imports(modules: &Modules, imports: &mut Imports) {
    for (id, module) in modules.iter() {
        imports.entry(module.file.clone()).or_default();
        for name in &module.names {
            let Some(target) = target(modules, id, name) else { continue };
            let Some(declaring) = modules.get(target) else { continue };
            if declaring.file == module.file {
                continue;
            }
            let line = Line { number: name.line, path: name.path.join("::") };
            let lines = imports.entry(module.file.clone()).or_default().entry(declaring.file.clone()).or_default();
            // The import of a `use` declaration is listed once, not again for each use.
            let is_listed =
                |listed: &Line| name.path.first().is_some_and(|first| listed.path.ends_with(&format!("::{first}")));
            let is_known = lines.contains(&line) || (name.by == By::Code && lines.iter().any(is_listed));
            if !is_known {
                lines.push(line);
            }
        }
    }
}

/// The module from which `name`, as written in the module `from`, imports.
fn target(modules: &Modules, from: usize, name: &Name) -> Option<usize> {
    let place = resolve(modules, from, &name.path, &mut BTreeSet::new());
    let (target, is_import) = match (place, name.by) {
        (Place::Item(target), _) => (target, true),
        // The name of a module alone: what is named through it counts where it is named.
        (Place::Module(target), By::Use { glob: true, .. }) => (target, true),
        (Place::Module(target), _) => (target, false),
        (Place::Outside, _) => return None,
    };
    let own = modules.get(from)?;
    let re_exports = matches!(name.by, By::Use { public: true, .. });
    let is_below = modules.get(target)?.path.starts_with(&own.path);
    (is_import && !(re_exports && is_below)).then_some(target)
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Module(usize),
    /// An item that this module declares.
    Item(usize),
    /// Another crate, or nothing that a module declares (a local variable, a type parameter).
    Outside,
}

type Visited = BTreeSet<(usize, Vec<String>)>;

fn resolve(modules: &Modules, from: usize, path: &[String], visited: &mut Visited) -> Place {
    if !visited.insert((from, path.to_vec())) {
        return Place::Outside;
    }
    let mut place = Place::Module(from);
    for (index, segment) in path.iter().enumerate() {
        let Place::Module(current) = place else { return place };
        let is_last = index.saturating_add(1) == path.len();
        let leads =
            path.get(..index).is_some_and(|before| before.iter().all(|segment| ROOTS.contains(&segment.as_str())));
        place = match segment.as_str() {
            "crate" if leads => Place::Module(0),
            "self" if leads => Place::Module(current),
            "super" if leads => match modules.get(current).and_then(|module| module.parent) {
                Some(parent) => Place::Module(parent),
                None => return Place::Outside,
            },
            name => match (lookup(modules, current, name, is_last, visited), index) {
                (Some(place), _) => place,
                (None, 0) => return Place::Outside,
                // Declared by a macro, or an associated item.
                (None, _) => Place::Item(current),
            },
        };
    }
    place
}

/// What `name` is in a module: declared there or imported. Where a module and an item share a name,
/// the last segment of a path names the item and any other the module.
fn lookup(modules: &Modules, id: usize, name: &str, is_last: bool, visited: &mut Visited) -> Option<Place> {
    let module = modules.get(id)?;
    let child = module.children.get(name).map(|child| Place::Module(*child));
    if let (false, Some(child)) = (is_last, child) {
        return Some(child);
    }
    if module.items.contains(name) {
        return Some(Place::Item(id));
    }
    let aliases = module.aliases.get(name).map(Vec::as_slice).unwrap_or_default();
    let places: Vec<Place> = aliases.iter().map(|path| resolve(modules, id, path, visited)).collect();
    let wanted = |place: &&Place| matches!(place, Place::Module(_)) != is_last;
    if let Some(place) = places.iter().find(wanted).or(places.first()) {
        return Some(*place);
    }
    let globs = module.globs.iter().filter_map(|path| match resolve(modules, id, path, visited) {
        Place::Module(glob) if visited.insert((glob, vec!["*".to_owned(), name.to_owned()])) => Some(glob),
        Place::Module(_) | Place::Item(_) | Place::Outside => None,
    });
    let globs: Vec<usize> = globs.collect();
    child.or_else(|| globs.into_iter().find_map(|glob| lookup(modules, glob, name, is_last, visited)))
}

const ROOTS: [&str; 3] = ["crate", "self", "super"];

#[cfg(test)]
#[path = "imports_tests.rs"]
mod imports_tests;
