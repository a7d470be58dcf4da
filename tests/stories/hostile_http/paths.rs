//! Paths that two programs could read in two ways.

use super::scene;
use crate::support::{assert_unseen, exchange, unique};

#[tokio::test]
async fn a_path_with_more_than_one_reading_is_refused_even_with_a_good_token() {
    let scene = scene().await;
    let marker = format!("two-ways-{}", unique());
    for target in [
        format!("/api/..%2f{marker}"),
        format!("/api/%2e%2e%2f{marker}"),
        format!("/api/..%5c{marker}"),
        format!("/api/%5c{marker}"),
        format!("/api/%252e%252e/{marker}"),
        format!("/api/%255c{marker}"),
        format!("/api/{marker}%"),
        format!("/api/{marker}%2"),
        format!("/api/{marker}%zz"),
        format!("/api/{marker}%0d%0aset-cookie:x"),
        format!("/api/{marker}%00"),
        format!("/api/{marker}#fragment"),
        format!("/nothing/..%2fapi/{marker}"),
        format!("/%2fapi/{marker}"),
        format!("/api/%2f{marker}"),
        format!("/api%2f{marker}"),
        format!("/api/{marker}%2f"),
        format!("/api/%252f{marker}"),
        format!("/api/%2561{marker}"),
        format!("/api/;x/{marker}"),
        format!("/api/{marker}/;x"),
        format!("/api/%3b/{marker}"),
        format!("/api;/{marker}"),
        format!("/api%3bv=1/{marker}"),
        format!("/api/%20/{marker}"),
        format!("/api/.%20/{marker}"),
        format!("/api./{marker}"),
        format!("/api%20/{marker}"),
        format!("/API/{marker}"),
        format!("/Api/{marker}"),
        format!("/api%3f{marker}"),
        format!("/api%23{marker}"),
        format!("/api%c0%af{marker}"),
        format!("/api/%c0%ae%c0%ae/{marker}"),
        format!("/api/{marker}%ff"),
        format!("/%ef%bd%81pi/{marker}"),
        format!("/api%ef%bc%8f{marker}"),
        format!("/api/%u002f{marker}"),
    ] {
        let reply = exchange(&scene.bed, &scene.head("GET", &target, scene.bearer())).await;
        assert_eq!(reply.status(), 400, "{target}: {reply:?}");
    }
    assert_unseen(&scene.bed, &marker).await;
    // Envoy takes these for dot segments and resolves them before the filter sees them; one leads
    // out of the resource.
    let out = exchange(&scene.bed, &scene.head("GET", format!("/api/..;/{marker}"), scene.bearer())).await;
    assert!(matches!(out.status(), 400 | 404), "{out:?}");
    assert_unseen(&scene.bed, &marker).await;
    let plain = exchange(&scene.bed, &scene.head("GET", "/api/..%2fx", scene.bearer())).await;
    assert!(plain.0.contains(r#""error_description":"the path is not in plain form""#), "{plain:?}");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn no_spelling_of_a_protected_path_gets_past_the_check() {
    let scene = scene().await;
    let marker = format!("spelled-{}", unique());
    let host = scene.bed.gateway();
    for target in [
        format!("//api/{marker}"),
        format!("///api///{marker}"),
        format!("/./api/{marker}"),
        format!("/nothing/../api/{marker}"),
        format!("/nothing/%2e%2e/api/{marker}"),
        format!("/%61pi/{marker}"),
        format!("/ap%69/{marker}"),
        format!("/api;a=b/{marker}"),
        format!("/api;{marker}"),
        format!("/api%2f{marker}"),
        format!("/api%3b/{marker}"),
        format!("/api/?{marker}"),
        format!("/api?{marker}"),
        format!("/API/{marker}"),
        format!("/apix/{marker}"),
        format!("/.well-known/../api/{marker}"),
        format!("/oauth/token/../../api/{marker}"),
        format!("/oauth/..%2fapi/{marker}"),
        format!("\\api\\{marker}"),
        format!("/\\api/{marker}"),
        format!("{host}/api/{marker}"),
        format!("http://evil.example/api/{marker}"),
        format!("*/api/{marker}"),
        format!("api/{marker}"),
    ] {
        let reply = exchange(&scene.bed, &scene.head("GET", &target, "")).await;
        assert!(matches!(reply.status(), 400 | 401 | 404), "{target}: {reply:?}");
        let trusting = "x-original-url: /.well-known/jwks.json\r\nx-envoy-original-path: /.well-known/jwks.json\r\n";
        let reply = exchange(&scene.bed, &scene.head("GET", &target, trusting)).await;
        assert!(matches!(reply.status(), 400 | 401 | 404), "{target}: {reply:?}");
    }
    assert_unseen(&scene.bed, &marker).await;
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn a_path_that_no_resource_covers_is_not_served() {
    let scene = scene().await;
    for target in ["/", "/apix", "/ap", "/api.json", "/mcpx", "/.well-known/other", "/oauthx", "/favicon.ico"] {
        let reply = exchange(&scene.bed, &scene.head("GET", target, scene.bearer())).await;
        assert_eq!(reply.status(), 404, "{target}: {reply:?}");
        assert!(reply.0.contains("nothing is served at this path"), "{target}: {reply:?}");
    }
    scene.assert_unharmed().await;
}
