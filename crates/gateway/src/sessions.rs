//! A session: one login of one user at one client, with everything granted from it, and the
//! providers' grants behind it.
//!
//! A login may be at several providers ([`crate::config::Leg`]). A session keeps the tokens of each
//! for as long as itself, and stands or falls with those that its resource injects: those of other
//! providers may run out or be lost, and a provider in trouble only affects the sessions that need
//! it.
//!
//! What becomes of each state of the two; "upstream tokens" are those that the session's resource
//! injects. A call that says 401 tells the client to log in, and no
//! refresh may say anything else in that state: a client whose refresh works goes on refreshing.
//! `tests/flows/session_states.rs` drives each row through a call, a refresh and a login;
//! `provider_chain.rs`, `provider_choice.rs` and `connections.rs` there those about another
//! provider.
//!
//! | session | upstream tokens | a call says | a refresh at the gateway says | a login |
//! |---|---|---|---|---|
//! | active | fresh | 200 | 200 | is another session |
//! | active | due: in the last fifth of their life | 200, and they are renewed | 200 | is another session |
//! | active | run out, the provider renews them | 200 after that | 200 | is another session |
//! | active | run out, the provider or store is unavailable | 503 | 200 | is another session, where the provider answers |
//! | active | run out, the provider refuses the gateway's own credentials or cannot be understood, for less than an hour | 503 | 200 | is another session |
//! | active | the same for an hour | 401, and the session ends | 400 after that | is another session |
//! | active | run out, the provider refuses the user's grant | 401, and the session ends | 400 after that | is sent with the `prompt` that the provider asks for |
//! | active | without a refresh token, not run out | 200 | 200 | is another session, with the refresh token of an older one if there is one |
//! | active | without a refresh token, run out | 401, and the session ends | 400, and the session ends | the same |
//! | active | absent, unreadable, or of a provider that was moved or renamed | 401, and the session ends | 400, and the session ends | is another session |
//! | active | of a provider that the user has not logged in at | as in `resource_server/connection_required.rs`: an MCP answer or 403, and once 401, and the session ends | 200, or 400 after that 401 | is another session |
//! | active | fresh, and those of another provider run out or absent | 200 | 200 | is another session |
//! | active, of a user who may not log in any more (`users`) | any | as above, until its access token expires | 400, and the session ends | is refused |
//! | ended, expired or unreadable | any | 401 | 400 | is another session |
//! | code | any, for as long as the code | has no token | has no token | is another session |
//! | active, its refresh token replaced and the successor not used | as above | as above | 200 with the same successor for 30 s, or until it was confirmed | – |
//! | active, its successor used, or the 30 s over | – | – | 400, and the session ends: a replay | – |
//!
//! An unreadable record of upstream tokens is noticed by a refresh where its secret is gone; a
//! forged one by the next call.

pub mod access_token;
pub mod binding;
pub mod end;
pub mod ended;
pub mod keys;
pub mod last_grant;
pub mod lifetimes;
pub mod missing_upstream;
pub mod next_prompt;
pub mod remembered_consent;
pub mod state;
pub mod stored;
pub mod users;
