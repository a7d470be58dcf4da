//! Counts what is stored.

use std::collections::BTreeMap;

use portcullis_redis_bridge::Stored;
use portcullis_storage_api::wire::Space;
use serde_json::{Value, json};

use crate::admin::connection::{BATCH, Connection, Expiry, Scan};
use crate::admin::error::AdminError;
use crate::admin::output::Output;

/// What is counted of one kind.
#[derive(Default)]
struct Count {
    records: u64,
    bytes: u64,
    forever: u64,
}

/// Counts the records of each kind, and what else is stored with them.
pub(crate) async fn stats(connection: &mut Connection, output: &mut Output) -> Result<(), AdminError> {
    let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
    let mut progress = output.progress(false);
    let mut scan = Scan::everything(connection, None);
    while let Some(found) = scan.next(connection).await? {
        for found in found.chunks(BATCH) {
            progress.add(found.len());
            let names: Vec<Vec<u8>> = found.iter().map(|(name, _)| name.clone()).collect();
            for ((_, stored), meta) in found.iter().zip(connection.metadata(&names).await?) {
                let Some(meta) = meta else { continue };
                let count = counts.entry(word(*stored)).or_default();
                count.records = count.records.saturating_add(1);
                count.bytes = count.bytes.saturating_add(meta.bytes);
                count.forever = count.forever.saturating_add(u64::from(meta.expiry == Expiry::Never));
            }
        }
    }
    drop(progress);
    let mut parts = vec![
        ("redis", Value::from(connection.endpoint.to_string())),
        ("gateway", Value::from(of(&connection.space))),
        ("key_prefix", Value::from(connection.prefix.clone())),
    ];
    parts.extend(counts.into_iter().map(|(word, count)| {
        (word, json!({ "count": count.records, "bytes": count.bytes, "without_end": count.forever }))
    }));
    output.result(parts)
}

/// The word for what a name stands for.
pub(crate) fn word(stored: Stored) -> &'static str {
    match stored {
        Stored::Record(key) => key.kind.name(),
        Stored::Set(_) => "sets",
        Stored::Replay(_) => "remembered_answers",
        Stored::Unknown => "unknown",
    }
}

/// A gateway's words, as `--into` takes them.
pub(crate) fn of(space: &Space) -> String {
    format!("{}/{}", space.namespace(), space.name())
}
