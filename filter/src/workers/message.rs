//! Messages between a worker's streams, its root, and its peers.

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::ports::UpstreamTokenRef;
use portcullis_protocol::credentials::SessionId;

/// A message to the root of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// To the worker's own root: refresh these upstream tokens.
    Refresh(UpstreamTokenRef),
    /// To the worker's own root: a backend has answered 401 to these upstream tokens.
    Rejected {
        /// The tokens.
        token: UpstreamTokenRef,
        /// When the request was sent, in Unix seconds.
        sent_at: u64,
    },
    /// To the worker's own root: fetch a provider's documents, for which streams wait.
    FetchProvider(ProviderId),
    /// To the worker's own root: fetch the keys of the trusted issuer at this place in the
    /// configuration, for which streams wait.
    FetchKeys(usize),
    /// To the worker's own root: apply more of the decisions of streams that are resolved or
    /// evicted, and close more of those that are over.
    ApplyResolved,
    /// To the peers: these upstream tokens have been refreshed, or will not be.
    Refreshed(UpstreamTokenRef),
    /// To the peers: this session's upstream tokens are others now.
    Replaced(SessionId),
    /// To every worker: this session has ended.
    Ended(SessionId),
}

impl Message {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::ApplyResolved => vec![b's'],
            Self::FetchProvider(provider) => [&b"p"[..], provider.as_bytes()].concat(),
            Self::FetchKeys(issuer) => [&b"k"[..], &u32::try_from(issuer).unwrap_or(u32::MAX).to_le_bytes()].concat(),
            Self::Refresh(token) => [&b"r"[..], token.session.as_bytes(), token.provider.as_bytes()].concat(),
            Self::Refreshed(token) => [&b"d"[..], token.session.as_bytes(), token.provider.as_bytes()].concat(),
            Self::Replaced(session) => [&b"n"[..], session.as_bytes()].concat(),
            Self::Ended(session) => [&b"e"[..], session.as_bytes()].concat(),
            Self::Rejected { token, sent_at } => {
                [&b"x"[..], token.session.as_bytes(), &sent_at.to_le_bytes(), token.provider.as_bytes()].concat()
            }
        }
    }

    /// Returns `None` for bytes that no worker of this version sends.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes == b"s" {
            return Some(Self::ApplyResolved);
        }
        let (word, names) = bytes.split_first()?;
        if *word == b'p' {
            return names.try_into().ok().map(ProviderId::from_bytes).map(Self::FetchProvider);
        }
        if *word == b'k' {
            let issuer = u32::from_le_bytes(names.try_into().ok()?);
            return usize::try_from(issuer).ok().map(Self::FetchKeys);
        }
        let (session, rest) = names.split_first_chunk::<16>()?;
        let session = SessionId::new(*session);
        let token = |provider: &[u8]| {
            let provider = ProviderId::from_bytes(provider.try_into().ok()?);
            Some(UpstreamTokenRef { session, provider })
        };
        match word {
            b'r' => token(rest).map(Self::Refresh),
            b'd' => token(rest).map(Self::Refreshed),
            b'x' => {
                let (sent_at, provider) = rest.split_first_chunk()?;
                Some(Self::Rejected { token: token(provider)?, sent_at: u64::from_le_bytes(*sent_at) })
            }
            b'n' if rest.is_empty() => Some(Self::Replaced(session)),
            b'e' if rest.is_empty() => Some(Self::Ended(session)),
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
        let token = UpstreamTokenRef { session, provider: ProviderId::of("idp", "https://idp.example") };
        for message in [
            Message::Refresh(token),
            Message::Rejected { token, sent_at: u64::MAX - 1 },
            Message::Refreshed(token),
            Message::Replaced(session),
            Message::Ended(session),
            Message::FetchProvider(token.provider),
            Message::FetchKeys(0),
            Message::FetchKeys(31),
            Message::ApplyResolved,
        ] {
            assert_eq!(Message::parse(&message.bytes()), Some(message));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_none() {
        for bytes in [
            &b""[..],
            b"r",
            b"rshort",
            &[b'x'; 17],
            &[b'r'; 17],
            &[b'r'; 34],
            &[b'e'; 33],
            &[b'n'; 33],
            &[b'x'; 24],
            &[b'x'; 33],
            b"p",
            &[b'p'; 16],
            &[b'p'; 18],
            b"k",
            &[b'k'; 4],
            &[b'k'; 6],
        ] {
            assert_eq!(Message::parse(bytes), None);
        }
    }
}
