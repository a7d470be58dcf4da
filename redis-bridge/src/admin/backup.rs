//! All lasting records, in a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::admin::backup_file::{Writer, lasts};
use crate::admin::error::AdminError;
use crate::admin::link::{BATCH, Life, Link, Walk};
use crate::admin::output::Output;
use crate::admin::stats;
use crate::operations::names::Stored;

/// Writes them. Values stay sealed. Each record is as it was when it was met: the whole is no
/// snapshot of one moment.
pub(crate) async fn backup(link: &mut Link, path: &Path, output: &mut Output) -> Result<(), AdminError> {
    let started = Instant::now();
    let mut writer = Writer::begin(path, &link.prefix, &link.space, now())?;
    let (mut kept, mut left_out): (BTreeMap<&'static str, u64>, BTreeMap<&'static str, u64>) = Default::default();
    let mut progress = output.progress(false);
    let mut walk = Walk::everything(link, None);
    while let Some(found) = walk.next(link).await? {
        progress.add(found.len());
        let mut keys = Vec::new();
        for (_, stored) in found {
            match stored {
                Stored::Record(key) if lasts(key.kind) => keys.push(key),
                Stored::Record(_) | Stored::Set(_) | Stored::Memory(_) | Stored::Unknown => {
                    count(&mut left_out, stats::word(stored));
                }
            }
        }
        for keys in keys.chunks(BATCH) {
            for read in link.read(keys).await? {
                let Some(value) = read.value else {
                    count(&mut left_out, "unknown");
                    continue;
                };
                // Lives count from the file's own time, whenever a record was met.
                let life = match read.outside.life {
                    Life::Forever => Life::Forever,
                    Life::Milliseconds(life) => {
                        Life::Milliseconds(life.saturating_add(milliseconds(started.elapsed())))
                    }
                };
                writer.record(read.key, value, life)?;
                count(&mut kept, read.key.kind.name());
            }
        }
    }
    drop(progress);
    let records = writer.finish()?;
    output.result(vec![
        ("file", Value::from(path.display().to_string())),
        ("gateway", Value::from(stats::of(&link.space))),
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
