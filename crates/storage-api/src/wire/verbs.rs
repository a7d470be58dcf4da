//! The verbs.

/// What can be asked. There is no other verb, and none that carries a store's own command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads one record.
    Get,
    /// Reads several records.
    GetMany,
    /// Writes a record, whatever was there.
    Put,
    /// Writes a record only where none lives.
    PutNew,
    /// Reads and deletes in one step.
    Take,
    /// Writes only over the version named.
    CompareAndSwap,
    /// Deletes a record.
    Delete,
    /// Adds to a set.
    AddMember,
    /// Takes from a set.
    RemoveMember,
    /// Reads a set.
    Members,
    /// Takes a lock.
    Lock,
    /// Releases a lock.
    Unlock,
    /// Waits until a record has another version.
    AwaitChange,
    /// Takes from a rate-limit bucket.
    TakeTokens,
    /// Asks how the bridge is.
    Health,
    /// Reads secrets, or waits until one of them changes.
    Secrets,
    /// Fetches a document from an address that a stranger named.
    FetchDocument,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 17] = [
        Self::Get,
        Self::GetMany,
        Self::Put,
        Self::PutNew,
        Self::Take,
        Self::CompareAndSwap,
        Self::Delete,
        Self::AddMember,
        Self::RemoveMember,
        Self::Members,
        Self::Lock,
        Self::Unlock,
        Self::AwaitChange,
        Self::TakeTokens,
        Self::Health,
        Self::Secrets,
        Self::FetchDocument,
    ];

    /// The path it is posted to.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Get => "/v1/get",
            Self::GetMany => "/v1/get_many",
            Self::Put => "/v1/put",
            Self::PutNew => "/v1/put_new",
            Self::Take => "/v1/take",
            Self::CompareAndSwap => "/v1/compare_and_swap",
            Self::Delete => "/v1/delete",
            Self::AddMember => "/v1/add_member",
            Self::RemoveMember => "/v1/remove_member",
            Self::Members => "/v1/members",
            Self::Lock => "/v1/lock",
            Self::Unlock => "/v1/unlock",
            Self::AwaitChange => "/v1/await_change",
            Self::TakeTokens => "/v1/take_tokens",
            Self::Health => "/v1/health",
            Self::Secrets => "/v1/secrets",
            Self::FetchDocument => "/v1/fetch_document",
        }
    }

    /// The verb's own word: the last part of its path, and its label in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.path().trim_start_matches("/v1/")
    }

    /// The verb that is posted to this path, if any is.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.path() == path)
    }
}
