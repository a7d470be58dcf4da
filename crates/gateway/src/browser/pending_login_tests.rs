use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_protocol::crypto::secret::Secret;

use super::*;
use crate::config::MAX_LEGS;

#[test]
fn the_last_leg_of_the_longest_login_has_room_in_its_cookie() {
    let ring = KeyRing::new(vec![Secret::new(vec![7; 32])]).unwrap();
    let sealer = Sealer::new(&ring, "https://gateway.example", None);
    let id = ProviderId::of("corp", "https://idp.example");
    let user = UserId::derive("https://idp.example", "subject");
    let scope = GrantedScope::restore("openid").unwrap();
    let room = PendingLogin::MAX_REQUEST_BYTES.saturating_sub("openid".len());
    let request = Authorization {
        client_id: "c".repeat(500),
        redirect_uri: "r".repeat(500),
        state: Some("s".repeat(room.saturating_sub(2_000))),
        challenge: "x".repeat(43),
        scope,
        resource: "u".repeat(500),
        prompt: Some("select_account".to_owned()),
        refreshable: Some(true),
        client_name: Some("n".repeat(500)),
    };
    assert!(PendingLogin::can_carry(&request));
    let done = DoneLegs { session: [1; 16], user, providers: vec![id; MAX_LEGS], connects: true };
    let login = PendingLogin {
        request,
        consented_by: Some(user),
        expires_at: u64::MAX,
        provider: Some(id),
        chosen: Some(id),
        done: Some(done),
    };
    let sealed = seal(&Seed([2; 32]), Some(&login), &sealer, [3; 24]).unwrap();
    let value = base64url::encode(&sealed);
    assert!(value.len() <= cookies::MAX_LOGIN_BYTES, "{}", value.len());
}
