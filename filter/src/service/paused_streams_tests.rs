use super::*;
use crate::stream_outcome::AppliedTo;

/// A wait for a body on a connection, until `deadline`.
fn waiting(connection: u64, deadline: u64) -> Option<BodyWait> {
    let outcome = Rc::new(StreamOutcome::new(&AppliedTo::default()));
    Some(BodyWait { connection, deadline, admission: Admission::without_gateway(), outcome })
}

fn reason(settled: &Resolved) -> &'static str {
    match settled {
        Resolved::Respond(_, audit) => audit.reason().as_str(),
        Resolved::Continue(_) => panic!("sent on"),
    }
}

/// Whether others were evicted for a stream, which was not refused.
fn evicts(result: Result<bool, Full>) -> bool {
    result.unwrap_or_else(|_| panic!("there is no room"))
}

fn evicted(streams: &PausedStreams) -> Vec<(u32, &'static str)> {
    streams.take_evicted(usize::MAX).into_iter().map(|(id, _, refusal)| (id, reason(&refusal))).collect()
}

/// Streams of 16 KiB of headers that fill the room up to where others are evicted.
fn full(connection: impl Fn(u32) -> u64) -> (PausedStreams, u32) {
    let streams = PausedStreams::default();
    for id in 0.. {
        if evicts(streams.enter(id, HEADERS, waiting(connection(id), 30))) {
            let first = evicted(&streams);
            assert_eq!(first.len(), 1, "{first:?}");
            return (streams, id.saturating_add(1));
        }
    }
    unreachable!("the room has no end")
}

#[test]
fn what_all_paused_streams_hold_stays_within_the_bound_whatever_they_wait_for() {
    for body in [|id: u32| waiting(id.into(), 30), |_| None] {
        for header_bytes in [0, 300, HEADERS, 60 * 1024] {
            let streams = PausedStreams::default();
            let entered = (0..20_000).filter(|id| streams.enter(*id, header_bytes, body(*id)).is_ok());
            let most = MAX_BYTES / (STREAM_BYTES + 2 * header_bytes);
            assert_eq!(entered.count(), most);
            assert!(streams.0.borrow().bytes <= MAX_BYTES);
        }
    }
}

#[test]
fn the_first_stream_beyond_the_bound_is_refused_and_one_that_leaves_makes_room() {
    let streams = PausedStreams::default();
    let most = u32::try_from(MAX_BYTES / (STREAM_BYTES + 2 * HEADERS)).unwrap();
    for id in 0..most {
        assert!(!evicts(streams.enter(id, HEADERS, None)));
    }
    assert!(streams.enter(most, HEADERS, None).is_err());
    streams.leave(0);
    assert!(streams.enter(most, HEADERS, None).is_ok());
}

#[test]
fn a_burst_of_one_connection_leaves_room_for_the_first_streams_of_others() {
    let streams = PausedStreams::default();
    // The root has no turn between them, so nothing that is evicted leaves.
    let entered = (0..5000).filter(|id| streams.enter(*id, HEADERS, waiting(1, 30)).is_ok()).count();
    assert_eq!(entered, (MAX_BYTES - RESERVED_BYTES) / (STREAM_BYTES + 2 * HEADERS));
    assert!(streams.enter(5000, HEADERS, waiting(2, 30)).is_ok());
    assert!(streams.enter(5001, HEADERS, waiting(2, 30)).is_err(), "its second one");
    assert!(streams.on_body(5000, 100, false).is_ok());
    assert!(streams.enter(5002, HEADERS, None).is_ok(), "it waits for no body");
}

#[test]
fn a_newcomer_is_let_in_and_the_one_that_has_waited_longest_is_evicted() {
    let (streams, next) = full(u64::from);
    for id in next..next + 100 {
        assert!(evicts(streams.enter(id, HEADERS, waiting(u64::from(id), 30))));
    }
    let oldest: Vec<_> = (1..101).map(|id| (id, "body_wait_evicted")).collect();
    assert_eq!(evicted(&streams), oldest);
    assert!(!streams.has_evicted());
}

#[test]
fn a_connection_with_many_streams_gives_way_before_one_with_few() {
    // One client came first and holds a stream of its own, the others flood on four connections.
    let (streams, next) = full(|id| if id == 0 { 9 } else { u64::from(id % 4) });
    for id in next..next + 2000 {
        let _ = streams.enter(id, HEADERS, waiting(u64::from(id % 4), 30));
        assert!(evicted(&streams).iter().all(|(evicted, _)| *evicted != 0));
    }
    evicts(streams.on_body(0, 100, true));
}

#[test]
fn a_stream_whose_body_has_come_or_that_waits_for_no_body_is_not_evicted() {
    let streams = PausedStreams::default();
    evicts(streams.enter(0, HEADERS, waiting(1, 30)));
    evicts(streams.enter(1, HEADERS, None));
    evicts(streams.on_body(0, 200, true));
    for id in 2..5000 {
        let _ = streams.enter(id, HEADERS, waiting(2, 30));
        assert!(evicted(&streams).iter().all(|(evicted, _)| *evicted > 1));
    }
    streams.evict_overdue(u64::MAX);
    assert!(evicted(&streams).iter().all(|(evicted, _)| *evicted > 1));
}

#[test]
fn a_clock_that_is_set_back_does_not_prolong_a_wait() {
    for (now, evicted_now) in [(9, true), (10, false), (29, false), (30, true)] {
        let streams = PausedStreams::default();
        evicts(streams.enter(0, HEADERS, waiting(1, 30)));
        streams.evict_overdue(now);
        assert_eq!(!evicted(&streams).is_empty(), evicted_now, "{now}");
    }
}

#[test]
fn a_body_that_ends_before_the_eviction_is_carried_out_saves_its_stream() {
    let (streams, next) = full(u64::from);
    assert!(evicts(streams.enter(next, HEADERS, waiting(0, 30))));
    evicts(streams.on_body(1, 0, true));
    // Its place is still needed.
    assert_eq!(evicted(&streams), [(2, "body_wait_evicted")]);
}

#[test]
fn an_eviction_stands_however_much_more_of_the_body_trickles_in() {
    let (streams, next) = full(u64::from);
    assert!(evicts(streams.enter(next, HEADERS, waiting(0, 30))));
    assert!(!evicts(streams.on_body(1, 1, false)));
    assert_eq!(evicted(&streams), [(1, "body_wait_evicted")]);
    streams.evict_overdue(30);
    assert!(!evicts(streams.on_body(2, 1, false)));
    assert!(evicted(&streams).contains(&(2, "body_too_slow")));
}

#[test]
fn a_body_counts_as_it_comes_and_one_for_which_there_is_no_room_is_refused() {
    let streams = PausedStreams::default();
    evicts(streams.enter(0, 300, waiting(1, 30)));
    assert!(streams.on_body(0, 10_000, false).is_ok());
    assert_eq!(streams.0.borrow().bytes, STREAM_BYTES + 2 * 300 + 2 * 10_000);
    // What no handler reads is held by Envoy alone.
    evicts(streams.enter(1, 0, None));
    assert!(streams.on_body(1, 1_000_000, false).is_ok());
    assert_eq!(streams.0.borrow().bytes, 2 * STREAM_BYTES + 2 * 300 + 2 * 10_000 + 1_000_000);
    assert!(streams.on_body(1, MAX_BYTES, false).is_err());
    assert_eq!(streams.0.borrow().bytes, STREAM_BYTES + 2 * 300 + 2 * 10_000);
    streams.leave(0);
    assert_eq!((streams.0.borrow().bytes, streams.0.borrow().waiting.len()), (0, 0));
    assert!(!evicts(streams.on_body(7, 1, true)), "one that is not here");
}

#[test]
fn a_body_that_does_not_come_in_time_ends_its_stream() {
    let streams = PausedStreams::default();
    evicts(streams.enter(0, 300, waiting(1, 30)));
    evicts(streams.enter(1, 300, waiting(1, 31)));
    streams.evict_overdue(29);
    assert!(!streams.has_evicted());
    streams.evict_overdue(30);
    assert_eq!(evicted(&streams), [(0, "body_too_slow")]);
    streams.evict_overdue(31);
    assert_eq!(evicted(&streams), [(1, "body_too_slow")]);
    assert_eq!(streams.0.borrow().bytes, 0);
}

const HEADERS: usize = 16 * 1024;
