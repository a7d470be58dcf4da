use super::*;
use crate::ports::{BodyTooLarge, CallError, CallReply};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

fn reply(status: u16) -> Result<CallReply, CallError> {
    Ok(CallReply { status, content_type: None, from_bridge: false, body: Vec::new() })
}

fn waiting<T>(started: Polled<T>) -> Task<T> {
    match started {
        Polled::Ready(_) => panic!("settled without an event"),
        Polled::Pending(task) => task,
    }
}

fn ready<T>(started: Polled<T>) -> T {
    match started {
        Polled::Ready(value) => value,
        Polled::Pending(_) => panic!("still waits"),
    }
}

fn calling(id: u32) -> (Inbox, Task<Result<u16, CallError>>) {
    let inbox = Inbox::new(true);
    let own = inbox.clone();
    let task = Task::start(inbox.clone(), async move { Ok(own.call(|| Ok(id)).await?.status) });
    (inbox, waiting(task))
}

fn reading(limit: usize, body_ended: bool) -> Polled<Result<Vec<u8>, BodyTooLarge>> {
    let inbox = Inbox::new(body_ended);
    Task::start(inbox.clone(), async move { inbox.body(limit).await })
}

#[test]
fn a_future_that_needs_nothing_is_ready_at_once() {
    assert_eq!(ready(Task::start(Inbox::new(true), async { 7 })), 7);
}

#[test]
fn a_call_settles_with_its_own_answer() {
    let (_, mut task) = calling(4);
    assert!(task.waits_for(4));
    assert!(!task.waits_for(5));
    assert_eq!(task.on_call(4, reply(204)), Some(Ok(204)));
}

#[test]
fn a_call_that_cannot_be_sent_fails_without_waiting() {
    let inbox = Inbox::new(true);
    let own = inbox.clone();
    let started = Task::start(inbox, async move { own.call(|| Err(CallError::NotSent)).await.err() });
    assert_eq!(ready(started), Some(CallError::NotSent));
}

#[test]
fn a_call_without_an_answer_settles_with_the_error() {
    let (_, mut task) = calling(4);
    assert_eq!(task.on_call(4, Err(CallError::NoAnswer)), Some(Err(CallError::NoAnswer)));
}

#[test]
fn an_answer_to_no_call_is_ignored() {
    let (_, mut task) = calling(4);
    assert_eq!(task.on_call(5, reply(200)), None);
    assert_eq!(task.on_call(4, reply(201)), Some(Ok(201)));
}

#[test]
fn a_finished_task_ignores_later_events() {
    let (_, mut task) = calling(4);
    assert!(task.on_call(4, reply(200)).is_some());
    assert_eq!(task.on_call(4, reply(500)), None);
    assert_eq!(task.on_body(b"late", true), None);
    assert!(!task.waits_for(4));
}

#[test]
fn a_tick_wakes_a_task_that_is_told_of_ticks_and_no_other() {
    let inbox = Inbox::ticking();
    let own = inbox.clone();
    let mut task = waiting(Task::start(inbox, async move { (own.next_tick().await, own.next_tick().await) }));
    assert_eq!(task.on_tick(), None);
    assert_eq!(task.on_tick(), Some((true, true)));
    for body_ended in [true, false] {
        let inbox = Inbox::new(body_ended);
        let own = inbox.clone();
        assert!(!ready(Task::start(inbox, async move { own.next_tick().await })));
    }
    let (_, mut task) = calling(4);
    assert_eq!(task.on_tick(), None);
    assert!(task.on_call(4, reply(200)).is_some());
}

#[test]
fn two_calls_in_flight_may_be_answered_in_any_order() {
    let inbox = Inbox::new(true);
    let own = inbox.clone();
    let mut task = waiting(Task::start(inbox, async move {
        let mut first = Box::pin(own.call(|| Ok(1)));
        let mut second = Box::pin(own.call(|| Ok(2)));
        let (mut a, mut b) = (None, None);
        poll_fn(move |context| {
            if a.is_none()
                && let Poll::Ready(reply) = first.as_mut().poll(context)
            {
                a = Some(reply.map_or(0, |reply| reply.status));
            }
            if b.is_none()
                && let Poll::Ready(reply) = second.as_mut().poll(context)
            {
                b = Some(reply.map_or(0, |reply| reply.status));
            }
            match (a, b) {
                (Some(a), Some(b)) => Poll::Ready((a, b)),
                _ => Poll::Pending,
            }
        })
        .await
    }));
    assert_eq!(task.on_call(2, reply(202)), None);
    assert_eq!(task.on_call(1, reply(201)), Some((201, 202)));
}

#[test]
fn a_call_that_was_given_up_leaves_no_slot() {
    let inbox = Inbox::new(true);
    let own = inbox.clone();
    let mut task = waiting(Task::start(inbox, async move {
        let mut abandoned = Box::pin(own.call(|| Ok(1)));
        poll_fn(|context| {
            assert!(abandoned.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(abandoned);
        own.call(|| Ok(2)).await.map(|reply| reply.status).ok()
    }));
    assert_eq!(task.on_call(1, reply(200)), None);
    assert!(!task.waits_for(1));
    assert_eq!(task.on_call(2, reply(203)), Some(Some(203)));
}

#[test]
fn dropping_the_task_half_way_drops_what_it_held() {
    let held = Rc::new(());
    let inbox = Inbox::new(true);
    let (own, kept) = (inbox.clone(), held.clone());
    let task = waiting(Task::start(inbox.clone(), async move {
        let answer = own.call(|| Ok(1)).await;
        drop(kept);
        answer.is_ok()
    }));
    assert_eq!(Rc::strong_count(&held), 2);
    drop(task);
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(!inbox.deliver(1, reply(200)));
}

#[test]
fn a_body_arrives_in_pieces() {
    let mut task = waiting(reading(8, false));
    assert_eq!(task.on_body(b"abc", false), None);
    assert_eq!(task.on_body(b"", false), None);
    assert_eq!(task.on_body(b"def", true), Some(Ok(b"abcdef".to_vec())));
}

#[test]
fn a_body_may_end_with_an_empty_piece() {
    let mut task = waiting(reading(8, false));
    assert_eq!(task.on_body(b"abc", false), None);
    assert_eq!(task.on_body(b"", true), Some(Ok(b"abc".to_vec())));
}

#[test]
fn a_request_without_a_body_reads_as_empty() {
    assert_eq!(ready(reading(8, true)), Ok(Vec::new()));
}

#[test]
fn a_body_of_exactly_the_limit_is_taken() {
    let mut task = waiting(reading(3, false));
    assert_eq!(task.on_body(b"abc", true), Some(Ok(b"abc".to_vec())));
}

#[test]
fn a_body_over_the_limit_settles_before_its_end() {
    let mut task = waiting(reading(3, false));
    assert_eq!(task.on_body(b"abcd", false), Some(Err(BodyTooLarge)));
}

#[test]
fn a_body_that_came_before_anyone_asked_is_kept() {
    let inbox = Inbox::new(false);
    let own = inbox.clone();
    let mut task = waiting(Task::start(inbox, async move {
        let _ = own.call(|| Ok(1)).await;
        own.body(8).await
    }));
    assert_eq!(task.on_body(b"abc", true), None);
    assert_eq!(task.on_call(1, reply(200)), Some(Ok(b"abc".to_vec())));
}

#[test]
fn a_body_that_has_ended_stays_ended() {
    let inbox = Inbox::new(false);
    let own = inbox.clone();
    let mut task = waiting(Task::start(inbox, async move {
        let _ = own.call(|| Ok(1)).await;
        own.body(8).await
    }));
    assert_eq!(task.on_body(b"abc", true), None);
    assert_eq!(task.on_body(b"", false), None);
    assert_eq!(task.on_call(1, reply(200)), Some(Ok(b"abc".to_vec())));
}

#[test]
fn no_more_of_a_body_is_wanted_than_shows_that_it_is_too_large() {
    let inbox = Inbox::keeping(4, false);
    let own = inbox.clone();
    let mut task = waiting(Task::start(inbox.clone(), async move { own.call(|| Ok(1)).await.is_ok() }));
    assert_eq!(task.wanted_body_bytes(), 5);
    assert_eq!(task.on_body(b"abc", false), None);
    assert_eq!(task.wanted_body_bytes(), 2);
    assert_eq!(task.on_body(b"de", false), None);
    assert_eq!((task.wanted_body_bytes(), inbox.0.borrow().body.capacity()), (0, 0));
    assert!(matches!(inbox.0.borrow_mut().body(usize::MAX), Poll::Ready(Err(BodyTooLarge))));
}

#[test]
fn nothing_is_kept_of_a_body_that_no_handler_reads() {
    let inbox = Inbox::keeping(0, false);
    let own = inbox.clone();
    let mut task = waiting(Task::start(inbox.clone(), async move { own.call(|| Ok(1)).await.is_ok() }));
    assert_eq!(task.wanted_body_bytes(), 0);
    assert_eq!(task.on_body(b"a", true), None);
    assert_eq!(inbox.0.borrow().body.capacity(), 0);
}

#[test]
fn no_more_than_the_held_bytes_are_kept_for_a_task() {
    let (inbox, mut task) = calling(1);
    for _ in 0..3 {
        assert_eq!(task.on_body(&vec![0; BODY_HELD_BYTES / 2], false), None);
        assert!(inbox.0.borrow().body.len() <= BODY_HELD_BYTES);
    }
    assert!(matches!(inbox.0.borrow_mut().body(usize::MAX), Poll::Ready(Err(BodyTooLarge))));
}
