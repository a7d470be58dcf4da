//! Messages between a worker's streams, its root, and its peers.

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::ports::{TokenOwner, UpstreamTokenRef};
use portcullis_protocol::credentials::{SessionId, UserId};

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
    /// To the peers: upstream tokens of this owner are others now, or gone.
    Replaced(TokenOwner),
    /// To every worker: this session has ended.
    Ended(SessionId),
}

impl Message {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::ApplyResolved => vec![b's'],
            Self::FetchProvider(provider) => [&b"p"[..], provider.as_bytes()].concat(),
            Self::FetchKeys(issuer) => [&b"k"[..], &u32::try_from(issuer).unwrap_or(u32::MAX).to_le_bytes()].concat(),
            Self::Refresh(token) => [&b"r"[..], &owner_bytes(token.owner), token.provider.as_bytes()].concat(),
            Self::Refreshed(token) => [&b"d"[..], &owner_bytes(token.owner), token.provider.as_bytes()].concat(),
            Self::Replaced(owner) => [&b"n"[..], &owner_bytes(owner)].concat(),
            Self::Ended(session) => [&b"e"[..], session.as_bytes()].concat(),
            Self::Rejected { token, sent_at } => {
                [&b"x"[..], &owner_bytes(token.owner), &sent_at.to_le_bytes(), token.provider.as_bytes()].concat()
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
        if *word == b'e' {
            return names.try_into().ok().map(SessionId::new).map(Self::Ended);
        }
        let (owner, rest) = names.split_first_chunk()?;
        let owner = owner_of(owner)?;
        let token = |provider: &[u8]| {
            let provider = ProviderId::from_bytes(provider.try_into().ok()?);
            Some(UpstreamTokenRef { owner, provider })
        };
        match word {
            b'r' => token(rest).map(Self::Refresh),
            b'd' => token(rest).map(Self::Refreshed),
            b'x' => {
                let (sent_at, provider) = rest.split_first_chunk()?;
                Some(Self::Rejected { token: token(provider)?, sent_at: u64::from_le_bytes(*sent_at) })
            }
            b'n' if rest.is_empty() => Some(Self::Replaced(owner)),
            _ => None,
        }
    }
}

/// A letter for its kind, and its id.
fn owner_bytes(owner: TokenOwner) -> [u8; OWNER_BYTES] {
    let (kind, id) = match &owner {
        TokenOwner::Session(session) => (b's', session.as_bytes()),
        TokenOwner::User(user) => (b'u', user.as_bytes()),
    };
    let mut bytes = [kind; OWNER_BYTES];
    bytes.iter_mut().skip(1).zip(id).for_each(|(byte, id)| *byte = *id);
    bytes
}

fn owner_of([kind, id @ ..]: &[u8; OWNER_BYTES]) -> Option<TokenOwner> {
    match kind {
        b's' => Some(TokenOwner::Session(SessionId::new(*id))),
        b'u' => Some(TokenOwner::User(UserId::restore(*id))),
        _ => None,
    }
}

const OWNER_BYTES: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_sent() {
        let session = SessionId::new([7; 16]);
        let provider = ProviderId::of("idp", "https://idp.example");
        let token = UpstreamTokenRef { owner: TokenOwner::Session(session), provider };
        let of_user = UpstreamTokenRef { owner: TokenOwner::User(UserId::restore([7; 16])), provider };
        for message in [
            Message::Refresh(token),
            Message::Rejected { token, sent_at: u64::MAX - 1 },
            Message::Refreshed(token),
            Message::Replaced(token.owner),
            Message::Refresh(of_user),
            Message::Rejected { token: of_user, sent_at: 0 },
            Message::Replaced(of_user.owner),
            Message::Ended(session),
            Message::FetchProvider(token.provider),
            Message::FetchKeys(0),
            Message::FetchKeys(31),
            Message::ApplyResolved,
        ] {
            assert_eq!(Message::parse(&message.bytes()), Some(message));
        }
    }

    /// A beginning, and zeros up to a length.
    fn words(start: &[u8], length: usize) -> Vec<u8> {
        [start, &vec![0; length.saturating_sub(start.len())]].concat()
    }

    #[test]
    fn bytes_that_are_no_message_are_none() {
        for bytes in [
            &b""[..],
            b"r",
            b"rshort",
            &[b'x'; 17],
            &[b'r'; 34],
            &words(b"rs", 33),
            &words(b"rs", 35),
            &[b'e'; 16],
            &[b'e'; 18],
            &[b'n'; 18],
            &words(b"ns", 17),
            &words(b"ns", 19),
            &words(b"xs", 41),
            &words(b"xs", 43),
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
