//! Writes the records of a backup back.

use std::path::Path;

use portcullis_storage_api::Key;
use portcullis_storage_api::wire;
use serde_json::Value;

use crate::admin::backup::now;
use crate::admin::backup_file::VerifiedBackup;
use crate::admin::connection::{BATCH, Connection, Expiry};
use crate::admin::error::AdminError;
use crate::admin::output::Output;
use crate::admin::stats;

/// How a backup is restored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestoreOptions {
    /// Nothing is written.
    pub(crate) dry_run: bool,
    /// Records that are there are overwritten.
    pub(crate) overwrite: bool,
    /// The target may be another gateway or prefix than the backup's.
    pub(crate) allow_other_target: bool,
}

/// Writes the records that have not expired since the backup, with the time that is left to them.
pub(crate) async fn restore(
    connection: &mut Connection,
    path: &Path,
    options: RestoreOptions,
    output: &mut Output,
) -> Result<(), AdminError> {
    let mut backup = VerifiedBackup::open(path)?;
    let head = &backup.head;
    if !options.allow_other_target && (head.gateway != connection.space || head.key_prefix != connection.prefix) {
        return Err(AdminError::Backup(format!(
            "the backup is of {} under {}, not of {} under {}; give --into to restore it here",
            stats::of(&head.gateway),
            head.key_prefix.escape_debug(),
            stats::of(&connection.space),
            connection.prefix
        )));
    }
    let taken_at = head.taken_at;
    let (mut written, mut expired): (u64, u64) = (0, 0);
    let mut progress = output.progress(false);
    loop {
        let mut batch: Vec<(Key, wire::Value, Expiry)> = Vec::new();
        let mut met: usize = 0;
        while batch.len() < BATCH
            && let Some((key, value, expiry)) = backup.next()?
        {
            met = met.saturating_add(1);
            match left(expiry, now().saturating_sub(taken_at)) {
                Some(expiry) => batch.push((key, value, expiry)),
                None => expired = expired.saturating_add(1),
            }
        }
        if met == 0 {
            break;
        }
        let done = if options.dry_run {
            let names: Vec<Vec<u8>> = batch.iter().map(|(key, _, _)| connection.name(key)).collect();
            connection.metadata(&names).await?.into_iter().map(|there| there.is_none() || options.overwrite).collect()
        } else {
            connection.write(&batch, options.overwrite).await?
        };
        let done = done.into_iter().filter(|done| *done).count();
        written = written.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        progress.add(met);
    }
    drop(progress);
    let there = backup.records.saturating_sub(written).saturating_sub(expired);
    let mut parts = vec![
        ("gateway", Value::from(stats::of(&connection.space))),
        ("records", Value::from(backup.records)),
        (if options.dry_run { "would_write" } else { "written" }, Value::from(written)),
        ("already_there", Value::from(there)),
        ("expired", Value::from(expired)),
    ];
    if !options.dry_run {
        parts.extend(connection.replicated().await?);
    }
    output.result(parts)
}

/// Returns what is left of an expiry after `elapsed` milliseconds; `None` if it is over.
fn left(expiry: Expiry, elapsed: u64) -> Option<Expiry> {
    match expiry {
        Expiry::Never => Some(Expiry::Never),
        Expiry::Milliseconds(time) => time.checked_sub(elapsed).filter(|left| *left > 0).map(Expiry::Milliseconds),
    }
}
