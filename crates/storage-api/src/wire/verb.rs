//! The table of verbs: the one place that names them all.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Calls the macro `$then` with the table of verbs. A row is
/// `{ variant name request answer right execution documentation }`.
///
/// - `name` is the last part of the path, the label in metrics, and the name of the verb's function
///   and script in the bridge.
/// - `right` is what a caller needs: `space` (a grant of the request's space), `secrets` or `none`.
/// - `execution` says how the bridge runs it: `command` (one command in Redis), `script` (one
///   script in Redis, which changes something), `poll` (commands until a timeout) or `service`
///   (without Redis).
///
/// A new verb is one row, its request and answer types, and in the bridge a function and a script
/// of its name.
#[macro_export]
macro_rules! for_each_verb {
    ($then:ident) => {
        $then! {
            { Get            get              Get            GetAnswer           space   command "Reads one record." }
            { GetMany        get_many         GetMany        GetManyAnswer       space   command "Reads several records." }
            { Put            put              Put            PutAnswer           space   script  "Writes a record unconditionally." }
            { PutNew         put_new          Put            WriteAnswer         space   script  "Writes a record unless one exists." }
            { CompareAndSwap compare_and_swap CompareAndSwap WriteAnswer         space   script  "Writes a record over the given version only." }
            { Delete         delete           Delete         DeleteAnswer        space   script  "Deletes a record." }
            { AddMember      add_member       MemberWrite    MemberAnswer        space   script  "Adds a member to a set." }
            { RemoveMember   remove_member    MemberWrite    MemberAnswer        space   script  "Removes a member from a set." }
            { Members        members          Members        MembersAnswer       space   command "Reads a set." }
            { Lock           lock             Lock           LockAnswer          space   script  "Takes a lock unless another owner holds it." }
            { Unlock         unlock           Unlock         UnlockAnswer        space   script  "Releases a lock of its owner." }
            { AwaitChange    await_change     AwaitChange    AwaitChangeAnswer   space   poll    "Waits until a record has another version." }
            { TakeTokens     take_tokens      TakeTokens     TakeTokensAnswer    space   script  "Takes tokens from a rate-limit bucket." }
            { Health         health           HealthRequest  HealthAnswer        none    service "Reports the health of the bridge." }
            { Secrets        secrets          Secrets        SecretsAnswer       secrets service "Reads secrets, or waits until one changes." }
            { FetchDocument  fetch_document   FetchDocument  FetchDocumentAnswer none    service "Fetches a document from a URL of a stranger." }
        }
    };
}

/// The types of one verb.
pub trait Call {
    /// The verb.
    const VERB: Verb;
    /// The request.
    type Request: Serialize + DeserializeOwned;
    /// The answer with status 200.
    type Answer: Serialize + DeserializeOwned;
}

/// The permission that a caller needs to use a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Nothing but its connection.
    None,
    /// A grant of the request's space.
    Space,
    /// A grant of the secrets.
    Secrets,
}

/// How the bridge runs a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// One command in Redis, which reads.
    Command,
    /// One script in Redis, which changes something.
    Script,
    /// Commands in Redis until something changes or the time is over.
    Poll,
    /// Without Redis.
    Service,
}

macro_rules! define_verbs {
    ($({
        $verb:ident $name:ident $request:ident $answer:ident $right:ident $execution:ident $documentation:literal
    })*) => {
        /// A verb of the wire. None carries a store's own command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verb {
            $(#[doc = $documentation] $verb,)*
        }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Self] = &[$(Self::$verb),*];

            /// The last part of the path, and the label in metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$verb => stringify!($name),)*
                }
            }

            /// The path of its requests, which are `POST`.
            #[must_use]
            pub fn path(self) -> &'static str {
                match self {
                    $(Self::$verb => concat!("/v1/", stringify!($name)),)*
                }
            }

            /// Returns the verb with this path.
            #[must_use]
            pub fn of_path(path: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|verb| verb.path() == path)
            }

            /// Returns the permission that a caller needs to use it.
            #[must_use]
            pub fn right(self) -> Right {
                match self {
                    $(Self::$verb => define_verbs!(@right $right),)*
                }
            }

            /// How the bridge runs it.
            #[must_use]
            pub fn execution(self) -> Execution {
                match self {
                    $(Self::$verb => define_verbs!(@execution $execution),)*
                }
            }
        }

        /// A type for each verb, to name its [`Call`].
        pub mod verbs {
            $(
                #[doc = $documentation]
                #[derive(Debug)]
                pub enum $verb {}

                impl super::Call for $verb {
                    const VERB: super::Verb = super::Verb::$verb;
                    type Request = crate::wire::$request;
                    type Answer = crate::wire::$answer;
                }
            )*
        }
    };
    (@right none) => { Right::None };
    (@right space) => { Right::Space };
    (@right secrets) => { Right::Secrets };
    (@execution command) => { Execution::Command };
    (@execution script) => { Execution::Script };
    (@execution poll) => { Execution::Poll };
    (@execution service) => { Execution::Service };
}

for_each_verb!(define_verbs);
