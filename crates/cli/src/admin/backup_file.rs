//! A backup's form: a head, a line for each record, and a foot that proves the file to be whole.
//! All lines are JSON.
//!
//! The foot guards against files that were cut or damaged, not against an attacker who writes one:
//! what a record says is guarded by its seal, and under which names it may be written, by its type.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use portcullis_storage_api::wire::{MAX_TTL_SECONDS, Space, Value, hex};
use portcullis_storage_api::{Key, Kind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::admin::connection::Expiry;
use crate::admin::error::AdminError;

/// Whether records of this kind are kept: locks and buckets mean nothing later.
pub(crate) fn lasts(kind: Kind) -> bool {
    match kind {
        Kind::Pending | Kind::Session | Kind::Client | Kind::Consent | Kind::Upstream => true,
        Kind::RateLimit | Kind::Lock => false,
    }
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// The version of the form.
    portcullis_backup: u32,
    /// What the names began with.
    pub(crate) key_prefix: String,
    /// Whose records these are.
    pub(crate) gateway: Space,
    /// When it was begun, in Unix milliseconds.
    pub(crate) taken_at: u64,
}

/// The line of one record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Key,
    value: Value,
    /// When it expires, in milliseconds from the head's time; `None` for never.
    #[serde(rename = "life")]
    expiry: Option<u64>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Foot {
    records: u64,
    /// Of all bytes before this line.
    sha256: String,
}

/// A backup that is being written. Until it is whole it has another name, which goes when this is
/// dropped.
pub(crate) struct Writer {
    to: BufWriter<File>,
    hash: Sha256,
    records: u64,
    temporary: PathBuf,
    path: PathBuf,
}

impl Writer {
    /// Begins one. Only its owner may read it.
    pub(crate) fn begin(path: &Path, key_prefix: &str, gateway: &Space, taken_at: u64) -> Result<Self, AdminError> {
        let random = getrandom::u64().map_err(|error| failed(path, io::Error::other(error.to_string())))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{random:016x}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let to = BufWriter::new(file.map_err(|error| failed(path, error))?);
        let mut writer = Self { to, hash: Sha256::new(), records: 0, temporary, path: path.to_owned() };
        let (key_prefix, gateway) = (key_prefix.to_owned(), gateway.clone());
        writer.line(&Head { portcullis_backup: VERSION, key_prefix, gateway, taken_at })?;
        Ok(writer)
    }

    /// Writes one record; its expiry counts from the head's time.
    pub(crate) fn record(&mut self, key: Key, value: Value, expiry: Expiry) -> Result<(), AdminError> {
        let expiry = match expiry {
            Expiry::Never => None,
            Expiry::Milliseconds(milliseconds) => Some(milliseconds),
        };
        self.records = self.records.saturating_add(1);
        self.line(&Line { key, value, expiry })
    }

    /// Writes the foot and gives the file its name. Returns how many records it has.
    pub(crate) fn finish(mut self) -> Result<u64, AdminError> {
        let sha256 = hex(&self.hash.clone().finalize());
        self.line(&Foot { records: self.records, sha256 })?;
        self.to.flush().map_err(|error| failed(&self.path, error))?;
        // On the disk before it takes the place of an older one.
        self.to.get_ref().sync_all().map_err(|error| failed(&self.path, error))?;
        fs::rename(&self.temporary, &self.path).map_err(|error| failed(&self.path, error))?;
        Ok(self.records)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), AdminError> {
        let mut bytes = serde_json::to_vec(line).map_err(|error| failed(&self.path, error.into()))?;
        bytes.push(b'\n');
        self.hash.update(&bytes);
        self.to.write_all(&bytes).map_err(|error| failed(&self.path, error))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `finish` there is none any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A backup that was read through once and whose foot has proved it whole.
pub(crate) struct VerifiedBackup {
    from: BufReader<File>,
    path: PathBuf,
    /// Its head.
    pub(crate) head: Head,
    /// How many records it has.
    pub(crate) records: u64,
    left: u64,
}

impl VerifiedBackup {
    /// Reads a backup through, before anything of it is used.
    pub(crate) fn open(path: &Path) -> Result<Self, AdminError> {
        let mut from = BufReader::new(File::open(path).map_err(|error| failed(path, error))?);
        let head = head(&next_line(&mut from, path)?.unwrap_or_default(), path)?;
        let mut hash = Sha256::new();
        from.rewind().map_err(|error| failed(path, error))?;
        hash.update(next_line(&mut from, path)?.unwrap_or_default());
        let mut records: u64 = 0;
        let foot: Foot = loop {
            let line = next_line(&mut from, path)?.ok_or_else(|| damaged(path, "is cut off"))?;
            if let Ok(foot) = serde_json::from_slice(&line) {
                break foot;
            }
            record(&line, path)?;
            records = records.saturating_add(1);
            hash.update(&line);
        };
        let is_whole = foot.records == records && foot.sha256 == hex(&hash.finalize());
        if !is_whole || next_line(&mut from, path)?.is_some() {
            return Err(damaged(path, "is not as it was written: its checksum is wrong"));
        }
        from.rewind().map_err(|error| failed(path, error))?;
        next_line(&mut from, path)?;
        Ok(Self { from, path: path.to_owned(), head, records, left: records })
    }

    /// Returns the next record with its expiry from the head's time; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Key, Value, Expiry)>, AdminError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let line = next_line(&mut self.from, &self.path)?.ok_or_else(|| damaged(&self.path, "is cut off"))?;
        record(&line, &self.path).map(Some)
    }
}

fn head(line: &[u8], path: &Path) -> Result<Head, AdminError> {
    let version = serde_json::from_slice::<serde_json::Value>(line).ok();
    let version = version.and_then(|head| head.get("portcullis_backup")?.as_u64());
    match version {
        Some(version) if version == u64::from(VERSION) => {
            serde_json::from_slice(line).map_err(|_| damaged(path, "has a head that is not as it was written"))
        }
        Some(version) => Err(damaged(path, &format!("is of version {version}; this program knows version {VERSION}"))),
        None => Err(damaged(path, "is no backup")),
    }
}

fn record(line: &[u8], path: &Path) -> Result<(Key, Value, Expiry), AdminError> {
    let line: Line =
        serde_json::from_slice(line).map_err(|_| damaged(path, "has a line that is not as it was written"))?;
    let expiry = match line.expiry {
        None => Expiry::Never,
        Some(milliseconds) if milliseconds <= MAX_TTL_SECONDS.saturating_mul(1_000) => {
            Expiry::Milliseconds(milliseconds)
        }
        Some(_) => return Err(damaged(path, "has a record that lives too long")),
    };
    if !lasts(line.key.kind) {
        return Err(damaged(path, "has a record of a kind that is never kept"));
    }
    Ok((line.key, line.value, expiry))
}

/// Returns the next line with its end; `None` at the end of the file.
fn next_line(from: &mut BufReader<File>, path: &Path) -> Result<Option<Vec<u8>>, AdminError> {
    let mut line = Vec::new();
    from.take(LINE_BYTES).read_until(b'\n', &mut line).map_err(|error| failed(path, error))?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(damaged(path, "is cut off")),
    }
}

fn failed(path: &Path, error: io::Error) -> AdminError {
    AdminError::File { path: path.to_owned(), error }
}

fn damaged(path: &Path, what: &str) -> AdminError {
    AdminError::Backup(format!("{} {what}; nothing was restored", path.display()))
}

const VERSION: u32 = 1;
/// The largest value in base64 and a name.
const LINE_BYTES: u64 = 96 * 1024;
