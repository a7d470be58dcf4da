//! How much of what there is.

use std::collections::BTreeMap;

use portcullis_storage_api::wire::Space;
use serde_json::{Value, json};

use crate::admin::error::AdminError;
use crate::admin::link::{BATCH, Life, Link, Walk};
use crate::admin::output::Output;
use crate::operations::names::Stored;

/// What is counted of one kind.
#[derive(Default)]
struct Count {
    records: u64,
    bytes: u64,
    forever: u64,
}

/// Counts the records of each kind, and what else is stored beside them.
pub(crate) async fn stats(link: &mut Link, output: &mut Output) -> Result<(), AdminError> {
    let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
    let mut progress = output.progress(false);
    let mut walk = Walk::everything(link, None);
    while let Some(found) = walk.next(link).await? {
        for found in found.chunks(BATCH) {
            progress.add(found.len());
            let names: Vec<Vec<u8>> = found.iter().map(|(name, _)| name.clone()).collect();
            for ((_, stored), outside) in found.iter().zip(link.look(&names).await?) {
                let Some(outside) = outside else { continue };
                let count = counts.entry(word(*stored)).or_default();
                count.records = count.records.saturating_add(1);
                count.bytes = count.bytes.saturating_add(outside.bytes);
                count.forever = count.forever.saturating_add(u64::from(outside.life == Life::Forever));
            }
        }
    }
    drop(progress);
    let mut parts = vec![
        ("redis", Value::from(link.endpoint.to_string())),
        ("gateway", Value::from(of(&link.space))),
        ("key_prefix", Value::from(link.prefix.clone())),
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
        Stored::Memory(_) => "remembered_answers",
        Stored::Unknown => "unknown",
    }
}

/// A gateway's words, as `--into` takes them.
pub(crate) fn of(space: &Space) -> String {
    format!("{}/{}", space.namespace(), space.name())
}
