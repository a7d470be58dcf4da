//! The self-test: every verb once, so that a missing grant shows before the first request.

use portcullis_storage_api::wire::{
    AwaitChange, CompareAndSwap, Delete, Get, GetMany, IdempotencyKey, Lock, Member, MemberWrite, Members, Mutation,
    Put, RefusalCause, Space, TakeTokens, Unlock, Value, Verb,
};
use portcullis_storage_api::{Bucket, Key, Kind, Owner, Ttl, Version};

use crate::operations::verbs::Operations;

/// Runs every verb on random names; what it leaves expires within a minute.
///
/// # Errors
/// The first refused verb, and the cause.
pub(crate) async fn try_every_verb(operations: &Operations) -> Result<(), (Verb, RefusalCause)> {
    let mut id = [0; 32];
    let fill = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| (Verb::Health, RefusalCause::Unavailable));
    fill(&mut id)?;
    let mut idempotency = [0; 16];
    fill(&mut idempotency)?;
    // One idempotency key is enough: the stored answers of two verbs have two names.
    let mutation = Mutation { idempotency: IdempotencyKey(idempotency), durable: false };
    let space = Space::new("portcullis", "check").map_err(|_| (Verb::Health, RefusalCause::BadRequest))?;
    let value = Value::new(Vec::new()).map_err(|_| (Verb::Health, RefusalCause::BadRequest))?;
    let ttl = Ttl::Seconds(TTL_SECONDS);
    let key = Key { kind: Kind::Pending, id };
    let put = Put { space: space.clone(), key, value: value.clone(), ttl, mutation };
    let written = operations.put_new(put.clone()).await.map_err(|cause| (Verb::PutNew, cause))?;
    let version = written.version.unwrap_or(Version(0));
    let get = Get { space: space.clone(), key };
    operations.get(get).await.map_err(|cause| (Verb::Get, cause))?;
    let get_many = GetMany { space: space.clone(), keys: vec![key] };
    operations.get_many(get_many).await.map_err(|cause| (Verb::GetMany, cause))?;
    let swap = CompareAndSwap { space: space.clone(), key, version, value, ttl, mutation };
    operations.compare_and_swap(swap).await.map_err(|cause| (Verb::CompareAndSwap, cause))?;
    let await_change = AwaitChange { space: space.clone(), key, version: Some(version), timeout_milliseconds: 0 };
    operations.await_change(await_change).await.map_err(|cause| (Verb::AwaitChange, cause))?;
    operations.put(put).await.map_err(|cause| (Verb::Put, cause))?;
    operations.delete(Delete { space: space.clone(), key, mutation }).await.map_err(|cause| (Verb::Delete, cause))?;

    let member = MemberWrite { space: space.clone(), key, member: Member(id), ttl, mutation };
    operations.add_member(member.clone()).await.map_err(|cause| (Verb::AddMember, cause))?;
    operations.members(Members { space: space.clone(), key }).await.map_err(|cause| (Verb::Members, cause))?;
    operations.remove_member(member).await.map_err(|cause| (Verb::RemoveMember, cause))?;

    let (key, owner) = (Key { kind: Kind::Lock, id }, Owner(idempotency));
    let lock = Lock { space: space.clone(), key, owner, ttl_seconds: TTL_SECONDS, mutation };
    operations.lock(lock).await.map_err(|cause| (Verb::Lock, cause))?;
    operations
        .unlock(Unlock { space: space.clone(), key, owner, mutation })
        .await
        .map_err(|cause| (Verb::Unlock, cause))?;

    let (key, bucket) = (Key { kind: Kind::RateLimit, id }, Bucket { capacity: 1, period_seconds: 1 });
    let take_tokens = TakeTokens { space, key, bucket, tokens: 1, mutation };
    operations.take_tokens(take_tokens).await.map_err(|cause| (Verb::TakeTokens, cause))?;
    Ok(())
}

const TTL_SECONDS: u64 = 10;
