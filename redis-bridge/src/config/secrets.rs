//! The part on secrets: the folder that they are served from.

use std::path::PathBuf;

use super::reader::Reader;

impl Reader<'_> {
    /// The files in it are read when they are asked for; that it is there is asked for at the
    /// start.
    pub(super) fn secrets_dir(&mut self, folder: String) -> Option<PathBuf> {
        self.environment?;
        match std::fs::read_dir(&folder) {
            Ok(_) => Some(PathBuf::from(folder)),
            Err(error) => {
                self.problem("secretsDir", format!("the folder cannot be read: {error}"));
                None
            }
        }
    }
}
