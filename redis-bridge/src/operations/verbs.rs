//! The operations of the verbs in Redis.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_storage_api::wire::{
    AwaitChange, AwaitChangeAnswer, CompareAndSwap, Delete, DeleteAnswer, Durability, Get, GetAnswer, GetMany,
    GetManyAnswer, HealthAnswer, Lock, LockAnswer, MAX_MEMBERS, Member, MemberAnswer, MemberWrite, Members,
    MembersAnswer, Mutation, Put, PutAnswer, REPLAY_SECONDS, Record, RefusalCause, Space, TakeTokens, TakeTokensAnswer,
    Unlock, UnlockAnswer, Value, WriteAnswer, verbs,
};
use portcullis_storage_api::{Key, Ttl, Version};
use tokio::time::Instant;

use crate::metrics::{Gauges, Metrics};
use crate::operations::names::Names;
use crate::operations::scripts::Scripted;
use crate::redis::master::Confirmation;
use crate::redis::redis_error::RedisError;
use crate::redis::topology::{Health, Topology};

/// Runs the verbs in Redis.
#[derive(Clone)]
pub(crate) struct Operations {
    names: Names,
    topology: Topology,
    metrics: Arc<Metrics>,
}

impl Operations {
    /// Creates the operations on the masters of `topology`.
    pub(crate) fn new(names: Names, topology: Topology, metrics: Arc<Metrics>) -> Self {
        Self { names, topology, metrics }
    }

    /// Returns the health by the latest probes, without a call to Redis.
    pub(crate) fn health(&self) -> HealthAnswer {
        let Health { ready, replicated, reason, .. } = self.topology.health();
        let durability = if replicated { Durability::Replicated } else { Durability::Async };
        HealthAnswer { ready, durability, reason }
    }

    /// Returns the gauges that the metrics do not count themselves.
    pub(crate) fn gauges(&self) -> Gauges {
        let health = self.topology.health();
        Gauges { up: health.up, replicated: health.replicated }
    }

    pub(crate) async fn get(&self, request: Get) -> Result<GetAnswer, RefusalCause> {
        Ok(GetAnswer { record: self.read(&request.space, &request.key).await? })
    }

    pub(crate) async fn get_many(&self, request: GetMany) -> Result<GetManyAnswer, RefusalCause> {
        let mut command = redis::cmd("MGET");
        for key in &request.keys {
            command.arg(self.names.record(&request.space, key));
        }
        let redis::Value::Array(values) = self.command(&request.space, &command).await? else {
            return Err(self.refusal(RedisError::Unexpected));
        };
        Ok(GetManyAnswer { records: values.into_iter().map(|value| self.record_of(value)).collect() })
    }

    pub(crate) async fn put(&self, request: Put) -> Result<PutAnswer, RefusalCause> {
        let args = vec![new_version()?, request.value.into_bytes(), milliseconds(request.ttl)];
        let answer = self.change::<verbs::Put>(&request.space, &request.key, request.mutation, args).await?;
        Ok(PutAnswer { version: version(&answer).ok_or_else(|| self.refusal(RedisError::Unexpected))? })
    }

    pub(crate) async fn put_new(&self, request: Put) -> Result<WriteAnswer, RefusalCause> {
        let args = vec![new_version()?, request.value.into_bytes(), milliseconds(request.ttl)];
        let answer = self.change::<verbs::PutNew>(&request.space, &request.key, request.mutation, args).await?;
        Ok(WriteAnswer { version: version(&answer) })
    }

    pub(crate) async fn compare_and_swap(&self, request: CompareAndSwap) -> Result<WriteAnswer, RefusalCause> {
        let expected = request.version.0.to_be_bytes().to_vec();
        let args = vec![new_version()?, request.value.into_bytes(), milliseconds(request.ttl), expected];
        let answer = self.change::<verbs::CompareAndSwap>(&request.space, &request.key, request.mutation, args).await?;
        Ok(WriteAnswer { version: version(&answer) })
    }

    pub(crate) async fn delete(&self, request: Delete) -> Result<DeleteAnswer, RefusalCause> {
        let answer = self.change::<verbs::Delete>(&request.space, &request.key, request.mutation, Vec::new()).await?;
        Ok(DeleteAnswer { deleted: answer == b"1" })
    }

    pub(crate) async fn add_member(&self, request: MemberWrite) -> Result<MemberAnswer, RefusalCause> {
        let args = vec![request.member.0.to_vec(), milliseconds(request.ttl), MAX_MEMBERS.to_string().into_bytes()];
        let answer = self.change_set::<verbs::AddMember>(&request, args).await?;
        if answer == b"full" { Err(RefusalCause::Full) } else { Ok(MemberAnswer { changed: answer == b"1" }) }
    }

    pub(crate) async fn remove_member(&self, request: MemberWrite) -> Result<MemberAnswer, RefusalCause> {
        let args = vec![request.member.0.to_vec()];
        let answer = self.change_set::<verbs::RemoveMember>(&request, args).await?;
        Ok(MemberAnswer { changed: answer == b"1" })
    }

    pub(crate) async fn members(&self, request: Members) -> Result<MembersAnswer, RefusalCause> {
        let mut command = redis::cmd("SMEMBERS");
        command.arg(self.names.set(&request.space, &request.key));
        let answer = self.command(&request.space, &command).await?;
        let (redis::Value::Set(values) | redis::Value::Array(values)) = answer else {
            return Err(self.refusal(RedisError::Unexpected));
        };
        let mut members: Vec<[u8; 32]> =
            values.into_iter().filter_map(|member| bytes(member)?.try_into().ok()).collect();
        members.sort_unstable();
        members.truncate(MAX_MEMBERS);
        Ok(MembersAnswer { members: members.into_iter().map(Member).collect() })
    }

    pub(crate) async fn lock(&self, request: Lock) -> Result<LockAnswer, RefusalCause> {
        let args = vec![request.owner.0.to_vec(), milliseconds(Ttl::Seconds(request.ttl_seconds))];
        let answer = self.change::<verbs::Lock>(&request.space, &request.key, request.mutation, args).await?;
        Ok(LockAnswer { held: answer == b"1" })
    }

    pub(crate) async fn unlock(&self, request: Unlock) -> Result<UnlockAnswer, RefusalCause> {
        let args = vec![request.owner.0.to_vec()];
        let answer = self.change::<verbs::Unlock>(&request.space, &request.key, request.mutation, args).await?;
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
        let answer = self.change::<verbs::TakeTokens>(&request.space, &request.key, request.mutation, args).await?;
        let wait: Option<u64> = std::str::from_utf8(&answer).ok().and_then(|text| text.parse().ok());
        let wait = wait.ok_or_else(|| self.refusal(RedisError::Unexpected))?;
        let seconds = u32::try_from(wait.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        Ok(TakeTokensAnswer { granted: wait == 0, retry_after_seconds: seconds })
    }

    /// Polls every [`POLL_INTERVAL`]: the ACL grants no notifications.
    pub(crate) async fn await_change(&self, request: AwaitChange) -> Result<AwaitChangeAnswer, RefusalCause> {
        let timeout = Duration::from_millis(u64::from(request.timeout_milliseconds));
        let started = Instant::now();
        loop {
            let version = self.read(&request.space, &request.key).await?.map(|record| record.version);
            let left = timeout.saturating_sub(started.elapsed());
            if version != request.version || left.is_zero() {
                return Ok(AwaitChangeAnswer { changed: version != request.version, version });
            }
            tokio::time::sleep(left.min(POLL_INTERVAL)).await;
        }
    }

    async fn read(&self, space: &Space, key: &Key) -> Result<Option<Record>, RefusalCause> {
        let mut command = redis::cmd("GET");
        command.arg(self.names.record(space, key));
        match self.topology.command(|| self.names.slot(space), &command).await {
            Ok(value) => Ok(self.record_of(value)),
            // As `MGET` answers it: another data type counts as absent. It is counted.
            Err(RedisError::WrongType) => {
                self.metrics.corrupt.add();
                Ok(None)
            }
            Err(error) => Err(self.refusal(error)),
        }
    }

    async fn command(&self, space: &Space, command: &redis::Cmd) -> Result<redis::Value, RefusalCause> {
        let answer = self.topology.command(|| self.names.slot(space), command).await;
        answer.map_err(|error| self.refusal(error))
    }

    async fn change<C: Scripted>(
        &self,
        space: &Space,
        key: &Key,
        mutation: Mutation,
        args: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, RefusalCause> {
        let names = [self.names.record(space, key), self.names.replay(space, key, C::VERB, mutation.idempotency)];
        self.run_script::<C>(space, &names, mutation.durable, args).await
    }

    async fn change_set<C: Scripted>(
        &self,
        request: &MemberWrite,
        args: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, RefusalCause> {
        let MemberWrite { space, key, mutation, .. } = request;
        let names = [self.names.set(space, key), self.names.replay(space, key, C::VERB, mutation.idempotency)];
        self.run_script::<C>(space, &names, mutation.durable, args).await
    }

    /// Runs a script under a mutation's idempotency key, and waits for the replicas if `durable`
    /// and the master has any.
    async fn run_script<C: Scripted>(
        &self,
        space: &Space,
        names: &[String],
        durable: bool,
        args: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, RefusalCause> {
        let args: Vec<Vec<u8>> = std::iter::once(milliseconds(Ttl::Seconds(REPLAY_SECONDS))).chain(args).collect();
        let result = self.topology.change(|| self.names.slot(space), C::script(), names, &args, durable).await;
        match result.map_err(|error| self.refusal(error))? {
            (answer, Confirmation::Confirmed | Confirmation::NotRequested) => Ok(answer),
            (_, Confirmation::Unconfirmed) => Err(RefusalCause::NotDurable),
        }
    }

    /// Counts and logs a failure, and returns the refusal for the caller. Only the 1st, 2nd, 4th, …
    /// failure of a kind is logged, so that an unavailable store does not fill the log.
    fn refusal(&self, error: RedisError) -> RefusalCause {
        let times = self.metrics.redis_error(error).saturating_add(1);
        if times.is_power_of_two() {
            tracing::warn!(fault = error.name(), times, "redis operation failed");
        }
        error.refusal_cause()
    }

    fn record_of(&self, value: redis::Value) -> Option<Record> {
        bytes(value).and_then(|stored| self.record(&stored))
    }

    /// Splits a stored value into version and value. Anything else counts as absent. It is counted.
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

/// Returns 64 random bits: a version that no record had. A counter in Redis would start again with
/// its record.
fn new_version() -> Result<Vec<u8>, RefusalCause> {
    let version = getrandom::u64().map_err(|_| RefusalCause::Unavailable)?;
    Ok(version.to_be_bytes().to_vec())
}

/// Returns a life as the scripts take it: milliseconds, 0 for ever.
fn milliseconds(ttl: Ttl) -> Vec<u8> {
    let milliseconds = match ttl {
        Ttl::Seconds(seconds) => seconds.saturating_mul(1_000),
        Ttl::Forever => 0,
    };
    milliseconds.to_string().into_bytes()
}

const POLL_INTERVAL: Duration = Duration::from_millis(200);
