//! Every file of the seeds goes through, with what is kept under `golden`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{assert_checked, migrated_in, seeds_folder};

/// Which files are migrated together: the folder under `golden`, the exit code, the files.
const CASES: [(&str, i32, &[&str]); 20] = [
    (
        "embedded-oidc",
        0,
        &[
            "embedded-oidc.yaml",
            "embedded-server.yaml",
            "secret-provider.yaml",
            "secret-signing-key.yaml",
            "secret-hmac.yaml",
        ],
    ),
    ("embedded-oauth2", 1, &["embedded-oauth2.yaml"]),
    ("external-issuer", 0, &["external-issuer.yaml"]),
    ("shared-oidc", 0, &["shared-oidc-config.yaml", "shared-oidc-server.yaml"]),
    ("service-account", 0, &["service-account.yaml", "service-account-server.yaml", "service-account-client.yaml"]),
    ("authz", 1, &["authz-config.yaml", "authz-server.yaml"]),
    ("authz-policies", 1, &["authz-policies.json"]),
    ("vmcp-incoming", 0, &["vmcp-incoming.yaml"]),
    ("vmcp-upstream-inject", 0, &["vmcp-upstream-inject.yaml"]),
    ("vmcp-combined", 1, &["vmcp-combined.yaml"]),
    ("vmcp-complete", 0, &["vmcp-complete.yaml"]),
    ("redis-storage-service", 0, &["redis-storage-service.yaml", "embedded-server.yaml"]),
    ("redis-storage-addresses", 0, &["redis-storage-addresses.yaml", "embedded-server.yaml"]),
    ("redis-storage-tls", 0, &["redis-storage-tls.yaml", "embedded-server.yaml"]),
    ("redis-storage-sentinel-tls", 0, &["redis-storage-sentinel-tls.yaml", "embedded-server.yaml"]),
    ("redis", 0, &["redis-acl.yaml", "redis-sentinels.yaml"]),
    ("session-storage-server", 1, &["session-storage-server.yaml", "redis-standalone.yaml"]),
    ("session-storage-vmcp", 1, &["session-storage-vmcp.yaml", "redis-standalone.yaml"]),
    (
        "trusted-issuers",
        1,
        &["external-issuer.yaml", "shared-oidc-config.yaml", "shared-oidc-server.yaml", "service-account-server.yaml"],
    ),
    ("two-gateways", 0, &["embedded-oidc.yaml", "embedded-server.yaml", "external-issuer.yaml"]),
];

#[test]
fn each_seed_becomes_what_is_kept_and_passes_the_check() {
    for (name, code, files) in CASES {
        let done = migrated_in(&seeds_folder(), files);
        assert_eq!(done.code, code, "{name}\n{}{}", done.out, done.err);
        assert!(done.err.is_empty(), "{name}: {}", done.err);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/golden").join(name);
        assert_kept(&golden, "report.txt", Some(&done.out));
        for folder in ["", "embedded-auth-server", "weather-server-external"] {
            for file in ["portcullis.json", "bridge.yaml", "clusters.yaml"] {
                let file = Path::new(folder).join(file).display().to_string();
                assert_kept(&golden, &file, done.file(&file).as_deref());
            }
            assert_checked(&done.folder.path().join(folder));
        }
    }
}

#[test]
fn every_seed_is_in_a_case_and_in_the_index() {
    let index = fs::read_to_string(seeds_folder().join("README.md")).unwrap();
    let used: BTreeSet<&str> = CASES.iter().flat_map(|(.., files)| files.iter().copied()).collect();
    let mut count = 0;
    for file in fs::read_dir(seeds_folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        assert!(used.contains(name.as_str()), "{name} is in no case");
        assert!(index.contains(&format!("`{name}`")), "{name} is not in the index");
        count += 1;
    }
    assert_eq!((count, used.len()), (28, 28));
}

/// Holds when a file is as it is kept. `UPDATE=1` keeps it.
fn assert_kept(golden: &Path, name: &str, written: Option<&str>) {
    let path = golden.join(name);
    if std::env::var_os("UPDATE").is_some() {
        match written {
            Some(written) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, written).unwrap();
            }
            None if path.exists() => fs::remove_file(&path).unwrap(),
            None => {}
        }
    }
    let kept = fs::read_to_string(&path).ok();
    assert_eq!(kept.as_deref(), written, "{}: UPDATE=1 keeps what was written", path.display());
}
