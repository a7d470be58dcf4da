//! The audit trail: who asked for what and what was decided. No field can hold a token.

use std::rc::Rc;

/// One decision, published as filter state `wasm.portcullis.*` and counted in metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The user's id in this gateway, when one was proven.
    pub subject: Option<Rc<str>>,
    /// The OAuth client's id, when one was proven.
    pub client: Option<Rc<str>>,
    /// The resource or endpoint that was asked for.
    pub resource: Option<Rc<str>>,
    /// What was decided.
    pub decision: Decision,
    /// Why, as a short word that a dashboard can group by.
    pub reason: &'static str,
}

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It was sent on.
    Allow,
    /// It was refused.
    Deny,
    /// The gateway answered it itself, as one of its own endpoints.
    Serve,
    /// It could not be decided: something needed was away.
    Fail,
}

impl Decision {
    /// The word in the audit trail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Serve => "serve",
            Self::Fail => "fail",
        }
    }
}

impl Audit {
    /// A decision with nothing yet known about who asked.
    #[must_use]
    pub fn new(decision: Decision, reason: &'static str) -> Self {
        Self { subject: None, client: None, resource: None, decision, reason }
    }
}
