//! The Model Context Protocol, as far as the gateway answers in it itself.

pub mod url_elicitation;
