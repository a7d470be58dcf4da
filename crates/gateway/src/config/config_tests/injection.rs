//! Fixed credentials for a backend, headers about the caller, a signed statement.

use super::*;

/// The minimal configuration with these fields of its resource.
fn resource(fields: &Value) -> Value {
    let mut document = minimal();
    for (name, value) in fields.as_object().unwrap() {
        document["resources"][0][name] = value.clone();
    }
    document["development"] = json!(true);
    document
}

fn injected(inject: &Value) -> (String, Vec<u8>) {
    let config = compile(&resource(&json!({ "inject": inject }))).ok().unwrap();
    let Injection::Static(field) = &config.resources[0].injection else { panic!("something else is injected") };
    assert!(config.resources[0].injection.token().is_none() && config.resources[0].injection.provider().is_none());
    (field.name.to_string(), field.value.expose().clone())
}

#[test]
fn a_fixed_credential_is_a_whole_value_or_a_bearer_token() {
    let header = json!({ "type": "header", "name": "X-Api-Key", "value": { "inline": "a key, \"quoted\"" } });
    assert_eq!(injected(&header), ("x-api-key".to_owned(), b"a key, \"quoted\"".to_vec()));
    let bearer = json!({ "type": "bearer", "token": { "env": "SECRET" } });
    let (name, value) = injected(&bearer);
    assert_eq!((name.as_str(), value.starts_with(b"Bearer ")), ("authorization", true));
    let other = json!({ "type": "bearer", "token": { "inline": "t" }, "header": "X-Backend" });
    assert_eq!(injected(&other), ("x-backend".to_owned(), b"Bearer t".to_vec()));
}

#[test]
fn a_credential_that_a_header_cannot_have_is_refused_and_not_repeated() {
    for value in ["two\nlines", "a\rb", "nul\0", "z\u{eb}", "tab\t.", " a", "a ", "", &"x".repeat(8193)] {
        for (inject, at) in [
            (json!({ "type": "header", "name": "x-key", "value": { "inline": value } }), "inject.value"),
            (json!({ "type": "bearer", "token": { "inline": value } }), "inject.token"),
        ] {
            let found = problems(&resource(&json!({ "inject": inject })));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(path(&found[0]), format!("resources[0].{at}"));
            assert!(value.len() < 3 || !found[0].contains(value.trim()), "{found:?}");
        }
    }
    let spaced = json!({ "inject": { "type": "bearer", "token": { "inline": "a b" } } });
    assert_eq!(problems(&resource(&spaced)).len(), 1, "a token has no space");
}

#[test]
fn no_header_that_carries_the_request_is_set_or_taken_from_clients() {
    for name in [
        "",
        "Cookie",
        "content-type",
        "x_user",
        "x user",
        "mcp-session-id",
        "Sec-Fetch-Site",
        "x-envoy-peer",
        "x-request-id",
        "x-forwarded-for",
        ":path",
        "host",
        "z\u{eb}",
        &"x".repeat(65),
    ] {
        for (fields, at) in [
            (json!({ "inject": { "type": "header", "name": name, "value": { "inline": "v" } } }), "inject.name"),
            (json!({ "inject": { "type": "bearer", "header": name, "token": { "inline": "v" } } }), "inject.header"),
            (json!({ "identityHeaders": { name: "sub" } }), "identityHeaders"),
            (json!({ "identityToken": { "header": name } }), "identityToken.header"),
        ] {
            let found = problems(&resource(&fields));
            assert_eq!(found.iter().map(|problem| path(problem)).collect::<Vec<_>>(), [format!("resources[0].{at}")]);
        }
    }
    for fields in [
        json!({ "identityHeaders": { "Authorization": "sub" } }),
        json!({ "identityToken": { "header": "authorization" } }),
    ] {
        assert_eq!(problems(&resource(&fields)).len(), 1, "{fields}");
    }
}

#[test]
fn what_is_told_about_callers_is_taken_as_written() {
    let fields = json!({
        "identityHeaders": { "X-User-Id": "sub", "x-forwarded-email": "email", "x-subject": "subject", "x-name": "name", "x-groups": "groups" },
        "identityToken": { "header": "X-Identity", "lifespan": "10m" },
    });
    let config = compile(&resource(&fields)).ok().unwrap();
    let identity = config.resources[0].identity.as_ref().unwrap();
    let headers: Vec<_> = identity.headers.iter().map(|(name, claim)| (&**name, *claim)).collect();
    assert_eq!(
        headers,
        [
            ("x-user-id", IdentityClaim::Sub),
            ("x-forwarded-email", IdentityClaim::Email),
            ("x-groups", IdentityClaim::Groups),
            ("x-name", IdentityClaim::Name),
            ("x-subject", IdentityClaim::Subject),
        ]
    );
    let token = identity.token.as_ref().unwrap();
    assert_eq!(
        (&*token.header, token.audience.as_str(), token.lifespan),
        ("x-identity", "https://gateway.example/mcp", 600)
    );
    let reserved = config.reserved_names.unwrap();
    for name in ["x-user-id", "X_USER_ID", "x_identity", "x-forwarded-email"] {
        assert!(reserved.has(name.as_bytes()), "{name}");
    }
}

#[test]
fn headers_about_callers_are_few_and_have_names_of_their_own() {
    let many: serde_json::Map<String, Value> = (0..17).map(|n| (format!("x-{n}"), json!("sub"))).collect();
    for (fields, at) in [
        (json!({ "identityHeaders": many }), "identityHeaders"),
        (json!({ "identityHeaders": { "x-a": "sub", "X-A": "email" } }), "identityHeaders"),
        (json!({ "identityHeaders": { "x-a": "sub" }, "identityToken": { "header": "x-a" } }), "identityHeaders"),
        (
            json!({ "identityHeaders": { "x-a": "sub" }, "inject": { "type": "header", "name": "x-a", "value": { "inline": "v" } } }),
            "identityHeaders",
        ),
        (json!({ "identityHeaders": { "x-a": "password" } }), "identityHeaders.x-a"),
        (json!({ "identityToken": { "header": "x-a", "audience": "" } }), "identityToken.audience"),
        (json!({ "identityToken": { "header": "x-a", "lifespan": "59s" } }), "identityToken.lifespan"),
        (json!({ "identityToken": { "header": "x-a", "lifespan": "61m" } }), "identityToken.lifespan"),
    ] {
        let found = problems(&resource(&fields));
        assert_eq!(
            found.iter().map(|problem| path(problem)).collect::<Vec<_>>(),
            [format!("resources[0].{at}")],
            "{found:?}"
        );
    }
}

#[test]
fn a_gateway_without_keys_signs_nothing() {
    let document = json!({
        "trustedIssuers": [{ "issuer": "https://corp.example", "cluster": "corp", "audiences": ["a"] }],
        "resources": [{
            "resource": "https://gateway.example/mcp",
            "match": { "prefix": "/mcp" },
            "identityHeaders": { "x-user": "sub" },
            "identityToken": { "header": "x-identity" },
        }],
    });
    let found = problems(&document);
    assert_eq!(found.iter().map(|problem| path(problem)).collect::<Vec<_>>(), ["resources[0].identityToken"]);
    let mut without = document;
    without["resources"][0].as_object_mut().unwrap().remove("identityToken");
    assert!(problems(&without).is_empty());
}

fn exchange() -> Value {
    json!({
        "type": "tokenExchange", "tokenUrl": "https://sts.example/token", "cluster": "sts", "clientId": "gateway",
        "clientSecret": { "env": "SECRET" }, "clientAuthentication": "post", "audience": "backend",
        "resource": "https://backend.example/api", "scopes": ["read"], "subjectProviderName": "idp",
        "subjectTokenType": "id_token", "header": "X-Backend",
    })
}

#[test]
fn an_exchange_is_taken_as_written() {
    let config = compile(&resource(&json!({ "inject": exchange() }))).ok().unwrap();
    let injection = &config.resources[0].injection;
    let exchange = injection.exchange().unwrap();
    assert_eq!((&*exchange.name, &*exchange.header), ("https://sts.example/token", "x-backend"));
    assert_eq!(
        (exchange.audience.as_deref(), exchange.resource.as_deref()),
        (Some("backend"), Some("https://backend.example/api"))
    );
    assert_eq!((exchange.client.client_id.as_str(), exchange.client.scope.as_str()), ("gateway", "read"));
    assert_eq!(exchange.client.authentication, ClientAuthentication::Post);
    assert_eq!(exchange.client.clusters["sts.example"], "sts");
    let idp = config.providers.iter().next().unwrap().id;
    assert_eq!((injection.provider(), injection.token()), (Some(idp), Some(exchange.id)));
    assert!(config.exchange(exchange.id).is_some() && config.exchange(idp).is_none());
    assert!(config.keeps_id_token(idp));
    assert!(config.reserved_names.as_ref().unwrap().has(b"x_backend"));

    // The least that an exchange needs.
    let least =
        json!({ "type": "tokenExchange", "tokenUrl": "https://sts.example/token", "cluster": "sts", "clientId": "g" });
    let config = compile(&resource(&json!({ "inject": least }))).ok().unwrap();
    let exchange = config.resources[0].injection.exchange().unwrap();
    assert_eq!((exchange.subject, exchange.subject_type), (idp, SubjectTokenType::AccessToken));
    assert_eq!((&*exchange.header, exchange.client.client_secret.is_none()), ("authorization", true));
    assert!(!config.keeps_id_token(idp) && exchange.audience.is_none() && exchange.resource.is_none());
}

#[test]
fn an_exchange_with_a_mistake_is_refused_where_it_stands() {
    for (name, value) in [
        ("tokenUrl", json!("http://sts.example/token")),
        ("tokenUrl", json!("sts.example")),
        ("tokenUrl", json!("https://user@sts.example/token")),
        ("cluster", json!("")),
        ("clientId", json!("")),
        ("clientSecret", json!({ "env": "ABSENT" })),
        ("clientAuthentication", json!("tls")),
        ("audience", json!("")),
        ("resource", json!("/relative")),
        ("resource", json!("https://backend.example/#fragment")),
        ("scopes", json!(["two words"])),
        ("subjectProviderName", json!("another")),
        ("subjectTokenType", json!("saml2")),
        ("header", json!("cookie")),
        ("actorToken", json!("x")),
    ] {
        let mut inject = exchange();
        inject[name] = value.clone();
        let found = problems(&resource(&json!({ "inject": inject })));
        let at = format!("resources[0].inject.{name}");
        assert_eq!(found.iter().map(|problem| path(problem)).collect::<Vec<_>>(), [at], "{value}: {found:?}");
    }
}

#[test]
fn the_token_that_is_exchanged_is_one_that_each_login_brings() {
    let provider = |name: &str, login: &str| {
        let issuer = format!("https://{name}.example");
        json!({
            "name": name, "type": "oidc", "login": login,
            "oidcConfig": { "issuerUrl": issuer, "cluster": name, "clientId": "portcullis" },
        })
    };
    let with = |providers: Value, subject: Option<&str>| {
        let mut inject = exchange();
        inject.as_object_mut().unwrap().remove("subjectProviderName");
        if let Some(subject) = subject {
            inject["subjectProviderName"] = json!(subject);
        }
        let mut document = resource(&json!({ "inject": inject }));
        document["upstreamProviders"] = providers;
        document
    };
    let chain = json!([provider("one", "required"), provider("two", "required"), provider("three", "onDemand")]);
    let config = compile(&with(chain.clone(), None)).ok().unwrap();
    assert_eq!(config.resources[0].injection.provider(), Some(config.providers.iter().next().unwrap().id));
    let config = compile(&with(chain.clone(), Some("two"))).ok().unwrap();
    assert_eq!(config.resources[0].injection.provider(), Some(config.providers.iter().nth(1).unwrap().id));
    let choice = json!([provider("one", "choice"), provider("two", "choice")]);
    for (providers, subject) in [(chain, Some("three")), (choice.clone(), Some("one")), (choice, None)] {
        let found = problems(&with(providers, subject));
        let found: Vec<_> = found.iter().map(|problem| path(problem)).collect();
        assert_eq!(found, ["resources[0].inject.subjectProviderName"]);
    }
}

#[test]
fn the_token_of_a_trusted_issuer_is_not_exchanged() {
    let mut document = resource(&json!({ "inject": exchange(), "issuers": ["self", "https://corp.example"] }));
    document["trustedIssuers"] = json!([{ "issuer": "https://corp.example", "cluster": "corp", "audiences": ["a"] }]);
    let found = problems(&document);
    assert_eq!(found.iter().map(|problem| path(problem)).collect::<Vec<_>>(), ["resources[0].issuers"]);
}
