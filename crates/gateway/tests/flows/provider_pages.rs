//! The configurations of `docs/providers`, each run from login to refresh against a provider of
//! that shape: exactly what browsers and token endpoints are sent, and what of the answers is kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use portcullis_gateway::ports::{CallReply, CallRequest, TokenOwner, UpstreamTokenRef};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::store::records::Records;
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::jose::jws::{self, Header};
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_testkit::example_keys::{ED25519, P256};
use portcullis_testkit::fakes::{block_on, json_reply};
use portcullis_testkit::signatures::Sign as _;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Fixture, NOW, code_of, document, tokens_of};
use crate::refresh::{session, word};

/// The provider of a page.
struct Shape {
    page: &'static str,
    /// Which of the page's configurations.
    block: usize,
    /// The issuer of its documents and tokens; empty for one without OpenID Connect.
    issuer: &'static str,
    /// Its authorization, token, key and userinfo endpoints.
    endpoints: [&'static str; 4],
    /// What its documents say besides the endpoints.
    document: Value,
    /// The claims of its ID tokens besides those that each has.
    claims: Value,
    /// Its userinfo answer.
    user: Value,
    /// Its answers to a code and to a refresh token.
    answers: [Value; 2],
    /// The parameters of the browser's request, besides those that differ each time.
    asked: &'static [(&'static str, &'static str)],
    /// What both token requests carry, besides what every one does.
    sent: &'static [(&'static str, &'static str)],
    /// Whether they carry the secret in their header.
    by_header: bool,
    subject: &'static str,
    groups: &'static [&'static str],
}

/// As most providers answer.
fn usual(number: u32) -> Value {
    json!({
        "access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"),
        "token_type": "Bearer", "expires_in": 3600,
    })
}

fn without_refresh_token(number: u32) -> Value {
    json!({ "access_token": format!("access-{number}"), "token_type": "Bearer", "expires_in": 3599 })
}

/// Most of what most are like.
fn oidc(page: &'static str, issuer: &'static str, endpoints: [&'static str; 4]) -> Shape {
    Shape {
        page,
        block: 0,
        issuer,
        endpoints,
        document: json!({}),
        claims: json!({ "sub": "00u1" }),
        user: Value::Null,
        answers: [usual(1), usual(2)],
        asked: &[],
        sent: &[],
        by_header: true,
        subject: "00u1",
        groups: &[],
    }
}

fn shapes() -> Vec<Shape> {
    let okta = [
        "https://dev-1.okta.com/oauth2/default/v1/authorize",
        "https://dev-1.okta.com/oauth2/default/v1/token",
        "https://dev-1.okta.com/oauth2/default/v1/keys",
        "",
    ];
    let okta_asked = &[("client_id", "0oa0123456789"), ("scope", "openid profile email offline_access")];
    let entra = [
        "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "https://login.microsoftonline.com/common/discovery/v2.0/keys",
        "",
    ];
    let tenant = "https://login.microsoftonline.com/aaaaaaaa-0000-4000-8000-000000000001/v2.0";
    let member = json!({
        "sub": "pairwise", "oid": "the-object", "tid": "aaaaaaaa-0000-4000-8000-000000000001",
        "groups": ["dddddddd-0000-4000-8000-000000000004"],
    });
    let corp = ["https://idp.example.com/a", "https://idp.example.com/t", "https://idp.example.com/k", ""];
    let hub = [
        "https://hub.example.com/oauth/authorize",
        "https://hub.example.com/oauth/token",
        "",
        "https://hub.example.com/api/me",
    ];
    let github = [
        "https://github.com/login/oauth/authorize",
        "https://github.com/login/oauth/access_token",
        "",
        "https://api.github.com/user",
    ];
    vec![
        Shape {
            // A refresh gives no new refresh token.
            answers: [usual(1), without_refresh_token(2)],
            asked: &[
                ("access_type", "offline"),
                ("client_id", "0123456789-abc.apps.googleusercontent.com"),
                ("prompt", "consent"),
                ("scope", "openid email profile"),
            ],
            document: json!({ "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"] }),
            ..oidc(
                "google.md",
                "https://accounts.google.com",
                [
                    "https://accounts.google.com/o/oauth2/v2/auth",
                    "https://oauth2.googleapis.com/token",
                    "https://www.googleapis.com/oauth2/v3/certs",
                    "",
                ],
            )
        },
        Shape {
            asked: okta_asked,
            claims: json!({ "sub": "00u1", "groups": ["staff"] }),
            groups: &["staff"],
            ..oidc("okta.md", "https://dev-1.okta.com/oauth2/default", okta)
        },
        Shape {
            block: 1,
            asked: okta_asked,
            document: json!({ "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"] }),
            sent: &[
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_id", "0oa0123456789"),
            ],
            by_header: false,
            ..oidc("okta.md", "https://dev-1.okta.com/oauth2/default", okta)
        },
        Shape {
            asked: &[
                ("client_id", "bbbbbbbb-0000-4000-8000-000000000002"),
                ("scope", "openid profile email offline_access api://portcullis/tools.read"),
            ],
            claims: member.clone(),
            subject: "the-object",
            groups: &["dddddddd-0000-4000-8000-000000000004"],
            ..oidc("entra.md", tenant, entra)
        },
        Shape {
            block: 1,
            asked: &[
                ("client_id", "bbbbbbbb-0000-4000-8000-000000000002"),
                ("scope", "openid profile email offline_access"),
            ],
            document: json!({
                "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            }),
            claims: member,
            subject: "aaaaaaaa-0000-4000-8000-000000000001:the-object",
            groups: &["dddddddd-0000-4000-8000-000000000004"],
            ..oidc("entra.md", tenant, entra)
        },
        Shape {
            asked: &[
                ("audience", "https://api.example.com"),
                ("client_id", "abc0123456789"),
                ("scope", "openid profile email offline_access"),
            ],
            document: json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] }),
            claims: json!({ "sub": "auth0|1", "https://example.com/groups": ["staff"] }),
            sent: &[("client_id", "abc0123456789"), ("client_secret", "the client secret")],
            by_header: false,
            subject: "auth0|1",
            groups: &["staff"],
            ..oidc(
                "auth0.md",
                "https://example.eu.auth0.com/",
                [
                    "https://example.eu.auth0.com/authorize",
                    "https://example.eu.auth0.com/oauth/token",
                    "https://example.eu.auth0.com/.well-known/jwks.json",
                    "",
                ],
            )
        },
        Shape {
            asked: &[("client_id", "portcullis"), ("scope", "openid profile email")],
            claims: json!({ "sub": "00u1", "realm_access": { "roles": ["admin"] } }),
            groups: &["admin"],
            ..oidc(
                "keycloak.md",
                "https://sso.example.com/realms/main",
                [
                    "https://sso.example.com/realms/main/protocol/openid-connect/auth",
                    "https://sso.example.com/realms/main/protocol/openid-connect/token",
                    "https://sso.example.com/realms/main/protocol/openid-connect/certs",
                    "",
                ],
            )
        },
        Shape {
            endpoints: [corp[0], corp[1], corp[2], "https://idp.example.com/userinfo"],
            asked: &[("client_id", "portcullis"), ("scope", "openid email profile offline_access")],
            user: json!({ "sub": "00u1", "groups": ["staff"] }),
            groups: &["staff"],
            ..oidc("oidc.md", "https://idp.example.com", corp)
        },
        Shape {
            block: 1,
            asked: &[("client_id", "portcullis"), ("scope", "openid offline_access")],
            sent: &[
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_id", "portcullis"),
            ],
            by_header: false,
            ..oidc("oidc.md", "https://idp.example.com", corp)
        },
        Shape {
            // The tokens of an OAuth App do not expire; these are a GitHub App's.
            asked: &[("client_id", "Iv1.0123456789abcdef"), ("scope", "read:user user:email")],
            user: json!({ "login": "octocat", "id": 583_231, "name": null, "email": null }),
            subject: "583231",
            ..oidc("github.md", "", github)
        },
        Shape {
            asked: &[("client_id", "0123456789.0123456789"), ("user_scope", "search:read")],
            answers: [
                json!({
                    "ok": true, "access_token": "xoxb-bot", "token_type": "bot", "bot_user_id": "U9",
                    "authed_user": {
                        "id": "U1", "access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 3600,
                        "token_type": "user",
                    },
                }),
                json!({
                    "ok": true, "access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 3600,
                    "token_type": "user", "team": { "id": "T1" },
                }),
            ],
            subject: "U1",
            ..oidc(
                "slack.md",
                "",
                ["https://slack.com/oauth/v2/authorize", "https://slack.com/api/oauth.v2.access", "", ""],
            )
        },
        Shape {
            asked: &[("client_id", "portcullis"), ("scope", "profile")],
            sent: &[("client_id", "portcullis"), ("client_secret", "the client secret")],
            by_header: false,
            user: json!({ "account_id": "00u1", "groups": ["staff"] }),
            groups: &["staff"],
            ..oidc("oauth2.md", "", hub)
        },
    ]
}

/// A page's configuration, with secrets in the place of variables.
fn configuration(page: &str, block: usize) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("```json\n").skip(1).nth(block).unwrap_or_else(|| panic!("{page} has no block {block}"));
    let mut provider: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
    for settings in ["oidcConfig", "oauth2Config"] {
        for (field, secret) in [("clientSecret", "the client secret"), ("clientKey", P256)] {
            if let Some(written) = provider.pointer_mut(&format!("/{settings}/{field}")) {
                *written = json!({ "inline": secret });
            }
        }
    }
    let mut document = document();
    document["resources"][0]["inject"]["providerName"] = provider["name"].clone();
    document["upstreamProviders"] = json!([provider]);
    document
}

/// The requests that a provider was sent, and what it remembers.
#[derive(Default)]
struct Seen {
    nonce: String,
    forms: Vec<(BTreeMap<String, String>, bool)>,
}

fn answer(shape: &Shape, call: &CallRequest, seen: &RefCell<Seen>) -> CallReply {
    assert!(!call.cluster.is_empty());
    let key = SigningKey::from_pem(ED25519).unwrap();
    let [authorization, token, keys, user] = shape.endpoints;
    match format!("https://{}{}", call.authority, call.path).as_str() {
        url if url == token => {
            let mut seen = seen.borrow_mut();
            let names = [
                "grant_type",
                "code",
                "redirect_uri",
                "code_verifier",
                "refresh_token",
                "client_id",
                "client_secret",
                "client_assertion_type",
                "client_assertion",
                "resource",
                "audience",
                "scope",
            ];
            let form = Params::parse(&call.body, Limits::OAUTH).unwrap();
            let told = |name: &str| Some((name.to_owned(), form.one(name).unwrap()?.to_owned()));
            let form: BTreeMap<_, _> = names.into_iter().filter_map(told).collect();
            let [first, second] = &shape.answers;
            let is_refresh = form["grant_type"] == "refresh_token";
            let header =
                call.headers.iter().any(|(name, value)| name == "authorization" && value.starts_with("Basic "));
            seen.forms.push((form, header));
            let mut answer = if is_refresh { second } else { first }.clone();
            if !shape.issuer.is_empty() {
                let client = shape.asked.iter().find(|(name, _)| *name == "client_id").unwrap().1;
                let mut claims = json!({
                    "iss": shape.issuer, "aud": client, "nonce": seen.nonce, "iat": NOW, "exp": NOW + 7_200,
                });
                claims.as_object_mut().unwrap().extend(shape.claims.as_object().unwrap().clone());
                let input = jws::encode(&Header { alg: key.alg(), kid: key.kid(), typ: "JWT" }, &claims);
                answer["id_token"] = json!(jws::attach(&input, &key.sign(input.as_bytes()).unwrap()));
            }
            json_reply(200, &answer.to_string())
        }
        url if url == keys => json_reply(200, &json!({ "keys": [key.public().to_jwk()] }).to_string()),
        url if url == user => {
            assert!(call.headers.contains(&("authorization".into(), "Bearer access-1".to_owned())));
            json_reply(200, &shape.user.to_string())
        }
        url if url.ends_with("/.well-known/openid-configuration") => {
            let mut document = json!({
                "issuer": shape.issuer, "authorization_endpoint": authorization, "token_endpoint": token,
                "jwks_uri": keys, "userinfo_endpoint": user,
            });
            document.as_object_mut().unwrap().extend(shape.document.as_object().unwrap().clone());
            json_reply(200, &document.to_string())
        }
        url => panic!("{}: {url}", shape.page),
    }
}

fn run(shape: Shape) {
    let case = format!("{} {}", shape.page, shape.block);
    let document = configuration(shape.page, shape.block);
    let fixture = Fixture::cold(&document);
    let (shape, seen) = (Rc::new(shape), Rc::<RefCell<Seen>>::default());
    let (provider, log) = (Rc::clone(&shape), Rc::clone(&seen));
    fixture.ports.serve_calls(move |call| Ok(answer(&provider, call, &log)));
    fixture.warm();

    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let (base, mut query) = fixture.answer_form(&browser, &form, "approve", &[]).redirect();
    assert_eq!(base, shape.endpoints[0], "{case}");
    let state = query.remove("state").unwrap();
    assert!(query.remove("code_challenge").is_some_and(|challenge| challenge.len() == 43), "{case}");
    let nonce = query.remove("nonce");
    assert_eq!(nonce.is_some(), !shape.issuer.is_empty(), "{case}");
    seen.borrow_mut().nonce = nonce.unwrap_or_default();
    let callback = "https://gw.example/oauth/callback";
    let usual = [("response_type", "code"), ("redirect_uri", callback), ("code_challenge_method", "S256")];
    let expected = usual.iter().chain(shape.asked).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assert_eq!(query, expected.collect(), "{case}");

    let code = code_of(&fixture.visit(&browser, &format!("/oauth/callback?code=the-code&state={state}")));
    let session = session(&tokens_of(&fixture.redeem(&client, &code, &[])));
    let id = fixture.gateway.config().providers.iter().next().unwrap().id;
    let stored = || {
        let records = Records::new(&fixture.gateway.config().sealer, &fixture.ports);
        block_on(records.load::<Upstream>(&upstream_key(&session_key(session), id))).unwrap().unwrap().record
    };
    let record = stored();
    assert!(record.access_token.ct_eq(b"access-1"), "{case}");
    assert_eq!((record.subject.as_str(), record.groups.as_slice()), (shape.subject, owned(shape.groups).as_slice()));

    fixture.advance(3_600);
    let token = UpstreamTokenRef { owner: TokenOwner::Session(session), provider: id };
    let outcome = block_on(refresh::refresh(fixture.gateway.clone(), token, Cause::Due, fixture.ports.clone()));
    assert_eq!(word(&outcome), "ready", "{case}");
    let record = stored();
    assert!(record.access_token.ct_eq(b"access-2") && record.refresh_token.is_some(), "{case}");

    let forms = std::mem::take(&mut seen.borrow_mut().forms);
    assert_eq!(forms.len(), 2, "{case}");
    for ((mut form, by_header), grant) in forms.into_iter().zip(["authorization_code", "refresh_token"]) {
        assert_eq!((form.remove("grant_type").as_deref(), by_header), (Some(grant), shape.by_header), "{case}");
        let own: Vec<_> = ["code", "redirect_uri", "code_verifier", "refresh_token"]
            .map(|name| form.remove(name))
            .into_iter()
            .flatten()
            .collect();
        match own.as_slice() {
            [code, redirect_uri, verifier] if grant == "authorization_code" => {
                assert_eq!(
                    (code.as_str(), redirect_uri.as_str(), verifier.len()),
                    ("the-code", callback, 43),
                    "{case}"
                );
            }
            [refresh_token] if grant == "refresh_token" => assert_eq!(refresh_token, "refresh-1", "{case}"),
            own => panic!("{case}: {own:?}"),
        }
        let is_signed = form.remove("client_assertion").is_some();
        assert_eq!(is_signed, form.contains_key("client_assertion_type"), "{case}");
        let expected = shape.sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(form, expected.collect(), "{case}");
    }
}

fn owned(groups: &[&str]) -> Vec<String> {
    groups.iter().map(|group| (*group).to_owned()).collect()
}

#[test]
fn each_configuration_works_from_login_to_refresh_and_sends_exactly_this() {
    shapes().into_iter().for_each(run);
}

#[test]
fn there_is_a_shape_for_each_configuration_of_a_provider() {
    let shapes = shapes();
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers");
    for page in std::fs::read_dir(pages).unwrap() {
        let page = page.unwrap();
        let name = page.file_name().into_string().unwrap();
        let blocks = std::fs::read_to_string(page.path()).unwrap().matches("```json\n").count();
        let covered = shapes.iter().filter(|shape| shape.page == name).count();
        // Service accounts log in nowhere; flows/trusted_issuers.rs has their tokens.
        assert!(covered == blocks || name == "kubernetes.md", "{name}: {covered} of {blocks}");
    }
}
