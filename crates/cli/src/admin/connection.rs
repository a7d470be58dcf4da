//! An operator's connection to the master, and the few commands that are used on it. Everything is
//! read a bounded batch at a time, so that a store of any size takes the same memory.

use std::time::Duration;

use portcullis_redis_bridge::config::admin::AdminConfig;
use portcullis_redis_bridge::config::{Endpoint, Place};
use portcullis_redis_bridge::{Names, RedisError, Stored, connect_to_master};
use portcullis_storage_api::wire::{MAX_VALUE_BYTES, Space, Value};
use portcullis_storage_api::{Key, Kind};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult};

use crate::admin::error::AdminError;

/// A connection to the master, for the records of one gateway.
pub(crate) struct Connection {
    connection: MultiplexedConnection,
    names: Names,
    /// Whose records these are.
    pub(crate) space: Space,
    /// What all their names begin with.
    pub(crate) prefix: String,
    /// Where the master is.
    pub(crate) endpoint: Endpoint,
    /// Whether there should be replicas.
    has_replicas: bool,
}

/// When a record expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Not before it is deleted.
    Never,
    /// After this time, in milliseconds.
    Milliseconds(u64),
}

impl Expiry {
    /// Returns the time left in whole seconds, or `None` for [`Expiry::Never`].
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Milliseconds(milliseconds) => Some(milliseconds / 1_000),
        }
    }
}

/// What Redis tells about a record without its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordMeta {
    /// Its size in bytes, its version included; 0 for what is no string.
    pub(crate) bytes: u64,
    /// When it expires.
    pub(crate) expiry: Expiry,
}

/// A record as stored.
pub(crate) struct StoredRecord {
    /// Its name.
    pub(crate) key: Key,
    /// Its size and expiry.
    pub(crate) meta: RecordMeta,
    /// Its value without its version; nothing where it is too large or too small to be a record.
    pub(crate) value: Option<Value>,
}

impl Connection {
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
        let (endpoint, connection) = connect_to_master(&config.redis).await.map_err(|(endpoint, fault)| {
            let place =
                endpoint.map_or_else(|| "no sentinel knows a master".to_owned(), |endpoint| endpoint.to_string());
            AdminError::Redis(format!("{place}: {}", fault.name()))
        })?;
        let has_replicas = matches!(config.redis.place, Place::Sentinel { .. });
        let (names, prefix) = (Names::new(&config.key_prefix), config.key_prefix.clone());
        Ok(Self { connection, names, space, prefix, endpoint, has_replicas })
    }

    /// The stored name of a record.
    pub(crate) fn name(&self, key: &Key) -> Vec<u8> {
        self.names.record(&self.space, key).into_bytes()
    }

    /// Returns sizes and expiries in the order of `names`; `None` for a name that is not there.
    pub(crate) async fn metadata(&mut self, names: &[Vec<u8>]) -> Result<Vec<Option<RecordMeta>>, AdminError> {
        let mut known = Vec::with_capacity(names.len());
        for names in names.chunks(BATCH) {
            let (mut sizes, mut expiries) = (redis::pipe(), redis::pipe());
            for name in names {
                sizes.cmd("STRLEN").arg(name);
                expiries.cmd("PTTL").arg(name);
            }
            let sizes = self.pipeline("STRLEN", &mut sizes).await?;
            let expiries = self.pipeline("PTTL", &mut expiries).await?;
            known.extend(sizes.into_iter().zip(expiries).map(|(bytes, expiry)| {
                let expiry = match expiry? {
                    -1 => Expiry::Never,
                    milliseconds => Expiry::Milliseconds(u64::try_from(milliseconds).ok()?),
                };
                Some(RecordMeta { bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0), expiry })
            }));
        }
        Ok(known)
    }

    /// Returns records as stored; those that are gone are left out.
    pub(crate) async fn read(&mut self, keys: &[Key]) -> Result<Vec<StoredRecord>, AdminError> {
        let names: Vec<Vec<u8>> = keys.iter().map(|key| self.name(key)).collect();
        let known = self.metadata(&names).await?;
        let mut command = redis::cmd("MGET");
        let mut found: Vec<StoredRecord> = Vec::new();
        for ((key, name), meta) in keys.iter().zip(&names).zip(known) {
            let Some(meta) = meta else { continue };
            found.push(StoredRecord { key: *key, meta, value: None });
            if is_record(meta.bytes) {
                command.arg(name);
            }
        }
        let mut wanted = found.iter_mut().filter(|read| is_record(read.meta.bytes)).peekable();
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

    /// Deletes. Returns how many names were there.
    pub(crate) async fn delete(&mut self, names: &[Vec<u8>]) -> Result<u64, AdminError> {
        let mut deleted: u64 = 0;
        for names in names.chunks(BATCH) {
            let mut command = redis::cmd("DEL");
            command.arg(names);
            deleted = deleted.saturating_add(self.call("DEL", &command).await?);
        }
        Ok(deleted)
    }

    /// Writes records, each under a version that none had. Returns which were written: without
    /// `overwrite`, records that are there stay as they are.
    pub(crate) async fn write(
        &mut self,
        records: &[(Key, Value, Expiry)],
        overwrite: bool,
    ) -> Result<Vec<bool>, AdminError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for (key, value, expiry) in records {
            let version = getrandom::u64().map_err(|error| AdminError::Redis(error.to_string()))?;
            let stored = [version.to_be_bytes().as_slice(), value.as_bytes()].concat();
            let command = pipeline.cmd("SET").arg(self.names.record(&self.space, key)).arg(stored);
            if !overwrite {
                command.arg("NX");
            }
            if let Expiry::Milliseconds(milliseconds) = expiry {
                command.arg("PX").arg(*milliseconds);
            }
        }
        let written: Vec<RedisResult<Option<String>>> =
            pipeline.ignore_errors().query_async(&mut self.connection).await.map_err(|error| refused("SET", &error))?;
        let checked = |written: RedisResult<Option<String>>| written.map_err(|error| refused("SET", &error));
        written.into_iter().map(|written| Ok(checked(written)?.is_some())).collect()
    }

    /// Returns whether a replica has what was written on this connection, as a part of a result;
    /// `None` if the configuration names no sentinels, or the user may not call WAIT.
    pub(crate) async fn replicated(&mut self) -> Result<Option<(&'static str, serde_json::Value)>, AdminError> {
        if !self.has_replicas {
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

    /// Returns a number for each command; `None` for a name that holds another type.
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

/// A scan over all stored names of a gateway. What is there from its start to its end is met, and
/// now and then twice.
pub(crate) struct Scan {
    pattern: String,
    strings: bool,
    cursor: Option<u64>,
}

impl Scan {
    /// Over every name of a gateway, or every name of one kind.
    pub(crate) fn everything(connection: &Connection, kind: Option<Kind>) -> Self {
        Self { pattern: connection.names.pattern(&connection.space, kind), strings: false, cursor: Some(0) }
    }

    /// Over strings: records, and the memories of answers.
    pub(crate) fn strings(connection: &Connection, kind: Option<Kind>) -> Self {
        Self { strings: true, ..Self::everything(connection, kind) }
    }

    /// Returns the next names with what they stand for; `None` at the end.
    pub(crate) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<(Vec<u8>, Stored)>>, AdminError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(PAGE);
        if self.strings {
            command.arg("TYPE").arg("string");
        }
        let (next, names): (u64, Vec<Vec<u8>>) = connection.call("SCAN", &command).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        let read = |name: Vec<u8>| {
            let stored = connection.names.read(&connection.space, &name);
            (name, stored)
        };
        Ok(Some(names.into_iter().map(read).collect()))
    }

    /// Returns the next records' keys, in batches that may be read at once; `None` at the end.
    pub(crate) async fn next_keys(&mut self, connection: &mut Connection) -> Result<Option<Vec<Vec<Key>>>, AdminError> {
        let Some(names) = self.next(connection).await? else { return Ok(None) };
        let keys: Vec<Key> = names.iter().filter_map(|(_, stored)| record(*stored)).collect();
        Ok(Some(keys.chunks(BATCH).map(<[Key]>::to_vec).collect()))
    }
}

fn record(stored: Stored) -> Option<Key> {
    match stored {
        Stored::Record(key) => Some(key),
        Stored::Set(_) | Stored::Replay(_) | Stored::Unknown => None,
    }
}

/// What is larger is not even read.
fn is_record(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| bytes <= MAX_VALUE_BYTES.saturating_add(VERSION_BYTES))
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

/// How many names one command may have: with values of 64 KiB some 4 MiB.
pub(crate) const BATCH: usize = 64;
const PAGE: usize = 512;
const VERSION_BYTES: usize = 8;
const WAIT: Duration = Duration::from_millis(500);
