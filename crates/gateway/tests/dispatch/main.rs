//! Which handler answers what, under which host name, and by which method.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

mod default_endpoints;

use std::rc::Rc;

use portcullis_gateway::config::{Compiled, Config};
use portcullis_gateway::decision::{Credentials, Decision, Resolved, ResponsePlan};
use portcullis_gateway::dispatch::handle;
use portcullis_gateway::resource_server::fast_path;
use portcullis_gateway::routing::endpoint_table::Endpoint;
use portcullis_gateway::routing::routes::{Route, route};
use portcullis_gateway::state::gateway::Gateway;
use portcullis_protocol::http::message::{Method, Request, Response};
use portcullis_protocol::http::path::RoutePath;
use portcullis_testkit::fakes::{FakePorts, block_on};
use serde_json::json;

const NOW: u64 = 1_800_000_000;

/// A gateway under `/auth` with two resources, or one that is the whole host.
fn gateway(resources: &[(&str, &str)], issuer: &str, default: &str) -> Rc<Gateway> {
    gateway_with(resources, issuer, default, json!({}))
}

/// The same with further settings.
fn gateway_with(resources: &[(&str, &str)], issuer: &str, default: &str, more: serde_json::Value) -> Rc<Gateway> {
    let resources: Vec<_> =
        resources.iter().map(|(uri, prefix)| json!({ "resource": uri, "match": { "prefix": prefix } })).collect();
    let mut document = json!({
        "issuer": issuer,
        "signingKeys": [{ "inline": include_str!("../../../protocol/testdata/keys/p256.pkcs8.pem") }],
        "secrets": [{ "inline": "a-development-secret-of-32-bytes-at-least" }],
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": { "issuerUrl": "https://idp.example", "cluster": "idp", "clientId": "portcullis" },
        }],
        "resources": resources,
        "default": default,
        "development": true,
    });
    let more = more.as_object().expect("settings").clone();
    document.as_object_mut().expect("a document").extend(more);
    match Config::compile(document.to_string().as_bytes(), &|_| None) {
        Ok(Compiled::Ready(config)) => Rc::new(Gateway::new(*config, 7)),
        Ok(Compiled::Awaiting(_)) => panic!("no secret is the bridge's"),
        Err(problems) => panic!("{problems:?}"),
    }
}

fn at_root() -> Rc<Gateway> {
    let resources = [("https://gw.example/mcp", "/mcp"), ("https://api.example/mcp/deep", "/mcp/deep")];
    gateway(&resources, "https://gw.example", "deny")
}

fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
    Request {
        method,
        target: target.as_bytes().to_vec(),
        authority: b"gw.example".to_vec(),
        headers: headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect(),
        peer: "192.0.2.1:4711".to_owned(),
    }
}

fn answer(gateway: &Rc<Gateway>, request: Request) -> Resolved {
    match block_on(handle(Rc::clone(gateway), request, FakePorts::new(NOW))) {
        Decision::Resolved(resolved) => resolved,
        Decision::AwaitUpstream { .. } | Decision::AwaitProvider { .. } | Decision::AwaitKeys { .. } => {
            panic!("waits for a root task")
        }
    }
}

fn response(gateway: &Rc<Gateway>, request: Request) -> Response {
    audited(gateway, request).0
}

/// The response with its reason in the audit trail.
fn audited(gateway: &Rc<Gateway>, request: Request) -> (Response, &'static str) {
    match answer(gateway, request) {
        Resolved::Respond(response, audit) => (response, audit.reason().as_str()),
        Resolved::Continue(_) => panic!("sent on"),
    }
}

fn led(gateway: &Gateway, target: &str) -> Route {
    route(gateway.config(), &RoutePath::parse(target.as_bytes()).unwrap())
}

#[test]
fn a_path_that_may_be_a_resources_is_refused_whatever_else_is_configured() {
    let of_everything = [("https://gw.example/mcp", "/mcp"), ("https://gw.example", "/")];
    for gateway in [
        at_root(),
        gateway(&[("https://gw.example/mcp", "/mcp")], "https://gw.example", "pass"),
        gateway(&of_everything, "https://gw.example", "pass"),
    ] {
        for target in ["/MCP", "/%6dcp/x", "/mcp;v=1", "/mcp%3bv/x", "/mcp./x", "/mcp%20", "/mcp%3fx", "/%ef%bd%8dcp"] {
            assert_eq!(led(&gateway, target), Route::Ambiguous, "{target}");
            let (response, reason) = audited(&gateway, request(Method::Get, target, &[("authorization", "Bearer x")]));
            assert_eq!((response.status(), reason), (400, "ambiguous_resource"), "{target}");
            assert!(fast_path::pass(&gateway, target.as_bytes(), None).is_none(), "{target}");
        }
    }
    for target in ["/mcp/DEEP", "/mcp/de%65p/x", "/mcp/deep;v=1"] {
        assert_eq!(led(&at_root(), target), Route::Ambiguous, "{target}");
    }
}

#[test]
fn a_resource_that_is_the_whole_host_has_every_path_but_ours() {
    let gateway = gateway(&[("https://gw.example", "/")], "https://gw.example", "pass");
    for target in ["/", "/x", "/.well-known", "/.well-known/other", "/.well-known/acme-challenge/x", "/%6fauth/token"] {
        assert_eq!(led(&gateway, target), Route::Resource(0), "{target}");
    }
    assert_eq!(led(&gateway, "/oauth/token"), Route::Endpoint(Endpoint::Token, None));
    assert_eq!(
        led(&gateway, "/.well-known/oauth-authorization-server"),
        Route::Endpoint(Endpoint::AuthorizationServerMetadata, None)
    );
}

#[test]
fn a_path_that_could_be_read_in_two_ways_is_refused_even_where_nothing_is_protected() {
    for gateway in [at_root(), gateway(&[("https://gw.example/mcp", "/mcp")], "https://gw.example", "pass")] {
        for target in [
            "/x/../mcp",
            "/x/%2e%2e/mcp",
            "//mcp",
            "/%2fmcp",
            "/x%2fmcp",
            "/;x/mcp",
            "/%3b/mcp",
            "/mcp/;x",
            "/x%252fmcp",
            "/x%c0%afmcp",
            "/x\\..\\mcp",
            "/%5cmcp",
            "/mcp%00",
            "/%zz",
            "mcp",
            "",
            "*",
            "/a#b",
        ] {
            let (response, reason) = audited(&gateway, request(Method::Get, target, &[]));
            assert_eq!((response.status(), reason), (400, "ambiguous_path"), "{target}");
        }
    }
}

#[test]
fn the_documents_are_served_with_their_content_and_to_any_page() {
    let gateway = at_root();
    for (target, member, value) in [
        ("/.well-known/oauth-authorization-server", "issuer", json!("https://gw.example")),
        ("/.well-known/openid-configuration", "token_endpoint", json!("https://gw.example/oauth/token")),
        ("/.well-known/oauth-protected-resource/mcp", "resource", json!("https://gw.example/mcp")),
        ("/.well-known/oauth-protected-resource/mcp/deep", "resource", json!("https://api.example/mcp/deep")),
    ] {
        let response = response(&gateway, request(Method::Get, target, &[]));
        assert_eq!((response.status(), response.header_value("content-type")), (200, Some("application/json")));
        assert_eq!(response.header_value("access-control-allow-origin"), Some("*"));
        let body: serde_json::Value = serde_json::from_slice(response.body_bytes()).unwrap();
        assert_eq!(body[member], value, "{target}");
    }
    let keys = response(&gateway, request(Method::Get, "/.well-known/jwks.json", &[]));
    let keys: serde_json::Value = serde_json::from_slice(keys.body_bytes()).unwrap();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    assert!(keys["keys"][0].get("d").is_none(), "the private half stays here");
}

#[test]
fn our_endpoints_answer_under_our_host_names_only() {
    let gateway = at_root();
    let served = |authority: &str| {
        let request = Request {
            authority: authority.as_bytes().to_vec(),
            ..request(Method::Get, "/.well-known/oauth-authorization-server", &[])
        };
        response(&gateway, request).status()
    };
    for own in ["gw.example", "GW.Example", "gw.example:443", "api.example", "API.example:443"] {
        assert_eq!(served(own), 200, "{own}");
    }
    for foreign in ["", "evil.example", "gw.example.evil.example", "gw.example:80", "gw.example:8443", "xgw.example"] {
        assert_eq!(served(foreign), 404, "{foreign}");
    }
    let request = Request { authority: b"gw.example\xff".to_vec(), ..request(Method::Get, "/oauth/authorize", &[]) };
    let (response, reason) = audited(&gateway, request);
    assert_eq!((response.status(), reason), (404, "foreign_host"));
}

#[test]
fn what_is_below_our_paths_and_is_no_endpoint_is_not_found() {
    let gateway = at_root();
    for (target, expected) in [
        ("/oauth/other", "no_endpoint"),
        ("/.well-known/oauth-protected-resource/other", "no_endpoint"),
        ("/other", "not_found"),
    ] {
        let (response, reason) = audited(&gateway, request(Method::Get, target, &[]));
        assert_eq!((response.status(), reason), (404, expected), "{target}");
        assert_eq!(response.header_value("access-control-allow-origin"), Some("*"), "{target}");
    }
}

#[test]
fn a_script_of_another_origin_can_read_every_refusal_but_those_of_pages() {
    let gateway = at_root();
    for (method, target, status, readable) in [
        (Method::Get, "/%zz", 400, true),
        (Method::Get, "/MCP", 400, true),
        (Method::Get, "/oauth/other", 404, true),
        (Method::Get, "/other", 404, true),
        (Method::Get, "/mcp", 401, true),
        (Method::Get, "/oauth/token", 405, true),
        (Method::Get, "/oauth/register", 405, true),
        (Method::Post, "/oauth/token", 400, true),
        (Method::Post, "/oauth/register", 400, true),
        (Method::Get, "/oauth/authorize", 400, false),
        (Method::Post, "/oauth/authorize", 405, false),
        (Method::Get, "/oauth/consent", 405, false),
        (Method::Post, "/oauth/consent", 403, false),
        (Method::Get, "/oauth/callback", 400, false),
    ] {
        let (response, _) = audited(&gateway, request(method, target, &[("origin", "https://app.example")]));
        assert_eq!(response.status(), status, "{method:?} {target}");
        let allowed = response.header_value("access-control-allow-origin");
        assert_eq!(allowed, readable.then_some("*"), "{method:?} {target}");
    }
}

#[test]
fn a_host_on_a_port_of_its_own_is_named_with_it() {
    let gateway = gateway(&[("http://127.0.0.1:8080/mcp", "/mcp")], "http://127.0.0.1:8080", "deny");
    for (authority, status) in
        [("127.0.0.1:8080", 200), ("127.0.0.1", 404), ("127.0.0.1:80", 404), ("localhost:8080", 404)]
    {
        let request =
            Request { authority: authority.as_bytes().to_vec(), ..request(Method::Get, "/.well-known/jwks.json", &[]) };
        assert_eq!(response(&gateway, request).status(), status, "{authority}");
    }
}

#[test]
fn other_methods_are_refused_and_the_answer_names_those_allowed() {
    let gateway = at_root();
    for (target, method, allow) in [
        ("/oauth/authorize", Method::Post, "GET, HEAD"),
        ("/oauth/authorize", Method::Options, "GET, HEAD"),
        ("/oauth/consent", Method::Get, "POST"),
        ("/oauth/consent", Method::Options, "POST"),
        ("/oauth/callback", Method::Head, "GET"),
        ("/oauth/callback", Method::Post, "GET"),
        ("/oauth/token", Method::Get, "POST, OPTIONS"),
        ("/oauth/token", Method::Options, "POST, OPTIONS"),
        ("/oauth/token", Method::Other, "POST, OPTIONS"),
        ("/oauth/register", Method::Head, "POST, OPTIONS"),
        ("/oauth/register", Method::Other, "POST, OPTIONS"),
        ("/.well-known/jwks.json", Method::Post, "GET, HEAD, OPTIONS"),
        ("/.well-known/oauth-protected-resource/mcp", Method::Other, "GET, HEAD, OPTIONS"),
        ("/.well-known/oauth-authorization-server", Method::Options, "GET, HEAD, OPTIONS"),
    ] {
        let (response, reason) = audited(&gateway, request(method, target, &[]));
        assert_eq!((response.status(), response.header_value("allow")), (405, Some(allow)), "{method:?} {target}");
        assert_eq!(reason, "method_not_allowed");
    }
}

#[test]
fn a_preflight_is_answered_without_a_token() {
    let gateway = at_root();
    let asked = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, mcp-session-id"),
    ];
    for (target, methods) in [
        ("/oauth/token", "POST"),
        ("/oauth/register", "POST"),
        ("/.well-known/oauth-authorization-server", "GET"),
        ("/mcp", "GET, HEAD, POST, PUT, PATCH, DELETE"),
    ] {
        let (response, reason) = audited(&gateway, request(Method::Options, target, &asked));
        assert_eq!((response.status(), reason), (204, "preflight"), "{target}");
        assert_eq!(response.header_value("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header_value("access-control-allow-methods"), Some(methods));
        assert_eq!(response.header_value("access-control-allow-headers"), Some("authorization, mcp-session-id"));
        assert_eq!(response.header_value("access-control-allow-credentials"), None);
    }
}

#[test]
fn a_preflight_does_not_repeat_what_is_no_header_name() {
    let asked = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x: y\"<script>"),
    ];
    let response = response(&at_root(), request(Method::Options, "/mcp", &asked));
    let allowed = response.header_value("access-control-allow-headers");
    assert_eq!(allowed, Some("authorization, content-type, mcp-protocol-version"));
}

#[test]
fn an_options_request_that_is_no_preflight_needs_a_token() {
    for headers in [&[][..], &[("origin", "https://app.example")], &[("access-control-request-method", "POST")]] {
        assert_eq!(response(&at_root(), request(Method::Options, "/mcp", headers)).status(), 401);
    }
}

#[test]
fn what_no_resource_matches_is_denied_unless_the_configuration_lets_it_pass() {
    assert_eq!(response(&at_root(), request(Method::Get, "/other", &[])).status(), 404);
    let passing = gateway(&[("https://gw.example/mcp", "/mcp")], "https://gw.example", "pass");
    let Resolved::Continue(forward) = answer(&passing, request(Method::Get, "/other", &[("authorization", "Basic x")]))
    else {
        panic!("answered");
    };
    assert!(matches!(forward.credentials, Credentials::Unchanged));
    assert_eq!(forward.audit.reason().as_str(), "not_protected");
    assert_eq!(forward.cookie, None);
    let cookies = [("cookie", "a=1; __Host-portcullis-browser=x"), ("cookie", "b=2")];
    let Resolved::Continue(forward) = answer(&passing, request(Method::Get, "/other", &cookies)) else {
        panic!("answered");
    };
    assert_eq!(forward.cookie.as_deref(), Some(&b"a=1; b=2"[..]), "the gateway's cookies stay with the gateway");
    assert_eq!(response(&passing, request(Method::Get, "/mcp", &[])).status(), 401);
    assert_eq!(response(&passing, request(Method::Get, "/oauth/other", &[])).status(), 404);
    assert_eq!(response(&passing, request(Method::Get, "/.well-known/jwks.json/x", &[])).status(), 404);
}

#[test]
fn nothing_is_passed_at_once_that_the_router_would_not_send_on_unprotected() {
    let resources = [("https://gw.example/mcp", "/mcp"), ("https://gw.example/deep/er", "/deep/er")];
    let passing = gateway(&resources, "https://gw.example", "pass");
    let denying = gateway(&resources, "https://gw.example", "deny");
    let mut passed = 0;
    for target in [
        "/",
        "/other",
        "/other?x=/mcp",
        "/other/mcp",
        "/other/%6dcp;v=1",
        "/mcpx",
        "/MCP",
        "/deep",
        "/deep/erx",
        "/oauthx",
        "/%6fther",
        "/a;b",
        "/mcp",
        "/mcp/",
        "/mcp?x",
        "/mcp;v=1/x",
        "/%6dcp",
        "/mcp%2fx",
        "/deep/er/x",
        "/deep%2fer",
        "/deep;x/er",
        "/token",
        "/token/",
        "/token?x",
        "/authorize",
        "/register",
        "/registers",
        "/oauth",
        "/oauth/token",
        "/oauth/other",
        "/.well-known/jwks.json",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/jwks.json/x",
        "/.well-known/other",
        "//mcp",
        "/other/../mcp",
        "/other/%2e%2e/mcp",
        "/a\\b",
        "",
        "*",
        "other",
    ] {
        let at_once = fast_path::pass(&passing, target.as_bytes(), Some(b"a=1; __Host-portcullis-csrf=x"));
        let routed = answer(&passing, request(Method::Get, target, &[]));
        let unprotected =
            matches!(&routed, Resolved::Continue(forward) if matches!(forward.credentials, Credentials::Unchanged));
        // What begins like a resource is left to the router, whatever it is.
        assert_eq!(at_once.is_some(), unprotected && !["/mcpx", "/deep/erx"].contains(&target), "{target}");
        if let Some(forward) = at_once {
            assert!(matches!(forward.credentials, Credentials::Unchanged));
            assert_eq!(forward.audit.reason().as_str(), "not_protected");
            assert_eq!(forward.response, ResponsePlan::PassThrough);
            assert_eq!(forward.cookie.as_deref(), Some(&b"a=1"[..]), "the gateway's cookies stay with the gateway");
            passed += 1;
        }
        assert!(fast_path::pass(&denying, target.as_bytes(), None).is_none(), "{target}");
    }
    assert_eq!(passed, 12);
    let of_everything = gateway(&[("https://gw.example/", "/")], "https://gw.example", "pass");
    assert!(fast_path::pass(&of_everything, b"/other", None).is_none());
}
