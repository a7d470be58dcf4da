//! Reads the files of the folder, and no others, all from one moment.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use portcullis_storage_api::wire::{MAX_SECRET_BYTES, SecretName, SecretValue};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// A secret and its file.
pub(super) struct Content {
    pub(super) name: SecretName,
    pub(super) value: SecretValue,
    /// Whether every user of the machine may read the file.
    pub(super) world_readable: bool,
}

/// Why the secrets could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// One of them is not served.
    Secret(SecretName, SecretFileError),
    /// The mounted folder changed during every try.
    ChangingDuringRead,
}

/// Why a secret is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretFileError {
    Folder(io::ErrorKind),
    Unreadable(io::ErrorKind),
    Outside,
    NoFile,
    Empty,
    TooLarge,
}

impl std::fmt::Display for SecretFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(kind) => write!(f, "cannot read `secretsDir`: {kind}"),
            Self::Unreadable(kind) => write!(f, "cannot read the file: {kind}"),
            Self::Outside => f.write_str("the file is a link out of `secretsDir`"),
            Self::NoFile => f.write_str("not a regular file"),
            Self::Empty => f.write_str("the file is empty"),
            Self::TooLarge => write!(f, "the file has more than {MAX_SECRET_BYTES} bytes"),
        }
    }
}

/// Reads these secrets, all from one moment.
///
/// A mounted Kubernetes Secret replaces all its files at once, by a link to their folder. If the
/// link changes during the read, the contents may be a mixture of old and new, and are read again.
pub(super) fn read(folder: &Path, names: &[SecretName]) -> Result<Vec<Content>, ReadError> {
    let link = folder.join("..data");
    for _ in 0..MAX_TRIES {
        let before = fs::read_link(&link).ok();
        let read = names.iter().map(|name| one(folder, name)).collect();
        if fs::read_link(&link).ok() == before {
            return read;
        }
    }
    Err(ReadError::ChangingDuringRead)
}

fn one(folder: &Path, name: &SecretName) -> Result<Content, ReadError> {
    let read = || {
        let file = open(&resolve(folder, name)?)?;
        let metadata = file.metadata().map_err(|error| SecretFileError::Unreadable(error.kind()))?;
        if !metadata.is_file() {
            return Err(SecretFileError::NoFile);
        }
        Ok((bytes(&file)?, metadata.permissions().mode() & 0o004 != 0))
    };
    let (bytes, world_readable) = read().map_err(|error| ReadError::Secret(name.clone(), error))?;
    let value = SecretValue::new(bytes).map_err(|_| ReadError::Secret(name.clone(), SecretFileError::TooLarge))?;
    Ok(Content { name: name.clone(), value, world_readable })
}

/// Returns the path without links. A link may lead to another place in the folder, as in a mounted
/// Secret, but not out of it.
fn resolve(folder: &Path, name: &SecretName) -> Result<PathBuf, SecretFileError> {
    let folder = folder.canonicalize().map_err(|error| SecretFileError::Folder(error.kind()))?;
    let path = folder.join(name.as_str()).canonicalize().map_err(|error| SecretFileError::Unreadable(error.kind()))?;
    if path.starts_with(&folder) { Ok(path) } else { Err(SecretFileError::Outside) }
}

/// Opens a file without blocking on a pipe, and without following a link that was created
/// meanwhile.
fn open(path: &Path) -> Result<File, SecretFileError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map(File::from).map_err(|error| SecretFileError::Unreadable(io::Error::from(error).kind()))
}

/// Returns the file's bytes without one final `\n`, which `echo` and editors add. An empty file is
/// an error: it is most likely being written.
fn bytes(file: &File) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    // Large enough never to grow: growing would leave a copy that is not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES.saturating_add(1_024)));
    let limit = u64::try_from(MAX_SECRET_BYTES).unwrap_or(u64::MAX).saturating_add(2);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| SecretFileError::Unreadable(error.kind()))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() { Err(SecretFileError::Empty) } else { Ok(bytes) }
}

const MAX_TRIES: usize = 4;

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
