//! Which changes must survive the loss of the server that took them.
//!
//! | record | durable | because losing the change would |
//! |---|---|---|
//! | session | every change | let a code or a refresh token be used twice, bring a revoked login back, or end one that was granted |
//! | upstream tokens | every change | lose a refresh token that the provider has already replaced, or bring deleted tokens back |
//! | client | every change | make a registration unknown that was confirmed |
//! | used login | when it is noted | let one callback be played twice |
//! | lock | when it is taken | let two workers use one upstream refresh token, which providers punish; a lost release runs out |
//! | consent | never | have the user asked once more |
//! | rate-limit bucket | never | give a client a few more tries |

use portcullis_storage_api::Kind;
use portcullis_storage_api::wire::Verb;

/// Whether a change of a record of this kind is confirmed only when a replica has it too.
pub(super) fn is_durable(kind: Kind, verb: Verb) -> bool {
    match kind {
        Kind::Session | Kind::Upstream | Kind::Client => true,
        Kind::Pending => verb == Verb::PutNew,
        Kind::Lock => verb == Verb::Lock,
        Kind::Consent | Kind::RateLimit => false,
    }
}
