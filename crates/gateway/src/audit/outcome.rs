//! What was decided about a request.

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It was sent on.
    Allow,
    /// It was refused.
    Deny,
    /// The gateway answered it itself, as one of its own endpoints.
    Serve,
    /// It could not be decided: something that it needs is not available.
    Fail,
}

impl AuditOutcome {
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
