//! Reading the files: only what is in the folder, whole, and all of one moment.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use portcullis_storage_api::wire::{SECRET_BYTES, SecretName, SecretValue};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// A secret as read.
pub(super) struct Content {
    pub(super) name: SecretName,
    pub(super) value: SecretValue,
    /// Whether every user of the machine may read the file.
    pub(super) open_to_all: bool,
}

/// Why the secrets could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// One of them is not served.
    Secret(SecretName, Why),
    /// They were exchanged again and again while they were read.
    Restless,
}

/// Why a secret is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Folder(io::ErrorKind),
    Unreadable(io::ErrorKind),
    Outside,
    NoFile,
    Empty,
    TooLarge,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(kind) => write!(f, "secretsDir cannot be read: {kind}"),
            Self::Unreadable(kind) => write!(f, "it cannot be read: {kind}"),
            Self::Outside => f.write_str("it leads out of secretsDir"),
            Self::NoFile => f.write_str("it is no regular file"),
            Self::Empty => f.write_str("it is empty"),
            Self::TooLarge => write!(f, "it has more than {SECRET_BYTES} bytes"),
        }
    }
}

/// Reads these secrets, all of one moment.
///
/// A mounted Kubernetes Secret exchanges all its files at once, by a link that leads to their
/// folder: read before and after it was exchanged they would be a mixture, and so they are read
/// again.
pub(super) fn read(folder: &Path, names: &[SecretName]) -> Result<Vec<Content>, Trouble> {
    let link = folder.join("..data");
    for _ in 0..TRIES {
        let before = fs::read_link(&link).ok();
        let read = names.iter().map(|name| one(folder, name)).collect();
        if fs::read_link(&link).ok() == before {
            return read;
        }
    }
    Err(Trouble::Restless)
}

fn one(folder: &Path, name: &SecretName) -> Result<Content, Trouble> {
    let read = || {
        let file = open(&inside(folder, name)?)?;
        let metadata = file.metadata().map_err(|error| Why::Unreadable(error.kind()))?;
        if !metadata.is_file() {
            return Err(Why::NoFile);
        }
        Ok((bytes(&file)?, metadata.permissions().mode() & 0o004 != 0))
    };
    let (bytes, open_to_all) = read().map_err(|why| Trouble::Secret(name.clone(), why))?;
    let value = SecretValue::new(bytes).map_err(|_| Trouble::Secret(name.clone(), Why::TooLarge))?;
    Ok(Content { name: name.clone(), value, open_to_all })
}

/// Where the file is, with no link left on the way. A link may lead elsewhere within the folder (a
/// mounted Secret is made of such), and nowhere else.
fn inside(folder: &Path, name: &SecretName) -> Result<PathBuf, Why> {
    let folder = folder.canonicalize().map_err(|error| Why::Folder(error.kind()))?;
    let path = folder.join(name.as_str()).canonicalize().map_err(|error| Why::Unreadable(error.kind()))?;
    if path.starts_with(&folder) { Ok(path) } else { Err(Why::Outside) }
}

/// Does not wait where a pipe would have it wait, and does not follow a link that was put there
/// just now.
fn open(path: &Path) -> Result<File, Why> {
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, how, Mode::empty());
    opened.map(File::from).map_err(|error| Why::Unreadable(io::Error::from(error).kind()))
}

/// The file's bytes without one line end at their end, which is what `echo` and editors leave
/// there. Nothing is not a secret: an empty file is most likely one that is just being written.
fn bytes(file: &File) -> Result<Zeroizing<Vec<u8>>, Why> {
    // With room to spare: a vector that grows would leave what it held behind, unwiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES.saturating_add(1_024)));
    let most = u64::try_from(SECRET_BYTES).unwrap_or(u64::MAX).saturating_add(2);
    file.take(most).read_to_end(&mut bytes).map_err(|error| Why::Unreadable(error.kind()))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() { Err(Why::Empty) } else { Ok(bytes) }
}

const TRIES: usize = 4;

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
