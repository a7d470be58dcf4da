use super::*;

/// The one problem of the minimal document with one value replaced.
fn problem_at(pointer: &str, value: Value) -> String {
    problem_of(with(minimal(), pointer, value))
}

#[test]
fn a_document_that_is_no_json_object_is_refused_as_a_whole() {
    let whole = |bytes: &[u8]| match Config::compile(bytes, &environment) {
        Ok(_) => panic!("accepted"),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    assert_eq!(whole(b""), ["configuration: is not JSON"]);
    assert_eq!(whole(b"[]"), ["configuration: must be a JSON object"]);
    assert_eq!(whole(br#"{"issuer":"a","issuer":"b"}"#), ["configuration: has a field twice"]);
    assert_eq!(whole(b"{\"issuer\":\"\xff\"}"), ["configuration: is not UTF-8"]);
    assert_eq!(whole(&b"{\"a\":".repeat(40)), ["configuration: is nested too deeply"]);
    assert_eq!(whole(&vec![b' '; 64 * 1024 + 1]), ["configuration: is larger than 64 KiB"]);
}

#[test]
fn every_required_section_is_missed_by_name() {
    for name in ["issuer", "signingKeys", "secrets", "upstreamProviders", "resources"] {
        assert_eq!(problem_of(without(minimal(), name)), format!("{name}: is required"));
    }
}

#[test]
fn a_list_without_entries_is_refused() {
    for name in ["signingKeys", "secrets", "upstreamProviders", "resources"] {
        let found = problems(&with(minimal(), &format!("/{name}"), json!([])));
        assert!(found.contains(&format!("{name}: must have at least one entry")), "{found:?}");
    }
}

#[test]
fn an_unknown_field_is_refused_at_every_level() {
    for (pointer, expected) in [
        ("/strange", "strange"),
        ("/signingKeys/0/strange", "signingKeys[0]"),
        ("/tokenLifespans/strange", "tokenLifespans.strange"),
        ("/storage/strange", "storage.strange"),
        ("/clients/strange", "clients.strange"),
        ("/clients/dynamicRegistration/strange", "clients.dynamicRegistration.strange"),
        ("/clients/metadataDocuments/strange", "clients.metadataDocuments.strange"),
        ("/clients/dynamicRegistration/max", "clients.dynamicRegistration.max"),
        ("/consent/strange", "consent.strange"),
        ("/logins/strange", "logins.strange"),
        ("/upstreamProviders/0/strange", "upstreamProviders[0].strange"),
        ("/upstreamProviders/0/oidcConfig/strange", "upstreamProviders[0].oidcConfig.strange"),
        ("/trustedIssuers/0/strange", "trustedIssuers[0].strange"),
        ("/resources/0/strange", "resources[0].strange"),
        ("/resources/0/match/strange", "resources[0].match.strange"),
        ("/resources/0/inject/strange", "resources[0].inject.strange"),
    ] {
        let found = problems(&with(full(), pointer, json!(1)));
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        assert_eq!(path(&found[0]), expected, "{found:?}");
    }
}

#[test]
fn a_value_of_another_type_is_refused_where_it_stands() {
    for (pointer, expected) in [
        ("/issuer", "issuer"),
        ("/secrets", "secrets"),
        ("/tokenLifespans/accessToken", "tokenLifespans.accessToken"),
        ("/storage/maxBytes", "storage.maxBytes"),
        ("/upstreamProviders/0/oidcConfig/clusters/keys", "upstreamProviders[0].oidcConfig.clusters.keys"),
        ("/resources/0/resource", "resources[0].resource"),
        ("/resources/1/scopes", "resources[1].scopes"),
        ("/default", "default"),
        ("/defaultResource", "defaultResource"),
        ("/defaultEndpoints", "defaultEndpoints"),
        ("/trustedProxies", "trustedProxies"),
        ("/development", "development"),
    ] {
        let found = problems(&with(full(), pointer, json!(-1.5)));
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        assert_eq!(path(&found[0]), expected, "{found:?}");
    }
    assert_eq!(path(&problem_at("/trustedProxies", json!(256))), "trustedProxies");
}

#[test]
fn a_resource_is_of_a_known_kind() {
    for kind in ["mcp", "http"] {
        assert_eq!(problems(&with(full(), "/resources/0/kind", json!(kind))), [""; 0], "{kind}");
    }
    for kind in ["MCP", "api", ""] {
        assert_eq!(path(&problem_at("/resources/0/kind", json!(kind))), "resources[0].kind", "{kind}");
    }
}

#[test]
fn the_default_resource_is_one_that_there_is() {
    for other in ["https://gateway.example/other", "https://gateway.example/api/x", "/api", ""] {
        assert_eq!(path(&problem_at("/defaultResource", json!(other))), "defaultResource", "{other}");
    }
}

#[test]
fn words_that_are_no_choice_are_refused() {
    for (pointer, expected) in [
        ("/default", "default"),
        (
            "/upstreamProviders/0/oidcConfig/clientAuthentication",
            "upstreamProviders[0].oidcConfig.clientAuthentication",
        ),
        ("/resources/0/inject/type", "resources[0].inject.type"),
        ("/upstreamProviders/0/type", "upstreamProviders[0].type"),
        ("/storage/type", "storage.type"),
    ] {
        let found = problems(&with(full(), pointer, json!("strange")));
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        assert_eq!(path(&found[0]), expected, "{found:?}");
    }
}

#[test]
fn an_issuer_that_clients_could_not_compare_is_refused() {
    for (issuer, complaint) in [
        ("", "must be an absolute https URL"),
        ("gateway.example", "must be an absolute https URL"),
        ("http://gateway.example", "must be https"),
        ("http://127.0.0.1:8080", "must be https; http is only for loopback with \"development\": true"),
        ("http://127.0.0.1.example", "must be https"),
        ("ftp://gateway.example", "must be an absolute https URL"),
        ("https://gateway.example?a", "must have no query"),
        ("https://gateway.example#a", "must have no query"),
        ("https://user@gateway.example", "must have no query, fragment or user name"),
        ("https://:password@gateway.example", "must have no query, fragment or user name"),
        ("https://gateway.example/", "must be written as https://gateway.example"),
        ("https://gateway.example/auth/", "must be written as https://gateway.example/auth"),
        ("https://GATEWAY.example", "must be written as https://gateway.example"),
        ("https://gateway.example:443", "must be written as https://gateway.example"),
        ("https://gateway.example/a/../b", "must be an absolute https URL"),
        ("https://gateway.example/a//b", "no request could reach it: the path has an empty segment"),
        ("https://gateway.example/a%2fb", "no request could reach it: the path has an encoded slash"),
        (" https://gateway.example", "must be an absolute https URL"),
    ] {
        let problem = problem_at("/issuer", json!(issuer));
        assert!(problem.starts_with("issuer: ") && problem.contains(complaint), "{issuer}: {problem}");
    }
}

#[test]
fn a_duration_outside_its_range_is_refused() {
    for (pointer, least, most) in [
        ("/tokenLifespans/accessToken", "59s", "24h1s"),
        ("/tokenLifespans/refreshToken", "59m59s", "30d1s"),
        ("/tokenLifespans/authorizationCode", "29s", "10m1s"),
        ("/tokenLifespans/connection", "59m59s", "365d1s"),
        ("/clients/dynamicRegistration/lifetime", "59s", "366d"),
        ("/consent/remember", "", "366d"),
    ] {
        for text in [least, most, "10", "1w", "-1s"] {
            let problem = problem_of(with(full(), pointer, json!(text)));
            assert_eq!(format!("/{}", path(&problem).replace('.', "/")), pointer, "{text}: {problem}");
        }
    }
    for (pointer, least, most) in [
        ("/tokenLifespans/accessToken", "1m", "24h"),
        ("/tokenLifespans/refreshToken", "1h", "30d"),
        ("/tokenLifespans/authorizationCode", "30s", "10m"),
        ("/tokenLifespans/connection", "1h", "365d"),
        ("/upstreamProviders/0/oidcConfig/defaultTokenLifespan", "1m", "30d"),
    ] {
        for text in [least, most] {
            assert_eq!(problems(&with(full(), pointer, json!(text))), [""; 0], "{pointer} {text}");
        }
    }
}

#[test]
fn the_life_of_a_token_of_which_nothing_is_told_has_a_range() {
    for text in ["59s", "30d1s", "0s", "10"] {
        let problem = problem_of(with(full(), "/upstreamProviders/0/oidcConfig/defaultTokenLifespan", json!(text)));
        assert!(problem.starts_with("upstreamProviders[0].oidcConfig.defaultTokenLifespan: "), "{text}: {problem}");
    }
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for (pointer, value) in [
        ("/clients/dynamicRegistration/ratePerMinute", 0),
        ("/clients/dynamicRegistration/ratePerMinute", 1_000_001),
        ("/logins/ratePerMinute", 0),
        ("/logins/ratePerMinute", 1_000_001),
        ("/storage/maxBytes", 1_048_575_u64),
        ("/storage/maxBytes", 8 * 1024 * 1024 * 1024 + 1),
    ] {
        let problem = problem_of(with(full(), pointer, json!(value)));
        assert_eq!(format!("/{}", path(&problem).replace('.', "/")), pointer, "{problem}");
    }
}

#[test]
fn a_bridge_needs_a_cluster_names_that_are_dns_labels_and_a_bounded_time() {
    for (pointer, values) in [
        ("/storage/cluster", vec![""]),
        ("/storage/namespace", vec!["", "Prod", "a.b", "-a", "a-", "a}", "a:b", "ä", LABEL_TOO_LONG]),
        ("/storage/name", vec!["", "Gateway", "a/b", "a_b", LABEL_TOO_LONG]),
        ("/storage/timeout", vec!["", "0s", "11s", "soon"]),
    ] {
        for value in values {
            let problem = problem_of(with(bridged(), pointer, json!(value)));
            assert_eq!(format!("/{}", path(&problem).replace('.', "/")), pointer, "{problem}");
        }
    }
    for timeout in ["1s", "10s"] {
        assert_eq!(problems(&with(bridged(), "/storage/timeout", json!(timeout))), [""; 0]);
    }
    for name in ["cluster", "namespace", "name"] {
        let mut document = bridged();
        document["storage"].as_object_mut().unwrap().remove(name);
        assert_eq!(problem_of(document), format!("storage.{name}: is required"));
    }
    assert_eq!(path(&problem_of(with(bridged(), "/storage/maxBytes", json!(1_048_576)))), "storage.maxBytes");
    assert_eq!(path(&problem_of(with(full(), "/storage/cluster", json!("redis-bridge")))), "storage.cluster");
}

#[test]
fn a_consent_page_that_could_be_abused_is_refused() {
    assert_eq!(path(&problem_of(with(full(), "/consent/title", json!("")))), "consent.title");
    assert_eq!(path(&problem_of(with(full(), "/consent/title", json!("x".repeat(81))))), "consent.title");
    assert_eq!(problems(&with(full(), "/consent/title", json!("é".repeat(80)))), [""; 0]);
    let too_long = format!("data:image/png;base64,{}", "A".repeat(32 * 1024));
    for logo in [
        "https://elsewhere.example/logo.png",
        "data:text/html;base64,AAAA",
        "data:image/png,AAAA",
        "data:image/png;base64,AA\"><script>",
        too_long.as_str(),
    ] {
        assert_eq!(path(&problem_of(with(full(), "/consent/logo", json!(logo)))), "consent.logo");
    }
}

#[test]
fn scopes_are_single_words_and_all_supported() {
    for scopes in [json!([""]), json!(["a b"]), json!(["a\"b"]), json!(["é"])] {
        assert_eq!(path(&problem_at("/scopesSupported", scopes.clone())), "scopesSupported");
        assert_eq!(path(&problem_at("/resources/0/scopes", scopes)), "resources[0].scopes");
    }
    assert_eq!(
        problem_at("/resources/0/scopes", json!(["admin"])),
        "resources[0].scopes: must all be in scopesSupported"
    );
}

#[test]
fn a_provider_that_cannot_be_asked_is_refused() {
    let oidc = "/upstreamProviders/0/oidcConfig";
    for (pointer, value) in [
        ("/upstreamProviders/0/name", json!("Corp")),
        ("/upstreamProviders/0/name", json!("-corp")),
        ("/upstreamProviders/0/name", json!("")),
        ("/upstreamProviders/0/name", json!("x".repeat(64))),
        ("/issuerUrl", json!("idp.example")),
        ("/issuerUrl", json!("http://idp.example")),
        ("/issuerUrl", json!("http://127.0.0.1:9000")),
        ("/issuerUrl", json!("https://idp.example?tenant=1")),
        ("/issuerUrl", json!("https://user@idp.example")),
        ("/clientId", json!("")),
        ("/cluster", json!("")),
        ("/scopes", json!(["email"])),
        ("/scopes", json!(["openid", "a b"])),
        ("/clientSecret", json!({ "env": "ABSENT" })),
        ("/clientAuthentication", json!("basic")),
        ("/clientAuthentication", json!("post")),
        ("/clientAuthentication", json!("private_key_jwt")),
    ] {
        let pointer = if pointer.ends_with("/name") { pointer.to_owned() } else { format!("{oidc}{pointer}") };
        let problem = problem_at(&pointer, value);
        let expected = pointer.trim_start_matches('/').replace("/0/", "[0].").replace('/', ".");
        assert_eq!(path(&problem), expected, "{problem}");
    }
}

#[test]
fn parameters_that_the_gateway_sets_cannot_be_configured() {
    for name in ["state", "nonce", "redirect_uri", "scope", "client_id", "code_challenge", "response_mode"] {
        let pointer = "/upstreamProviders/0/oidcConfig/additionalAuthorizationParams";
        let problem = problem_at(pointer, json!({ name: "x" }));
        assert!(problem.ends_with(&format!("{name}: is set by the gateway itself")), "{problem}");
    }
}

#[test]
fn a_prefix_that_is_no_plain_path_or_is_ours_is_refused() {
    for prefix in [
        "",
        "mcp",
        "//mcp",
        "/mcp//x",
        "/mcp/../x",
        "/./mcp",
        "/%6dcp",
        "/mcp?x",
        "/mcp#x",
        "/m cp",
        "/m\\cp",
        "/é",
        "/mcp;v=1",
        "/mcp./x",
        "/mcp/...",
        "/.",
        "/oauth",
        "/oauth/",
        "/oauth/token",
        "/.well-known",
        "/.well-known/x",
    ] {
        assert_eq!(
            path(&problem_at("/resources/0/match/prefix", json!(prefix))),
            "resources[0].match.prefix",
            "{prefix}"
        );
    }
    assert_eq!(
        path(&problem_of(with(full(), "/resources/0/match/prefix", json!("/auth/oauth")))),
        "resources[0].match.prefix"
    );
    for prefix in ["/oauthx", "/OAuth", "/well-known", "/.hidden", "/v1.2/mcp", "/token"] {
        assert_eq!(problems(&with(minimal(), "/resources/0/match/prefix", json!(prefix))), [""; 0], "{prefix}");
    }
}

#[test]
fn two_resources_share_neither_prefix_nor_uri() {
    let first = full()["resources"][0].clone();
    let same_prefix = with(json!({ "r": first }), "/r/resource", json!("https://gateway.example/other"))["r"].clone();
    assert_eq!(
        problem_of(with(full(), "/resources/2", same_prefix)),
        "resources[2].match.prefix: is another resource's prefix too (whatever the case of its letters)"
    );
    let same_but_for_case = with(full(), "/resources/1/match/prefix", json!("/MCP"));
    assert_eq!(path(&problem_of(same_but_for_case)), "resources[1].match.prefix");
    for same_path in ["HTTPS://gateway.example:443/mcp", "https://other.example/mcp/"] {
        let document = with(full(), "/resources/1/resource", json!(same_path));
        assert_eq!(problem_of(document), "resources[1].resource: has the path of another resource's URI");
    }
}

#[test]
fn a_resource_that_is_no_http_uri_is_refused() {
    for uri in ["", "/mcp", "urn:mcp", "https://gateway.example/mcp#x", "https://user@gateway.example/mcp"] {
        assert_eq!(path(&problem_at("/resources/0/resource", json!(uri))), "resources[0].resource", "{uri}");
    }
}

#[test]
fn a_resource_whose_metadata_no_request_could_name_is_refused() {
    for (uri, cause) in [
        ("https://gateway.example/a%2fb", "the path has an encoded slash"),
        ("https://gateway.example/mcp/;x", "the path has an empty segment"),
    ] {
        let expected = format!("resources[0].resource: its metadata could not be asked for: {cause}");
        assert_eq!(problem_at("/resources/0/resource", json!(uri)), expected);
    }
}

#[test]
fn a_token_is_injected_only_where_one_may_stand() {
    for header in [
        "",
        "host",
        "Host",
        "content-length",
        "transfer-encoding",
        "Connection",
        "cookie",
        "te",
        "x-envoy-peer",
        ":path",
        "a b",
        "a\r\nb",
    ] {
        let problem = problem_of(with(full(), "/resources/0/inject/header", json!(header)));
        assert_eq!(path(&problem), "resources[0].inject.header", "{header:?}");
    }
    assert_eq!(
        problem_of(with(full(), "/resources/0/inject/providerName", json!("other"))),
        "resources[0].inject.providerName: is not the name of a configured provider"
    );
}

/// One letter more than a DNS label has.
const LABEL_TOO_LONG: &str = "a123456789a123456789a123456789a123456789a123456789a123456789a123";
