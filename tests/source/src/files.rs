//! The files that a rule is applied to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Text files by their path, which is relative to the folder that was read and written with `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, String>);

impl Files {
    /// Reads every file under `folder` whose name ends in one of `endings`, except in folders that
    /// hold what is built or installed.
    ///
    /// # Errors
    ///
    /// The path and the system's message where a file or folder cannot be read, or is not UTF-8.
    pub fn read(folder: &Path, endings: &[&str]) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            let entries = fs::read_dir(&next).map_err(|error| format!("{}: {error}", next.display()))?;
            for entry in entries {
                let entry = entry.map_err(|error| format!("{}: {error}", next.display()))?;
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                let kind = entry.file_type().map_err(|error| format!("{}: {error}", path.display()))?;
                if kind.is_dir() && !INSTALLED.contains(&name.as_str()) {
                    folders.push(path);
                } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                    let relative = path.strip_prefix(folder).unwrap_or(&path);
                    files.insert(relative.to_string_lossy().replace('\\', "/"), text);
                }
            }
        }
        Ok(Self(files))
    }

    /// The files whose path is wanted.
    #[must_use]
    pub fn only(self, wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.into_iter().filter(|(path, _)| wanted(path)).collect())
    }

    /// The text of one file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Every path with its text, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Files {
    fn from(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
    }
}

/// The root of this repository.
#[must_use]
pub fn project() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

const INSTALLED: [&str; 6] = [".git", ".venv", "__pycache__", "node_modules", "target", "corpus"];
