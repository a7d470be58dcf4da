//! Requests to the authorization and token endpoints that ask for what is not offered, or say
//! things twice.

use portcullis_testbed::http::Request;
use portcullis_testbed::oauth_client::{Authorization, Callback};
use serde_json::json;
use url::Url;

use super::codes::code;
use super::testbed;
use crate::support::{assert_error, client, log_in};

#[tokio::test]
async fn a_grant_that_the_metadata_does_not_list_is_refused() {
    let bed = testbed().await;
    let (client, code, verifier) = code(bed, "alice").await;
    let right = client.redeem_request(&code, &verifier);
    for grant in [
        "password",
        "client_credentials",
        "implicit",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "Authorization_Code",
        "authorization_code refresh_token",
    ] {
        let reply = right.clone().with("grant_type", grant).send().await;
        assert_error(&reply, 400, "unsupported_grant_type", "the grant type is not supported", grant);
    }
    for missing in [right.clone().without("grant_type"), right.clone().with("grant_type", "")] {
        assert_error(&missing.send().await, 400, "invalid_request", "grant_type is missing", "none");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_request_that_says_anything_twice_is_refused() {
    let bed = testbed().await;
    let (client, code, verifier) = code(bed, "alice").await;
    let right = client.redeem_request(&code, &verifier);
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("grant_type", "refresh_token"),
        ("code", code.as_str()),
        ("client_id", "other"),
        ("client_id", ""),
        ("redirect_uri", "https://evil.example/"),
        ("code_verifier", "a"),
    ] {
        let reply = right.clone().repeating(name, value).send().await;
        assert_error(&reply, 400, "invalid_request", "a parameter is repeated", name);
    }
    let reply = right.clone().repeating("resource", &bed.resource()).send().await;
    assert_error(&reply, 400, "invalid_target", "resource is repeated", "two resources");
    let reply = right.clone().repeating("x", "1").repeating("x", "2").send().await;
    assert_error(&reply, 400, "invalid_request", "a parameter is repeated", "an unknown one");
    client.redeem(&code, &verifier).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_request_in_any_other_dress_is_refused() {
    let bed = testbed().await;
    let (client, tokens) = log_in(bed, "alice").await;
    let right = client.refresh_request(&tokens.refresh_token);
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&right.parameters.0).finish();
    let post = |kind: &str| Request::post(&right.endpoint).header("content-type", kind).body(form.clone());
    let type_description = "the content type must be application/x-www-form-urlencoded";
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        assert_error(&post(kind).send().await, 400, "invalid_request", type_description, kind);
    }
    let untyped = Request::post(&right.endpoint).body(form.clone()).send().await;
    assert_error(&untyped, 400, "invalid_request", type_description, "no type");
    let mut with_query = right.clone();
    with_query.endpoint.push_str("?client_id=x");
    let reply = with_query.send().await;
    assert_error(&reply, 400, "invalid_request", "parameters belong in the body", "a query");
    let public = "this client is public: it must not authenticate";
    let mut basic = right.clone();
    basic.basic = Some((client.client_id.clone(), "secret".to_owned()));
    assert_error(&basic.send().await, 401, "invalid_client", public, "basic");
    let posted = right.clone().with("client_secret", "secret").send().await;
    assert_error(&posted, 401, "invalid_client", public, "a posted secret");
    client.refresh(&tokens.refresh_token).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_authorization_request_is_told_to_the_registered_redirect_uri() {
    let bed = testbed().await;
    let client = client(bed).await;
    let right = client.authorization();
    let with = |name: &str, value: &str| right.clone().with(name, value);
    let without = |name: &str| right.clone().without(name);
    let code = "response_type must be code";
    let target = "the resource parameter must name a resource of this server";
    let long = "x".repeat(5_000);
    let slashed = format!("{}/", bed.gateway());
    for (what, request, error, description) in [
        ("token", with("response_type", "token"), "unsupported_response_type", code),
        ("code token", with("response_type", "code token"), "unsupported_response_type", code),
        ("id_token", with("response_type", "id_token"), "unsupported_response_type", code),
        ("none", with("response_type", "none"), "unsupported_response_type", code),
        ("no type", without("response_type"), "unsupported_response_type", code),
        ("fragment", with("response_mode", "fragment"), "invalid_request", "response_mode must be query"),
        ("form_post", with("response_mode", "form_post"), "invalid_request", "response_mode must be query"),
        ("request", with("request", "eyJ"), "request_not_supported", "request is not supported"),
        (
            "request_uri",
            with("request_uri", "http://127.0.0.1:1/"),
            "request_uri_not_supported",
            "request_uri is not supported",
        ),
        (
            "prompt none",
            with("prompt", "none"),
            "interaction_required",
            "the user must log in or consent, which prompt=none forbids",
        ),
        ("prompt none login", with("prompt", "none login"), "invalid_request", "prompt=none excludes other values"),
        ("unknown scope", with("scope", "openid admin"), "invalid_scope", "a requested scope is not supported"),
        ("any scope", with("scope", "*"), "invalid_scope", "a requested scope is not supported"),
        ("foreign resource", with("resource", "https://evil.example/"), "invalid_target", target),
        ("the gateway", with("resource", &slashed), "invalid_target", target),
        ("no resource of two", without("resource"), "invalid_target", target),
        ("a long state", with("state", &long), "invalid_request", "state is too long or has control characters"),
        (
            "a state with a line",
            with("state", "a\r\nb"),
            "invalid_request",
            "state is too long or has control characters",
        ),
    ] {
        let callback = refusal(&request, what).await;
        assert_eq!(callback.error.as_deref(), Some(error), "{what}: {callback:?}");
        assert_eq!(description_of(&callback), description, "{what}");
        assert_eq!(callback.issuer, Some(bed.issuer()), "{what}");
        assert_eq!(callback.code, None, "{what}");
        let state = Some(right.state.clone()).filter(|_| !what.contains("state"));
        assert_eq!(callback.state, state, "{what}");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn pkce_with_s256_is_asked_of_everybody() {
    let bed = testbed().await;
    let client = client(bed).await;
    let right = client.authorization();
    for (what, request) in [
        ("no challenge", right.clone().without("code_challenge")),
        ("neither", right.clone().without("code_challenge").without("code_challenge_method")),
        ("no method", right.clone().without("code_challenge_method")),
        ("plain", right.clone().with("code_challenge_method", "plain")),
        ("s256", right.clone().with("code_challenge_method", "s256")),
        ("S512", right.clone().with("code_challenge_method", "S512")),
        ("short", right.clone().with("code_challenge", "abc")),
    ] {
        let callback = refusal(&request, what).await;
        assert_eq!(callback.error.as_deref(), Some("invalid_request"), "{what}");
        assert!(description_of(&callback).contains("code_challenge"), "{what}: {callback:?}");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn an_authorization_request_that_says_anything_twice_is_refused() {
    let bed = testbed().await;
    let client = client(bed).await;
    let right = client.authorization();
    let twice = |name: &str, value: &str| {
        let mut request = right.clone();
        request.parameters.0.push((name.to_owned(), value.to_owned()));
        request
    };
    for (name, error) in [
        ("state", "invalid_request"),
        ("scope", "invalid_request"),
        ("response_type", "invalid_request"),
        ("code_challenge", "invalid_request"),
        ("code_challenge_method", "invalid_request"),
        ("resource", "invalid_target"),
    ] {
        let callback = refusal(&twice(name, "x"), name).await;
        assert_eq!(callback.error.as_deref(), Some(error), "{name}");
        assert!(description_of(&callback).ends_with("is repeated"), "{name}: {callback:?}");
    }
    let registered = client.redirect_uri.clone();
    for (name, value, message) in [
        ("client_id", client.client_id.as_str(), "The request names no client, or names it twice."),
        ("redirect_uri", registered.as_str(), "The request names no client, or names it twice."),
    ] {
        crate::support::assert_page(&twice(name, value).send().await, 400, message, name);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_state_that_looks_like_an_attack_comes_back_as_the_text_it_is() {
    let bed = testbed().await;
    let client = client(bed).await;
    for state in ["\"><script>alert(1)</script>", "a&error=x&code=y", "%0d%0aLocation: //evil", "ünïcode", "a b+c"] {
        let callback = refusal(&client.authorization().with("state", state).with("prompt", "none"), state).await;
        assert_eq!(callback.state.as_deref(), Some(state));
        let names: Vec<_> = callback.parameters.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["error", "error_description", "state", "iss"], "{state}");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn nobody_is_sent_anywhere_for_a_client_that_is_not_known() {
    let bed = testbed().await;
    let right = client(bed).await.authorization();
    let unknown = "The application is not known here, or was removed by an operator.";
    let unnamed = "The request names no client, or names it twice.";
    for (what, request, message) in [
        ("unknown", right.clone().with("client_id", "no-such-client"), unknown),
        ("hostile", right.clone().with("client_id", "<script>alert(1)</script>"), unknown),
        ("long", right.clone().with("client_id", &"x".repeat(4_000)), unknown),
        (
            "evil redirect",
            right.clone().with("client_id", "no-such-client").with("redirect_uri", "https://evil.example/"),
            unknown,
        ),
        ("none", right.clone().without("client_id"), unnamed),
        ("empty", right.clone().with("client_id", ""), unnamed),
    ] {
        let reply = request.send().await;
        crate::support::assert_page(&reply, 400, message, what);
        assert!(!reply.text().contains("<script") && !reply.text().contains("evil"), "{what}: {reply:?}");
    }
    let unread = Request::get(&format!("{}/oauth/authorize?client_id=%zz", bed.gateway())).send().await;
    crate::support::assert_page(&unread, 400, "The request cannot be read.", "a broken escape");
    let metadata = json!({ "redirect_uris": ["https://one.example/cb", "https://two.example/cb"] });
    let two = client(bed).await.register_with(&metadata).await.json();
    let request = right.clone().with("client_id", two["client_id"].as_str().expect("an id")).without("redirect_uri");
    let message = "The application asked to be answered at an address that it has not registered.";
    crate::support::assert_page(&request.send().await, 400, message, "which of two redirect URIs");
    bed.assert_healthy().await;
}

/// What the client is sent at its redirect URI, and nothing else.
async fn refusal(request: &Authorization, what: &str) -> Callback {
    let reply = request.send().await;
    assert_eq!(reply.status, 303, "{what}: {reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{what}");
    assert_eq!(reply.headers("set-cookie").count(), 0, "{what}");
    let location = Url::parse(reply.header("location").unwrap_or_default()).expect("a location");
    assert_eq!(location[..url::Position::AfterPath], *"http://127.0.0.1:53682/callback", "{what}");
    assert_eq!(location.fragment(), None, "{what}");
    Callback::read(&location)
}

fn description_of(callback: &Callback) -> String {
    let found = callback.parameters.iter().find(|(name, _)| name == "error_description");
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}
