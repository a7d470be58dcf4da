//! The authorization code grant (OAuth 2.1 §4.1.3).

use portcullis_protocol::credentials::AuthorizationCode;
use portcullis_protocol::oauth::token::AuthorizationCodeGrant;
use portcullis_storage_api::Ttl;

use crate::audit::{AuditField, AuditFields};
use crate::clients::authenticate::AuthenticatedClient;
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::token::error::TokenError;
use crate::endpoints::token::issue::issue;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::end::end_session;
use crate::sessions::keys::session_keys;
use crate::sessions::last_grant;
use crate::sessions::lifetimes::session_life;
use crate::sessions::state::{Redemption, Session};
use crate::sessions::stored::{ATTEMPTS, extend_upstream, load_session};
use crate::store::records::VersionedRecord;
use crate::upstream::tokens::{self, Upstream};

/// Issues tokens for a code, which is used up.
pub(super) async fn grant<P: Ports>(
    context: &RequestContext<'_, P>,
    client: &AuthenticatedClient,
    grant: &AuthorizationCodeGrant,
    known: &mut AuditFields,
) -> Result<Resolved, TokenError> {
    let code = AuthorizationCode::parse(grant.code.expose(), &context.config().key_ring)
        .map_err(|_| TokenError::CodeForged)?;
    let attempt = Redemption {
        code: &code,
        client_id: client.id(),
        redirect_uri: grant.redirect_uri.as_deref(),
        verifier: &grant.code_verifier,
        resource: grant.resource.as_ref(),
    };
    known.add(AuditField::Session, &code.session.to_string());
    let session = redeem(context, &attempt, known).await?;
    issue(context, code.session, &session, &session.scope, known)
}

/// Redeems a code. Whatever does not fit ends the session and everything issued from it.
async fn redeem<P: Ports>(
    context: &RequestContext<'_, P>,
    attempt: &Redemption<'_>,
    known: &mut AuditFields,
) -> Result<Session, TokenError> {
    let records = context.records();
    let id = attempt.code.session;
    let provider = context.config().providers.login().ok_or(DependencyError::Internal)?.id;
    let keys = session_keys(id, provider);
    let nonce = context.ports.random().map_err(DependencyError::from)?;
    let life = Ttl::Seconds(session_life(context.config()));
    for attempts in 0..ATTEMPTS {
        let (session, upstream) = load_session(&records, &keys).await?;
        let VersionedRecord { record, version } = session.map_err(TokenError::CodeWithoutSession)?;
        if attempts == 0 {
            record.add_owner(known);
        }
        match record.redeem(attempt, context.now(), nonce) {
            Ok(active) => {
                // Until now the upstream tokens last as long as the code. They are extended first:
                // were that to fail after the code is used up, the login would end with the code's
                // life.
                let sealed = upstream.as_ref().map(|upstream| upstream.value.clone());
                let is_renewable =
                    sealed.and_then(|sealed| records.read::<Upstream, _>(&keys[1], sealed, tokens::is_renewable));
                extend_upstream(context.gateway, &records, &keys, upstream).await?;
                if records.swap(&keys[0], version, &active, life).await? {
                    if is_renewable == Some(true) {
                        // The code is used up, so its answer does not wait for what only helps a
                        // later login.
                        let _best_effort = last_grant::note(&records, id, &active, provider).await;
                    }
                    return Ok(active);
                }
                // Another request redeemed it first; the next round sees that and ends the session.
            }
            Err(error) => {
                end_session(context.gateway, id, context.ports).await?;
                return Err(TokenError::Code(error));
            }
        }
    }
    Err(DependencyError::Contention.into())
}
