//! The manifests in `envoy/kubernetes` hold together: what one file names, another has.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis_testbed::paths;
use portcullis_testbed::redis::{CREDENTIALS, LEAST_ACL, acl_with_wait};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn every_object_has_a_name_a_kind_and_a_version() {
    let folder = with_secrets();
    for layer in LAYERS {
        for object in layer_objects(folder.path(), layer) {
            for field in [&object["apiVersion"], &object["kind"], &object["metadata"]["name"]] {
                assert!(field.as_str().is_some_and(|text| !text.is_empty()), "{layer}: {object}");
            }
            let cluster_wide = object["kind"] == "Namespace";
            assert_eq!(object["metadata"]["namespace"].is_string(), !cluster_wide, "{layer}: {object}");
        }
    }
}

#[test]
fn every_file_is_used_and_every_used_file_is_there() {
    let folder = with_secrets();
    for layer in LAYERS {
        let own = folder.path().join(layer);
        let named: BTreeSet<String> = files_of(&own).into_iter().collect();
        for file in &named {
            assert!(own.join(file).is_file(), "{layer}/{file} is named and not there");
        }
        let there = fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<String> = there.filter(|name| name != "kustomization.yaml" && name != "secrets").collect();
        let unused: Vec<_> = there.difference(&named).collect();
        assert!(unused.is_empty(), "{layer} does not use {unused:?}");
    }
    let top = kustomization(folder.path());
    assert_eq!(words(&top["resources"]), ["redis", "gateway"]);
    let text = fs::read_to_string(folder.path().join("kustomization.yaml")).unwrap();
    assert!(text.contains("\n# components: [replicated]\n"), "the line that turns replication on");
}

#[test]
fn what_a_pod_mounts_and_reads_exists() {
    let folder = with_secrets();
    let objects = all_objects(folder.path());
    let mut checked = 0;
    for object in &objects {
        let Some(pod) = object["spec"].get("template").map(|template| &template["spec"]) else { continue };
        let name = object["metadata"]["name"].as_str().unwrap();
        let namespace = &object["metadata"]["namespace"];
        let has = |kind: &str, wanted: &Value, key: Option<&Value>| {
            let found = objects.iter().find(|other| {
                other["kind"] == kind
                    && other["metadata"]["name"] == *wanted
                    && other["metadata"]["namespace"] == *namespace
            });
            let found = found.unwrap_or_else(|| panic!("{name} names {kind} {wanted}, which is not there"));
            let keys = keys(found);
            assert!(key.is_none_or(|key| keys.contains(key.as_str().unwrap())), "{kind} {wanted} has no {key:?}");
        };
        // A patch adds to the pod of the same name.
        let patched = objects
            .iter()
            .filter(|other| other["kind"] == object["kind"] && other["metadata"]["name"] == object["metadata"]["name"]);
        let mut volumes = BTreeSet::new();
        for part in patched {
            volumes.extend(list(&part["spec"]["template"]["spec"]["volumes"]).map(|volume| volume["name"].to_string()));
            volumes
                .extend(list(&part["spec"]["volumeClaimTemplates"]).map(|claim| claim["metadata"]["name"].to_string()));
        }
        for volume in list(&pod["volumes"]) {
            if let Some(secret) = volume.get("secret") {
                has("Secret", &secret["secretName"], None);
            }
            if let Some(map) = volume.get("configMap") {
                has("ConfigMap", &map["name"], None);
            }
        }
        for container in containers(pod) {
            for mount in list(&container["volumeMounts"]) {
                assert!(volumes.contains(&mount["name"].to_string()), "{name} mounts {mount}");
                checked += 1;
            }
            for source in list(&container["envFrom"]) {
                has("Secret", &source["secretRef"]["name"], None);
            }
            for variable in list(&container["env"]) {
                let key = &variable["valueFrom"]["secretKeyRef"];
                if !key.is_null() {
                    has("Secret", &key["name"], Some(&key["key"]));
                    checked += 1;
                }
            }
        }
    }
    assert!(checked >= 10, "only {checked} names were looked at");
}

#[test]
fn what_selects_pods_selects_some() {
    let folder = with_secrets();
    let objects = all_objects(folder.path());
    let mut checked = 0;
    for object in &objects {
        let selector = match object["kind"].as_str().unwrap() {
            "Service" => &object["spec"]["selector"],
            "PodDisruptionBudget" | "StatefulSet" | "Deployment" => &object["spec"]["selector"]["matchLabels"],
            "NetworkPolicy" => &object["spec"]["podSelector"]["matchLabels"],
            _ => continue,
        };
        // Patches have none; everything else must.
        let Some(selector) = selector.as_object() else { continue };
        let selected = objects.iter().any(|pods| {
            let labels = &pods["spec"]["template"]["metadata"]["labels"];
            pods["metadata"]["namespace"] == object["metadata"]["namespace"]
                && selector.iter().all(|(name, value)| labels[name] == *value)
        });
        assert!(!selector.is_empty() && selected, "{object} selects nothing");
        if let Some(service) = object["spec"].get("serviceName") {
            assert!(objects.iter().any(|other| other["kind"] == "Service" && other["metadata"]["name"] == *service));
        }
        checked += 1;
    }
    assert!(checked >= 10, "only {checked} selectors were looked at");
}

#[test]
fn the_bridge_takes_envoys_user_and_both_are_locked_down() {
    let folder = with_secrets();
    let deployment = one(&all_objects(folder.path()), "Deployment", "portcullis");
    let pod = &deployment["spec"]["template"]["spec"];
    let (envoy, bridge) = (&pod["containers"][0], &pod["initContainers"][0]);
    let config = yaml(&folder.path().join("gateway/bridge.yaml"));
    assert_eq!(config["listen"]["allowedUids"], serde_json::json!([envoy["securityContext"]["runAsUser"]]));
    assert_ne!(envoy["securityContext"]["runAsUser"], bridge["securityContext"]["runAsUser"]);
    assert_eq!((&pod["securityContext"]["runAsNonRoot"], &bridge["restartPolicy"]), (&true.into(), &"Always".into()));
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in [envoy, bridge] {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], serde_json::json!({ "drop": ["ALL"] }));
        let socket = list(&container["volumeMounts"]).find(|mount| mount["name"] == "socket").unwrap();
        let path = config["listen"]["unix"].as_str().unwrap();
        assert!(path.starts_with(socket["mountPath"].as_str().unwrap()), "{path}");
    }
    let mounted = |container: &Value| -> Option<String> {
        let mount = list(&container["volumeMounts"]).find(|mount| mount["name"] == "secrets")?;
        Some(mount["mountPath"].as_str().unwrap().to_owned())
    };
    assert_eq!((mounted(bridge), mounted(envoy)), (config["secretsDir"].as_str().map(str::to_owned), None));
    assert!(envoy.get("env").is_none() && envoy.get("envFrom").is_none(), "nothing is in Envoy's environment");
    let variables: Vec<_> = list(&bridge["env"]).map(|variable| variable["name"].clone()).collect();
    assert_eq!(variables, CREDENTIALS.map(|(name, _)| Value::from(name)));
}

#[test]
fn every_secret_that_the_filter_names_is_a_file_and_its_change_starts_no_pods() {
    let folder = with_secrets();
    let envoy = fs::read_to_string(folder.path().join("gateway/envoy.yaml")).unwrap();
    let named: BTreeSet<_> =
        envoy.split(r#"{ "bridge": ""#).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let objects = all_objects(folder.path());
    assert_eq!(keys(&one(&objects, "Secret", "gateway-secrets")), named);
    let kustomization = kustomization(&folder.path().join("gateway"));
    let generated = list(&kustomization["secretGenerator"]).find(|secret| secret["name"] == "gateway-secrets").unwrap();
    assert_eq!(generated["options"]["disableNameSuffixHash"], true);
    let pod = &one(&objects, "Deployment", "portcullis")["spec"]["template"]["spec"];
    let volume = list(&pod["volumes"]).find(|volume| volume["name"] == "secrets").unwrap();
    assert_eq!(volume["secret"], serde_json::json!({ "secretName": "gateway-secrets", "defaultMode": 0o440 }));
    for container in containers(pod) {
        assert!(list(&container["volumeMounts"]).all(|mount| mount.get("subPath").is_none()), "{container}");
    }
}

#[test]
fn ports_are_the_same_wherever_they_are_named() {
    let folder = with_secrets();
    let objects = all_objects(folder.path());
    let pod = one(&objects, "Deployment", "portcullis")["spec"]["template"]["spec"].clone();
    let port_of = |name: &Value| {
        let ports = containers(&pod).flat_map(|container| list(&container["ports"])).find(|port| port["name"] == *name);
        ports.unwrap_or_else(|| panic!("no port {name}"))["containerPort"].clone()
    };
    for container in containers(&pod) {
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            if let Some(probe) = container.get(probe) {
                port_of(&probe["httpGet"]["port"]);
            }
        }
    }
    let service = one(&objects, "Service", "portcullis");
    let (https, probes) = (port_of(&service["spec"]["ports"][0]["targetPort"]), port_of(&"probes".into()));
    let envoy = yaml(&folder.path().join("gateway/envoy.yaml"));
    let listens =
        |at: usize| envoy["static_resources"]["listeners"][at]["address"]["socket_address"]["port_value"].clone();
    assert_eq!((&https, &probes), (&listens(0), &listens(1)));
    let bridge = yaml(&folder.path().join("gateway/bridge.yaml"));
    let metrics = port_of(&"bridge-metrics".into());
    assert!(bridge["metrics"]["listen"].as_str().unwrap().ends_with(&format!(":{metrics}")));
    let policy = one(&objects, "NetworkPolicy", "portcullis");
    let open = |rule: usize| list(&policy["spec"]["ingress"][rule]["ports"]).map(|port| port["port"].clone()).collect();
    let (clients, observers): (Vec<_>, Vec<_>) = (open(0), open(1));
    assert_eq!((clients, observers), (vec![https], vec![probes, metrics]));
    assert_eq!(policy["spec"]["ingress"].as_array().unwrap().len(), 2);
}

#[test]
fn the_acl_is_the_manifests_own_and_replication_adds_wait() {
    let folder = with_secrets();
    let made = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
    assert_eq!(made("redis/secrets/users.acl"), LEAST_ACL);
    assert_eq!(made("replicated/secrets/users.acl"), acl_with_wait());
    let manifest = made("redis/redis-sentinel.yaml");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest).unwrap();
    let written = documents[0]["stringData"]["users.acl"].as_str().unwrap();
    assert_eq!(written.replace("YOUR_REDIS_ACL_PASSWORD", CREDENTIALS[1].1), LEAST_ACL);
}

#[test]
fn secrets_are_made_once_for_their_owner_only_and_never_from_an_example() {
    let folder = copy();
    let refused = secrets(folder.path(), &[("TLS_CERT", "cert"), ("TLS_KEY", "key")]);
    assert!(!refused.status.success() && said(&refused).contains("set IDP_SECRET"), "{}", said(&refused));
    let example = [("REDIS_PASSWORD", "YOUR_REDIS_ACL_PASSWORD")];
    let refused = secrets(folder.path(), &[&GIVEN[..3], &example].concat());
    assert!(!refused.status.success() && said(&refused).contains("example"), "{}", said(&refused));
    assert!(!folder.path().join("redis/secrets/users.acl").exists());
    let another = copy();
    let refused = secrets(another.path(), &[&GIVEN[..3], &[("REDIS_PASSWORD", "two words")]].concat());
    assert!(!refused.status.success() && !another.path().join("redis/secrets/users.acl").exists());

    let folder = with_secrets();
    let before = all_secrets(folder.path());
    assert_eq!(before.len(), 8);
    for (file, _) in &before {
        let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} can be read by others", file.display());
    }
    let again = secrets(folder.path(), &[]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(all_secrets(folder.path()), before);
    let of = |file: &str| before.iter().find(|(path, _)| path.ends_with(file)).map(|(_, text)| text.clone()).unwrap();
    assert!(of("signing-keys").contains("PRIVATE KEY"));
    assert!(of("gateway-secrets").len() >= 32 && !of("gateway-secrets").ends_with('\n'));
    let another = with_secrets();
    let other = all_secrets(another.path());
    let same = before.iter().zip(&other).filter(|(one, two)| one.1 == two.1).count();
    assert_eq!(same, before.len() - 2, "the signing key and the gateway secret are random, the rest is given");
}

/// A copy of the folder in which `secrets.sh` has made what the kustomizations read.
fn with_secrets() -> TempDir {
    let folder = copy();
    let made = secrets(folder.path(), &GIVEN);
    assert!(made.status.success(), "{}", said(&made));
    folder
}

/// Only what is part of the project: a developer may have secrets of his own there.
fn copy() -> TempDir {
    let (from, to) = (paths::project().join("envoy/kubernetes"), TempDir::new().expect("a folder"));
    for part in ["", "redis", "gateway", "replicated"] {
        fs::create_dir_all(to.path().join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.path().join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    to
}

fn secrets(folder: &Path, given: &[(&str, &str)]) -> Output {
    for file in ["cert", "key"] {
        fs::write(folder.join(file), file).unwrap();
    }
    let mut script = Command::new("sh");
    script.arg("secrets.sh").current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    script.envs(given.iter().copied()).output().expect("sh runs")
}

fn all_secrets(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for layer in LAYERS {
        for entry in fs::read_dir(folder.join(layer).join("secrets")).unwrap().map(Result::unwrap) {
            let path = Path::new(layer).join("secrets").join(entry.file_name());
            found.push((path, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

fn all_objects(folder: &Path) -> Vec<Value> {
    LAYERS.iter().flat_map(|layer| layer_objects(folder, layer)).collect()
}

/// The objects of a layer: its manifests, its patches, and what it generates (by name and keys).
fn layer_objects(folder: &Path, layer: &str) -> Vec<Value> {
    let own = folder.join(layer);
    let kustomization = kustomization(&own);
    let mut objects = Vec::new();
    let patches = list(&kustomization["patches"]).map(|patch| patch["path"].as_str().unwrap());
    for file in words(&kustomization["resources"]).into_iter().chain(patches) {
        let text = fs::read_to_string(own.join(file)).unwrap_or_else(|error| panic!("{layer}/{file}: {error}"));
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        objects.extend(documents);
    }
    for (generator, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
        for generated in list(&kustomization[generator]) {
            let sources = words(&generated["files"]).into_iter().chain(words(&generated["literals"]));
            let key = |source: &str| source.split('=').next().unwrap().rsplit('/').next().unwrap().to_owned();
            let data: serde_json::Map<String, Value> = sources.map(|source| (key(source), Value::Null)).collect();
            objects.push(serde_json::json!({
                "apiVersion": "v1", "kind": kind, "data": data,
                "metadata": { "name": generated["name"], "namespace": generated["namespace"] },
            }));
        }
    }
    for object in objects.iter_mut().filter(|object| object["kind"] != "Namespace") {
        if kustomization["namespace"].is_string() {
            object["metadata"]["namespace"] = kustomization["namespace"].clone();
        }
    }
    objects
}

fn files_of(own: &Path) -> Vec<String> {
    let kustomization = kustomization(own);
    let generators = ["configMapGenerator", "secretGenerator"].map(|name| kustomization[name].clone());
    let generated = generators.iter().flat_map(list).flat_map(|generated| words(&generated["files"]));
    let generated = generated.map(|source| source.rsplit('=').next().unwrap());
    let patches = list(&kustomization["patches"]).map(|patch| patch["path"].as_str().unwrap());
    words(&kustomization["resources"]).into_iter().chain(patches).chain(generated).map(str::to_owned).collect()
}

fn kustomization(folder: &Path) -> Value {
    yaml(&folder.join("kustomization.yaml"))
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn one(objects: &[Value], kind: &str, name: &str) -> Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}")).clone()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["initContainers"]).chain(list(&pod["containers"]))
}

fn keys(object: &Value) -> BTreeSet<&str> {
    let tables = [&object["data"], &object["stringData"]].into_iter().filter_map(Value::as_object);
    tables.flat_map(|table| table.keys().map(String::as_str)).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn words(value: &Value) -> Vec<&str> {
    list(value).map(|word| word.as_str().expect("a text")).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const LAYERS: [&str; 3] = ["redis", "gateway", "replicated"];

const GIVEN: [(&str, &str); 4] =
    [("IDP_SECRET", "an idp's secret"), ("TLS_CERT", "cert"), ("TLS_KEY", "key"), ("REDIS_PASSWORD", CREDENTIALS[1].1)];
