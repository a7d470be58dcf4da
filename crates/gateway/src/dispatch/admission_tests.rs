use serde_json::{Value, json};

use super::*;
use crate::config::{Compiled, Config};

fn gateway() -> Rc<Gateway> {
    let document = json!({
        "issuer": "https://gw.example/auth",
        "signingKeys": [{ "inline": include_str!("../../../protocol/testdata/keys/p256.pkcs8.pem") }],
        "secrets": [{ "inline": "a-development-secret-of-32-bytes-at-least" }],
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": { "issuerUrl": "https://idp.example", "cluster": "idp", "clientId": "portcullis" },
        }],
        "resources": [{ "resource": "https://gw.example/mcp", "match": { "prefix": "/mcp" } }],
        "development": true,
    });
    match Config::compile(document.to_string().as_bytes(), &|_| None) {
        Ok(Compiled::Ready(config)) => Rc::new(Gateway::new(*config, 7)),
        Ok(Compiled::Awaiting(_)) => panic!("no secret is the bridge's"),
        Err(problems) => panic!("{problems:?}"),
    }
}

fn refused(admission: &Admission, excess: Excess) -> (Response, Audit) {
    match admission.refuse(excess) {
        Resolved::Respond(response, audit) => (response, audit),
        Resolved::Continue(_) => panic!("sent on"),
    }
}

#[test]
fn headers_are_bounded_on_every_path_of_the_gateway_and_bodies_by_what_its_handler_reads() {
    let gateway = gateway();
    for (target, header_bytes, body_bytes) in [
        ("/auth/oauth/token", MAX_OWN_HEADER_BYTES, 16 * 1024),
        ("/auth/oauth/token?a=1", MAX_OWN_HEADER_BYTES, 16 * 1024),
        ("/auth/oauth/consent", MAX_OWN_HEADER_BYTES, 16 * 1024),
        ("/auth/oauth/register", MAX_OWN_HEADER_BYTES, 64 * 1024),
        ("/auth/oauth/authorize?client_id=x", MAX_OWN_HEADER_BYTES, 0),
        ("/auth/oauth/callback?state=x", MAX_OWN_HEADER_BYTES, 0),
        ("/auth/oauth/other", MAX_OWN_HEADER_BYTES, 0),
        ("/auth/.well-known/jwks.json", MAX_OWN_HEADER_BYTES, 0),
        ("/.well-known/oauth-authorization-server/auth", MAX_OWN_HEADER_BYTES, 0),
        ("/.well-known/oauth-protected-resource/mcp", MAX_OWN_HEADER_BYTES, 0),
        ("/.well-known/oauth-protected-resource/other", MAX_OWN_HEADER_BYTES, 0),
        ("/auth/oauth/..%2ftoken", MAX_OWN_HEADER_BYTES, 0),
        ("*", MAX_OWN_HEADER_BYTES, 0),
        ("/mcp", usize::MAX, 0),
        ("/mcp/oauth/token", usize::MAX, 0),
        ("/other", usize::MAX, 0),
    ] {
        let admission = Admission::of(&gateway, target.as_bytes());
        assert_eq!((admission.header_bytes, admission.body_bytes), (header_bytes, body_bytes), "{target}");
    }
}

#[test]
fn a_program_is_refused_in_json_that_scripts_of_any_origin_may_read() {
    let gateway = gateway();
    let of = |target: &str| Admission::of(&gateway, target.as_bytes());
    for admission in [of("/auth/oauth/token"), of("/auth/oauth/register"), of("/mcp"), Admission::without_gateway()] {
        for (excess, status, error, reason) in [
            (Excess::Headers, 431, "invalid_request", "headers_too_large"),
            (Excess::SlowBody, 408, "invalid_request", "body_too_slow"),
            (Excess::Full, 503, "temporarily_unavailable", "too_many_waiting"),
            (Excess::Evicted, 503, "temporarily_unavailable", "body_wait_evicted"),
        ] {
            let (response, audit) = refused(&admission, excess);
            assert_eq!((response.status(), audit.reason().as_str()), (status, reason));
            let body: Value = serde_json::from_slice(response.body_bytes()).unwrap();
            assert_eq!(body["error"], error);
            assert_eq!(response.header_value("access-control-allow-origin"), Some("*"));
            assert_eq!(response.header_value("cache-control"), Some("no-store"));
            assert_eq!(response.header_value("retry-after").is_some(), status == 503, "{reason}");
        }
    }
}

#[test]
fn a_person_is_refused_on_a_page_that_no_script_of_another_origin_may_read() {
    let gateway = gateway();
    for target in ["/auth/oauth/authorize?a=1", "/auth/oauth/consent", "/auth/oauth/callback"] {
        let admission = Admission::of(&gateway, target.as_bytes());
        for (excess, status) in
            [(Excess::Headers, 431), (Excess::SlowBody, 408), (Excess::Full, 503), (Excess::Evicted, 503)]
        {
            let (response, _) = refused(&admission, excess);
            assert_eq!(response.status(), status);
            assert_eq!(response.header_value("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(response.header_value("access-control-allow-origin"), None);
            assert_eq!(response.header_value("retry-after").is_some(), status == 503, "{excess:?}");
        }
    }
}
