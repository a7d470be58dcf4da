//! The section of a provider that speaks OAuth 2.0 without discovery.

use super::*;

/// The section at which every provider of these tests is.
const SECTION: &str = "upstreamProviders[0].oauth2Config";

/// The document of a GitHub-shaped provider, with what the GitHub page of other products says.
fn github() -> Value {
    let provider = json!({
        "name": "github",
        "type": "oauth2",
        "oauth2Config": {
            "authorizationEndpoint": "https://github.com/login/oauth/authorize",
            "tokenEndpoint": "https://github.com/login/oauth/access_token",
            "cluster": "github",
            "userInfo": {
                "endpointUrl": "https://api.github.com/user",
                "cluster": "github-api",
                "httpMethod": "GET",
                "additionalHeaders": { "Accept": "application/vnd.github+json" },
                "fieldMapping": {
                    "subjectFields": ["id", "login"],
                    "nameFields": ["name", "login"],
                    "emailFields": ["email"],
                },
            },
            "clientId": "a-client",
            "clientSecret": { "env": "CLIENT_SECRET" },
            "scopes": ["user:email", "read:user"],
        },
    });
    let inject = json!({ "type": "upstreamInject", "providerName": "github" });
    with(with(minimal(), "/upstreamProviders/0", provider), "/resources/0/inject", inject)
}

/// A document with a field of the provider's section replaced, or added.
fn changed(pointer: &str, value: Value) -> Value {
    with(github(), &format!("/upstreamProviders/0/oauth2Config{pointer}"), value)
}

fn removed(field: &str) -> Value {
    let mut document = github();
    document["upstreamProviders"][0]["oauth2Config"].as_object_mut().unwrap().remove(field).unwrap();
    document
}

fn oauth2(config: &Config) -> &OAuth2Provider {
    match &config.providers.iter().next().unwrap().kind {
        ProviderKind::OAuth2(settings) => settings,
        ProviderKind::Oidc(_) => panic!("it is another kind of provider"),
    }
}

fn names(paths: &[JsonPath]) -> Vec<String> {
    paths.iter().map(|path| path.names().join(".")).collect()
}

#[test]
fn a_github_shaped_provider_is_taken_and_no_login_name_stands_for_its_accounts() {
    let config = compile(&github()).ok().unwrap();
    let (provider, login) = (oauth2(&config), config.providers.iter().next().unwrap());
    assert_eq!((login.account_space(), login.issuer()), ("https://github.com/login/oauth/authorize", None));
    assert!(!login.has_documents());
    assert_eq!(config.resources[0].injection.provider(), Some(login.id));
    let clusters: Vec<_> = provider.client.clusters.iter().map(|(host, name)| (host.as_str(), name.as_str())).collect();
    assert_eq!(clusters, [("api.github.com", "github-api"), ("github.com", "github")]);
    assert_eq!((provider.client.scope.as_str(), provider.client.default_token_life), ("user:email read:user", 3_600));
    assert!(matches!(provider.token_members, TokenMembers::Standard));
    let IdentitySource::UserInfo { endpoint, method, headers, members } = &provider.identity else {
        panic!("no userinfo")
    };
    assert_eq!((endpoint.to_string().as_str(), *method), ("https://api.github.com/user", "GET"));
    assert_eq!(headers, &[("accept".to_owned(), "application/vnd.github+json".to_owned())]);
    assert_eq!(names(&members.subject), ["id"]);
    assert_eq!(
        (names(&members.name), names(&members.email)),
        (vec!["name".into(), "login".into()], vec!["email".into()])
    );
}

#[test]
fn one_host_needs_one_cluster_and_a_mapping_has_defaults() {
    let user_info = json!({ "endpointUrl": "https://github.com/me?fields=a.b", "httpMethod": "POST" });
    let config = compile(&changed("/userInfo", user_info)).ok().unwrap();
    let provider = oauth2(&config);
    assert_eq!(provider.client.clusters.len(), 1);
    let IdentitySource::UserInfo { method, members, .. } = &provider.identity else { panic!("no userinfo") };
    assert_eq!(
        (*method, names(&members.subject), names(&members.name)),
        ("POST", vec!["sub".into()], vec!["name".into()])
    );
}

#[test]
fn members_of_the_token_answer_are_named_by_paths() {
    let mapping = json!({ "accessTokenPath": "authed_user.access_token", "expiresInPath": "authed_user.expires_in" });
    let mut document = changed("/tokenResponseMapping", mapping);
    let section = document["upstreamProviders"][0]["oauth2Config"].as_object_mut().unwrap();
    section.remove("userInfo").unwrap();
    section.insert("identityFromToken".to_owned(), json!({ "subjectPath": "authed_user.id", "namePath": "team.name" }));
    let config = compile(&document).ok().unwrap();
    let provider = oauth2(&config);
    let TokenMembers::Mapped { access_token, refresh_token, expires_in } = &provider.token_members else {
        panic!("not mapped")
    };
    assert_eq!(access_token.names(), ["authed_user", "access_token"]);
    assert!(refresh_token.is_none() && expires_in.is_some());
    let IdentitySource::TokenAnswer(members) = &provider.identity else { panic!("it has a userinfo") };
    assert_eq!((names(&members.subject), members.email.len()), (vec!["authed_user.id".into()], 0));
}

#[test]
fn what_cannot_be_used_is_refused_where_it_stands() {
    let long = "x".repeat(1_025);
    for (document, place) in [
        (removed("userInfo"), "userInfo"),
        (removed("tokenEndpoint"), "tokenEndpoint"),
        (changed("/tokenEndpoint", json!("http://github.com/token")), "tokenEndpoint"),
        (changed("/tokenEndpoint", json!("https://u@github.com/token")), "tokenEndpoint"),
        (changed("/authorizationEndpoint", json!("https://github.com/authorize#top")), "authorizationEndpoint"),
        (changed("/authorizationEndpoint", json!("/authorize")), "authorizationEndpoint"),
        (changed("/cluster", json!("")), "cluster"),
        (changed("/clientId", json!("")), "clientId"),
        (changed("/scopes", json!(["a b"])), "scopes"),
        (changed("/defaultTokenLifespan", json!("1s")), "defaultTokenLifespan"),
        (changed("/additionalAuthorizationParams", json!({ "state": "x" })), "additionalAuthorizationParams.state"),
        (changed("/identityFromToken", json!({ "subjectPath": "id" })), "identityFromToken"),
        (changed("/userInfo/endpointUrl", json!("http://api.github.com/user")), "userInfo.endpointUrl"),
        (changed("/userInfo/cluster", json!("")), "userInfo.cluster"),
        (changed("/userInfo/cluster", Value::Null), "userInfo.cluster"),
        (changed("/userInfo/endpointUrl", json!("https://github.com/user")), "userInfo.cluster"),
        (changed("/userInfo/httpMethod", json!("PUT")), "userInfo.httpMethod"),
        (changed("/userInfo/fieldMapping/subjectFields", json!([])), "userInfo.fieldMapping.subjectFields"),
        (
            changed("/userInfo/fieldMapping/subjectFields", json!(["login", "Email"])),
            "userInfo.fieldMapping.subjectFields",
        ),
        (
            changed("/userInfo/additionalHeaders", json!({ "Authorization": "x" })),
            "userInfo.additionalHeaders.Authorization",
        ),
        (
            changed("/userInfo/additionalHeaders", json!({ "x-envoy-original-path": "/" })),
            "userInfo.additionalHeaders.x-envoy-original-path",
        ),
        (changed("/userInfo/additionalHeaders", json!({ ":path": "/" })), "userInfo.additionalHeaders"),
        (changed("/userInfo/additionalHeaders", json!({ "a": "x\ny" })), "userInfo.additionalHeaders.a"),
        (changed("/userInfo/additionalHeaders", json!({ "a": long })), "userInfo.additionalHeaders.a"),
        (changed("/userInfo/additionalHeaders", json!({ "A": "1", "a": "2" })), "userInfo.additionalHeaders.a"),
        (
            changed("/tokenResponseMapping", json!({ "accessTokenPath": "a..b" })),
            "tokenResponseMapping.accessTokenPath",
        ),
        (
            changed("/tokenResponseMapping", json!({ "accessTokenPath": "a.b.c.d.e.f.g.h.i" })),
            "tokenResponseMapping.accessTokenPath",
        ),
        (changed("/tokenResponseMapping", json!({})), "tokenResponseMapping.accessTokenPath"),
    ] {
        let problem = problem_of(document);
        assert_eq!(path(&problem), format!("{SECTION}.{place}"), "{problem}");
    }
    let mut document = removed("userInfo");
    document["upstreamProviders"][0]["oauth2Config"]["identityFromToken"] = json!({ "subjectPath": "user.email" });
    assert_eq!(path(&problem_of(document)), format!("{SECTION}.identityFromToken.subjectPath"));
    let headers: serde_json::Map<_, _> = (0..17).map(|n| (format!("x-{n}"), json!("v"))).collect();
    let problem = problem_of(changed("/userInfo/additionalHeaders", Value::Object(headers)));
    assert_eq!(path(&problem), format!("{SECTION}.userInfo.additionalHeaders"));
}

#[test]
fn a_provider_has_the_block_of_its_type_and_no_other() {
    let both =
        with(github(), "/upstreamProviders/0/oidcConfig", minimal()["upstreamProviders"][0]["oidcConfig"].clone());
    assert_eq!(path(&problem_of(both.clone())), "upstreamProviders[0].oidcConfig");
    let as_oidc = with(both, "/upstreamProviders/0/type", json!("oidc"));
    assert_eq!(path(&problem_of(as_oidc)), SECTION);
    for (kind, missing) in [("oidc", "oidcConfig"), ("oauth2", "oauth2Config")] {
        let mut document = minimal();
        document["upstreamProviders"][0] = json!({ "name": "idp", "type": kind });
        assert_eq!(problem_of(document), format!("upstreamProviders[0].{missing}: is required"));
    }
}
