//! What the gateway says about itself: the same under every name it is looked for, whichever client
//! asks and however they lie; and what it says when it is configured wrongly.

use jwt_simple::prelude::{ES384KeyPair, Ed25519KeyPair};
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::testbed::Testbed;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::machine;
use crate::support::{
    RsaPart, assert_error, assert_unseen, challenge, contradictory_rsa_key, log_in, preflight, unique,
};

#[tokio::test]
async fn the_authorization_server_is_described_where_each_kind_of_client_looks() {
    let bed = testbed().await;
    let issuer = bed.issuer();
    let expected = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "registration_endpoint": format!("{issuer}/oauth/register"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    let mut first = None;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/oauth-authorization-server/api",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/.well-known/openid-configuration?v=1",
    ] {
        let reply = bed.get(path).send().await;
        assert_document(&reply, "public, max-age=3600", path);
        assert_eq!(reply.json(), expected, "{path}");
        assert_eq!(first.get_or_insert_with(|| reply.body.clone()), &reply.body, "{path}");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn an_issuer_with_a_path_is_found_by_inserting_and_by_appending() {
    let patch = json!({ "issuer": "{gateway}/tenants/a", "clients": { "dynamicRegistration": { "enabled": false } } });
    let bed = machine::testbed().config(patch).start().await;
    let issuer = format!("{}/tenants/a", bed.gateway());
    for path in [
        "/.well-known/oauth-authorization-server/tenants/a",
        "/.well-known/openid-configuration/tenants/a",
        "/tenants/a/.well-known/openid-configuration",
    ] {
        let document = bed.get(path).send().await.json();
        assert_eq!(document["issuer"], issuer, "{path}");
        assert_eq!(document["token_endpoint"], format!("{issuer}/oauth/token"), "{path}");
        assert_eq!(document.get("registration_endpoint"), None, "{path}: registration is turned off");
    }
    assert_eq!(bed.get("/tenants/a/.well-known/jwks.json").send().await.status, 200);
    let elsewhere = bed.post("/oauth/token").form(&[("grant_type", "password")]).send().await;
    assert_error(&elsewhere, 404, "invalid_request", "nothing is served at this path", "not below the issuer");
    let by_default = bed.post("/token").form(&[("grant_type", "password")]).send().await;
    assert_eq!(by_default.json()["error"], "unsupported_grant_type", "the default endpoint is at the origin");
    let nowhere = bed.post("/tenants/a/token").form(&[("grant_type", "password")]).send().await;
    assert_error(&nowhere, 404, "invalid_request", "nothing is served at this path", "not below the issuer");
    let closed = bed.post("/tenants/a/oauth/register").json(&json!({})).send().await;
    assert_error(&closed, 404, "invalid_request", "dynamic client registration is turned off here", "registration");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn each_resource_is_described_under_its_own_path() {
    let bed = testbed().await;
    for (path, name) in [("", "mcp"), ("/", "mcp"), ("/mcp", "mcp"), ("/mcp/", "mcp"), ("/api", "api")] {
        let reply = bed.get(&format!("/.well-known/oauth-protected-resource{path}")).send().await;
        assert_document(&reply, "public, max-age=3600", path);
        let expected = json!({
            "resource": format!("{}/{name}", bed.gateway()),
            "authorization_servers": [bed.issuer()],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["openid"],
            "resource_name": "Portcullis testbed",
        });
        assert_eq!(reply.json(), expected, "{path}");
    }
    for path in [
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/oauth-protected-resource/apix",
        "/.well-known/oauth-protected-resource/api/x",
        "/.well-known/oauth-protected-resource/API",
        "/.well-known/oauth-authorization-server/other",
        "/.well-known/openid-configuration/other",
        "/.well-known/jwks.json/mcp",
        "/oauth",
        "/oauth/",
        "/oauth/tokens",
        "/oauth/token/",
    ] {
        let reply = bed.get(path).send().await;
        assert_error(&reply, 404, "invalid_request", "the gateway has no endpoint here", path);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn every_configured_key_is_published_and_none_of_its_private_part() {
    let bed = testbed().await;
    let reply = bed.get("/.well-known/jwks.json").send().await;
    assert_document(&reply, "public, max-age=300", "the keys");
    let keys = reply.json()["keys"].as_array().expect("keys").clone();
    let algorithms: Vec<_> = keys.iter().map(|key| key["alg"].as_str().expect("alg").to_owned()).collect();
    assert_eq!(algorithms, ["ES256", "ES384", "EdDSA"]);
    for key in &keys {
        let names: Vec<_> = key.as_object().expect("a key").keys().map(String::as_str).collect();
        let public = ["alg", "crv", "kid", "kty", "use", "x", "y"];
        assert!(names.iter().all(|name| public.contains(name)), "{names:?}");
        assert_eq!(key["use"], "sig");
    }
    let (_, tokens) = log_in(bed, "alice").await;
    let header = tokens.access_token.split('.').next().expect("a header");
    let header: Value = serde_json::from_slice(&decode(header)).expect("JSON");
    assert_eq!(header, json!({ "alg": "ES256", "typ": "at+jwt", "kid": keys[0]["kid"] }));
    bed.assert_healthy().await;
}

#[tokio::test]
async fn documents_are_the_same_byte_for_byte_whatever_a_request_claims_about_its_way() {
    let bed = testbed().await;
    for path in DOCUMENTS {
        let plain = bed.get(path).send().await;
        for (name, value) in [
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-prefix", "/evil"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-uri", "/evil"),
            ("forwarded", "for=203.0.113.9;host=evil.example;proto=https"),
            ("x-original-url", "/oauth/token"),
            ("x-rewrite-url", "/oauth/token"),
            ("x-envoy-original-path", "/oauth/token"),
            ("x-http-method-override", "DELETE"),
            ("x-host", "evil.example"),
            ("origin", "https://evil.example"),
            ("authorization", "Bearer nonsense"),
            ("cookie", "portcullis-browser=x"),
        ] {
            let spoofed = bed.get(path).header(name, value).send().await;
            assert_eq!((spoofed.status, &spoofed.body), (200, &plain.body), "{path} with {name}");
            assert_eq!(stable(&spoofed), stable(&plain), "{path} with {name}");
        }
        let head = Request::new("HEAD", &format!("{}{path}", bed.gateway())).send().await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn nothing_is_served_under_a_host_name_that_is_not_configured() {
    let bed = testbed().await;
    let port = bed.gateway().rsplit(':').next().expect("a port").to_owned();
    for path in DOCUMENTS.into_iter().chain(["/oauth/authorize", "/oauth/token", "/oauth/register"]) {
        for host in ["evil.example", "localhost", "127.0.0.1", "127.0.0.1:1", "evil.example:80"] {
            let reply = bed.get(path).header("host", host).send().await;
            let description = "no gateway is served under this host name";
            assert_error(&reply, 404, "invalid_request", description, &format!("{path} at {host}"));
        }
    }
    let spoofed = bed.get("/api").header("host", format!("localhost:{port}")).send().await;
    assert_eq!(spoofed.header("www-authenticate"), Some(challenge(bed, None).as_str()));
    bed.assert_healthy().await;
}

#[tokio::test]
async fn scripts_of_any_origin_may_read_documents_and_refusals_and_never_with_cookies() {
    let bed = testbed().await;
    let gateway = bed.gateway();
    for (path, method, allowed) in [
        ("/.well-known/oauth-authorization-server", "GET", "GET"),
        ("/.well-known/oauth-protected-resource/api", "GET", "GET"),
        ("/.well-known/jwks.json", "GET", "GET"),
        ("/oauth/token", "POST", "POST"),
        ("/oauth/register", "POST", "POST"),
        ("/token", "POST", "POST"),
        ("/register", "POST", "POST"),
        ("/mcp", "POST", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("/api/preflight", "DELETE", "GET, HEAD, POST, PUT, PATCH, DELETE"),
    ] {
        let reply = preflight(&format!("{gateway}{path}"), method).send().await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{path}: {reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(reply.header("access-control-allow-methods"), Some(allowed), "{path}");
        let headers = Some("authorization,content-type,mcp-protocol-version");
        assert_eq!(reply.header("access-control-allow-headers"), headers, "{path}");
        assert_eq!(reply.header("access-control-max-age"), Some("86400"), "{path}");
        assert_eq!(reply.header("access-control-allow-credentials"), None, "{path}");
    }
    let hostile = Request::new("OPTIONS", &format!("{gateway}/api/preflight"))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "<script>")
        .send()
        .await;
    assert!(!hostile.header("access-control-allow-headers").unwrap_or_default().contains('<'), "{hostile:?}");
    // Browsers never send credentials with a preflight; one with a page's cookies is no way past
    // the check either.
    assert_unseen(bed, "/api/preflight").await;

    let refused = bed.get("/api/cors").header("origin", "https://app.example").send().await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    let exposed = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version";
    assert_eq!(refused.header("access-control-expose-headers"), Some(exposed));
    let (_, tokens) = log_in(bed, "carol").await;
    let path = format!("/api/cors-{}", unique());
    // Of a token that was never seen, and of one that was: they are decided in different ways.
    // There are two workers.
    for _ in 0..6 {
        let call = Request::new("POST", &format!("{gateway}{path}")).bearer(&tokens.access_token);
        let answered = call.header("origin", "https://app.example").body("{}").send().await;
        assert_eq!((answered.status, answered.header("access-control-allow-origin")), (200, Some("*")));
        assert_eq!(answered.header("access-control-allow-credentials"), None);
    }
    let from_no_page = bed.get(&path).bearer(&tokens.access_token).send().await;
    assert_eq!((from_no_page.status, from_no_page.header("access-control-allow-origin")), (200, None));
    bed.assert_healthy().await;
}

#[tokio::test]
async fn an_options_request_that_is_no_preflight_needs_a_token_like_any_other() {
    let bed = testbed().await;
    let path = format!("/api/options-{}", unique());
    for request in [
        Request::new("OPTIONS", &format!("{}{path}", bed.gateway())),
        Request::new("OPTIONS", &format!("{}{path}", bed.gateway())).header("origin", "https://app.example"),
        Request::new("OPTIONS", &format!("{}{path}", bed.gateway())).header("access-control-request-method", "GET"),
    ] {
        let reply = request.send().await;
        assert_error(&reply, 401, "invalid_request", "an access token is required", "OPTIONS");
    }
    assert_unseen(bed, &path).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_configuration_with_mistakes_is_refused_with_every_one_of_them_by_its_path() {
    let patch = json!({
        "issuer": "http://mcp.example.com/",
        "tokenLifespans": { "accessToken": "forever", "authorizationCode": "1d" },
        "scopesSupported": ["open id"],
        "storage": { "type": "memory", "maxBytes": 1 },
        "clients": { "dynamicRegistration": { "ratePerMinute": 0 } },
        "consent": { "title": "" },
        "signingKeys": [{ "env": "SIGNING_KEY" }, { "env": "SIGNING_KEY" }],
        "secrets": [{ "inline": "not for production" }],
        "development": false,
    });
    let refusal = refusal_of(patch).await;
    for problem in [
        "issuer: must be https",
        "tokenLifespans.accessToken: must be a duration",
        "tokenLifespans.authorizationCode: must be between",
        "scopesSupported: a scope is a single word",
        "storage.maxBytes: must be between",
        "clients.dynamicRegistration.ratePerMinute: must be at least 1",
        "consent.title: must have 1 to 80 characters",
        "signingKeys[1]: is the same key again",
        "secrets[0]: an inline secret is only allowed with",
    ] {
        assert!(refusal.contains(problem), "no {problem:?} in {refusal}");
    }
    assert!(!refusal.contains("not for production"), "a secret's value is in the log");
}

#[tokio::test]
async fn a_secret_that_is_not_there_refuses_the_configuration_by_name() {
    let refusal = refusal_of(json!({
        "signingKeys": [{ "env": "NO_SUCH_KEY" }],
        "secrets": [{ "env": "EMPTY_SECRET" }],
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": {
                "issuerUrl": "{idp}",
                "cluster": "idp",
                "clientId": "portcullis",
                "clientSecret": { "env": "NO_SUCH_SECRET" },
                "scopes": ["openid"],
            },
        }],
    }))
    .await;
    for problem in [
        "signingKeys[0]: the environment variable NO_SUCH_KEY is not set",
        "secrets[0]: the environment variable EMPTY_SECRET is empty",
        "upstreamProviders[0].oidcConfig.clientSecret: the environment variable NO_SUCH_SECRET is not set",
    ] {
        assert!(refusal.contains(problem), "no {problem:?} in {refusal}");
    }
}

#[tokio::test]
async fn a_signing_key_whose_halves_do_not_fit_refuses_the_configuration() {
    for part in [RsaPart::Modulus, RsaPart::PrivateExponent] {
        let key = contradictory_rsa_key(part);
        let refusal = refusal_of(json!({ "signingKeys": [{ "env": "SIGNING_KEY" }, { "inline": key }] })).await;
        assert!(refusal.contains("portcullis: this host does not sign with the key"), "{refusal}");
        assert!(!key.lines().any(|line| refusal.contains(line)), "a key is in the log");
    }
}

#[tokio::test]
async fn a_member_that_is_not_known_refuses_the_configuration() {
    let refusal = refusal_of(json!({ "consent": { "titel": "x" } })).await;
    assert!(refusal.contains("portcullis: consent"), "{refusal}");
    assert!(refusal.contains("titel"), "{refusal}");
}

async fn testbed() -> &'static Testbed {
    static BED: OnceCell<Testbed> = OnceCell::const_new();
    let start = || {
        let keys = json!({ "signingKeys": [{ "env": "SIGNING_KEY" }, { "env": "KEY_2" }, { "env": "KEY_3" }] });
        Testbed::builder()
            .workers(2)
            .config(keys)
            .env("KEY_2", &ES384KeyPair::generate().to_pem().expect("PEM"))
            .env("KEY_3", &Ed25519KeyPair::generate().to_pem())
            .start()
    };
    machine::share();
    BED.get_or_init(start).await
}

/// Why Envoy does not start with this merged into the configuration.
async fn refusal_of(patch: Value) -> String {
    let shown = patch.to_string();
    let start = machine::testbed().env("EMPTY_SECRET", " ").config(patch).try_start().await;
    let Err(refusal) = start else { panic!("Envoy started with {shown}") };
    assert!(refusal.contains("envoy ended early"), "{refusal}");
    refusal
}

#[track_caller]
fn assert_document(reply: &Response, cache: &str, what: &str) {
    assert_eq!(reply.status, 200, "{what}: {reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(reply.header("cache-control"), Some(cache), "{what}");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{what}");
    assert_eq!(reply.header("access-control-allow-credentials"), None, "{what}");
}

/// The fields that do not tell the time.
fn stable(reply: &Response) -> Vec<&(String, String)> {
    reply.headers.iter().filter(|(name, _)| name != "date").collect()
}

fn decode(part: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

const DOCUMENTS: [&str; 5] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/api",
    "/.well-known/jwks.json",
];
