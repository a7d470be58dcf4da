//! Every form in which a configuration can be in a file, and that places are the file's in each.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{GOOD, checked, portcullis};

const JSON: &str = r#"{
  "issuer": "https://mcp.example.com",
  "signingKeys": [{ "env": "SIGNING_KEY" }],
  "secrets": [{ "env": "GATEWAY_SECRET" }],
  "upstreamProviders": [{ "name": "idp", "type": "oidc",
    "oidcConfig": { "issuerUrl": "https://idp.example.com", "cluster": "idp", "clientId": "x" } }],
  "resources": [{ "resource": "https://mcp.example.com/mcp", "match": { "prefix": "/files" }, "scopes": ["offline_access"] }]
}
"#;

const YAML: &str = r#"issuer: https://mcp.example.com
signingKeys: [{ env: SIGNING_KEY }]
secrets:
  - env: GATEWAY_SECRET
upstreamProviders:
  - name: idp
    type: oidc
    oidcConfig: { issuerUrl: "https://idp.example.com", cluster: idp, clientId: x }
resources:
  - resource: https://mcp.example.com/mcp
    match: { prefix: /files }
    scopes: [offline_access]
"#;

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

fn in_wasm_plugin() -> String {
    format!("apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  pluginConfig:\n{}", indented(YAML, 4))
}

fn in_extension_policy() -> String {
    let head = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nspec:\n  wasm:\n    - name: p\n      config:\n";
    format!("{head}{}", indented(YAML, 8))
}

fn in_config_map() -> String {
    format!(
        "kind: ConfigMap\ndata:\n  readme: anything at all\n  plugin.json: |\n{}  envoy.yaml: |-\n{}",
        indented(JSON, 4),
        indented(GOOD, 4)
    )
}

/// The file's line and column at which a text is.
fn place_of(file: &str, text: &str) -> String {
    let (before, _) = file.split_once(text).unwrap();
    let lines: Vec<&str> = before.split('\n').collect();
    let column = lines.last().unwrap().chars().chain([' ']).count();
    format!("{}:{column}", lines.len())
}

#[test]
fn a_place_is_the_files_in_every_form() {
    let yaml_string = |quoted: &str| {
        let any = "{ \"@type\": type.googleapis.com/google.protobuf.StringValue, value: VALUE }";
        let filter = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
        format!("# a comment\n\"@type\": {filter}\nconfig: {{ configuration: {} }}\n", any.replace("VALUE", quoted))
    };
    let line = JSON.replace('\n', " ");
    for file in [
        JSON.to_owned(),
        YAML.to_owned(),
        format!("---\n{YAML}"),
        format!("\u{feff}{JSON}"),
        JSON.replace('\n', "\r\n"),
        in_wasm_plugin(),
        in_extension_policy(),
        format!("kind: Service\n---\n{}---\nkind: Deployment\n", in_wasm_plugin()),
        format!("kind: List\nitems:\n  - metadata: {{ name: ä }}\n{}", indented(&in_wasm_plugin(), 4)),
        in_config_map(),
        yaml_string(&format!("'{}'", line.trim())),
        yaml_string(&serde_json::to_string(line.trim()).unwrap()),
        yaml_string(&serde_json::to_string(JSON).unwrap()),
        serde_json::to_string_pretty(&serde_json::json!({ "@type": "x/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": { "configuration": { "@type": "x/google.protobuf.StringValue", "value": JSON } } }))
        .unwrap(),
        serde_json::to_string_pretty(&serde_json::json!({ "@type": "x/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": { "configuration": { "@type": "x/google.protobuf.Struct", "value": serde_json::from_str::<serde_json::Value>(JSON).unwrap() } } }))
        .unwrap(),
    ] {
        let good = checked(&file, &[]);
        assert!(good.code == 0 && good.out.starts_with("FILE: ok, "), "{}\nof {file}", good.out);
        let broken = file.replacen("/files", "//file", 1);
        let done = checked(&broken, &[]);
        let found = done.out.lines().next().unwrap_or_default();
        let place = place_of(broken.trim_start_matches('\u{feff}'), "//file");
        let (line, column) = place.split_once(':').unwrap();
        let column: usize = column.parse().unwrap();
        // A value in quotes begins with them, which may be escaped.
        let fits = [column, column - 1, column - 2].iter().any(|column| {
            let expected = "resources[0].match.prefix: must be a plain absolute path";
            found.starts_with(&format!("FILE:{line}:{column}: {expected}"))
        });
        assert!(fits && done.code == 1, "{}\nnot at {place} of {broken}", done.out);
    }
}

#[test]
fn text_that_is_folded_is_followed_too() {
    let folded = indented(&JSON.replace("\n", "\n\n"), 6);
    let filter = "\"@type\": x/envoy.extensions.filters.http.wasm.v3.Wasm\nconfig:\n  configuration:\n    \"@type\": x/google.protobuf.StringValue\n";
    let file = format!("{filter}    value: >\n{folded}").replace("[\"offline_access\"] }", "\"offline_access\" }");
    let done = checked(&file, &[]);
    let expected = format!("FILE:{}: resources[0].scopes: ", place_of(&file, "\"offline_access\""));
    assert!(done.out.starts_with(&expected), "{}\nand not {expected}", done.out);
}

#[test]
fn each_of_several_configurations_is_checked() {
    let done = checked(&in_config_map(), &[]);
    assert_eq!((done.code, done.out.as_str()), (0, "FILE: ok, 2 configurations\n"));
    let broken = in_config_map().replace("\"scopes\": [\"offline_access\"]", "\"scopes\": \"offline_access\"");
    assert_eq!(checked(&broken, &[]).out.lines().count(), 2);
}

#[test]
fn other_plugins_and_other_texts_are_left_alone() {
    let other = r#"                  - name: other
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                      config:
                        configuration:
                          "@type": type.googleapis.com/google.protobuf.StringValue
                          value: |
                            { "their": "own" }
"#;
    assert_eq!(checked(&format!("{GOOD}{other}"), &[]).out, "FILE: ok, 1 configuration\n");
    let config_map = in_config_map().replace("anything at all", "\"{ not: [ json\"");
    assert_eq!(checked(&config_map, &[]).code, 0);
}

#[test]
fn a_text_that_is_neither_names_the_place() {
    for (text, expected) in [
        ("", "FILE:1:1: configuration: no configuration found"),
        ("{", "FILE:1:1: configuration: not JSON: EOF while parsing an object"),
        ("{\n  \"issuer\": \"a\",\n}\n", "FILE:3:1: configuration: not JSON: "),
        ("{\n  \"issuer\": \"a\"\n  \"secrets\": []\n}\n", "FILE:3:3: configuration: not JSON: expected `,` or `}`"),
        ("issuer: a\n  secrets: []\n", "FILE:2:"),
        ("issuer: a\nissuer: b\n", "FILE:2:1: configuration: a field is given twice"),
        ("a: &x [*x]", "FILE:1:"),
        ("[1, 2]", "FILE:1:1: configuration: no configuration found"),
        ("{}", "FILE:1:1: issuer: is required"),
    ] {
        let done = checked(text, &[]);
        assert!(done.code == 1 && done.out.starts_with(expected), "{text}: {}", done.out);
    }
}

#[test]
fn aliases_are_followed_as_far_as_they_are_sane() {
    let yaml = YAML.replace("name: idp\n", "name: &name idp\n").replace("cluster: idp", "cluster: *name");
    assert_eq!(checked(&yaml, &[]).code, 0);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
    }
    let done = checked(&bomb, &[]);
    assert!(done.out.contains("too many aliases"), "{}", done.out);
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(YAML.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "-: ok, 1 configuration\n");
    assert_eq!(portcullis(&["check", "/"]).code, 2);
}

#[test]
fn a_gateway_that_is_no_authorization_server_is_a_configuration_too() {
    let text = r#"{ "trustedIssuers": [{ "issuer": "https://idp.example.com", "cluster": "idp", "audiences": [] }],
  "resources": [{ "resource": "https://mcp.example.com/mcp", "match": { "prefix": "/mcp" } }] }"#;
    let done = checked(text, &[]);
    assert!(done.out.starts_with("FILE:1:92: trustedIssuers[0].audiences: must have 1 to 16 entries"), "{}", done.out);
    let filled = checked(&text.replace("[]", "[\"x\"]"), &[]);
    assert_eq!((filled.code, filled.out.as_str()), (0, "FILE: ok, 1 configuration\n"));
}
