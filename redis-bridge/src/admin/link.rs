//! An operator's connection to the master, and the few commands that are used on it. Everything is
//! read a bounded batch at a time, so that a store of any size takes the same memory.

use std::time::Duration;

use portcullis_storage_api::wire::{Space, VALUE_BYTES, Value};
use portcullis_storage_api::{Key, Kind};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult};

use crate::admin::error::AdminError;
use crate::config::admin::AdminConfig;
use crate::config::{DurabilityMode, Endpoint, Place};
use crate::operations::names::{Names, Stored};
use crate::redis::discovery::MasterDiscovery;
use crate::redis::redis_error::RedisError;

/// A connection to the master, for the records of one gateway.
pub(crate) struct Link {
    connection: MultiplexedConnection,
    names: Names,
    /// Whose records these are.
    pub(crate) space: Space,
    /// What all their names begin with.
    pub(crate) prefix: String,
    /// Where the master is.
    pub(crate) endpoint: Endpoint,
    /// Whether there should be replicas.
    replicated: bool,
}

/// How long a record lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Until it is deleted.
    Forever,
    /// So many milliseconds.
    Milliseconds(u64),
}

impl Life {
    /// In whole seconds; nothing for ever.
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::Forever => None,
            Self::Milliseconds(milliseconds) => Some(milliseconds / 1_000),
        }
    }
}

/// What is known of a record without reading it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outside {
    /// Its size in bytes, its version included; 0 for what is no string.
    pub(crate) bytes: u64,
    /// How long it lives on.
    pub(crate) life: Life,
}

/// A record as stored.
pub(crate) struct Read {
    /// Its name.
    pub(crate) key: Key,
    /// Its size and life.
    pub(crate) outside: Outside,
    /// Its value without its version; nothing where it is too large or too small to be a record.
    pub(crate) value: Option<Value>,
}

impl Link {
    /// Finds the master and connects.
    ///
    /// # Errors
    /// [`AdminError::Redis`].
    pub(crate) async fn open(config: &AdminConfig, space: Space) -> Result<Self, AdminError> {
        if matches!(config.redis.place, Place::Cluster(_)) {
            return Err(AdminError::Usage(
                "a cluster cannot be administered yet; only one server or a group".to_owned(),
            ));
        }
        let mut discovery =
            MasterDiscovery::new(&config.redis, DurabilityMode::Async, Default::default(), Default::default());
        let (endpoint, connection) = discovery.find().await.map_err(|(endpoint, fault)| {
            let place =
                endpoint.map_or_else(|| "no sentinel knows a master".to_owned(), |endpoint| endpoint.to_string());
            AdminError::Redis(format!("{place}: {}", fault.name()))
        })?;
        let replicated = matches!(config.redis.place, Place::Sentinel { .. });
        let (names, prefix) = (Names::new(&config.key_prefix), config.key_prefix.clone());
        Ok(Self { connection, names, space, prefix, endpoint, replicated })
    }

    /// The stored name of a record.
    pub(crate) fn name(&self, key: &Key) -> Vec<u8> {
        self.names.record(&self.space, key).into_bytes()
    }

    /// Sizes and lives, in the order asked; nothing for what is not there.
    pub(crate) async fn look(&mut self, names: &[Vec<u8>]) -> Result<Vec<Option<Outside>>, AdminError> {
        let mut known = Vec::with_capacity(names.len());
        for names in names.chunks(BATCH) {
            let (mut sizes, mut lives) = (redis::pipe(), redis::pipe());
            for name in names {
                sizes.cmd("STRLEN").arg(name);
                lives.cmd("PTTL").arg(name);
            }
            let sizes = self.pipeline("STRLEN", &mut sizes).await?;
            let lives = self.pipeline("PTTL", &mut lives).await?;
            known.extend(sizes.into_iter().zip(lives).map(|(bytes, life)| {
                let life = match life? {
                    -1 => Life::Forever,
                    milliseconds => Life::Milliseconds(u64::try_from(milliseconds).ok()?),
                };
                Some(Outside { bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0), life })
            }));
        }
        Ok(known)
    }

    /// Records as stored; those that are gone are left out.
    pub(crate) async fn read(&mut self, keys: &[Key]) -> Result<Vec<Read>, AdminError> {
        let names: Vec<Vec<u8>> = keys.iter().map(|key| self.name(key)).collect();
        let outsides = self.look(&names).await?;
        let mut command = redis::cmd("MGET");
        let mut found: Vec<Read> = Vec::new();
        for ((key, name), outside) in keys.iter().zip(&names).zip(outsides) {
            let Some(outside) = outside else { continue };
            found.push(Read { key: *key, outside, value: None });
            if is_record(outside.bytes) {
                command.arg(name);
            }
        }
        let mut wanted = found.iter_mut().filter(|read| is_record(read.outside.bytes)).peekable();
        if wanted.peek().is_none() {
            return Ok(found);
        }
        let values: Vec<Option<Vec<u8>>> = self.call("MGET", &command).await?;
        for (read, stored) in wanted.zip(values) {
            let value = stored.as_deref().and_then(|stored| stored.split_first_chunk::<VERSION_BYTES>());
            read.value = value.and_then(|(_, value)| Value::new(value.to_vec()).ok());
        }
        Ok(found)
    }

    /// Deletes; tells how many were there.
    pub(crate) async fn delete(&mut self, names: &[Vec<u8>]) -> Result<u64, AdminError> {
        let mut deleted: u64 = 0;
        for names in names.chunks(BATCH) {
            let mut command = redis::cmd("DEL");
            command.arg(names);
            deleted = deleted.saturating_add(self.call("DEL", &command).await?);
        }
        Ok(deleted)
    }

    /// Writes records, each under a version that none had; tells which were written. Without `over`
    /// those that are there stay as they are.
    pub(crate) async fn write(&mut self, records: &[(Key, Value, Life)], over: bool) -> Result<Vec<bool>, AdminError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for (key, value, life) in records {
            let version = getrandom::u64().map_err(|error| AdminError::Redis(error.to_string()))?;
            let stored = [version.to_be_bytes().as_slice(), value.as_bytes()].concat();
            let command = pipeline.cmd("SET").arg(self.names.record(&self.space, key)).arg(stored);
            if !over {
                command.arg("NX");
            }
            if let Life::Milliseconds(milliseconds) = life {
                command.arg("PX").arg(*milliseconds);
            }
        }
        let written: Vec<RedisResult<Option<String>>> =
            pipeline.ignore_errors().query_async(&mut self.connection).await.map_err(|error| refused("SET", &error))?;
        let told = |written: RedisResult<Option<String>>| written.map_err(|error| refused("SET", &error));
        written.into_iter().map(|written| Ok(told(written)?.is_some())).collect()
    }

    /// Whether a replica has what was written on this connection, as a part of a result; nothing
    /// where there should be no replica, or where the user may not ask.
    pub(crate) async fn replicated(&mut self) -> Result<Option<(&'static str, serde_json::Value)>, AdminError> {
        if !self.replicated {
            return Ok(None);
        }
        let mut command = redis::cmd("WAIT");
        command.arg(1).arg(WAIT.as_millis());
        match self.call::<u64>("WAIT", &command).await {
            Ok(replicas) => Ok(Some(("on_a_replica", (replicas > 0).into()))),
            Err(AdminError::NotGranted { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn call<T: redis::FromRedisValue>(&mut self, name: &'static str, command: &Cmd) -> Result<T, AdminError> {
        command.query_async(&mut self.connection).await.map_err(|error| refused(name, &error))
    }

    /// Numbers for each command; nothing for a name that holds something else.
    async fn pipeline(&mut self, name: &'static str, pipeline: &mut Pipeline) -> Result<Vec<Option<i64>>, AdminError> {
        let answers: Vec<RedisResult<i64>> =
            pipeline.ignore_errors().query_async(&mut self.connection).await.map_err(|error| refused(name, &error))?;
        let number = |answer| match answer {
            Ok(number) => Ok(Some(number)),
            Err(error) if RedisError::from(&error) == RedisError::WrongType => Ok(None),
            Err(error) => Err(refused(name, &error)),
        };
        answers.into_iter().map(number).collect()
    }
}

/// A walk over all stored names of a gateway. What is there from its start to its end is met, and
/// now and then twice.
pub(crate) struct Walk {
    pattern: String,
    strings: bool,
    cursor: Option<u64>,
}

impl Walk {
    /// Over everything, or over what has to do with one kind.
    pub(crate) fn everything(link: &Link, kind: Option<Kind>) -> Self {
        Self { pattern: link.names.pattern(&link.space, kind), strings: false, cursor: Some(0) }
    }

    /// Over strings: records, and the memories of answers.
    pub(crate) fn strings(link: &Link, kind: Option<Kind>) -> Self {
        Self { strings: true, ..Self::everything(link, kind) }
    }

    /// The next names with what they stand for; nothing at the end.
    pub(crate) async fn next(&mut self, link: &mut Link) -> Result<Option<Vec<(Vec<u8>, Stored)>>, AdminError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(PAGE);
        if self.strings {
            command.arg("TYPE").arg("string");
        }
        let (next, names): (u64, Vec<Vec<u8>>) = link.call("SCAN", &command).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        let read = |name: Vec<u8>| {
            let stored = link.names.read(&link.space, &name);
            (name, stored)
        };
        Ok(Some(names.into_iter().map(read).collect()))
    }

    /// The next records' keys, in batches that may be read at once; nothing at the end.
    pub(crate) async fn next_keys(&mut self, link: &mut Link) -> Result<Option<Vec<Vec<Key>>>, AdminError> {
        let Some(names) = self.next(link).await? else { return Ok(None) };
        let keys: Vec<Key> = names.iter().filter_map(|(_, stored)| record(*stored)).collect();
        Ok(Some(keys.chunks(BATCH).map(<[Key]>::to_vec).collect()))
    }
}

fn record(stored: Stored) -> Option<Key> {
    match stored {
        Stored::Record(key) => Some(key),
        Stored::Set(_) | Stored::Memory(_) | Stored::Unknown => None,
    }
}

/// What is larger is not even read.
fn is_record(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| bytes <= VALUE_BYTES.saturating_add(VERSION_BYTES))
}

fn refused(command: &'static str, error: &redis::RedisError) -> AdminError {
    let fault = RedisError::from(error);
    let said = error.detail().unwrap_or_default().to_owned();
    if fault == RedisError::NotPermitted && said.contains("command") {
        AdminError::NotGranted { command, said }
    } else if fault == RedisError::NotPermitted {
        AdminError::Redis(format!("{command}: this user may not touch the names under keyPrefix: {said}"))
    } else {
        AdminError::Redis(format!("{command}: {} {said}", fault.name()))
    }
}

/// How many names are asked about at once: with values of 64 KiB some 4 MiB.
pub(crate) const BATCH: usize = 64;
const PAGE: usize = 512;
const VERSION_BYTES: usize = 8;
const WAIT: Duration = Duration::from_millis(500);
