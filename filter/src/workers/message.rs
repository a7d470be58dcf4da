//! Messages between a worker's streams, its root, and its peers.

use portcullis_protocol::credentials::SessionId;

/// A message to the root of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// To the worker's own root: refresh the upstream tokens of this session.
    Refresh(SessionId),
    /// To the worker's own root: fetch the provider's documents, for which streams wait.
    FetchProvider,
    /// To the worker's own root: apply more of the decisions of streams that are resolved or
    /// evicted.
    ApplyResolved,
    /// To the peers: the upstream tokens of this session have been refreshed, or will not be.
    Refreshed(SessionId),
    /// To the peers: this session has ended.
    Ended(SessionId),
}

impl Message {
    pub(super) fn bytes(self) -> Vec<u8> {
        let (word, session) = match self {
            Self::ApplyResolved => return vec![b's'],
            Self::FetchProvider => return vec![b'p'],
            Self::Refresh(session) => (b'r', session),
            Self::Refreshed(session) => (b'd', session),
            Self::Ended(session) => (b'e', session),
        };
        [&[word][..], session.as_bytes()].concat()
    }

    /// Returns `None` for bytes that no worker of this version sends.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"s" => return Some(Self::ApplyResolved),
            b"p" => return Some(Self::FetchProvider),
            _ => {}
        }
        let (word, session) = bytes.split_first()?;
        let session = SessionId::new(session.try_into().ok()?);
        match word {
            b'r' => Some(Self::Refresh(session)),
            b'd' => Some(Self::Refreshed(session)),
            b'e' => Some(Self::Ended(session)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_sent() {
        let session = SessionId::new([7; 16]);
        for message in [Message::Refresh(session), Message::Refreshed(session), Message::Ended(session)] {
            assert_eq!(Message::parse(&message.bytes()), Some(message));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_none() {
        for bytes in [&b""[..], b"r", b"rshort", &[b'x'; 17], &[b'r'; 18]] {
            assert_eq!(Message::parse(bytes), None);
        }
    }
}
