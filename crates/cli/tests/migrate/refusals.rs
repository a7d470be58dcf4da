//! Files of which nothing is made: each names the place, and nothing is written.

use crate::{EMBEDDED, EXTERNAL, migrated};

#[test]
fn kinds_and_versions_that_are_not_known_are_refused() {
    migrated(&EXTERNAL.replace("kind: MCPServer", "kind: MCPUnheardOf"))
        .assert_refused("FILE:2:1: kind: is not a kind of ToolHive that is known here; leave the document out");
    migrated(&EXTERNAL.replace("v1alpha1", "v7"))
        .assert_refused("FILE:1:1: apiVersion: must be toolhive.stacklok.dev/v1alpha1 or v1beta1");
    migrated("a: 1\n").assert_refused(
        "FILE:1:1: document: is neither a resource of Kubernetes nor a file of ToolHive's authorization server",
    );
    migrated(&EXTERNAL.replace("name: weather, ", "")).assert_refused("FILE:1:1: document: has no metadata.name");
}

#[test]
fn what_is_referred_to_must_be_in_the_files() {
    let (_, server) = EMBEDDED.split_once("---\n").unwrap();
    migrated(server).assert_refused(
        "FILE:6:3: spec.externalAuthConfigRef: the MCPExternalAuthConfig `tools/login` is in none of the files; name its file too",
    );
    let config = |oidc: &str| {
        let (before, _) = EXTERNAL.split_once("    type: inline").unwrap();
        migrated(&format!("{before}{oidc}"))
    };
    config("    type: configMap\n    configMap: { name: shared }\n").assert_refused(
        "FILE:8:5: spec.oidcConfig.configMap: the ConfigMap `tools/shared` is in none of the files; name its file too",
    );
    let map = |data: &str| {
        let map = format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: shared, namespace: tools }}\ndata:\n  {data}\n"
        );
        config(&format!("    type: configMap\n    configMap: {{ name: shared }}\n{map}"))
    };
    map("other.json: '{}'")
        .assert_refused("FILE:8:5: spec.oidcConfig.configMap: the ConfigMap `tools/shared` has no key `oidc.json`");
    map(r#"oidc.json: '{"issuer": }'"#).assert_refused("FILE:14:26: document: not JSON: expected value");
    map("oidc.json: '{}'").assert_refused("FILE:14:15: data.oidc.json: has no `issuer`");
    migrated(&EXTERNAL.replace("oidcConfig:\n    type: inline", "oidcConfig:\n    type: magic")).assert_refused(
        "FILE:6:3: spec.oidcConfig: must be of type `inline`, `configMap`, `kubernetes` or `kubernetesServiceAccount`, with a \
         field of that name",
    );
}

#[test]
fn names_of_providers_and_keys_of_secrets_must_be_there() {
    let inject = "---\napiVersion: toolhive.stacklok.dev/v1beta1\nkind: MCPExternalAuthConfig\nmetadata: { name: inject, namespace: \
                  tools }\nspec: { type: upstreamInject, upstreamInject: { providerName: github } }\n";
    let server = EMBEDDED.replace(
        "externalAuthConfigRef: { name: login }",
        "authServerRef: { name: login }\n  externalAuthConfigRef: { name: inject }",
    );
    migrated(&format!("{server}{inject}")).assert_refused(
        "FILE:33:49: spec.upstreamInject.providerName: is not the name of a provider of the authorization server",
    );
    let secret =
        "---\napiVersion: v1\nkind: Secret\nmetadata: { name: okta, namespace: tools }\nstringData: { other: x }\n";
    migrated(&format!("{EMBEDDED}{secret}")).assert_refused(
        "FILE:16:11: spec.embeddedAuthServer.upstreamProviders[0].oidcConfig.clientSecretRef: the Secret `tools/okta` has no key `secret`",
    );
    migrated(&EMBEDDED.replace("{ name: okta, key: secret }", "{ name: okta }")).assert_refused(
        "FILE:16:11: spec.embeddedAuthServer.upstreamProviders[0].oidcConfig.clientSecretRef: must have the `name` of a Secret and a \
         `key`",
    );
}

#[test]
fn sentinels_are_either_addresses_or_a_service() {
    let storage = |sentinels: &str| {
        let storage = format!(
            "    storage:\n      type: redis\n      redis:\n        aclUserConfig: {{ passwordSecretRef: {{ name: r, key: p }} }}\n        \
             sentinelConfig:\n          masterName: m\n{sentinels}    upstreamProviders:"
        );
        migrated(&EMBEDDED.replace("    upstreamProviders:", &storage))
    };
    let (addresses, service) = ("          sentinelAddrs: [s0]\n", "          sentinelService: { name: s }\n");
    storage(&format!("{addresses}{service}")).assert_refused(
        "FILE:17:11: spec.embeddedAuthServer.storage.redis.sentinelConfig.sentinelService: must not be next to `sentinelAddrs`; take \
         one of the two out",
    );
    storage("").assert_refused(
        "FILE:14:9: spec.embeddedAuthServer.storage.redis.sentinelConfig: must have one of `sentinelAddrs` and `sentinelService`",
    );
    assert_eq!(storage(addresses).code, 0);
    let done = storage(service);
    assert!(done.file("bridge.yaml").unwrap().contains("sentinelService: { name: \"s\", namespace: \"tools\" }"));
}

#[test]
fn text_that_is_no_yaml_has_line_and_column() {
    migrated("kind: [\n").assert_refused(
        "FILE:1:7: document: not YAML; text with a colon, a quote or a bracket in it needs quotes around it",
    );
    migrated("kind: a\nkind: b\n").assert_refused("FILE:2:1: document: a field is given twice");
    migrated("{\"kind\": }").assert_refused("FILE:1:10: document: not JSON: expected value");
}

#[test]
fn aliases_that_multiply_are_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", "));
    }
    let done = migrated(&bomb);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("too large, or too many aliases"), "{}", done.err);
    let deep = migrated(&"[".repeat(100_000));
    assert!(deep.code == 2 && deep.err.contains("not YAML"), "{}", deep.err);
}

#[test]
fn one_name_is_one_resource() {
    migrated(&format!("{EXTERNAL}---\n{EXTERNAL}"))
        .assert_refused("FILE:11:1: document: the MCPServer `tools/weather` is given twice");
    migrated(&EXTERNAL.replace("  oidcConfig:", "  oidcConfigRef: { name: x }\n  oidcConfig:"))
        .assert_refused("FILE:6:3: spec.oidcConfigRef: must not be next to `oidcConfig`; take one of the two out");
}

#[test]
fn a_value_of_another_type_is_named_and_not_repeated() {
    migrated(&EMBEDDED.replace("clientId: gateway", "clientId: [hunter2]"))
        .assert_refused("FILE:15:11: spec.embeddedAuthServer.upstreamProviders[0].oidcConfig.clientId: must be text");
}

#[test]
fn every_refusal_is_named_at_once() {
    let text =
        EMBEDDED.replace("hmacSecretRefs: [{ name: keys, key: hmac }]", "disableUpstreamTokenInjection: \"true\"");
    let text = text.replace("name: okta, key: secret", "name: okta");
    let second = EXTERNAL.replace("name: weather", "name: maps").replace("issuer: https://idp.example.com, ", "");
    let third = EXTERNAL
        .replace("name: weather", "name: rain")
        .replace("  image: weather", "  externalAuthConfigRef: { name: x }");
    let done = migrated(&format!("{text}---\n{second}---\n{third}"));
    let lines: Vec<&str> = done.err.lines().collect();
    assert_eq!((done.code, lines.len()), (2, 4), "{}", done.err);
    for (line, expected) in lines.iter().zip([
        "FILE:9:5: spec.embeddedAuthServer.disableUpstreamTokenInjection: must be `true` or `false`",
        "FILE:16:11: spec.embeddedAuthServer.upstreamProviders[0].oidcConfig.clientSecretRef: must have the `name`",
        "FILE:37:5: spec.oidcConfig.inline: has no `issuer`",
        "FILE:43:3: spec.externalAuthConfigRef: the MCPExternalAuthConfig `tools/x` is in none of the files",
    ]) {
        assert!(line.starts_with(expected), "{line}, and not {expected}");
    }
}
