use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::oauth::scope::ScopeSet;

use super::*;
use crate::sessions::binding::SessionBinding;
use crate::store::encoding;

const NOW: u64 = 1_800_000_000;
const CODE_NONCE: [u8; 16] = [1; 16];
const REDIRECT: &str = "https://client.example/callback";
const RESOURCE: &str = "https://gateway.example/mcp";

fn verifier(letter: &str) -> CodeVerifier {
    CodeVerifier::parse(&letter.repeat(43)).unwrap()
}

fn granted(scope: &str) -> GrantedScope {
    let set = ScopeSet::parse(scope).unwrap();
    ScopeSet::grant(Some(set.clone()), &set, &set).unwrap()
}

fn user() -> UserId {
    UserId::derive("https://idp.example", "user")
}

/// A session whose code waits until `NOW + 60`.
fn waiting() -> Session {
    Session {
        providers: vec![ProviderId::of("corp", "https://idp.example")],
        client_id: "client".to_owned(),
        user_id: user(),
        scope: granted("openid"),
        resource: RESOURCE.to_owned(),
        refreshable: true,
        upstream_ends_at: None,
        state: State::Code(PendingCode {
            nonce: CODE_NONCE,
            redirect_uri: REDIRECT.to_owned(),
            challenge: verifier("v").challenge().to_string(),
            expires_at: NOW + 60,
        }),
    }
}

fn active(number: u32, nonce: u8) -> Session {
    waiting().with(Generation { number, nonce: [nonce; 16], previous: None })
}

fn code(nonce: [u8; 16]) -> AuthorizationCode {
    AuthorizationCode { session: SessionId::new([9; 16]), nonce }
}

fn token(generation: u32, nonce: u8) -> RefreshToken {
    RefreshToken { session: SessionId::new([9; 16]), generation, nonce: [nonce; 16] }
}

/// Redeems with everything right but what `change` alters.
fn redeem(
    session: &Session,
    now: u64,
    change: impl for<'a> FnOnce(&mut Redemption<'a>, &'a Alternatives),
) -> Result<Session, RedeemError> {
    let alternatives = Alternatives::default();
    let (good_code, good_verifier) = (code(CODE_NONCE), verifier("v"));
    let mut attempt = Redemption {
        code: &good_code,
        client_id: "client",
        redirect_uri: Some(REDIRECT),
        verifier: &good_verifier,
        resource: None,
    };
    change(&mut attempt, &alternatives);
    session.redeem(&attempt, now, [2; 16])
}

/// The values that an attacker or a confused client sends instead.
struct Alternatives {
    code: AuthorizationCode,
    verifier: CodeVerifier,
    same_resource: ResourceUri,
    other_resource: ResourceUri,
}

impl Default for Alternatives {
    fn default() -> Self {
        Self {
            code: code([7; 16]),
            verifier: verifier("w"),
            same_resource: ResourceUri::parse("https://GATEWAY.example/mcp/").unwrap(),
            other_resource: ResourceUri::parse("https://gateway.example/api").unwrap(),
        }
    }
}

fn number_and_nonce(session: &Session) -> (u32, u8) {
    let generation = session.generation().unwrap();
    (generation.number, generation.nonce[0])
}

#[test]
fn a_redeemed_code_opens_the_first_generation_and_keeps_what_was_granted() {
    let session = redeem(&waiting(), NOW, |_, _| {}).unwrap();
    assert_eq!(number_and_nonce(&session), (0, 2));
    assert!(session.generation().unwrap().previous.is_none());
    assert_eq!((session.client_id.as_str(), session.user_id), ("client", user()));
    assert_eq!((session.scope.to_string().as_str(), session.resource.as_str()), ("openid", RESOURCE));
}

#[test]
fn a_waiting_session_has_no_generation() {
    assert!(waiting().generation().is_none());
}

#[test]
fn the_resource_may_be_named_again_in_any_spelling() {
    assert!(redeem(&waiting(), NOW, |attempt, other| attempt.resource = Some(&other.same_resource)).is_ok());
}

#[test]
fn a_code_has_one_attempt() {
    let session = redeem(&waiting(), NOW, |_, _| {}).unwrap();
    assert_eq!(redeem(&session, NOW, |_, _| {}).err(), Some(RedeemError::Replayed));
}

#[test]
fn a_code_expires_at_the_second_it_says() {
    assert!(redeem(&waiting(), NOW + 59, |_, _| {}).is_ok());
    assert_eq!(redeem(&waiting(), NOW + 60, |_, _| {}).err(), Some(RedeemError::Expired));
}

#[test]
fn whatever_does_not_fit_refuses_the_code_by_its_cause() {
    let refusal = |change: for<'a> fn(&mut Redemption<'a>, &'a Alternatives)| redeem(&waiting(), NOW, change).err();
    assert_eq!(refusal(|attempt, other| attempt.code = &other.code), Some(RedeemError::Replayed));
    assert_eq!(refusal(|attempt, _| attempt.client_id = "other"), Some(RedeemError::OtherClient));
    assert_eq!(
        refusal(|attempt, _| attempt.redirect_uri = Some("https://client.example/callback/")),
        Some(RedeemError::OtherRedirect)
    );
    assert_eq!(refusal(|attempt, other| attempt.verifier = &other.verifier), Some(RedeemError::WrongVerifier));
    assert_eq!(
        refusal(|attempt, other| attempt.resource = Some(&other.other_resource)),
        Some(RedeemError::OtherResource)
    );
}

#[test]
fn a_record_whose_challenge_cannot_be_read_meets_no_verifier() {
    let mut session = waiting();
    if let State::Code(pending) = &mut session.state {
        pending.challenge.clear();
    }
    assert_eq!(redeem(&session, NOW, |_, _| {}).err(), Some(RedeemError::WrongVerifier));
}

/// Presents a refresh token, whose successor has this nonce.
fn rotate(session: &Session, token: &RefreshToken, now: u64, nonce: u8) -> Result<Session, RotateError> {
    let successor = RefreshToken { generation: token.generation.saturating_add(1), nonce: [nonce; 16], ..*token };
    session.rotate(token, &successor, now)
}

#[test]
fn the_current_refresh_token_is_replaced_and_remembered() {
    let next = rotate(&active(4, 1), &token(4, 1), NOW, 2).unwrap();
    assert_eq!(number_and_nonce(&next), (5, 2));
    let previous = next.generation().unwrap().previous.clone().unwrap();
    assert_eq!((previous.number, previous.nonce, previous.replaced_at), (4, [1; 16], NOW));
    assert!(!previous.unconfirmed);
}

#[test]
fn a_refresh_token_before_its_code_was_redeemed_is_refused() {
    assert_eq!(rotate(&waiting(), &token(0, 1), NOW, 2).err(), Some(RotateError::RolledBack));
}

#[test]
fn a_session_without_refresh_tokens_accepts_none() {
    let session = Session { refreshable: false, ..active(0, 1) };
    assert_eq!(rotate(&session, &token(0, 1), NOW, 2).err(), Some(RotateError::NotRefreshable));
}

#[test]
fn the_wrong_nonce_is_a_replay() {
    assert_eq!(rotate(&active(4, 1), &token(4, 8), NOW, 2).err(), Some(RotateError::Replayed));
    let next = rotate(&active(4, 1), &token(4, 1), NOW, 2).unwrap();
    assert_eq!(rotate(&next, &token(4, 8), NOW, 3).err(), Some(RotateError::Replayed));
    let unconfirmed = next.unconfirmed(next.generation().unwrap()).unwrap();
    assert_eq!(rotate(&unconfirmed, &token(4, 8), NOW, 3).err(), Some(RotateError::Replayed));
}

#[test]
fn a_replaced_token_gives_the_same_successor_however_often_until_the_grace_is_over() {
    let mut session = rotate(&active(0, 1), &token(0, 1), NOW, 2).unwrap();
    for later in [0, 1, 10, REFRESH_GRACE, REFRESH_GRACE, 3] {
        // What would be derived now, under another secret perhaps, does not matter: one successor
        // was stored.
        session = rotate(&session, &token(0, 1), NOW + later, 9).unwrap();
        assert_eq!(number_and_nonce(&session), (1, 2));
        assert_eq!(session.generation().unwrap().previous.as_ref().unwrap().replaced_at, NOW, "not prolonged");
    }
    assert_eq!(rotate(&session, &token(0, 1), NOW + REFRESH_GRACE + 1, 9).err(), Some(RotateError::Replayed));
}

#[test]
fn a_replaced_token_is_a_replay_once_its_successor_was_used() {
    let next = rotate(&active(0, 1), &token(0, 1), NOW, 2).unwrap();
    let used = rotate(&next, &token(1, 2), NOW, 3).unwrap();
    assert_eq!(number_and_nonce(&used), (2, 3));
    assert_eq!(rotate(&used, &token(0, 1), NOW, 4).err(), Some(RotateError::Replayed), "even within the grace");
    assert_eq!(number_and_nonce(&rotate(&used, &token(1, 2), NOW, 4).unwrap()), (2, 3));
}

#[test]
fn a_successor_that_was_not_handed_out_is_given_however_late_and_then_the_grace_begins() {
    let next = rotate(&active(0, 1), &token(0, 1), NOW, 2).unwrap();
    let mut session = next.clone();
    for day in [1, 2] {
        let today = NOW + day * 86_400;
        let unconfirmed = session.unconfirmed(next.generation().unwrap()).unwrap();
        session = rotate(&unconfirmed, &token(0, 1), today, 9).unwrap();
        assert_eq!(number_and_nonce(&session), (1, 2));
        assert!(rotate(&session, &token(0, 1), today + REFRESH_GRACE, 9).is_ok());
        assert_eq!(rotate(&session, &token(0, 1), today + REFRESH_GRACE + 1, 9).err(), Some(RotateError::Replayed));
    }
}

#[test]
fn what_others_have_changed_meanwhile_is_not_noted_as_unconfirmed() {
    let next = rotate(&active(0, 1), &token(0, 1), NOW, 2).unwrap();
    let attempted = next.generation().unwrap();
    assert!(active(0, 1).unconfirmed(attempted).is_none(), "the write did not happen");
    assert!(rotate(&next, &token(1, 2), NOW, 3).unwrap().unconfirmed(attempted).is_none(), "the successor was used");
    assert!(active(1, 7).unconfirmed(attempted).is_none());
    assert!(waiting().unconfirmed(attempted).is_none());
    assert!(active(0, 1).unconfirmed(active(0, 1).generation().unwrap()).is_none(), "nothing was replaced");
}

#[test]
fn a_clock_that_went_back_does_not_end_the_grace() {
    let next = rotate(&active(0, 1), &token(0, 1), NOW, 2).unwrap();
    assert!(rotate(&next, &token(0, 1), NOW - 5, 3).is_ok());
}

#[test]
fn a_record_older_than_its_own_token_was_rolled_back() {
    for ahead in [1, 2, 3, 1000, u32::MAX - 5] {
        let refusal = rotate(&active(5, 1), &token(5 + ahead, 8), NOW, 2).err();
        assert_eq!(refusal, Some(RotateError::RolledBack), "{ahead} ahead");
    }
}

#[test]
fn the_last_generation_there_is_does_not_wrap_around() {
    let next = rotate(&active(u32::MAX, 1), &token(u32::MAX, 1), NOW, 2).unwrap();
    assert_eq!(number_and_nonce(&next), (u32::MAX, 2));
}

#[test]
fn a_session_survives_its_way_through_a_record() {
    let next = rotate(&active(0, 1), &token(0, 1), NOW, 2).unwrap();
    for session in [waiting(), next] {
        let bytes = minicbor::to_vec(&session).unwrap();
        let read: Session = encoding::from_bytes(&bytes).unwrap();
        assert_eq!(minicbor::to_vec(&read).unwrap(), bytes);
    }
}

#[test]
fn what_a_call_reads_of_a_session_is_what_the_session_says() {
    for (session, is_active) in [(waiting(), false), (active(3, 2), true)] {
        let bytes = minicbor::to_vec(&session).unwrap();
        let read = SessionBinding::read(&bytes).unwrap();
        let bound = (read.client_id, read.user_id, read.resource);
        assert_eq!(bound, (b"client".as_slice(), user(), RESOURCE.as_bytes()));
        assert_eq!((read.is_active, session.generation().is_some()), (is_active, is_active));
    }
}

#[test]
fn a_call_reads_no_session_that_is_cut_off_or_in_no_state() {
    let session = active(3, 2);
    let text = |text: &str| minicbor::to_vec(text).unwrap().len();
    // The map's head, four numbers, two texts and the user's id, and the state's two heads.
    let needed = 1 + 4 + text(&session.client_id) + 17 + text(RESOURCE) + 2;
    let bytes = minicbor::to_vec(&session).unwrap();
    for length in 0..=bytes.len() {
        assert_eq!(SessionBinding::read(&bytes[..length]).is_some(), length >= needed, "{length}");
    }
    for (place, byte) in [(needed - 1, 2), (needed - 1, 0x61), (needed - 2, 0x80), (needed - 2, 1), (needed - 3, 3)] {
        let mut changed = bytes.clone();
        changed[place] = byte;
        assert!(SessionBinding::read(&changed).is_none(), "{place} {byte}");
    }
}

#[test]
fn a_call_reads_no_session_that_lacks_what_it_is_bound_to() {
    let whole = [(1, "client"), (2, ""), (3, RESOURCE)];
    let encoded = |fields: &[(u64, &str)]| {
        let mut bytes = Vec::new();
        let mut encoder = minicbor::Encoder::new(&mut bytes);
        encoder.map(fields.len() as u64 + 1).unwrap();
        for (number, text) in fields {
            encoder.u64(*number).unwrap();
            match number {
                2 => encoder.bytes(user().as_bytes()).unwrap(),
                _ => encoder.str(text).unwrap(),
            };
        }
        encoder.u64(4).unwrap().array(2).unwrap().u8(1).unwrap().map(0).unwrap();
        bytes
    };
    assert!(SessionBinding::read(&encoded(&whole)).is_some());
    for missing in 0..whole.len() {
        let mut fields = whole.to_vec();
        fields.remove(missing);
        assert!(SessionBinding::read(&encoded(&fields)).is_none(), "without {missing}");
        let mut fields = whole.to_vec();
        fields.insert(missing, whole[missing]);
        assert!(SessionBinding::read(&encoded(&fields)).is_none(), "{missing} twice");
    }
    assert!(SessionBinding::read(&[0xa0]).is_none());
}
