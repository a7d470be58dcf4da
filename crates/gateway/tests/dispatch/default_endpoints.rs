//! The default endpoints of MCP 2025-03-26, at the root of a host.

use portcullis_gateway::decision::Resolved;
use portcullis_gateway::resource_server::fast_path;
use portcullis_protocol::http::message::{Method, Request};
use serde_json::json;

use crate::{answer, at_root, gateway, gateway_with, request, response};

#[test]
fn the_default_endpoints_answer_as_those_below_oauth() {
    let asked = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    for gateway in [at_root(), gateway(&[("https://gw.example/mcp", "/mcp")], "https://gw.example", "pass")] {
        for name in ["/authorize", "/token", "/register"] {
            for method in [Method::Get, Method::Head, Method::Post, Method::Options, Method::Other] {
                for headers in [&[][..], &asked, &[("content-type", "application/json")]] {
                    let [short, long] = ["", "/oauth"]
                        .map(|base| response(&gateway, request(method, &format!("{base}{name}?client_id=x"), headers)));
                    assert_eq!(short.status(), long.status(), "{method:?} {name}");
                    assert_eq!(short.headers(), long.headers(), "{method:?} {name}");
                    assert_eq!(short.body_bytes(), long.body_bytes(), "{method:?} {name}");
                    assert_ne!(short.status(), 404, "{method:?} {name}");
                }
            }
            assert!(fast_path::pass(&gateway, name.as_bytes(), None).is_none(), "{name}");
        }
    }
}

#[test]
fn the_default_endpoints_give_way_to_a_resource() {
    for (prefix, covered) in [
        ("/", ["/authorize", "/token", "/register"].as_slice()),
        ("/token", &["/token"]),
        ("/register", &["/register"]),
    ] {
        let gateway = gateway(&[("https://gw.example", prefix)], "https://gw.example", "pass");
        for target in ["/authorize", "/token", "/register"] {
            let status = response(&gateway, request(Method::Post, target, &[])).status();
            assert_eq!(status == 401, covered.contains(&target), "{prefix}: {target} {status}");
        }
    }
    // One that could be the resource's is neither's.
    let near = gateway(&[("https://gw.example", "/TOKEN")], "https://gw.example", "pass");
    assert_eq!(response(&near, request(Method::Post, "/token", &[])).status(), 400);
}

#[test]
fn the_default_endpoints_can_be_turned_off() {
    let off = |default| {
        let resources = [("https://gw.example/mcp", "/mcp")];
        gateway_with(&resources, "https://gw.example", default, json!({ "defaultEndpoints": false }))
    };
    for target in ["/authorize", "/token", "/register"] {
        assert_eq!(response(&off("deny"), request(Method::Post, target, &[])).status(), 404, "{target}");
        assert!(fast_path::pass(&off("pass"), target.as_bytes(), None).is_some(), "{target}");
        assert!(matches!(answer(&off("pass"), request(Method::Post, target, &[])), Resolved::Continue(_)), "{target}");
    }
    assert_eq!(response(&off("deny"), request(Method::Post, "/oauth/token", &[])).status(), 400);
}

#[test]
fn the_default_endpoints_are_not_taken_from_other_hosts() {
    let elsewhere = |target| Request {
        authority: b"www.example".to_vec(),
        ..request(Method::Post, target, &[("content-type", "application/x-www-form-urlencoded")])
    };
    let passing = gateway(&[("https://gw.example/mcp", "/mcp")], "https://gw.example", "pass");
    for target in ["/authorize", "/token", "/register"] {
        let Resolved::Continue(forward) = answer(&passing, elsewhere(target)) else { panic!("{target}: answered") };
        assert_eq!(forward.audit.reason().as_str(), "not_protected");
        assert_eq!(response(&at_root(), elsewhere(target)).status(), 404, "{target}");
    }
    // A resource's host is ours, too.
    let of_resource = Request { authority: b"api.example".to_vec(), ..elsewhere("/token") };
    assert_eq!(response(&at_root(), of_resource).status(), 400);
}
