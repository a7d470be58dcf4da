use super::*;

const NOW: u64 = 1_000;

fn session(byte: u8) -> SessionId {
    SessionId::new([byte; 16])
}

fn grant(byte: u8, expires_at: u64) -> Grant {
    Grant { session: Some(session(byte)), resource: 0, expires_at, upstream: None }
}

/// One stream of each of these sessions; their contexts are 10, 11 and so on.
fn open(grants: &[Grant]) -> (OpenStreams, Vec<Place>) {
    let streams = OpenStreams::default();
    let places = (10..).zip(grants).map(|(id, grant)| streams.enter(id, grant.clone(), NOW)).collect();
    (streams, places)
}

fn due(streams: &OpenStreams, now: u64) -> Vec<SessionId> {
    streams.take_due(usize::MAX, now).into_iter().collect()
}

fn over(streams: &OpenStreams) -> Vec<u32> {
    let mut over = streams.take_over(usize::MAX);
    over.sort_unstable();
    over
}

#[test]
fn a_place_is_used_again_and_holds_what_was_put_there_last() {
    let (streams, places) = open(&[grant(1, 2_000), grant(2, 2_000)]);
    streams.leave(places[0]);
    assert_eq!(streams.at(places[0]), None);
    streams.leave(places[0]);
    assert_eq!(streams.enter(20, grant(3, 2_000), NOW), places[0]);
    assert_eq!(streams.at(places[0]).unwrap().grant.session, Some(session(3)));
    assert_eq!(streams.at(places[1]).unwrap().grant.session, Some(session(2)));
    assert_ne!(streams.enter(21, grant(3, 2_000), NOW), places[0]);
}

#[test]
fn the_streams_of_a_session_that_ended_are_over_and_no_others() {
    let (streams, places) = open(&[grant(1, 2_000), grant(2, 2_000), grant(1, 2_000)]);
    streams.end_sessions(|other| other == session(1));
    assert!(streams.has_over());
    assert_eq!(over(&streams), [10, 12]);
    assert!(!streams.has_over());
    streams.leave(places[0]);
    streams.checked(session(1), Checked::Ended, NOW);
    assert!(over(&streams).is_empty(), "each is closed once");
}

#[test]
fn those_that_are_over_are_taken_a_few_at_a_time() {
    let (streams, _) = open(&std::array::from_fn::<_, 5, _>(|_| grant(1, 2_000)));
    streams.end_sessions(|other| other == session(1));
    assert_eq!([2, 2, 2].map(|most| streams.take_over(most).len()), [2, 2, 1]);
}

#[test]
fn a_session_is_looked_up_soon_and_then_every_half_minute() {
    let (streams, _) = open(&[grant(1, 9_000), grant(1, 9_000), grant(2, 9_000)]);
    assert_eq!(due(&streams, NOW + 4), []);
    assert_eq!(due(&streams, NOW + 5), [session(1), session(2)]);
    assert_eq!(due(&streams, NOW + 5), [], "they are being looked up");
    streams.checked(session(1), Checked::Until(0), NOW + 6);
    streams.checked(session(2), Checked::Unknown, NOW + 6);
    assert_eq!(due(&streams, NOW + 10), []);
    assert_eq!(due(&streams, NOW + 11), [session(2)], "the store did not answer");
    assert_eq!(due(&streams, NOW + 36), [session(1)]);
    assert!(over(&streams).is_empty());
}

#[test]
fn no_more_sessions_are_looked_up_than_there_is_room_for() {
    let (streams, _) = open(&[grant(1, 9_000), grant(2, 9_000), grant(3, 9_000)]);
    assert_eq!(streams.take_due(2, NOW + 5).len(), 2);
    assert_eq!(streams.take_due(2, NOW + 5).len(), 1);
}

#[test]
fn a_stream_ends_with_its_token_unless_the_login_was_refreshed() {
    for (checked, ends) in [
        (Checked::Until(0), true),
        (Checked::Until(1_020), true),
        (Checked::Unknown, true),
        (Checked::Ended, true),
        (Checked::Until(1_021), false),
    ] {
        let (streams, _) = open(&[grant(1, 1_020)]);
        assert_eq!(due(&streams, NOW + 5), [session(1)]);
        streams.checked(session(1), Checked::Until(0), NOW + 5);
        assert_eq!(due(&streams, NOW + 19), []);
        assert_eq!(due(&streams, NOW + 20), [session(1)], "the token has expired: was it refreshed?");
        streams.checked(session(1), checked, NOW + 20);
        assert_eq!(over(&streams), if ends { vec![10] } else { Vec::new() }, "{checked:?}");
    }
}

#[test]
fn a_stream_lives_from_refresh_to_refresh_and_ends_after_the_last() {
    let (streams, _) = open(&[grant(1, 1_020)]);
    for until in [1_040, 1_060] {
        let now = until - 20;
        assert_eq!(due(&streams, now), [session(1)]);
        streams.checked(session(1), Checked::Until(until), now);
        assert!(over(&streams).is_empty());
    }
    assert_eq!(due(&streams, 1_060), [session(1)]);
    streams.checked(session(1), Checked::Until(1_060), 1_060);
    assert_eq!(over(&streams), [10]);
}

#[test]
fn each_stream_ends_by_its_own_token() {
    let (streams, _) = open(&[grant(1, 1_020), grant(1, 1_030)]);
    assert_eq!(due(&streams, 1_020), [session(1)]);
    streams.checked(session(1), Checked::Until(0), 1_020);
    assert_eq!(over(&streams), [10]);
    assert_eq!(due(&streams, 1_030), [session(1)]);
    streams.checked(session(1), Checked::Until(0), 1_030);
    assert_eq!(over(&streams), [11]);
}

#[test]
fn a_clock_that_was_set_back_puts_no_look_off() {
    let (streams, _) = open(&[grant(1, 9_000)]);
    assert_eq!(due(&streams, 500), [session(1)]);
    assert_eq!(due(&streams, 500), []);
}

#[test]
fn a_stream_without_a_login_ends_with_its_token_and_with_no_session() {
    let without = |expires_at| Grant { session: None, resource: 0, expires_at, upstream: None };
    let (streams, _) = open(&[without(1_010), without(2_000), grant(1, 2_000)]);
    assert!(due(&streams, NOW + 9).iter().all(|due| *due == session(1)));
    streams.end_sessions(|_| true);
    assert_eq!(over(&streams), [12], "no session is theirs");
    assert!(due(&streams, NOW + 10).is_empty());
    assert_eq!(over(&streams), [10]);
    assert!(due(&streams, 1_999).is_empty() && over(&streams).is_empty());
    assert!(due(&streams, 2_000).is_empty());
    assert_eq!(over(&streams), [11]);
}
