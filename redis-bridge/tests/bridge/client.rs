//! A caller of the bridge, as the filter will be one: the gateway's `Store` over the wire.

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use portcullis_gateway::ports::{Store, VALUE_BYTES};
use portcullis_storage_api::wire::{
    CompareAndSwap, Delete, DeleteAnswer, Get, GetAnswer, IdempotencyKey, Lock, LockAnswer, MARKER_HEADER,
    MARKER_VALUE, Mutation, Put, PutAnswer, Refusal, RefusalCause, Space, TakeTokens, TakeTokensAnswer, Unlock,
    UnlockAnswer, Value, Verb, WriteAnswer,
};
use portcullis_storage_api::{Bucket, Key, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// One connection at a time, replaced when it breaks.
pub(crate) struct Client {
    socket: PathBuf,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
    durable: bool,
}

impl Client {
    pub(crate) fn new(socket: &Path, durable: bool) -> Self {
        Self { socket: socket.to_owned(), connection: Mutex::new(None), durable }
    }

    /// What the bridge answers, or why not. No answer at all counts as unavailable.
    pub(crate) async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        verb: Verb,
        request: &Q,
    ) -> Result<A, RefusalCause> {
        let (status, body) = self.raw(verb.path(), serde_json::to_vec(request).unwrap()).await?;
        if status == 200 {
            return Ok(serde_json::from_slice(&body).unwrap());
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap();
        assert_eq!(refusal.error.status(), status);
        Err(refusal.error)
    }

    /// Status and body; every answer must carry the marker.
    pub(crate) async fn raw(&self, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), RefusalCause> {
        let answer = self.send(path, body).await?;
        assert_eq!(answer.headers().get(MARKER_HEADER).unwrap(), MARKER_VALUE);
        let status = answer.status().as_u16();
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
        Ok((status, answer.into_body()))
    }

    /// The whole answer.
    pub(crate) async fn send(&self, path: &str, body: Vec<u8>) -> Result<Response<Vec<u8>>, RefusalCause> {
        let mut connection = self.connection.lock().await;
        if connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = UnixStream::connect(&self.socket).await.map_err(|_| RefusalCause::Unavailable)?;
            let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|_| RefusalCause::Unavailable)?;
            tokio::spawn(driver);
            *connection = Some(sender);
        }
        let request = Request::post(path).header("host", "bridge").body(Full::new(Bytes::from(body))).unwrap();
        let sender = connection.as_mut().unwrap();
        if sender.ready().await.is_err() {
            *connection = None;
            return Err(RefusalCause::Unavailable);
        }
        let answer = sender.send_request(request).await.map_err(|_| RefusalCause::Unavailable)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| RefusalCause::Unavailable)?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }

    pub(crate) fn mutation(&self) -> Mutation {
        Mutation { idempotency: fresh(), durable: self.durable }
    }
}

/// An idempotency key that nothing else uses.
pub(crate) fn fresh() -> IdempotencyKey {
    let mut key = [0; 16];
    getrandom::fill(&mut key).unwrap();
    IdempotencyKey(key)
}

pub(crate) fn space() -> Space {
    Space::new("prod", "gateway").unwrap()
}

impl Store for Client {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let answer: GetAnswer = self.call(Verb::Get, &Get { space: space(), key: *key }).await?;
        Ok(answer.record.map(Versioned::from))
    }

    async fn put(&self, key: &Key, bytes: Vec<u8>, ttl: Ttl) -> Result<(), StoreError> {
        let request = Put { space: space(), key: *key, value: value(bytes)?, ttl, mutation: self.mutation() };
        let _: PutAnswer = self.call(Verb::Put, &request).await?;
        Ok(())
    }

    async fn put_new(&self, key: &Key, bytes: Vec<u8>, ttl: Ttl) -> Result<bool, StoreError> {
        let request = Put { space: space(), key: *key, value: value(bytes)?, ttl, mutation: self.mutation() };
        let answer: WriteAnswer = self.call(Verb::PutNew, &request).await?;
        Ok(answer.version.is_some())
    }

    async fn compare_and_swap(
        &self,
        key: &Key,
        version: Version,
        bytes: Vec<u8>,
        ttl: Ttl,
    ) -> Result<Swap, StoreError> {
        let (value, mutation) = (value(bytes)?, self.mutation());
        let request = CompareAndSwap { space: space(), key: *key, version, value, ttl, mutation };
        let answer: WriteAnswer = self.call(Verb::CompareAndSwap, &request).await?;
        Ok(if answer.version.is_some() { Swap::Swapped } else { Swap::Conflict })
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let request = Delete { space: space(), key: *key, mutation: self.mutation() };
        let _: DeleteAnswer = self.call(Verb::Delete, &request).await?;
        Ok(())
    }

    async fn lock(&self, key: &Key, owner: Owner, ttl_seconds: u64) -> Result<bool, StoreError> {
        let request = Lock { space: space(), key: *key, owner, ttl_seconds, mutation: self.mutation() };
        let answer: LockAnswer = self.call(Verb::Lock, &request).await?;
        Ok(answer.held)
    }

    async fn unlock(&self, key: &Key, owner: Owner) -> Result<(), StoreError> {
        let request = Unlock { space: space(), key: *key, owner, mutation: self.mutation() };
        let _: UnlockAnswer = self.call(Verb::Unlock, &request).await?;
        Ok(())
    }

    async fn take_token(&self, key: &Key, bucket: Bucket) -> Result<Taken, StoreError> {
        let request = TakeTokens { space: space(), key: *key, bucket, tokens: 1, mutation: self.mutation() };
        let answer: TakeTokensAnswer = self.call(Verb::TakeTokens, &request).await?;
        let retry_after = answer.retry_after_seconds;
        Ok(if answer.granted { Taken::Granted } else { Taken::Empty { retry_after } })
    }
}

/// The gateway's own bound on a record is the stricter one.
fn value(bytes: Vec<u8>) -> Result<Value, StoreError> {
    if bytes.len() > VALUE_BYTES {
        return Err(StoreError::TooLarge);
    }
    Value::new(bytes).map_err(|_| StoreError::TooLarge)
}
