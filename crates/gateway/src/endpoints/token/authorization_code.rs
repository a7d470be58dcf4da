//! The authorization code grant (OAuth 2.1 §4.1.3).

use portcullis_protocol::credentials::AuthorizationCode;
use portcullis_protocol::oauth::token::AuthorizationCodeGrant;
use portcullis_storage_api::Ttl;

use crate::audit::{AuditField, AuditFields};
use crate::clients::authenticate::AuthenticatedClient;
use crate::config::ProviderId;
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::token::error::TokenError;
use crate::endpoints::token::issue::issue;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::end::end_session;
use crate::sessions::keys::session_key;
use crate::sessions::last_grant;
use crate::sessions::lifetimes::session_life;
use crate::sessions::state::{Redemption, Session};
use crate::sessions::stored::{ATTEMPTS, StoredSession, StoredUpstream, extend_upstream, load_session};
use crate::store::records::{Records, VersionedRecord};
use crate::upstream::connections::stored;
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
    let nonce = context.ports.random().map_err(DependencyError::from)?;
    let life = Ttl::Seconds(session_life(context.config()));
    for attempts in 0..ATTEMPTS {
        let found = load_session(context.gateway, &records, id).await?;
        let StoredSession { session, upstream } = found.map_err(TokenError::CodeWithoutSession)?;
        let VersionedRecord { record, version } = session;
        if attempts == 0 {
            record.add_owner(known);
        }
        match record.redeem(attempt, context.now(), nonce) {
            Ok(active) => {
                // Until now the upstream tokens last as long as the code. They are extended first:
                // were that to fail after the code is used up, the login would end with the code's
                // life.
                let renewable: Vec<ProviderId> = upstream
                    .iter()
                    .filter(|upstream| is_renewable(&records, upstream))
                    .map(|upstream| upstream.provider)
                    .collect();
                extend_upstream(context.gateway, &records, upstream).await?;
                stored::extend(context.gateway, &record, context.ports).await?;
                if records.swap(&session_key(id), version, &active, life).await? {
                    for provider in renewable {
                        // The code is used up, so a failure does not count: this only helps a later
                        // login.
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

/// Returns `true` if stored upstream tokens open and can be renewed.
fn is_renewable<P: Ports>(records: &Records<'_, P>, upstream: &StoredUpstream) -> bool {
    let sealed = upstream.found.as_ref().map(|found| found.value.clone());
    let read = |sealed| records.read::<Upstream, _>(&upstream.key, sealed, tokens::is_renewable);
    sealed.and_then(read) == Some(true)
}
