//! The section that says who may log in.

use super::*;

fn problem_at(entry: &Value) -> String {
    problem_of(with(minimal(), "/users", json!({ "allow": [entry] })))
}

#[test]
fn an_entry_says_one_thing() {
    for entry in [json!({}), json!({ "subject": "a", "group": "b" })] {
        let expected = "users.allow[0]: must have exactly one of `subject`, `emailDomain` and `group`";
        assert_eq!(problem_at(&entry), expected);
    }
    for (entry, at) in [
        (json!({ "subject": "" }), "subject"),
        (json!({ "subject": "a\n" }), "subject"),
        (json!({ "group": "g".repeat(256) }), "group"),
        (json!({ "emailDomain": "" }), "emailDomain"),
        (json!({ "emailDomain": "example" }), "emailDomain"),
        (json!({ "emailDomain": "@example.com" }), "emailDomain"),
        (json!({ "emailDomain": "*.example.com" }), "emailDomain"),
        (json!({ "emailDomain": "example.com." }), "emailDomain"),
        (json!({ "emailDomain": "bücher.example" }), "emailDomain"),
        (json!({ "emailDomain": "alice@example.com" }), "emailDomain"),
        (json!({ "subject": "a", "providerName": "other" }), "providerName"),
    ] {
        assert_eq!(path(&problem_at(&entry)), format!("users.allow[0].{at}"), "{entry}");
    }
}

#[test]
fn the_list_is_not_empty_and_bounded() {
    let many = vec![json!({ "subject": "a" }); 1_001];
    for allow in [json!([]), json!(many)] {
        let problem = problem_of(with(minimal(), "/users", json!({ "allow": allow })));
        assert_eq!(problem, "users.allow: must have 1 to 1000 entries; leave `users` out to allow all");
    }
    assert_eq!(problem_of(with(minimal(), "/users", json!({}))), "users.allow: is required");
}

#[test]
fn entries_of_every_kind_are_taken() {
    let allow = json!([
        { "subject": "alice" }, { "emailDomain": "xn--bcher-kva.example" }, { "group": "a group: ß" },
    ]);
    assert_eq!(problems(&with(minimal(), "/users", json!({ "allow": allow }))), [""; 0]);
}
