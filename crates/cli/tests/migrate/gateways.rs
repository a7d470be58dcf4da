//! Which servers share a gateway, and what their backends get.

use serde_json::{Value, json};

use crate::{EMBEDDED, EXTERNAL, assert_checked, migrated};

/// The URIs of the resources.
fn resources(plugin: &Value) -> Vec<&str> {
    plugin["resources"].as_array().unwrap().iter().map(|resource| resource["resource"].as_str().unwrap()).collect()
}

fn server(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: toolhive.stacklok.dev/v1beta1\nkind: MCPServer\nmetadata: {{ name: {name}, namespace: tools }}\n\
         spec:\n{spec}"
    )
}

fn external_auth(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: toolhive.stacklok.dev/v1beta1\nkind: MCPExternalAuthConfig\nmetadata: {{ name: {name}, \
         namespace: tools }}\nspec:\n{spec}"
    )
}

#[test]
fn servers_behind_one_authorization_server_are_resources_of_one_gateway() {
    let second = "  authServerRef: { kind: MCPExternalAuthConfig, name: login }\n  oidcConfig: { type: inline, \
                  resourceUrl: https://mcp.example.com/maps, inline: { issuer: https://mcp.example.com } }\n";
    let done = migrated(&format!("{EMBEDDED}{}", server("maps", second)));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let plugin = done.plugin();
    assert_eq!(resources(&plugin), ["https://mcp.example.com/weather", "https://mcp.example.com/maps"]);
    for resource in plugin["resources"].as_array().unwrap() {
        assert_eq!(resource["inject"], json!({ "type": "upstreamInject", "providerName": "okta" }));
    }
    assert_checked(done.folder.path());
}

#[test]
fn servers_with_the_same_path_get_paths_of_their_own_and_the_report_says_so() {
    let second = "  externalAuthConfigRef: { name: login }\n  oidcConfig: { type: inline, resourceUrl: \
                  https://mcp.example.com/Weather/, inline: { issuer: https://mcp.example.com } }\n";
    let done = migrated(&format!("{EMBEDDED}{}", server("maps", second)));
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    let plugin = done.plugin();
    assert_eq!(resources(&plugin), ["https://mcp.example.com/weather/weather", "https://mcp.example.com/Weather/maps"]);
    done.assert_says("another server has the same path: clients reach this one at `/weather/weather`");
    assert_checked(done.folder.path());
}

#[test]
fn an_issuer_that_is_not_the_authorization_servers_is_not_trusted() {
    let done = migrated(
        &EMBEDDED.replace("inline: { issuer: https://mcp.example.com }", "inline: { issuer: https://idp.example.com }"),
    );
    assert_eq!(done.code, 1);
    done.assert_says("spec.oidcConfig.inline.issuer: not carried over: is not the issuer of the authorization server");
    assert_eq!(done.plugin()["trustedIssuers"], Value::Null);
}

#[test]
fn one_issuer_with_two_audiences_makes_two_gateways() {
    let second = EXTERNAL.replace("name: weather", "name: maps").replace("audience: weather", "audience: maps");
    let done = migrated(&format!("{EXTERNAL}---\n{second}"));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    for name in ["weather", "maps"] {
        let plugin: Value = serde_json::from_str(&done.file(&format!("{name}/portcullis.json")).unwrap()).unwrap();
        assert_eq!(plugin["trustedIssuers"][0]["audiences"], json!([name]), "a token for one does not open the other");
        assert_checked(&done.folder.path().join(name));
    }
}

#[test]
fn two_issuers_are_side_by_side_and_each_resource_names_its_own() {
    let second = EXTERNAL.replace("name: weather", "name: maps").replace("idp.example.com", "other.example.com");
    let second = second.replace("com/weather", "com/maps");
    let done = migrated(&format!("{EXTERNAL}---\n{second}"));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let plugin = done.plugin();
    assert_eq!(plugin["resources"][0]["issuers"], json!(["https://idp.example.com"]));
    assert_eq!(plugin["resources"][1]["issuers"], json!(["https://other.example.com"]));
    assert_checked(done.folder.path());
}

#[test]
fn a_server_without_an_audience_accepts_tokens_for_itself_alone() {
    let done = migrated(&EXTERNAL.replace(", audience: weather", ""));
    assert_eq!(done.code, 1);
    assert_eq!(done.plugin()["trustedIssuers"][0]["audiences"], json!(["https://mcp.example.com/weather"]));
    done.assert_says("no audience is said, and ToolHive accepts every token of the issuer");
}

#[test]
fn service_accounts_are_one_a_namespace_or_all_and_all_are_reported() {
    let of = |accounts: &str| {
        migrated(&EXTERNAL.replace("type: inline", "type: kubernetes").replace(
            "inline: { issuer: https://idp.example.com, audience: weather }",
            &format!("kubernetes: {{ {accounts} }}"),
        ))
    };
    for (accounts, expected, code) in [
        ("serviceAccount: agent, namespace: apps", json!(["system:serviceaccount:apps:agent"]), 0),
        ("serviceAccount: agent", json!(["system:serviceaccount:tools:agent"]), 0),
        ("namespace: apps", json!(["system:serviceaccount:apps:*"]), 0),
        ("", Value::Null, 1),
    ] {
        let done = of(accounts);
        assert_eq!(done.code, code, "{accounts}: {}{}", done.out, done.err);
        let issuer = done.plugin()["trustedIssuers"][0].clone();
        assert_eq!(issuer["allowedSubjects"], expected, "{accounts}");
        assert_eq!(
            (&issuer["issuer"], &issuer["audiences"]),
            (&json!("https://kubernetes.default.svc"), &json!(["toolhive"]))
        );
        assert!(done.file("clusters.yaml").unwrap().contains("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"));
        assert_checked(done.folder.path());
    }
}

#[test]
fn each_kind_of_credential_is_an_injection() {
    let behind = |config: &str| {
        let reference = "  authServerRef: { name: login }\n  externalAuthConfigRef: { name: outgoing }\n  oidcConfig: { \
                         type: inline, resourceUrl: https://mcp.example.com/maps, inline: { issuer: \
                         https://mcp.example.com } }\n";
        let done = migrated(&format!("{EMBEDDED}{}{}", server("maps", reference), external_auth("outgoing", config)));
        assert!(done.code < 2, "{}", done.err);
        done.plugin()["resources"][1]["inject"].clone()
    };
    assert_eq!(behind("  type: unauthenticated\n"), Value::Null);
    assert_eq!(
        behind(
            "  type: headerInjection\n  headerInjection: { headerName: x-api-key, valueSecretRef: { name: api, key: key } }\n"
        ),
        json!({ "type": "header", "name": "x-api-key", "value": { "env": "OUTGOING_VALUE" } })
    );
    assert_eq!(
        behind("  type: bearerToken\n  bearerToken: { tokenSecretRef: { name: api, key: token } }\n"),
        json!({ "type": "bearer", "token": { "env": "OUTGOING_TOKEN" } })
    );
    // Without `type`, the only block says it.
    assert_eq!(
        behind("  upstreamInject: { providerName: okta }\n"),
        json!({ "type": "upstreamInject", "providerName": "okta" })
    );
    assert_eq!(
        behind(
            "  type: tokenExchange\n  tokenExchange: { tokenUrl: 'https://sts.example.com/token', clientId: c, audience: a, \
             subjectTokenType: 'urn:ietf:params:oauth:token-type:id_token', externalTokenHeaderName: x-token }\n"
        ),
        json!({
            "type": "tokenExchange", "tokenUrl": "https://sts.example.com/token", "cluster": "outgoing", "clientId": "c",
            "audience": "a", "subjectProviderName": "okta", "subjectTokenType": "id_token", "header": "x-token",
        })
    );
}

#[test]
fn a_credential_that_the_gateway_has_not_is_left_out() {
    let config = external_auth("aws", "  type: awsSts\n  awsSts: { region: eu-west-1 }\n");
    let server = EXTERNAL.replace("  image: weather\n", "  externalAuthConfigRef: { name: aws }\n");
    let done = migrated(&format!("{server}{config}"));
    assert_eq!(done.code, 1);
    done.assert_says("spec.awsSts: not carried over: the gateway has no such exchange");
    assert_eq!(done.plugin()["resources"][0]["inject"], Value::Null);
}

#[test]
fn tokens_of_another_issuer_are_not_exchanged() {
    let exchange =
        "  type: tokenExchange\n  tokenExchange: { tokenUrl: 'https://sts.example.com/token', audience: a }\n";
    let server = EXTERNAL.replace("  image: weather\n", "  externalAuthConfigRef: { name: sts }\n");
    let done = migrated(&format!("{server}{}", external_auth("sts", exchange)));
    assert_eq!((done.code, &done.plugin()["resources"][0]["inject"]), (1, &Value::Null));
    done.assert_says(
        "spec.tokenExchange: not carried over: the gateway exchanges a provider's token of its own logins",
    );
    assert_checked(done.folder.path());
}

#[test]
fn an_authorization_server_that_injects_nothing_keeps_to_that() {
    let done =
        migrated(&EMBEDDED.replace("    issuer: https", "    disableUpstreamTokenInjection: true\n    issuer: https"));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert_eq!(done.plugin()["resources"][0]["inject"], Value::Null);
}

#[test]
fn members_of_a_virtual_servers_group_are_its_backends() {
    let (auth, _) = EMBEDDED.split_once("---\n").unwrap();
    let server_of_group = |name: &str, more: &str| server(name, &format!("  groupRef: {{ name: all }}\n{more}"));
    let auth = auth.replace("MCPExternalAuthConfig", "VirtualMCPServer").replace("  type: embeddedAuthServer\n", "");
    let auth = auth.replace("embeddedAuthServer:", "authServerConfig:");
    let virtual_server = format!(
        "{auth}  groupRef: {{ name: all }}\n  incomingAuth:\n    type: oidc\n    oidcConfigRef: {{ name: own, audience: \
         'https://mcp.example.com/mcp', scopes: [mcp] }}\n  outgoingAuth: {{ source: discovered }}\n"
    );
    let oidc = "---\napiVersion: toolhive.stacklok.dev/v1beta1\nkind: MCPOIDCConfig\nmetadata: { name: own, namespace: tools \
                }\nspec: { type: inline, inline: { issuer: https://mcp.example.com } }\n";
    let inject = external_auth("inject", "  type: upstreamInject\n  upstreamInject: { providerName: okta }\n");
    let group =
        "---\napiVersion: toolhive.stacklok.dev/v1beta1\nkind: MCPGroup\nmetadata: { name: all, namespace: tools }\n";
    let members = server_of_group("a", "  externalAuthConfigRef: { name: inject }\n") + &server_of_group("b", "");
    let done = migrated(&format!("{virtual_server}{oidc}{inject}{group}{members}"));
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    let plugin = done.plugin();
    assert_eq!(resources(&plugin), ["https://mcp.example.com/mcp/a", "https://mcp.example.com/mcp/b"]);
    assert_eq!(plugin["resources"][0]["inject"]["providerName"], "okta");
    assert_eq!(plugin["resources"][1]["inject"], Value::Null);
    assert_eq!(plugin["resources"][0]["scopes"], json!(["mcp"]));
    assert!(plugin["scopesSupported"].as_array().unwrap().contains(&json!("mcp")));
    done.assert_says("each backend is a resource of its own");
    assert_checked(done.folder.path());
}

#[test]
fn a_remote_proxy_is_a_server_with_a_header_of_its_own() {
    let proxy = EXTERNAL.replace("MCPServer", "MCPRemoteProxy").replace(
        "  image: weather\n",
        "  remoteUrl: https://remote.example.com/mcp\n  headerForward: { addHeadersFromSecret: [{ headerName: x-key, \
         valueSecretRef: { name: s, key: k } }] }\n",
    );
    let done = migrated(&proxy);
    let plugin = done.plugin();
    assert_eq!(
        plugin["resources"][0]["inject"],
        json!({ "type": "header", "name": "x-key", "value": { "env": "X_KEY_VALUE" } })
    );
    done.assert_says("X_KEY_VALUE: key `k` of the Secret `tools/s`");
}
