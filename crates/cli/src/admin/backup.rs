//! All lasting records, in a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_redis_bridge::Stored;
use serde_json::{Value, json};

use crate::admin::backup_file::{Writer, lasts};
use crate::admin::connection::{BATCH, Connection, Expiry, Scan};
use crate::admin::error::AdminError;
use crate::admin::output::Output;
use crate::admin::stats;

/// Writes them. Values stay sealed. Each record is as it was when it was met: the whole is no
/// snapshot of one moment.
pub(crate) async fn backup(connection: &mut Connection, path: &Path, output: &mut Output) -> Result<(), AdminError> {
    let started = Instant::now();
    let mut writer = Writer::begin(path, &connection.prefix, &connection.space, now())?;
    let (mut kept, mut left_out): (BTreeMap<&'static str, u64>, BTreeMap<&'static str, u64>) = Default::default();
    let mut progress = output.progress(false);
    let mut scan = Scan::everything(connection, None);
    while let Some(found) = scan.next(connection).await? {
        progress.add(found.len());
        let mut keys = Vec::new();
        for (_, stored) in found {
            match stored {
                Stored::Record(key) if lasts(key.kind) => keys.push(key),
                Stored::Record(_) | Stored::Set(_) | Stored::Replay(_) | Stored::Unknown => {
                    count(&mut left_out, stats::word(stored));
                }
            }
        }
        for keys in keys.chunks(BATCH) {
            for read in connection.read(keys).await? {
                let Some(value) = read.value else {
                    count(&mut left_out, "unknown");
                    continue;
                };
                // Expiries count from the file's own time, whenever a record was read.
                let expiry = match read.meta.expiry {
                    Expiry::Never => Expiry::Never,
                    Expiry::Milliseconds(left) => {
                        Expiry::Milliseconds(left.saturating_add(milliseconds(started.elapsed())))
                    }
                };
                writer.record(read.key, value, expiry)?;
                count(&mut kept, read.key.kind.name());
            }
        }
    }
    drop(progress);
    let records = writer.finish()?;
    output.result(vec![
        ("file", Value::from(path.display().to_string())),
        ("gateway", Value::from(stats::of(&connection.space))),
        ("records", Value::from(records)),
        ("kinds", json!(kept)),
        ("left_out", json!(left_out)),
    ])
}

/// The time, in Unix milliseconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn count(counts: &mut BTreeMap<&'static str, u64>, word: &'static str) {
    let count = counts.entry(word).or_default();
    *count = count.saturating_add(1);
}
