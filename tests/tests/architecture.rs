//! The arrows between the crates go one way: `cipher` ← `protocol` ← `gateway` ← `filter`, and
//! `storage-api` ← `gateway`, `redis-bridge`; the bridge's operator commands alone also stand on
//! `gateway`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::place;
use serde_json::Value;

#[test]
fn protocol_stands_on_its_cipher_only() {
    assert_eq!(ours("portcullis-protocol"), ["portcullis-cipher"]);
    assert_eq!(ours("portcullis-cipher"), [""; 0]);
}

#[test]
fn storage_api_stands_on_no_other_crate_of_ours() {
    assert_eq!(ours("portcullis-storage-api"), [""; 0]);
}

#[test]
fn gateway_stands_on_protocol_and_storage_api_only() {
    assert_eq!(ours("portcullis-gateway"), ["portcullis-protocol", "portcullis-storage-api"]);
}

#[test]
fn filter_stands_on_the_gateway_and_what_it_speaks_with() {
    let expected = ["portcullis-gateway", "portcullis-protocol", "portcullis-storage-api"];
    assert_eq!(ours("portcullis-filter"), expected);
}

#[test]
fn the_bridge_stands_on_the_words_it_speaks_and_its_operators_commands_on_the_gateway() {
    let expected = ["portcullis-gateway", "portcullis-protocol", "portcullis-storage-api"];
    assert_eq!(ours("portcullis-redis-bridge"), expected);
    // Cargo knows whole packages only; what serves must not know what it stores.
    let admin = place::project().join("redis-bridge/src/admin");
    let mut checked = 0;
    for file in sources(&place::project().join("redis-bridge/src")) {
        if file.starts_with(&admin) || file == admin.with_extension("rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source");
        for crate_name in ["portcullis_gateway", "portcullis_protocol"] {
            assert!(!text.contains(crate_name), "{} names {crate_name}", file.display());
        }
        let serves = !file.ends_with("main.rs");
        assert!(!serves || !text.contains("crate::admin"), "{} uses the operator's commands", file.display());
        checked += 1;
    }
    assert!(checked > 10, "only {checked} files were found");
}

#[test]
fn only_the_filter_knows_envoy_by_the_sdk() {
    for product in [
        "portcullis-cipher",
        "portcullis-protocol",
        "portcullis-storage-api",
        "portcullis-gateway",
        "portcullis-redis-bridge",
    ] {
        assert!(!dependencies(product).contains(&"proxy-wasm".to_owned()), "{product} names proxy-wasm");
    }
    assert!(dependencies("portcullis-filter").contains(&"proxy-wasm".to_owned()));
}

#[test]
fn one_host_call_of_the_filter_is_the_only_unsafe_code_and_every_other_rule_holds_there_too() {
    let manifest =
        |folder: &str| std::fs::read_to_string(place::project().join(folder).join("Cargo.toml")).expect("a manifest");
    let workspace = manifest("");
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = [")).expect("the members");
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    let product = |member: &str| member != "filter" && member != "tests" && !member.starts_with("benches");
    let others: Vec<&str> = members.into_iter().filter(|member| product(member)).collect();
    assert!(others.contains(&"redis-bridge") && others.contains(&"crates/gateway"), "{others:?}");
    for member in others {
        assert!(manifest(member).contains("[lints]\nworkspace = true"), "{member} has lints of its own");
    }
    let rules = workspace.split("[workspace.lints.").skip(1).flat_map(|section| {
        section.lines().skip(1).take_while(|line| !line.starts_with('[')).filter(|line| line.contains(" = "))
    });
    let rules: Vec<&str> = rules.filter(|rule| !rule.starts_with("unsafe_code")).collect();
    assert!(rules.len() > 15, "{rules:?}");
    let filter = manifest("filter");
    for rule in rules.into_iter().chain(["unsafe_code = \"deny\"", "undocumented_unsafe_blocks = \"deny\""]) {
        assert!(filter.lines().any(|line| line == rule), "filter does not keep `{rule}`");
    }
    let code = |file: &Path| {
        let text = std::fs::read_to_string(file).expect("a source");
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let host_call = place::project().join("filter/src/host/header_pairs.rs");
    for file in sources(&place::project().join("filter/src")).iter().filter(|file| **file != host_call) {
        assert!(!code(file).contains("unsafe"), "{} has unsafe code, or lets it in", file.display());
    }
    let lines = code(&host_call).lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= 20, "{} has {lines} lines of code", host_call.display());
}

#[test]
fn no_part_of_the_product_reaches_the_network_or_starts_threads_by_a_library() {
    let module = module_crates();
    for banned in [
        "tokio",
        "mio",
        "hyper",
        "reqwest",
        "rayon",
        "wasm-bindgen",
        "js-sys",
        "portcullis-tests",
        "portcullis-benches",
    ] {
        assert!(!module.contains(banned), "the module is built with {banned}");
    }
}

#[test]
fn the_module_is_small_and_leaves_rsa_ecdsa_and_international_names_to_others() {
    let module = module_crates();
    for banned in ["rsa", "ecdsa", "jwt-simple", "url", "idna"] {
        assert!(!module.contains(banned), "the module is built with {banned}");
    }
    let bytes = std::fs::metadata(place::module()).expect("the module, by `make module`").len();
    assert!(bytes <= 1_200_000, "the module has {bytes} bytes");
}

/// The crates that the module is built with: its whole graph, not only its direct dependencies.
fn module_crates() -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "-p", "portcullis-filter", "-e", "normal", "--target", "wasm32-wasip1", "--prefix", "none"])
        .current_dir(place::project())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names = String::from_utf8_lossy(&tree.stdout).into_owned();
    let names: BTreeSet<String> = names.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert!(names.contains("portcullis-gateway"), "{names:?}");
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// The crates of this workspace that a crate is built with, sorted.
fn ours(package: &str) -> Vec<String> {
    dependencies(package).into_iter().filter(|name| name.starts_with("portcullis-")).collect()
}

/// The direct dependencies that a crate is built with (not those of its tests), sorted.
fn dependencies(package: &str) -> Vec<String> {
    let listing = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(place::project())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&listing.stdout).expect("cargo metadata is JSON");
    let packages: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| (package["name"].as_str().unwrap_or_default(), package))
        .collect();
    let wanted = packages[package]["dependencies"].as_array().expect("dependencies");
    let mut names: Vec<String> = wanted
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}
