use std::rc::Rc;

use portcullis_protocol::credentials::SessionId;

use super::*;
use crate::audit::{AuditField, AuditFields, AuditOutcome};
use crate::decision::Resolved;
use crate::error::DependencyError;
use crate::state::token_cache::Basis;

fn facts() -> TokenGrant {
    TokenGrant {
        subject: Rc::from("user"),
        client: Rc::from("client"),
        basis: Basis::Session(SessionId::new([1; 16])),
        resource: 1,
        expires_at: 100,
    }
}

#[test]
fn a_token_counts_for_its_resource_until_the_second_it_expires() {
    assert!(decide(&facts(), 1, 99).is_ok());
    assert!(matches!(decide(&facts(), 1, 100), Err(Refusal::Claims(ClaimError::Expired))));
    assert!(matches!(decide(&facts(), 0, 99), Err(Refusal::Claims(ClaimError::WrongAudience))));
}

#[test]
fn a_failure_of_ours_never_says_a_word_about_the_token() {
    for (refusal, reason) in [
        (Refusal::Dependency(DependencyError::Entropy), "entropy_unavailable"),
        (Refusal::Dependency(DependencyError::Signer), "signer_unavailable"),
        (Refusal::UpstreamUnavailable, "upstream_unavailable"),
    ] {
        let Resolved::Respond(response, audit) =
            refusal.respond(None, AuditFields::default().with(AuditField::User, "user"))
        else {
            panic!("sent on")
        };
        assert_eq!(
            (response.status(), audit.reason().outcome(), audit.reason().as_str()),
            (503, AuditOutcome::Fail, reason)
        );
        assert_eq!(audit.get(AuditField::User).as_deref(), Some("user"));
        assert!(response.header_value("www-authenticate").is_none() && response.header_value("retry-after").is_some());
    }
}
