//! The way back from a backup.

use std::path::Path;

use portcullis_storage_api::Key;
use portcullis_storage_api::wire;
use serde_json::Value;

use crate::admin::backup::now;
use crate::admin::backup_file::Whole;
use crate::admin::error::AdminError;
use crate::admin::link::{BATCH, Life, Link};
use crate::admin::output::Output;
use crate::admin::stats;

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Nothing is written.
    pub(crate) dry_run: bool,
    /// Records that are there are written over.
    pub(crate) overwrite: bool,
    /// It is meant to go elsewhere than it came from.
    pub(crate) moved: bool,
}

/// Writes the records of a whole backup that would still live, with the life that is left to them.
pub(crate) async fn restore(link: &mut Link, path: &Path, how: How, output: &mut Output) -> Result<(), AdminError> {
    let mut backup = Whole::open(path)?;
    let head = &backup.head;
    if !how.moved && (head.gateway != link.space || head.key_prefix != link.prefix) {
        return Err(AdminError::Backup(format!(
            "the backup is of {} under {}, not of {} under {}; give --into to restore it here",
            stats::of(&head.gateway),
            head.key_prefix.escape_debug(),
            stats::of(&link.space),
            link.prefix
        )));
    }
    let taken_at = head.taken_at;
    let (mut written, mut expired): (u64, u64) = (0, 0);
    let mut progress = output.progress(false);
    loop {
        let mut batch: Vec<(Key, wire::Value, Life)> = Vec::new();
        let mut met: usize = 0;
        while batch.len() < BATCH
            && let Some((key, value, life)) = backup.next()?
        {
            met = met.saturating_add(1);
            match left(life, now().saturating_sub(taken_at)) {
                Some(life) => batch.push((key, value, life)),
                None => expired = expired.saturating_add(1),
            }
        }
        if met == 0 {
            break;
        }
        let done = if how.dry_run {
            let names: Vec<Vec<u8>> = batch.iter().map(|(key, _, _)| link.name(key)).collect();
            link.look(&names).await?.into_iter().map(|there| there.is_none() || how.overwrite).collect()
        } else {
            link.write(&batch, how.overwrite).await?
        };
        let done = done.into_iter().filter(|done| *done).count();
        written = written.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        progress.add(met);
    }
    drop(progress);
    let there = backup.records.saturating_sub(written).saturating_sub(expired);
    let mut parts = vec![
        ("gateway", Value::from(stats::of(&link.space))),
        ("records", Value::from(backup.records)),
        (if how.dry_run { "would_write" } else { "written" }, Value::from(written)),
        ("already_there", Value::from(there)),
        ("expired", Value::from(expired)),
    ];
    if !how.dry_run {
        parts.extend(link.replicated().await?);
    }
    output.result(parts)
}

/// The life that is left after so many milliseconds; nothing when it is over.
fn left(life: Life, elapsed: u64) -> Option<Life> {
    match life {
        Life::Forever => Some(Life::Forever),
        Life::Milliseconds(life) => life.checked_sub(elapsed).filter(|left| *left > 0).map(Life::Milliseconds),
    }
}
