//! A session: one login of one user at one client, with everything granted from it.

pub mod end;
pub mod next_prompt;
pub mod state;
