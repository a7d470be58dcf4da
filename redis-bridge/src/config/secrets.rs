//! The part on secrets: their folder.

use std::path::PathBuf;

use super::reader::Reader;

impl Reader<'_> {
    /// Checks that the folder exists. Its files are read at each request.
    pub(super) fn secrets_dir(&mut self, folder: String) -> Option<PathBuf> {
        self.environment?;
        match std::fs::read_dir(&folder) {
            Ok(_) => Some(PathBuf::from(folder)),
            Err(error) => {
                self.problem("secretsDir", format!("cannot read the folder: {error}"));
                None
            }
        }
    }
}
