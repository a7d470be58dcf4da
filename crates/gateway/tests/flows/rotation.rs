//! The replacement of refresh tokens: honest clients may repeat it, and a replay ends the login.

use std::cell::Cell;
use std::rc::Rc;

use portcullis_gateway::dispatch;
use portcullis_gateway::sessions::state::REFRESH_GRACE;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params;
use portcullis_storage_api::Key;
use portcullis_testkit::fakes::{FakeStore, block_on};

use crate::fixture::{Fixture, forwarded, replied, tokens_of};
use portcullis_testkit::fakes::Failing;

#[test]
fn a_refresh_token_gives_one_successor_however_many_ask_for_it() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let [first, second, third] = [0, 10, 20].map(|seconds| {
        fixture.advance(seconds);
        tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]))
    });
    assert_eq!((&first.refresh, &first.refresh), (&second.refresh, &third.refresh));
    assert_ne!(first.refresh, tokens.refresh);
    for access in [&first.access, &second.access, &third.access] {
        forwarded(fixture.call("/mcp", access));
    }
    // Two processes go on with what each has got.
    let next = [first, second].map(|held| tokens_of(&fixture.refresh(&client, &held.refresh, &[])).refresh);
    assert_eq!(next[0], next[1]);
    assert_eq!(fixture.ports.take_ended(), []);
}

#[test]
fn two_refreshes_that_race_get_the_same_successor() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let winner = Rc::new(Cell::new(None));
    let race = {
        let (gateway, ports, winner) = (Rc::clone(&fixture.gateway), fixture.ports.clone(), Rc::clone(&winner));
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh.as_str()),
            ("client_id", client.as_str()),
        ];
        let body = params::encode(&form);
        move |_: &FakeStore, _: &Key| {
            ports.set_body(body);
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let request = Fixture::request(Method::Post, "/oauth/token", &headers);
            winner.set(Some(tokens_of(&replied(block_on(dispatch::handle(gateway, request, ports))))));
        }
    };
    fixture.store.race(race);
    let loser = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(winner.take().unwrap().refresh, loser.refresh);
    tokens_of(&fixture.refresh(&client, &loser.refresh, &[]));
    assert_eq!(fixture.ports.take_ended(), []);
}

#[test]
fn a_refresh_token_is_a_replay_once_its_successor_was_used_or_the_grace_is_over() {
    for used in [true, false] {
        let fixture = Fixture::new();
        let (client, tokens) = fixture.logged_in();
        let next = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
        if used {
            tokens_of(&fixture.refresh(&client, &next.refresh, &[]));
        } else {
            fixture.advance(REFRESH_GRACE + 1);
        }
        assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).reason, "refresh_token_replayed");
        assert_eq!(fixture.ports.take_ended().len(), 1);
        assert_eq!(fixture.refresh(&client, &next.refresh, &[]).error(), "invalid_grant");
    }
}

#[test]
fn a_replacement_that_the_store_cannot_confirm_is_confirmed_when_the_client_comes_again() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    fixture.store.set_failing(Failing::AfterDoing);
    for wait in [0, 2, 2, 3_600] {
        fixture.advance(wait);
        // The replacement is written by the fourth verb; no change that follows is confirmed
        // either.
        fixture.store.fail_often_after(3, 10);
        let reply = fixture.refresh(&client, &tokens.refresh, &[]);
        assert_eq!((reply.status(), reply.header("retry-after").is_some()), (503, true));
        assert!(fixture.store.call_off());
    }
    fixture.advance(3_600);
    let first = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(tokens_of(&fixture.refresh(&client, &tokens.refresh, &[])).refresh, first.refresh);
    tokens_of(&fixture.refresh(&client, &first.refresh, &[]));
    assert_eq!(fixture.ports.take_ended(), []);
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).reason, "refresh_token_replayed");
}
