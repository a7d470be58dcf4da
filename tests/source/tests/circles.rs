//! No circle of files in the product: no file imports from one that imports, directly or not, from
//! it. A parent and its child are files like others; `mod x;` and re-exports are no imports.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use portcullis_source_tests::circles::circles;
use portcullis_source_tests::files::{Files, project};
use portcullis_source_tests::imports::imports;

#[test]
fn circles_protocol() {
    assert_none("crates/protocol");
}

#[test]
fn circles_storage_api() {
    assert_none("crates/storage-api");
}

#[test]
fn circles_gateway() {
    assert_none("crates/gateway");
}

#[test]
fn circles_filter() {
    assert_none("filter");
}

#[test]
fn circles_redis_bridge() {
    assert_none("redis-bridge");
}

#[test]
fn circles_cli() {
    assert_none("crates/cli");
}

fn assert_none(folder: &str) {
    let files = Files::read(&project().join(folder).join("src"), &[".rs"]).unwrap();
    let imports = imports(&files).unwrap();
    let circles = circles(&imports);
    let files: usize = circles.iter().map(|circle| circle.files.len()).sum();
    let listed: Vec<String> = circles.iter().map(ToString::to_string).collect();
    let (found, all) = (circles.len(), imports.len());
    assert!(circles.is_empty(), "{folder}: {found} circles with {files} of {all} files\n\n{}", listed.join("\n"));
}
