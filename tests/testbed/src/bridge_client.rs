//! A client of the bridge on its Unix socket, for what can be observed only without the gateway.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_storage_api::wire::{MARKER_HEADER, MARKER_VALUE, Refusal, RefusalCause, Verb};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::http::{Body, read_head};

/// One client with one connection, which is opened again after it broke.
pub struct BridgeClient {
    socket: PathBuf,
    connection: Option<BufReader<UnixStream>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The bridge says why.
    Refused(RefusalCause),
    /// There was no answer, or no whole one: it may be done or not.
    NoAnswer,
}

impl BridgeClient {
    /// A client of the bridge at this socket; it connects with its first call.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), connection: None }
    }

    /// Makes one call.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Panics
    /// When an answer does not parse as the verb's type.
    pub async fn call<Q: Serialize, A: DeserializeOwned>(&mut self, verb: Verb, request: &Q) -> Result<A, CallError> {
        let body = serde_json::to_vec(request).expect("requests can be written");
        let exchanged = tokio::time::timeout(TIMEOUT, self.exchange(verb, &body)).await;
        let Ok(Ok((status, body))) = exchanged else {
            self.connection = None;
            return Err(CallError::NoAnswer);
        };
        if status == 200 {
            return Ok(serde_json::from_slice(&body).expect("an answer of the verb's type"));
        }
        let refusal: Refusal = serde_json::from_slice(&body).expect("a refusal");
        Err(CallError::Refused(refusal.error))
    }

    async fn exchange(&mut self, verb: Verb, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(BufReader::new(UnixStream::connect(&self.socket).await?)),
        };
        let head = format!("POST {} HTTP/1.1\r\nhost: bridge\r\ncontent-length: {}\r\n\r\n", verb.path(), body.len());
        connection.write_all(&[head.as_bytes(), body].concat()).await?;
        let head = read_head(connection).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if head.field(MARKER_HEADER) != Some(MARKER_VALUE.as_bytes()) {
            return Err(io::Error::other("not the bridge's answer"));
        }
        let mut incoming = Body { framing: head.framing(true)? };
        let mut answer = Vec::new();
        while let Some(piece) = incoming.next(connection).await? {
            answer.extend_from_slice(&piece);
        }
        Ok((head.status().ok_or(io::ErrorKind::InvalidData)?, answer))
    }
}

/// Longer than the bridge's own deadline.
const TIMEOUT: Duration = Duration::from_secs(3);
