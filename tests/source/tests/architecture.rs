//! The arrows between the crates and between the rooms of the gateway, and what no crate of the
//! product may have: see ARCHITECTURE.md.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use portcullis_source_tests::files::{Files, project};
use portcullis_source_tests::floors::upward_imports;
use portcullis_source_tests::imports::imports;
use portcullis_source_tests::modules::Modules;
use portcullis_source_tests::tokens::{features, named};
use portcullis_source_tests::workspace::{Allowed, crates, graph, lints_not_kept, not_allowed};

#[test]
fn arrows_between_crates_go_one_way() {
    let found = not_allowed(&crates().unwrap(), "portcullis-", &PRODUCT);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_crate_of_the_product_is_in_the_table() {
    let folders = Files::read(&project(), &["Cargo.toml"]).unwrap();
    let product = folders.iter().filter(|(path, _)| {
        let folder = path.split('/').next().unwrap_or_default();
        matches!(folder, "crates" | "filter" | "redis-bridge") && *path != "crates/testkit/Cargo.toml"
    });
    for (path, manifest) in product {
        let listed = PRODUCT.iter().any(|allowed| manifest.contains(&format!("\nname = \"{}\"\n", allowed.name)));
        assert!(listed, "{path} is of no crate that the table lists");
    }
}

#[test]
fn the_rooms_of_the_gateway_import_from_their_own_floor_and_those_below() {
    let files = Files::read(&project().join("crates/gateway/src"), &[".rs"]).unwrap();
    let found = upward_imports(&imports(&files).unwrap(), &GATEWAY_FLOORS);
    assert!(found.is_empty(), "{} upward imports\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_gateway_has_at_most_eighteen_modules() {
    let files = Files::read(&project().join("crates/gateway/src"), &[".rs"]).unwrap();
    let modules = Modules::parse(&files, "lib.rs").unwrap();
    let listed: Vec<&String> = modules.get(0).unwrap().children.keys().collect();
    assert!(listed.len() <= 18, "{} modules: {listed:?}", listed.len());
}

#[test]
fn only_the_filter_knows_envoy() {
    let files = rust_files(|path| !path.starts_with("filter/") && !is_other_module(path));
    let found = named(&files, &["proxy_wasm"]).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let crates = crates().unwrap();
    for allowed in PRODUCT.iter().filter(|allowed| allowed.name != "portcullis-filter") {
        let Some(found) = crates.get(allowed.name) else { continue };
        assert!(!found.dependencies.iter().any(|name| name.starts_with("proxy-wasm")), "{} knows Envoy", allowed.name);
    }
}

#[test]
fn only_the_filters_host_folder_makes_host_calls() {
    let files = rust_files(|path| path.starts_with("filter/") && !path.starts_with("filter/src/host/"));
    let found = named(&files, &["hostcalls"]).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn one_host_call_is_the_only_unsafe_code_and_every_other_lint_holds_there_too() {
    let files = rust_files(|path| path != UNSAFE_HOST_CALL && !is_other_module(path));
    let found = named(&files, &["unsafe", "unsafe_code"]).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let host_call = rust_files(|path| path == UNSAFE_HOST_CALL);
    let code = host_call.text(UNSAFE_HOST_CALL).unwrap();
    let lines = code.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with("//")).count();
    assert!(lines <= 20, "{UNSAFE_HOST_CALL} has {lines} lines of code");
    let manifests = Files::read(&project(), &["Cargo.toml"]).unwrap();
    let product = |path: &str| path.starts_with("crates/") || path.starts_with("redis-bridge/");
    let found = lints_not_kept(&manifests, product, |path| path.starts_with("filter/")).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let filter = manifests.text("filter/Cargo.toml").unwrap();
    assert!(filter.contains("\nunsafe_code = \"deny\"\n"), "the filter allows unsafe code everywhere");
}

#[test]
fn no_code_of_the_product_is_compiled_for_tests_by_a_feature() {
    let files = rust_files(|path| {
        ["crates/", "filter/", "redis-bridge/"].iter().any(|folder| path.starts_with(folder)) && path.contains("/src/")
    });
    let found = features(&files, &["schema"]).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_module_is_built_with_nothing_that_reaches_the_network_or_is_for_tests() {
    let graph = graph("portcullis-filter", "wasm32-wasip1").unwrap();
    assert!(graph.contains("portcullis-gateway"), "{graph:?}");
    let found: Vec<&&str> = NOT_IN_THE_MODULE.iter().filter(|name| graph.contains(**name)).collect();
    assert!(found.is_empty(), "the module is built with {found:?}");
}

fn rust_files(wanted: impl Fn(&str) -> bool) -> Files {
    Files::read(&project(), &[".rs"]).unwrap().only(wanted)
}

/// The modules of measurements and stories are filters of their own.
fn is_other_module(path: &str) -> bool {
    path.starts_with("tests/store-module/")
        || path.strip_prefix("benches/").is_some_and(|path| !path.starts_with("src/"))
}

/// `protocol` ← `gateway` ← `filter`; `storage-api` ← `gateway`, `redis-bridge`; `cli` → all of
/// these but the filter: of the bridge it reads the configuration.
const PRODUCT: [Allowed<'_>; 7] = [
    Allowed { name: "portcullis-cipher", dependencies: &[], features: &[] },
    Allowed { name: "portcullis-protocol", dependencies: &["portcullis-cipher"], features: &[] },
    Allowed { name: "portcullis-storage-api", dependencies: &[], features: &[] },
    Allowed {
        name: "portcullis-gateway",
        dependencies: &["portcullis-protocol", "portcullis-storage-api"],
        features: &["schema"],
    },
    Allowed {
        name: "portcullis-filter",
        dependencies: &["portcullis-gateway", "portcullis-protocol", "portcullis-storage-api"],
        features: &[],
    },
    Allowed { name: "portcullis-redis-bridge", dependencies: &["portcullis-storage-api"], features: &[] },
    Allowed {
        name: "portcullis-cli",
        dependencies: &[
            "portcullis-gateway",
            "portcullis-protocol",
            "portcullis-redis-bridge",
            "portcullis-storage-api",
        ],
        features: &[],
    },
];

/// Reads a header map in place: decision 15.
const UNSAFE_HOST_CALL: &str = "filter/src/host/header_pairs.rs";

/// The rooms of the gateway, top floor first.
const GATEWAY_FLOORS: [&[&str]; 4] = [
    &["dispatch"],
    &["endpoints", "resource_server"],
    &["browser", "clients", "context", "sessions", "state", "upstream"],
    &["audit", "config", "decision", "error", "ports", "responses", "routing", "runtime", "store"],
];

/// Envoy does the network, the clock and signatures; names are compared in their ASCII form.
const NOT_IN_THE_MODULE: [&str; 16] = [
    "ecdsa",
    "hyper",
    "idna",
    "js-sys",
    "jwt-simple",
    "mio",
    "portcullis-benches",
    "portcullis-testkit",
    "portcullis-testbed",
    "portcullis-stories",
    "rayon",
    "reqwest",
    "rsa",
    "tokio",
    "url",
    "wasm-bindgen",
];
