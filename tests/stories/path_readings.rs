//! A backend that reads paths in its own way is not led past a rule: a real nginx, which decodes a
//! path and folds it before it finds a location, behind a gateway that lets through whatever is in
//! no resource.

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::Request;
use portcullis_testbed::nginx::Nginx;
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::testbed::Testbed;
use serde_json::json;

use crate::machine;
use crate::support::{Raw, exchange, until};

/// Spellings that nginx serves as `/api/admin`.
const SERVED_AS_ADMIN: [&str; 16] = [
    "/%2fapi/admin",
    "/%2Fapi/admin",
    "/api/%2fadmin",
    "/api%2fadmin",
    "/api%2Fadmin",
    "/api/%2f%2fadmin",
    "/api/.%2fadmin",
    "/api/%2e%2fadmin",
    "/api/x%2f..%2fadmin",
    "/api/x/..%2fadmin",
    "/api/x%2f../admin",
    "/x/..%2fapi/admin",
    "/x%2f..%2fapi%2fadmin",
    "/api/admin/x%2f..",
    "/%2f%61pi%2f%61dmin",
    "/%2e%2fapi%2fadmin",
];

/// Spellings that a servlet container, a Windows server, a backend that decodes twice or one that
/// ignores case does.
const OTHERS_MAY_SERVE_AS_ADMIN: [&str; 23] = [
    "/api/;x/admin",
    "/api/;/admin",
    "/;x/api/admin",
    "/api/%3b/admin",
    "/api/%3Bx/admin",
    "/api;x/admin",
    "/api;/admin",
    "/api%3bx/admin",
    "/api/admin;x",
    "/api/x/.;y/..%3b/admin",
    "/api%252fadmin",
    "/api/%2561dmin",
    "/api/x/%252e%252e/admin",
    "/api/admin%3fx",
    "/api/admin%23x",
    "/API/admin",
    "/api/Admin",
    "/api./admin",
    "/api/admin.",
    "/api/admin%20",
    "/api/x/..%5cadmin",
    "/api%c0%afadmin",
    "/api/%ef%bd%81dmin",
];

/// Spellings that Envoy itself resolves: the filter and nginx see `/api/admin`.
const RESOLVED_BY_ENVOY: [&str; 7] = [
    "//api//admin",
    "/./api/admin",
    "/x/../api/admin",
    "/x/%2e%2E/api/admin",
    "/x/..;y/api/admin",
    "/api/x/.%2e/admin",
    "/\\api/admin",
];

#[tokio::test]
async fn no_spelling_of_a_path_leads_past_its_rule_to_a_real_nginx() {
    let nginx = Nginx::start(LOCATIONS);
    let bed = machine::testbed()
        .cluster("nginx", nginx.port())
        .route("/", "nginx")
        .config(json!({
            "default": "pass",
            "scopesSupported": ["openid", "admin"],
            "resources": [
                { "resource": "{gateway}/api", "match": { "prefix": "/api" } },
                {
                    "resource": "{gateway}/api/admin",
                    "match": { "prefix": "/api/admin" },
                    "scopes": ["admin"],
                },
            ],
        }))
        .start()
        .await;
    for spelling in SERVED_AS_ADMIN {
        let direct = Request::get(&format!("http://127.0.0.1:{}/", nginx.port())).target(format!("{spelling}?direct"));
        assert_eq!(direct.send().await.text(), "admin\n", "nginx itself: {spelling}");
    }

    let api = token(&bed, "/api", "openid").await;
    for credentials in [String::new(), format!("authorization: Bearer {api}\r\n")] {
        for spelling in SERVED_AS_ADMIN.into_iter().chain(OTHERS_MAY_SERVE_AS_ADMIN) {
            let reply = ask(&bed, spelling, &credentials).await;
            assert_eq!(reply.status(), 400, "{spelling}: {reply:?}");
            assert!(reply.0.contains("plain form") || reply.0.contains("another spelling"), "{spelling}: {reply:?}");
        }
        for spelling in RESOLVED_BY_ENVOY {
            let reply = ask(&bed, spelling, &credentials).await;
            assert_eq!(reply.status(), 401, "{spelling}: {reply:?}");
            assert!(reply.0.contains("oauth-protected-resource/api/admin"), "{spelling}: {reply:?}");
        }
    }
    let marked = |read: &str| nginx.access_log().into_iter().filter(|line| line.contains(read)).collect::<Vec<_>>();

    // The honest spellings: with the wrong token, with the right one, and where no rule is.
    assert_eq!(bed.get("/api/admin?marked").bearer(&api).send().await.status, 401);
    let admin = token(&bed, "/api/admin", "openid admin").await;
    for (path, token, answer) in [
        ("/api/x?last", api.as_str(), "api\n"),
        ("/api/admin?last", &admin, "admin\n"),
        ("/api/admin/R%C3%A9sum%C3%A9;v=1?last", &admin, "admin\n"),
        ("/elsewhere%20x?last", "", "elsewhere\n"),
    ] {
        let mut request = bed.get(path);
        if !token.is_empty() {
            request = request.bearer(token);
        }
        let reply = request.send().await;
        assert_eq!((reply.status, reply.text().as_str()), (200, answer), "{path}");
    }
    until("nginx has logged the last one", async || marked("?last").len() == 4).await;
    assert_eq!(marked("?marked"), [""; 0]);
    bed.assert_healthy().await;
}

async fn ask(bed: &Testbed, spelling: &str, credentials: &str) -> Raw {
    let gateway = bed.gateway();
    let host = crate::support::authority(&gateway);
    let head = format!("GET {spelling}?marked HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{credentials}\r\n");
    exchange(bed, head.as_bytes()).await
}

async fn token(bed: &Testbed, path: &str, scope: &str) -> String {
    let mut client = OAuthClient::discover(&format!("{}{path}", bed.gateway())).await.register().await;
    scope.clone_into(&mut client.scope);
    client.log_in(&mut Browser::new("alice")).await.access_token
}

/// What nginx serves: each answer names the rule that should have covered it.
const LOCATIONS: &str = r#"
        location / { return 200 "elsewhere\n"; }
        location /api/ { return 200 "api\n"; }
        location = /api { return 200 "api\n"; }
        location /api/admin/ { return 200 "admin\n"; }
        location = /api/admin { return 200 "admin\n"; }
"#;
