use std::rc::Rc;

use portcullis_protocol::credentials::SessionId;

use super::*;
use crate::audit::{Audit, AuditOutcome, Rendered};
use crate::decision::Resolved;
use crate::error::Unavailable;

fn facts() -> TokenFacts {
    TokenFacts {
        subject: Rc::from("user"),
        client: Rc::from("client"),
        audit: Rendered::new(Audit::new(AuditOutcome::Allow, "valid_token")),
        session: SessionId::new([1; 16]),
        resource: 1,
        expires_at: 100,
    }
}

#[test]
fn a_token_counts_for_its_resource_until_the_second_it_expires() {
    assert!(decide(&facts(), 1, 99).is_ok());
    assert!(matches!(decide(&facts(), 1, 100), Err(Refusal::InvalidToken("the token has expired"))));
    assert!(matches!(decide(&facts(), 0, 99), Err(Refusal::InvalidToken("the token is not for this resource"))));
}

#[test]
fn a_failure_of_ours_never_says_a_word_about_the_token() {
    for (refusal, reason) in [
        (Refusal::Unavailable(Unavailable::Entropy), "entropy_unavailable"),
        (Refusal::Unavailable(Unavailable::Signer), "signer_unavailable"),
        (Refusal::UpstreamUnavailable, "upstream_unavailable"),
    ] {
        let Resolved::Respond(response, audit) = refusal.reply(None) else { panic!("sent on") };
        assert_eq!((response.status(), audit.outcome, audit.reason), (503, AuditOutcome::Fail, reason));
        assert!(response.header_value("www-authenticate").is_none() && response.header_value("retry-after").is_some());
    }
}
