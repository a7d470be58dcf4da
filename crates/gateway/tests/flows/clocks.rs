//! Two gateways on one store whose clocks differ: what one has issued works at the other.

use crate::browser::Browser;
use crate::fixture::{Fixture, NOW, code_of, document, forwarded, replied, tokens_of};

#[test]
fn a_token_works_at_a_gateway_whose_clock_is_behind() {
    let ahead = Fixture::new();
    let (client, tokens) = ahead.logged_in();
    for behind in [0, 1, 2, 30] {
        let other = ahead.with_clock_at(&document(), NOW - behind);
        forwarded(other.call("/mcp", &tokens.access));
        let next = tokens_of(&other.refresh(&client, &tokens.refresh, &[]));
        forwarded(other.call("/mcp", &next.access));
        forwarded(ahead.call("/mcp", &next.access));
    }
    let other = ahead.with_clock_at(&document(), NOW - 31);
    let reply = replied(other.call("/mcp", &tokens.access));
    assert_eq!((reply.status(), reply.reason), (401, "token_not_yet_valid"));
    assert!(reply.header("www-authenticate").unwrap().contains("not valid yet"));
}

#[test]
fn no_clock_puts_off_the_end_of_a_token() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    let issued_life = 3_600;
    let before = fixture.with_clock_at(&document(), NOW + issued_life - 6);
    forwarded(before.call("/mcp", &tokens.access));
    let at = fixture.with_clock_at(&document(), NOW + issued_life);
    let reply = replied(at.call("/mcp", &tokens.access));
    assert_eq!(reply.status(), 401);
    assert!(reply.header("www-authenticate").unwrap().contains("expired"));
}

#[test]
fn a_login_goes_from_one_gateway_to_another_at_each_step() {
    for behind in [2, 20] {
        let first = Fixture::new();
        let second = first.with_clock_at(&document(), NOW - behind);
        second.expect_documents();
        let (browser, client) = (Browser::default(), first.register());
        let form = first.consent_page(&browser, &client, &[]);
        let asked = second.approve(&browser, &form);
        let code = code_of(&first.return_from_provider(&browser, &asked, "alice"));
        let tokens = tokens_of(&second.redeem(&client, &code, &[]));
        forwarded(first.call("/mcp", &tokens.access));
        let next = tokens_of(&first.refresh(&client, &tokens.refresh, &[]));
        let again = tokens_of(&second.refresh(&client, &tokens.refresh, &[]));
        assert_eq!(next.refresh, again.refresh);
        forwarded(second.call("/mcp", &next.access));
    }
}
