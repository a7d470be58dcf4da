//! The verbs: each one command or one script in Redis.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_storage_api::wire::{
    AwaitChange, AwaitChangeAnswer, CompareAndSwap, Delete, DeleteAnswer, Durability, Get, GetAnswer, GetMany,
    GetManyAnswer, HealthAnswer, Lock, LockAnswer, MEMBERS, Member, MemberAnswer, MemberWrite, Members, MembersAnswer,
    Mutation, Put, PutAnswer, REPLAY_SECONDS, Record, RefusalCause, Space, Take, TakeAnswer, TakeTokens,
    TakeTokensAnswer, Unlock, UnlockAnswer, Value, WriteAnswer,
};
use portcullis_storage_api::{Key, Ttl, Version};
use tokio::time::Instant;

use crate::metrics::{Known, Metrics};
use crate::operations::names::Names;
use crate::operations::script::Script;
use crate::redis::master::Confirmation;
use crate::redis::redis_error::RedisError;
use crate::redis::topology::{Health, Topology};

/// The records, as far as Redis can be reached.
#[derive(Clone)]
pub(crate) struct Store {
    names: Names,
    topology: Topology,
    metrics: Arc<Metrics>,
}

impl Store {
    /// A store over the servers of `topology`.
    pub(crate) fn new(names: Names, topology: Topology, metrics: Arc<Metrics>) -> Self {
        Self { names, topology, metrics }
    }

    /// The health of the store. Never fails and makes no call.
    pub(crate) fn health(&self) -> HealthAnswer {
        let Health { ready, replicated, reason, .. } = self.topology.health();
        let durability = if replicated { Durability::Replicated } else { Durability::Async };
        HealthAnswer { ready, durability, reason }
    }

    /// What the metrics do not count themselves.
    pub(crate) fn known(&self) -> Known {
        let health = self.topology.health();
        Known { up: health.up, replicated: health.replicated }
    }

    pub(crate) async fn get(&self, request: Get) -> Result<GetAnswer, RefusalCause> {
        Ok(GetAnswer { record: self.read(&request.space, &request.key).await? })
    }

    pub(crate) async fn get_many(&self, request: GetMany) -> Result<GetManyAnswer, RefusalCause> {
        let mut command = redis::cmd("MGET");
        for key in &request.keys {
            command.arg(self.names.record(&request.space, key));
        }
        let redis::Value::Array(found) = self.command(&request.space, &command).await? else {
            return Err(self.refusal(RedisError::Unexpected));
        };
        Ok(GetManyAnswer { records: found.into_iter().map(|found| self.record_in(found)).collect() })
    }

    pub(crate) async fn put(&self, request: Put) -> Result<PutAnswer, RefusalCause> {
        let args = vec![minted()?, request.value.into_bytes(), life(request.ttl)];
        let answer = self.change(Script::Put, &request.space, &request.key, request.mutation, args).await?;
        Ok(PutAnswer { version: version(&answer).ok_or_else(|| self.refusal(RedisError::Unexpected))? })
    }

    pub(crate) async fn put_new(&self, request: Put) -> Result<WriteAnswer, RefusalCause> {
        let args = vec![minted()?, request.value.into_bytes(), life(request.ttl)];
        let answer = self.change(Script::PutNew, &request.space, &request.key, request.mutation, args).await?;
        Ok(WriteAnswer { version: version(&answer) })
    }

    pub(crate) async fn take(&self, request: Take) -> Result<TakeAnswer, RefusalCause> {
        let answer = self.change(Script::Take, &request.space, &request.key, request.mutation, Vec::new()).await?;
        Ok(TakeAnswer { record: if answer.is_empty() { None } else { self.record(&answer) } })
    }

    pub(crate) async fn compare_and_swap(&self, request: CompareAndSwap) -> Result<WriteAnswer, RefusalCause> {
        let expected = request.version.0.to_be_bytes().to_vec();
        let args = vec![minted()?, request.value.into_bytes(), life(request.ttl), expected];
        let answer = self.change(Script::CompareAndSwap, &request.space, &request.key, request.mutation, args).await?;
        Ok(WriteAnswer { version: version(&answer) })
    }

    pub(crate) async fn delete(&self, request: Delete) -> Result<DeleteAnswer, RefusalCause> {
        let answer = self.change(Script::Delete, &request.space, &request.key, request.mutation, Vec::new()).await?;
        Ok(DeleteAnswer { deleted: answer == b"1" })
    }

    pub(crate) async fn add_member(&self, request: MemberWrite) -> Result<MemberAnswer, RefusalCause> {
        let args = vec![request.member.0.to_vec(), life(request.ttl), MEMBERS.to_string().into_bytes()];
        let answer = self.change(Script::AddMember, &request.space, &request.key, request.mutation, args).await?;
        if answer == b"full" { Err(RefusalCause::Full) } else { Ok(MemberAnswer { changed: answer == b"1" }) }
    }

    pub(crate) async fn remove_member(&self, request: MemberWrite) -> Result<MemberAnswer, RefusalCause> {
        let args = vec![request.member.0.to_vec()];
        let answer = self.change(Script::RemoveMember, &request.space, &request.key, request.mutation, args).await?;
        Ok(MemberAnswer { changed: answer == b"1" })
    }

    pub(crate) async fn members(&self, request: Members) -> Result<MembersAnswer, RefusalCause> {
        let mut command = redis::cmd("SMEMBERS");
        command.arg(self.names.set(&request.space, &request.key));
        let answer = self.command(&request.space, &command).await?;
        let (redis::Value::Set(found) | redis::Value::Array(found)) = answer else {
            return Err(self.refusal(RedisError::Unexpected));
        };
        let mut members: Vec<[u8; 32]> =
            found.into_iter().filter_map(|member| bytes(member)?.try_into().ok()).collect();
        members.sort_unstable();
        members.truncate(MEMBERS);
        Ok(MembersAnswer { members: members.into_iter().map(Member).collect() })
    }

    pub(crate) async fn lock(&self, request: Lock) -> Result<LockAnswer, RefusalCause> {
        let args = vec![request.owner.0.to_vec(), life(Ttl::Seconds(request.ttl_seconds))];
        let answer = self.change(Script::Lock, &request.space, &request.key, request.mutation, args).await?;
        Ok(LockAnswer { held: answer == b"1" })
    }

    pub(crate) async fn unlock(&self, request: Unlock) -> Result<UnlockAnswer, RefusalCause> {
        let args = vec![request.owner.0.to_vec()];
        let answer = self.change(Script::Unlock, &request.space, &request.key, request.mutation, args).await?;
        Ok(UnlockAnswer { released: answer == b"1" })
    }

    pub(crate) async fn take_tokens(&self, request: TakeTokens) -> Result<TakeTokensAnswer, RefusalCause> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let period = u64::from(request.bucket.period_seconds).saturating_mul(1_000_000);
        let numbers = [
            u64::try_from(now).unwrap_or(u64::MAX),
            period,
            u64::from(request.bucket.capacity),
            u64::from(request.tokens),
        ];
        let args = numbers.iter().map(|number| number.to_string().into_bytes()).collect();
        let answer = self.change(Script::TakeTokens, &request.space, &request.key, request.mutation, args).await?;
        let wait: Option<u64> = std::str::from_utf8(&answer).ok().and_then(|text| text.parse().ok());
        let wait = wait.ok_or_else(|| self.refusal(RedisError::Unexpected))?;
        let seconds = u32::try_from(wait.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        Ok(TakeTokensAnswer { granted: wait == 0, retry_after_seconds: seconds })
    }

    /// Looks again and again: the ACL grants no way to be told by Redis.
    pub(crate) async fn await_change(&self, request: AwaitChange) -> Result<AwaitChangeAnswer, RefusalCause> {
        let patience = Duration::from_millis(u64::from(request.timeout_milliseconds));
        let started = Instant::now();
        loop {
            let version = self.read(&request.space, &request.key).await?.map(|record| record.version);
            let left = patience.saturating_sub(started.elapsed());
            if version != request.version || left.is_zero() {
                return Ok(AwaitChangeAnswer { changed: version != request.version, version });
            }
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }

    async fn read(&self, space: &Space, key: &Key) -> Result<Option<Record>, RefusalCause> {
        let mut command = redis::cmd("GET");
        command.arg(self.names.record(space, key));
        match self.command_or_fault(space, &command).await {
            Ok(found) => Ok(self.record_in(found)),
            // MGET shows another type as absent; so does this, and it is counted.
            Err(RedisError::WrongType) => {
                self.metrics.corrupt.add();
                Ok(None)
            }
            Err(fault) => Err(self.refusal(fault)),
        }
    }

    async fn command(&self, space: &Space, command: &redis::Cmd) -> Result<redis::Value, RefusalCause> {
        self.command_or_fault(space, command).await.map_err(|fault| self.refusal(fault))
    }

    async fn command_or_fault(&self, space: &Space, command: &redis::Cmd) -> Result<redis::Value, RedisError> {
        self.topology.command(|| self.names.slot(space), command).await
    }

    /// Runs a script under a mutation's idempotency key, and waits for a replica where that is
    /// asked for and can be.
    async fn change(
        &self,
        script: Script,
        space: &Space,
        key: &Key,
        mutation: Mutation,
        args: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, RefusalCause> {
        let record = match script {
            Script::AddMember | Script::RemoveMember => self.names.set(space, key),
            Script::Put
            | Script::PutNew
            | Script::Take
            | Script::CompareAndSwap
            | Script::Delete
            | Script::Lock
            | Script::Unlock
            | Script::TakeTokens => self.names.record(space, key),
        };
        let names = [record, self.names.memory(space, key, script, mutation.idempotency)];
        let args: Vec<Vec<u8>> = std::iter::once(life(Ttl::Seconds(REPLAY_SECONDS))).chain(args).collect();
        let done = self.topology.change(|| self.names.slot(space), script, &names, &args, mutation.durable).await;
        match done.map_err(|fault| self.refusal(fault))? {
            (answer, Confirmation::Confirmed | Confirmation::NotRequested) => Ok(answer),
            (_, Confirmation::Unconfirmed) => Err(RefusalCause::NotDurable),
        }
    }

    /// Counts a fault, and says so.
    fn refusal(&self, fault: RedisError) -> RefusalCause {
        let before = self.metrics.redis_error(fault);
        // The first, the second, the fourth …: a store that is unavailable must not fill the log.
        if before.saturating_add(1).is_power_of_two() {
            tracing::warn!(
                fault = fault.name(),
                times = before.saturating_add(1),
                "redis did not do what it was asked"
            );
        }
        fault.refusal_cause()
    }

    fn record_in(&self, found: redis::Value) -> Option<Record> {
        bytes(found).and_then(|stored| self.record(&stored))
    }

    /// What is stored is a version and a value. Anything else is treated as absent, and counted.
    fn record(&self, stored: &[u8]) -> Option<Record> {
        let parts = stored.split_first_chunk();
        let record = parts.and_then(|(version, value)| {
            let version = Version(u64::from_be_bytes(*version));
            Some(Record { value: Value::new(value.to_vec()).ok()?, version })
        });
        if record.is_none() {
            self.metrics.corrupt.add();
        }
        record
    }
}

fn bytes(value: redis::Value) -> Option<Vec<u8>> {
    if let redis::Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

fn version(answer: &[u8]) -> Option<Version> {
    answer.try_into().ok().map(|bytes| Version(u64::from_be_bytes(bytes)))
}

/// A version that no record had: 64 random bits. A counter in Redis would start again with its
/// record.
fn minted() -> Result<Vec<u8>, RefusalCause> {
    let version = getrandom::u64().map_err(|_| RefusalCause::Unavailable)?;
    Ok(version.to_be_bytes().to_vec())
}

/// As the scripts take it: milliseconds, and 0 for ever.
fn life(ttl: Ttl) -> Vec<u8> {
    let milliseconds = match ttl {
        Ttl::Seconds(seconds) => seconds.saturating_mul(1_000),
        Ttl::Forever => 0,
    };
    milliseconds.to_string().into_bytes()
}

const LOOK_AGAIN: Duration = Duration::from_millis(200);
