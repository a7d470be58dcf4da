//! The fields of the audit trail.

/// Makes [`AuditField`] of the table: name, word; the meaning is the documentation.
macro_rules! fields {
    ($($(#[doc = $meaning:literal])+ $name:ident = $word:literal,)+) => {
        /// A field of the audit trail. One of which nothing is known is left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AuditField {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl AuditField {
            /// Every field, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name in the audit trail.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it says, as Markdown on one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+),)+ }
            }
        }
    };
}

fields! {
    /// `allow`, `deny`, `serve` or `fail`; it follows from the reason.
    Decision = "decision",
    /// One of the words below; no two causes share one.
    Reason = "reason",
    /// The resource that was asked for, or that a login is for.
    Resource = "resource",
    /// The OAuth client's id. Until a token proves it, it is the client that a login names.
    Client = "client",
    /// The name that the client gave itself, which nothing proves.
    ClientName = "client_name",
    /// The user's id in this gateway: the `sub` of its tokens, and `USER` in the operator's lists.
    User = "user",
    /// The user's name at the identity provider, its `sub` there unless `subjectClaim` says
    /// otherwise; of a login at several providers, at the first.
    Subject = "subject",
    /// The user's e-mail address at the identity provider, with `audit.email` only.
    Email = "email",
    /// The login: `SESSION` in `portcullis admin sessions list`. It opens nothing.
    Session = "session",
    /// The scopes of the token, or those that a login is for, separated by spaces.
    Scopes = "scopes",
    /// The MCP method, as the client's header `Mcp-Method` says. The gateway does not compare it
    /// with the body. Absent where the header is, or has a value that no method has.
    McpMethod = "mcp_method",
    /// The header `x-request-id`, which Envoy makes unless it is configured to keep the sender's.
    /// Absent where it is longer than 128 bytes or not plain ASCII.
    RequestId = "request_id",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_has_a_name_that_an_expression_can_write_and_a_meaning() {
        let names: BTreeSet<_> = AuditField::ALL.iter().map(|field| field.as_str()).collect();
        let meanings: BTreeSet<_> = AuditField::ALL.iter().map(|field| field.meaning()).collect();
        assert_eq!((names.len(), meanings.len()), (AuditField::ALL.len(), AuditField::ALL.len()));
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
