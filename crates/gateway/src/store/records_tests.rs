use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::oauth::scope::ScopeSet;

use super::*;
use crate::browser::pending_login::UsedLogin;
use crate::clients::registered::Client;
use crate::sessions::next_prompt::NextPrompt;
use crate::sessions::remembered_consent::Consent;
use crate::sessions::state::Session;
use crate::sessions::state::{Generation, PendingCode, Predecessor, State};
use crate::sessions::user::User;
use crate::upstream::tokens::Upstream;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::oauth::scope::GrantedScope;

#[test]
fn a_record_is_sealed_to_its_name_its_type_and_its_layout() {
    let key = Key { kind: Kind::Upstream, id: [0xa7; 32] };
    assert_eq!(associated_data::<Session>(&key).as_slice(), [&[5], &[0xa7; 32][..], &[1, LAYOUT]].concat());
}

#[test]
fn a_record_that_is_laid_out_otherwise_takes_another_number() {
    let text = str::to_owned;
    let client = Client {
        id: text("id"),
        name: Some(text("name")),
        redirect_uris: vec![text("one"), text("other")],
        refresh: true,
        registered_at: 301,
    };
    let user = User { id: text("id"), issuer: text("issuer"), subject: text("subject"), created_at: 302 };
    let upstream = Upstream {
        access_token: Secret::new(text("access")),
        obtained_at: 303,
        expires_at: Some(304),
        refresh_token: Some(Secret::new(text("refresh"))),
        subject: text("subject"),
        refused_since: Some(308),
    };
    let code = PendingCode { nonce: [2; 16], redirect_uri: text("uri"), challenge: text("challenge"), expires_at: 305 };
    let previous = Predecessor { number: 6, nonce: [3; 16], replaced_at: 306, unconfirmed: true };
    let generation = Generation { number: 7, nonce: [4; 16], previous: Some(previous) };
    let laid_out = [
        postcard::to_stdvec(&UsedLogin).unwrap(),
        postcard::to_stdvec(&client).unwrap(),
        postcard::to_stdvec(&Consent { given_at: 307 }).unwrap(),
        postcard::to_stdvec(&NextPrompt { prompt: text("prompt") }).unwrap(),
        postcard::to_stdvec(&user).unwrap(),
        postcard::to_stdvec(&upstream).unwrap(),
        postcard::to_stdvec(&session(State::Code(code))).unwrap(),
        postcard::to_stdvec(&session(State::Active(generation))).unwrap(),
    ];
    let digest = digest_parts(&laid_out.each_ref().map(Vec::as_slice));
    assert_eq!((LAYOUT, &digest.as_bytes()[..4]), (6, &[185, 251, 24, 204][..]));
}

fn session(state: State) -> Session {
    Session {
        client_id: "client".to_owned(),
        user_id: "user".to_owned(),
        resource: "resource".to_owned(),
        state,
        id: [5; 16],
        provider: "provider".to_owned(),
        scope: scope(),
        refreshable: true,
        upstream_ends_at: Some(309),
    }
}

fn scope() -> GrantedScope {
    let set = ScopeSet::parse("openid").unwrap();
    ScopeSet::grant(Some(set.clone()), &set, &set).unwrap()
}
