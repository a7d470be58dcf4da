//! The end of everything of one gateway, or of one kind.

use std::collections::BTreeMap;

use portcullis_storage_api::Kind;
use serde_json::{Value, json};

use crate::admin::connection::{BATCH, Connection, Scan};
use crate::admin::error::AdminError;
use crate::admin::output::Output;
use crate::admin::stats;

/// Deletes, or with `dry_run` only counts: records, sets, and the memories of answers, which may
/// hold values too.
pub(crate) async fn purge(
    connection: &mut Connection,
    kind: Option<Kind>,
    dry_run: bool,
    output: &mut Output,
) -> Result<(), AdminError> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut progress = output.progress(false);
    let mut scan = Scan::everything(connection, kind);
    while let Some(found) = scan.next(connection).await? {
        for found in found.chunks(BATCH) {
            progress.add(found.len());
            if !dry_run {
                let names: Vec<Vec<u8>> = found.iter().map(|(name, _)| name.clone()).collect();
                connection.delete(&names).await?;
            }
            for (_, stored) in found {
                let count = counts.entry(stats::word(*stored)).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
    drop(progress);
    let mut parts = vec![
        ("gateway", Value::from(stats::of(&connection.space))),
        (if dry_run { "would_delete" } else { "deleted" }, json!(counts)),
    ];
    if !dry_run {
        parts.extend(connection.replicated().await?);
    }
    output.result(parts)
}
