//! The store behind the bridge: each verb is one call, and only an answer that is certainly the
//! bridge's counts.
//!
//! A refused connection and a timeout reach the filter as ordinary 503 and 504 answers. An answer
//! without the bridge's marker, with another status or type than the wire has, or that does not
//! parse, therefore says nothing about any record: it is [`StoreError::Unavailable`], never "not
//! found".
//!
//! Every try of one change carries the same idempotency key, so a retry is safe: the bridge gives
//! it the first try's answer and changes nothing more.

mod breaker;
mod durability;
mod error;

use std::cell::RefCell;
use std::rc::Rc;

use portcullis_storage_api::wire::{
    Call, CompareAndSwap, Delete, Get, GetMany, IdempotencyKey, Lock, Mutation, Put, Refusal, RefusalCause, TakeTokens,
    Unlock, Value, Verb, verbs,
};
use portcullis_storage_api::{Bucket, Key, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};
use serde::de::DeserializeOwned;

use self::breaker::Breaker;
use self::durability::is_durable;
use self::error::BridgeError;
use crate::config::BridgeSettings;
use crate::ports::{CallError, CallReply, CallRequest, Clock, Entropy, Fetch, Store, VALUE_BYTES};

/// A [`Store`] over the bridge, for one task: calls go through the task's own ports.
pub struct BridgeStore<P> {
    ports: P,
    bridge: Rc<Bridge>,
}

/// What all tasks of a worker share about the bridge.
pub struct Bridge {
    settings: BridgeSettings,
    breaker: Breaker,
    /// The causes of failures since they were last taken, each once.
    failures: RefCell<Vec<BridgeError>>,
}

impl Bridge {
    /// A bridge of which nothing is known yet.
    #[must_use]
    pub fn new(settings: BridgeSettings) -> Self {
        Self { settings, breaker: Breaker::default(), failures: RefCell::default() }
    }

    /// Takes the causes of failures since the last time, each once, as lines for the log.
    #[must_use]
    pub fn take_failures(&self) -> Vec<String> {
        let cluster = &self.settings.cluster;
        let line = |error: BridgeError| format!("store: redis-bridge at cluster `{cluster}`: {error}");
        self.failures.take().into_iter().map(line).collect()
    }

    fn note(&self, error: BridgeError) {
        let mut failures = self.failures.borrow_mut();
        // Calls that are not made say nothing new.
        if error != BridgeError::CircuitOpen && !failures.contains(&error) {
            failures.push(error);
        }
    }
}

impl<P: Fetch + Clock + Entropy> BridgeStore<P> {
    /// The store for a task with these ports.
    pub fn new(ports: P, bridge: Rc<Bridge>) -> Self {
        Self { ports, bridge }
    }

    /// Asks the bridge, and again where that can help.
    ///
    /// A request has no timer to wait by: Envoy wakes it only with the answer to a call of its own.
    /// So a retry follows at once, and not when the tries before it took long, because then the
    /// client has waited enough. A connection that broke gets one. A bridge that is overloaded gets
    /// two: it had the call wait for its turn as long as it thought right, and a burst is over by
    /// then; what lasts longer is an error to the client, who can wait. `NotDurable` gets three:
    /// the bridge itself waits for a replica in each.
    async fn call<C: Call>(&self, request: &C::Request) -> Result<C::Answer, StoreError> {
        // The request's types have no form that cannot be written.
        let body = serde_json::to_vec(request).map_err(|_| StoreError::Unavailable)?;
        let started = self.ports.now_ms();
        let mut tries: u32 = 0;
        loop {
            let error = match self.attempt::<C>(&body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries = tries.saturating_add(1);
            let quick = self.ports.now_ms().saturating_sub(started) < QUICK_MS;
            if tries >= most_tries(error, quick) {
                return Err(error.into());
            }
        }
    }

    async fn attempt<C: Call>(&self, body: &[u8]) -> Result<C::Answer, BridgeError> {
        let pass = self.bridge.breaker.pass(self.ports.now_ms()).ok_or(BridgeError::CircuitOpen)?;
        let answer = self.ask::<C>(body).await;
        if let Err(error) = &answer {
            self.bridge.note(*error);
        }
        match answer {
            Err(error) if error.is_absence() => {
                let random = self.ports.random().map_or(0, u64::from_le_bytes);
                pass.failed(self.ports.now_ms(), random);
            }
            Ok(_) | Err(_) => pass.answered(),
        }
        answer
    }

    async fn ask<C: Call>(&self, body: &[u8]) -> Result<C::Answer, BridgeError> {
        let settings = &self.bridge.settings;
        let call = request(settings, C::VERB, body.to_vec(), settings.timeout_ms);
        match self.ports.fetch(call).await {
            Ok(reply) => understood(&reply),
            Err(CallError::NotSent) => Err(BridgeError::NotSent),
            Err(CallError::NoAnswer) => Err(BridgeError::NoResponse),
        }
    }

    /// How a change of this record is made: under a name of its own, and durable where losing it
    /// would do harm.
    fn mutation(&self, verb: Verb, key: &Key) -> Result<Mutation, StoreError> {
        let idempotency = self.ports.random().map_err(|_| StoreError::Unavailable)?;
        Ok(Mutation { idempotency: IdempotencyKey(idempotency), durable: is_durable(key.kind, verb) })
    }

    fn put_request(&self, verb: Verb, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<Put, StoreError> {
        let value = accepted(value)?;
        Ok(Put {
            space: self.bridge.settings.space.clone(),
            key: *key,
            value,
            ttl,
            mutation: self.mutation(verb, key)?,
        })
    }
}

impl<P: Fetch + Clock + Entropy> Store for BridgeStore<P> {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let request = Get { space: self.bridge.settings.space.clone(), key: *key };
        let answer = self.call::<verbs::Get>(&request).await?;
        Ok(answer.record.map(Versioned::from))
    }

    async fn get_both(&self, keys: &[Key; 2]) -> Result<[Option<Versioned>; 2], StoreError> {
        let request = GetMany { space: self.bridge.settings.space.clone(), keys: keys.to_vec() };
        let answer = self.call::<verbs::GetMany>(&request).await?;
        // One answer to each, in their order, or it is not an answer.
        let records: [_; 2] = answer.records.try_into().map_err(|_| StoreError::Unavailable)?;
        Ok(records.map(|record| record.map(Versioned::from)))
    }

    async fn put(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<(), StoreError> {
        let request = self.put_request(Verb::Put, key, value, ttl)?;
        self.call::<verbs::Put>(&request).await?;
        Ok(())
    }

    async fn put_new(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<bool, StoreError> {
        let request = self.put_request(Verb::PutNew, key, value, ttl)?;
        let answer = self.call::<verbs::PutNew>(&request).await?;
        Ok(answer.version.is_some())
    }

    async fn compare_and_swap(
        &self,
        key: &Key,
        version: Version,
        value: Vec<u8>,
        ttl: Ttl,
    ) -> Result<Swap, StoreError> {
        let (space, value) = (self.bridge.settings.space.clone(), accepted(value)?);
        let mutation = self.mutation(Verb::CompareAndSwap, key)?;
        let request = CompareAndSwap { space, key: *key, version, value, ttl, mutation };
        let answer = self.call::<verbs::CompareAndSwap>(&request).await?;
        Ok(if answer.version.is_some() { Swap::Swapped } else { Swap::Conflict })
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let space = self.bridge.settings.space.clone();
        let request = Delete { space, key: *key, mutation: self.mutation(Verb::Delete, key)? };
        self.call::<verbs::Delete>(&request).await?;
        Ok(())
    }

    async fn lock(&self, key: &Key, owner: Owner, ttl_seconds: u64) -> Result<bool, StoreError> {
        let space = self.bridge.settings.space.clone();
        let request = Lock { space, key: *key, owner, ttl_seconds, mutation: self.mutation(Verb::Lock, key)? };
        let answer = self.call::<verbs::Lock>(&request).await?;
        Ok(answer.held)
    }

    async fn unlock(&self, key: &Key, owner: Owner) -> Result<(), StoreError> {
        let space = self.bridge.settings.space.clone();
        let request = Unlock { space, key: *key, owner, mutation: self.mutation(Verb::Unlock, key)? };
        self.call::<verbs::Unlock>(&request).await?;
        Ok(())
    }

    async fn take_token(&self, key: &Key, bucket: Bucket) -> Result<Taken, StoreError> {
        let space = self.bridge.settings.space.clone();
        let mutation = self.mutation(Verb::TakeTokens, key)?;
        let request = TakeTokens { space, key: *key, bucket, tokens: 1, mutation };
        let answer = self.call::<verbs::TakeTokens>(&request).await?;
        let retry_after = answer.retry_after_seconds.max(1);
        Ok(if answer.granted { Taken::Granted } else { Taken::Empty { retry_after } })
    }
}

/// Returns how long one change may take, in seconds: [`MAX_TRIES`] tries, each of which the bridge
/// answers in its last moment.
pub(crate) fn longest_change_seconds(settings: &BridgeSettings) -> u64 {
    settings.timeout_ms.saturating_mul(MAX_TRIES.into()).div_ceil(1000)
}

/// How often a change or a question is put to the bridge that fails in this way, at most
/// [`MAX_TRIES`] times; `quick` when it failed at once.
fn most_tries(error: BridgeError, quick: bool) -> u32 {
    match error {
        BridgeError::NoResponse | BridgeError::Refused(RefusalCause::Unavailable) if quick => 2,
        BridgeError::Refused(RefusalCause::Overloaded) if quick => 3,
        // The write is done: only its confirmation is missing, and the bridge waits for that again
        // in each try.
        BridgeError::Refused(RefusalCause::NotDurable) => MAX_TRIES,
        BridgeError::CircuitOpen | BridgeError::NotSent | BridgeError::NoResponse | BridgeError::Refused(_) => 1,
    }
}

/// A request to the bridge, which is to be answered within `timeout_ms`.
pub(crate) fn request(bridge: &BridgeSettings, verb: Verb, body: Vec<u8>, timeout_ms: u64) -> CallRequest {
    CallRequest {
        cluster: bridge.cluster.clone(),
        method: "POST",
        authority: AUTHORITY.to_owned(),
        path: verb.path().to_owned(),
        headers: vec![("content-type".into(), JSON.to_owned())],
        body,
        timeout_ms,
    }
}

/// The answer in a reply, or the bridge's refusal; `Err(None)` if the reply is not certainly the
/// bridge's or has not the wire's form.
pub(crate) fn answer<A: DeserializeOwned>(reply: &CallReply) -> Result<A, Option<Refusal>> {
    if !reply.from_bridge || reply.content_type.as_deref() != Some(JSON) {
        return Err(None);
    }
    if reply.status == 200 {
        return serde_json::from_slice(&reply.body).map_err(|_| None);
    }
    let refusal: Refusal = serde_json::from_slice(&reply.body).map_err(|_| None)?;
    Err(Some(refusal).filter(|refusal| refusal.error.status() == reply.status))
}

fn understood<A: DeserializeOwned>(reply: &CallReply) -> Result<A, BridgeError> {
    answer(reply)
        .map_err(|refusal| refusal.map_or(BridgeError::NoResponse, |refusal| BridgeError::Refused(refusal.error)))
}

/// A value that every store would take.
fn accepted(value: Vec<u8>) -> Result<Value, StoreError> {
    if value.len() > VALUE_BYTES {
        return Err(StoreError::TooLarge);
    }
    Value::new(value).map_err(|_| StoreError::TooLarge)
}

const AUTHORITY: &str = "redis-bridge";
const JSON: &str = "application/json";
/// The most tries of one change or question.
const MAX_TRIES: u32 = 4;
/// A first try that failed within this many milliseconds is followed by another.
const QUICK_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use portcullis_storage_api::wire::{REPLAY_SECONDS, Space};

    use super::*;

    #[test]
    fn the_bridge_remembers_an_answer_for_longer_than_the_longest_change_takes() {
        let space = Space::new("prod", "gateway").unwrap();
        // The longest timeout that a configuration may have.
        let settings = BridgeSettings { cluster: "redis-bridge".to_owned(), space, timeout_ms: 10_000 };
        assert_eq!(longest_change_seconds(&settings), 40);
        assert!(longest_change_seconds(&settings) < REPLAY_SECONDS);
    }

    #[test]
    fn no_failure_is_followed_by_more_tries_than_the_longest_change_has() {
        let refusals = [RefusalCause::Unavailable, RefusalCause::Overloaded, RefusalCause::NotDurable];
        let errors = [BridgeError::CircuitOpen, BridgeError::NotSent, BridgeError::NoResponse];
        for error in errors.into_iter().chain(refusals.map(BridgeError::Refused)) {
            for quick in [true, false] {
                assert!((1..=MAX_TRIES).contains(&most_tries(error, quick)), "{error:?}");
            }
        }
    }
}
