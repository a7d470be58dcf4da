//! A session: one login of one user at one client, with everything granted from it.

pub mod access_token;
pub mod binding;
pub mod end;
pub mod ended;
pub mod keys;
pub mod lifetimes;
pub mod next_prompt;
pub mod remembered_consent;
pub mod state;
pub mod stored;
