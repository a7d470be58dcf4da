//! The forms that documents have, and what of them is reported.

use serde_json::json;

use crate::{EMBEDDED, EXTERNAL, assert_checked, migrated, migrated_in, portcullis};

#[test]
fn lists_and_json_are_read_too() {
    let documents: Vec<String> = EMBEDDED.split("---\n").map(|document| document.replace('\n', "\n    ")).collect();
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n  - {}\n  - {}\n",
        documents[0].trim_end(),
        documents[1].trim_end()
    );
    let done = migrated(&list);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert_eq!(done.plugin(), migrated(EMBEDDED).plugin());
    let json = json!({
        "apiVersion": "toolhive.stacklok.dev/v1alpha1", "kind": "MCPServer", "metadata": { "name": "weather" },
        "spec": { "oidcConfig": { "type": "inline", "inline": { "issuer": "https://idp.example.com", "audience": "a" } } },
    });
    let done = migrated(&json.to_string());
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    done.assert_says("http://mcp-weather-proxy.default.svc.cluster.local:8080");
}

#[test]
fn a_runtime_file_is_an_authorization_server() {
    let done = migrated(
        r#"schema_version: v0.1.0
issuer: https://mcp.example.com
signing_key_config: { key_dir: /keys, signing_key_file: new.pem, fallback_key_files: [old.pem] }
hmac_secret_files: [/hmac/new]
token_lifespans: { access_token_lifespan: 1h30m0s, refresh_token_lifespan: 168h, auth_code_lifespan: 1m }
allowed_audiences: ["https://mcp.example.com/mcp", "https://mcp.example.com/two"]
scopes_supported: [openid, offline_access]
storage:
  type: redis
  redis_config:
    sentinel_config: { master_name: mymaster, sentinel_addrs: ["s0:26379"], db: 2 }
    acl_user_config: { username_env_var: THV_USER, password_env_var: THV_PASSWORD }
    dial_timeout: 2s
  key_prefix: "own:{prod:gateway}:"
upstreams:
  - type: oauth2
    oauth2_config:
      authorization_endpoint: https://hub.example.com/authorize
      token_endpoint: https://hub.example.com/token
      client_id: gateway
      client_secret_file: /secrets/hub
      userinfo: { endpoint_url: "https://hub.example.com/me", http_method: POST, field_mapping: { subject_fields: [id] } }
"#,
    );
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let plugin = done.plugin();
    assert_eq!(plugin["signingKeys"], json!([{ "env": "SIGNING_KEY" }, { "env": "SIGNING_KEY_2" }]));
    assert_eq!(
        plugin["tokenLifespans"],
        json!({ "accessToken": "90m", "refreshToken": "168h", "authorizationCode": "1m" })
    );
    assert_eq!(
        plugin["storage"],
        json!({ "type": "bridge", "cluster": "redis-bridge", "namespace": "prod", "name": "gateway" })
    );
    assert_eq!(plugin["upstreamProviders"][0]["name"], "default");
    assert_eq!(plugin["upstreamProviders"][0]["oauth2Config"]["clientAuthentication"], "post");
    assert_eq!(plugin["upstreamProviders"][0]["oauth2Config"]["userInfo"]["cluster"], "default");
    assert_eq!(plugin["resources"][1]["match"]["prefix"], "/two");
    for words in
        ["SIGNING_KEY: the content of `/keys/new.pem`", "THV_USER: the variable `THV_USER` that ToolHive reads"]
    {
        done.assert_says(words);
    }
    let bridge = done.file("bridge.yaml").unwrap();
    assert!(bridge.contains("keyPrefix: \"own:\"") && bridge.contains("db: 2"), "{bridge}");
    assert!(bridge.contains("allowedUids") && bridge.contains("timeouts: { dial: 2s }"), "{bridge}");
    assert_checked(done.folder.path());
}

#[test]
fn names_are_found_in_each_spelling() {
    let oauth2 = "oauth2Config:\n          authorizationEndpoint: https://hub.example.com/a\n          tokenEndpoint: \
                  https://hub.example.com/t\n          clientId: c\n          USERINFO: { endpointUrl: https://hub.example.com/me, \
                  field_mapping: { subjectFields: [id] } }\n";
    let text = EMBEDDED.split("        oidcConfig:").next().unwrap().replace("type: oidc", "type: oauth2");
    for spelling in ["userInfo", "userinfo", "user_info"] {
        let done = migrated(&format!("{text}        {}", oauth2.replace("USERINFO", spelling)));
        let provider = &done.plugin()["upstreamProviders"][0];
        assert_eq!(provider["oauth2Config"]["userInfo"]["fieldMapping"]["subjectFields"], json!(["id"]), "{spelling}");
    }
}

#[test]
fn redis_without_sentinels_and_clusters_are_carried_over() {
    for (written, expected) in [
        ("addr: redis:6379", "addr: \"redis:6379\""),
        ("addr: redis:6379, clusterMode: true", "cluster: { addrs: [\"redis:6379\"] }"),
    ] {
        let storage = format!(
            "    storage: {{ type: redis, redis: {{ {written}, aclUserConfig: {{ passwordSecretRef: {{ name: r, key: p }} }}, tls: {{ \
             insecureSkipVerify: true }} }} }}\n    upstreamProviders:"
        );
        let done = migrated(&EMBEDDED.replace("    upstreamProviders:", &storage));
        assert_eq!(done.code, 0, "{}{}", done.out, done.err);
        let bridge = done.file("bridge.yaml").unwrap();
        assert!(bridge.contains(expected), "{bridge}");
        assert!(bridge.contains("aclUserConfig: { password: { env: REDIS_PASSWORD } }"), "{bridge}");
        assert!(bridge.contains("tls: { insecureSkipVerify: true }"), "{bridge}");
        assert_checked(done.folder.path());
    }
}

#[test]
fn documents_of_clients_need_redis() {
    let cimd = EMBEDDED.replace(
        "    upstreamProviders:",
        "    cimd: { enabled: true, cacheFallbackTtl: 10m }\n    upstreamProviders:",
    );
    let done = migrated(&cimd);
    assert_eq!(done.code, 1);
    done.assert_says("cimd.enabled: not carried over: without Redis");
    let storage = "    storage: { type: redis, redis: { addr: 'redis:6379', aclUserConfig: { passwordSecretRef: { name: r, key: p } \
                   } } }\n    cimd:";
    let done = migrated(&cimd.replace("    cimd:", storage));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert_eq!(done.plugin()["clients"], json!({ "metadataDocuments": { "enabled": true, "maxAge": "10m" } }));
    assert!(done.file("bridge.yaml").unwrap().contains("fetch: {}"));
    assert_checked(done.folder.path());
}

#[test]
fn every_field_is_reported_with_its_line() {
    let text = EXTERNAL.replace(
        "    inline: {",
        "    surprise: 1\n    inline: { jwksAuthTokenPath: /t, protectedResourceAllowPrivateIP: false,",
    );
    let done = migrated(&format!("{}  rateLimiting: {{ shared: {{ maxTokens: 1 }} }}\n", text));
    assert_eq!(done.code, 1);
    done.assert_says("FILE:9: spec.oidcConfig.surprise: not carried over: this field is not known to the command");
    done.assert_says("FILE:10: spec.oidcConfig.inline.jwksAuthTokenPath: not carried over: the issuer's keys are read without a token");
    done.assert_says("FILE:11: spec.rateLimiting: not carried over: the gateway does not limit calls");
    assert!(!done.out.contains("protectedResourceAllowPrivateIP"), "what is off is not missed: {}", done.out);
}

#[test]
fn a_configuration_that_the_gateway_would_refuse_is_reported_and_written() {
    let done = migrated(&EMBEDDED.replace("issuer: https://mcp.example.com\n", "issuer: http://mcp.example.com/\n"));
    assert_eq!(done.code, 1);
    done.assert_says("portcullis.json: issuer: to be mended: ");
}

#[test]
fn introspection_of_opaque_tokens_is_reported_and_its_client_is_not_needed() {
    let done = migrated(&EXTERNAL.replace(
        "audience: weather }",
        "audience: weather, introspectionUrl: 'https://idp.example.com/i', clientId: c, clientSecretRef: { name: s, key: k } }",
    ));
    assert_eq!(done.code, 1);
    done.assert_says("spec.oidcConfig.inline.introspectionUrl: not carried over: opaque tokens are not accepted");
    done.assert_says("spec.oidcConfig.inline.clientSecretRef: not needed");
    assert_checked(done.folder.path());
}

#[test]
fn the_output_is_kept_unless_it_is_forced_and_may_be_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("FILE"), EXTERNAL).unwrap();
    let run = |more: &[&str]| {
        portcullis().args(["migrate", "toolhive", "FILE"]).args(more).current_dir(folder.path()).output().unwrap()
    };
    assert_eq!(run(&[]).status.code(), Some(0));
    std::fs::write(folder.path().join("portcullis.json"), "mine").unwrap();
    let done = run(&[]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("is there already; `--force` replaces it"));
    assert_eq!(std::fs::read_to_string(folder.path().join("portcullis.json")).unwrap(), "mine");
    assert_eq!(run(&["--force"]).status.code(), Some(0));
    assert_ne!(std::fs::read_to_string(folder.path().join("portcullis.json")).unwrap(), "mine");
    let done = run(&["--stdout"]);
    let stream = String::from_utf8(done.stdout).unwrap();
    assert!(stream.starts_with("---\n# portcullis.json\n{") && stream.contains("---\n# clusters.yaml\n"), "{stream}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("FILE:9: spec.oidcConfig.inline.issuer: carried over"));
    assert_eq!(run(&["--stdout", "--force"]).status.code(), Some(2));
}

#[test]
fn a_file_that_cannot_be_read_ends_it() {
    let done = migrated_in(tempfile::tempdir().unwrap().path(), &["nowhere.yaml"]);
    assert_eq!(done.code, 2);
    assert!(done.err.starts_with("nowhere.yaml: "), "{}", done.err);
}
