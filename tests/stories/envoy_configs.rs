//! The configurations that we give to others are accepted by the Envoy, the filter and the bridge
//! that they are meant for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis_testbed::envoy::{HEADER_KIB, REMOVED_HEADERS};
use portcullis_testbed::paths;
use serde_json::{Value, json};

use crate::machine;

#[test]
fn each_configuration_is_accepted_by_envoy_and_by_the_filter_in_it() {
    for file in [STANDALONE, STANDALONE_REDIS, KUBERNETES] {
        let dir = tempfile::tempdir().expect("a folder");
        // This check of Envoy's loads the module and lets it read its configuration.
        let output = validate(dir.path(), &sample(file));
        assert!(output.status.success(), "{file}: {}", said(&output));
    }
}

#[test]
fn the_clusters_that_a_migration_writes_are_accepted_by_envoy() {
    let kept = paths::project().join("crates/cli/tests/migrate/golden");
    let mut clusters = String::new();
    for case in ["redis-storage-tls", "vmcp-upstream-inject", "service-account"] {
        let written = fs::read_to_string(kept.join(case).join("clusters.yaml")).expect("kept");
        let (_, entries) = written.split_once("clusters:\n").expect("a list");
        entries.lines().for_each(|line| clusters += &format!("  {line}\n"));
    }
    let clusters = clusters.replace("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "/etc/portcullis/tls.crt");
    let dir = tempfile::tempdir().expect("a folder");
    let sample = sample(STANDALONE).replacen("\n  clusters:\n", &format!("\n  clusters:\n{clusters}"), 1);
    let output = validate(dir.path(), &sample);
    assert!(sample.contains("github-userinfo") && output.status.success(), "{}", said(&output));
}

#[test]
fn the_check_notices_a_field_that_envoy_does_not_know() {
    let dir = tempfile::tempdir().expect("a folder");
    let broken = sample(STANDALONE).replace("allow_on_headers_stop_iteration", "allow_on_headers_stop");
    let output = validate(dir.path(), &broken);
    assert!(!output.status.success());
    assert!(said(&output).contains("allow_on_headers_stop"), "{}", said(&output));
}

#[test]
fn the_check_notices_what_the_filter_refuses() {
    let dir = tempfile::tempdir().expect("a folder");
    let broken = sample(STANDALONE_REDIS).replace(r#""type": "bridge""#, r#""type": "brigde""#);
    let output = validate(dir.path(), &broken);
    assert!(!output.status.success());
    assert!(said(&output).contains("storage"), "{}", said(&output));
}

#[test]
fn the_configurations_keep_secrets_out_of_their_files() {
    for file in [STANDALONE, STANDALONE_REDIS, KUBERNETES] {
        let sample = sample(file);
        let by_name = if file == KUBERNETES {
            BY_FILE.iter().all(|(_, name)| sample.contains(&format!(r#"{{ "bridge": "{name}" }}"#)))
        } else {
            sample.contains("host_env_keys: [SIGNING_KEY, GATEWAY_SECRET, IDP_SECRET]")
        };
        assert!(by_name, "{file}");
        for leak in ["inline", "key_values", "BEGIN"] {
            assert!(!sample.contains(leak), "{file} contains {leak:?}");
        }
    }
}

#[test]
fn no_back_end_is_told_another_path_method_or_host() {
    for file in [STANDALONE, STANDALONE_REDIS, KUBERNETES] {
        let mut document = yaml(file);
        let manager = &listener(&mut document)["filter_chains"][0]["filters"][0]["typed_config"];
        assert_eq!(manager["route_config"]["request_headers_to_remove"], json!(REMOVED_HEADERS), "{file}");
        let underscores = &manager["common_http_protocol_options"]["headers_with_underscores_action"];
        assert_eq!(underscores, "REJECT_REQUEST", "{file}: a name with underscores would be another one");
        // What tells paths apart has to reach the filter as it was sent.
        assert_eq!(manager["path_with_escaped_slashes_action"], "KEEP_UNCHANGED", "{file}");
    }
}

#[test]
fn the_redis_variant_differs_in_the_storage_and_its_cluster_only() {
    assert_eq!(without_redis(yaml(STANDALONE_REDIS)), with_parsed_plugin(yaml(STANDALONE)));
}

#[test]
fn the_kubernetes_variant_differs_in_what_kubernetes_needs_only() {
    let mut kubernetes = without_redis(yaml(KUBERNETES));
    let mut standalone = with_parsed_plugin(yaml(STANDALONE));
    assert!(kubernetes.as_object_mut().unwrap().remove("node").is_some());
    let probes = kubernetes["static_resources"]["listeners"].as_array_mut().unwrap().pop().unwrap();
    assert_eq!(probes["name"], "probes");
    remove_cluster(&mut kubernetes, "admin");
    for (pointer, name) in BY_FILE {
        assert_eq!(plugin(&mut kubernetes).pointer(pointer), Some(&json!({ "bridge": name })));
        let of_environment = plugin(&mut standalone).pointer_mut(pointer).unwrap();
        assert!(of_environment.get("env").is_some(), "{pointer}");
        *of_environment = json!({ "bridge": name });
    }
    let variables = vm_config(&mut standalone).remove("environment_variables");
    assert!(variables.is_some() && !vm_config(&mut kubernetes).contains_key("environment_variables"));
    for document in [&mut kubernetes, &mut standalone] {
        let tls = &mut listener(document)["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"];
        let tls = tls.as_object_mut().unwrap();
        assert!(tls.remove("tls_certificates").or(tls.remove("tls_certificate_sds_secret_configs")).is_some());
        document["static_resources"]["clusters"][0]["load_assignment"]["endpoints"] = Value::Null;
    }
    assert_eq!(kubernetes, standalone);
}

#[test]
fn the_samples_bound_headers_as_the_stories_do_and_the_heap_below_what_the_pod_has() {
    let pod: Value = yaml("kubernetes/gateway/deployment.yaml");
    let limit = &pod["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
    assert_eq!(limit, "1Gi");
    for file in [STANDALONE, STANDALONE_REDIS, KUBERNETES] {
        let mut document = yaml(file);
        let manager = &listener(&mut document)["filter_chains"][0]["filters"][0]["typed_config"];
        assert_eq!(manager["max_request_headers_kb"], HEADER_KIB, "{file}");
        assert_eq!(manager["http2_protocol_options"]["max_concurrent_streams"], 100, "{file}");
        let overload = &document["overload_manager"];
        let monitors = overload["resource_monitors"].as_array().unwrap();
        let heap = monitors.iter().find(|monitor| monitor["name"] == "envoy.resource_monitors.fixed_heap").unwrap();
        let bytes = heap["typed_config"]["max_heap_size_bytes"].as_u64().unwrap();
        assert!(bytes <= (1 << 30) / 3 * 2, "{file}: {bytes}");
        let actions: Vec<&str> =
            overload["actions"].as_array().unwrap().iter().map(|action| action["name"].as_str().unwrap()).collect();
        assert!(actions.contains(&"envoy.overload_actions.stop_accepting_requests"), "{file}: {actions:?}");
    }
}

#[test]
fn the_probes_reach_two_paths_of_the_admin_interface_and_no_more() {
    let document = yaml(KUBERNETES);
    let probes = &document["static_resources"]["listeners"][1];
    let hosts = &probes["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"];
    let routes: Vec<&Value> = hosts[0]["routes"].as_array().unwrap().iter().map(|route| &route["match"]).collect();
    let only =
        |path: &str| json!({ "path": path, "headers": [{ "name": ":method", "string_match": { "exact": "GET" } }] });
    assert_eq!(routes, [&only("/ready"), &only("/stats/prometheus")]);
    assert_eq!(document["admin"]["address"]["socket_address"]["address"], "127.0.0.1");
}

#[test]
fn envoy_and_the_bridge_meet_at_one_socket() {
    for (envoy, bridge) in [(STANDALONE_REDIS, STANDALONE_BRIDGE), (KUBERNETES, KUBERNETES_BRIDGE)] {
        let (envoy, bridge) = (yaml(envoy), yaml(bridge));
        let clusters = envoy["static_resources"]["clusters"].as_array().unwrap();
        let cluster = clusters.iter().find(|cluster| cluster["name"] == "redis-bridge").unwrap();
        let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        assert_eq!(endpoint["address"]["pipe"]["path"], bridge["listen"]["unix"]);
        assert!(endpoint["address"]["pipe"]["path"].is_string());
    }
}

#[test]
fn the_bridge_finds_no_fault_in_its_samples() {
    let dir = tempfile::tempdir().expect("a folder");
    let here = dir.path().join("bridge.yaml");
    for file in [STANDALONE_BRIDGE, KUBERNETES_BRIDGE] {
        // The folder of the secrets is there in a pod, and has to be here.
        let text = sample(file).replace("/etc/portcullis/secrets", &dir.path().display().to_string());
        fs::write(&here, text).expect("written");
        assert_eq!(faults(&here), ["limits.queue: must be from 1 to 65536"], "{file}");
    }
}

#[test]
fn the_check_notices_a_fault_in_a_sample_of_the_bridge() {
    let dir = tempfile::tempdir().expect("a folder");
    let broken = dir.path().join("bridge.yaml");
    for (right, wrong, path) in [
        ("durability: auto", "durability: sometimes", "durability"),
        ("keyPrefix:", "keyPrefixes:", "(file): unknown field in line"),
        ("{ env: REDIS_PASSWORD }", "{ env: NO_SUCH_VARIABLE }", "redis.aclUserConfig.password"),
    ] {
        let text = sample(KUBERNETES_BRIDGE);
        assert!(text.contains(right));
        fs::write(&broken, text.replace(right, wrong)).expect("written");
        let faults = faults(&broken);
        assert!(faults.iter().any(|fault| fault.starts_with(path)), "{path}: {faults:?}");
    }
}

/// What the bridge finds wrong in a file, apart from one fault that it is given. It names every
/// fault before it asks Redis, so that no Redis is needed and a file without any other fault shows
/// just that one.
fn faults(file: &Path) -> Vec<String> {
    let output = Command::new(paths::bridge())
        .arg("--config")
        .arg(file)
        .arg("--check")
        .envs([("REDIS_USERNAME", "toolhive-auth"), ("REDIS_PASSWORD", "a password")])
        .env("PORTCULLIS_BRIDGE__LIMITS__QUEUE", "0")
        .output()
        .expect("the bridge runs");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let prefix = format!("{}: ", file.display());
    said(&output).lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line).to_owned()).collect()
}

/// Takes out the storage and its cluster, which must be there.
fn without_redis(document: Value) -> Value {
    let mut document = with_parsed_plugin(document);
    remove_cluster(&mut document, "redis-bridge");
    let storage = plugin(&mut document).as_object_mut().unwrap().remove("storage");
    let expected = json!({ "type": "bridge", "cluster": "redis-bridge", "namespace": "prod", "name": "gateway" });
    assert_eq!(storage, Some(expected));
    document
}

/// The plugin's configuration is a text in Envoy's.
fn with_parsed_plugin(mut document: Value) -> Value {
    let plugin = plugin(&mut document);
    *plugin = serde_json::from_str(plugin.as_str().expect("a text")).expect("JSON");
    document
}

fn plugin(document: &mut Value) -> &mut Value {
    let manager = &mut listener(document)["filter_chains"][0]["filters"][0]["typed_config"];
    &mut manager["http_filters"][0]["typed_config"]["config"]["configuration"]["value"]
}

fn vm_config(document: &mut Value) -> &mut serde_json::Map<String, Value> {
    let manager = &mut listener(document)["filter_chains"][0]["filters"][0]["typed_config"];
    let vm_config = &mut manager["http_filters"][0]["typed_config"]["config"]["vm_config"];
    vm_config.as_object_mut().expect("an object")
}

fn listener(document: &mut Value) -> &mut Value {
    &mut document["static_resources"]["listeners"][0]
}

fn remove_cluster(document: &mut Value, name: &str) {
    let clusters = document["static_resources"]["clusters"].as_array_mut().expect("clusters");
    let before = clusters.len();
    clusters.retain(|cluster| cluster["name"] != name);
    assert_eq!(clusters.len() + 1, before, "one cluster {name}");
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&sample(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn sample(file: &str) -> String {
    fs::read_to_string(project(file)).expect("the sample is there")
}

fn project(file: &str) -> PathBuf {
    paths::project().join("envoy").join(file)
}

/// Runs Envoy's own check with the sample's files where the test can put them.
fn validate(dir: &Path, sample: &str) -> Output {
    machine::share();
    let made =
        Command::new(paths::python()).args(["-c", MAKE_CERTIFICATE]).current_dir(dir).output().expect("Python runs");
    assert!(made.status.success(), "{}", said(&made));
    fs::copy(paths::module(), dir.join("portcullis_filter.wasm")).expect("the module is built");
    let here = |text: &str| {
        let trusted = dir.join("tls.crt").display().to_string();
        text.replace("/etc/portcullis", &dir.display().to_string())
            .replace("/etc/ssl/certs/ca-certificates.crt", &trusted)
    };
    for folder in ["config", "tls"] {
        fs::create_dir(dir.join(folder)).expect("a folder");
    }
    for file in ["tls.crt", "tls.key"] {
        fs::copy(dir.join(file), dir.join("tls").join(file)).expect("copied");
    }
    fs::write(dir.join("config/tls.yaml"), here(&self::sample(KUBERNETES_TLS))).expect("a file");
    let config = dir.join("envoy.yaml");
    fs::write(&config, here(sample)).expect("a file");
    Command::new(paths::envoy())
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(&config)
        .env("SIGNING_KEY", fs::read_to_string(dir.join("tls.key")).expect("a key"))
        .env("GATEWAY_SECRET", "forty letters that are no secret to anyone")
        .env("IDP_SECRET", "another one")
        .output()
        .expect("Envoy runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const STANDALONE: &str = "standalone/envoy.yaml";
const STANDALONE_REDIS: &str = "standalone/envoy-redis.yaml";
const STANDALONE_BRIDGE: &str = "standalone/bridge.yaml";
const KUBERNETES: &str = "kubernetes/gateway/envoy.yaml";
const KUBERNETES_BRIDGE: &str = "kubernetes/gateway/bridge.yaml";
const KUBERNETES_TLS: &str = "kubernetes/gateway/tls.yaml";

/// The secrets of the Kubernetes variant: where they are named, and as which file.
const BY_FILE: [(&str, &str); 3] = [
    ("/signingKeys/0", "signing-keys"),
    ("/secrets/0", "gateway-secrets"),
    ("/upstreamProviders/0/oidcConfig/clientSecret", "idp-secret"),
];

/// A certificate that is good for being parsed; the Python package that does it came with the MCP
/// client.
const MAKE_CERTIFICATE: &str = r#"
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mcp.example.com")])
now = datetime.datetime.now(datetime.timezone.utc)
builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
with open("tls.crt", "wb") as file:
    file.write(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
with open("tls.key", "wb") as file:
    form = serialization.PrivateFormat.PKCS8
    file.write(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
"#;
