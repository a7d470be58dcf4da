//! A request keeps the fields of one list, and no handler can name another. Nor is any kept that no
//! handler reads.

#![expect(clippy::expect_used, reason = "a test may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_protocol::http::message::FieldName;

#[test]
fn every_header_field_that_a_request_keeps_is_read_by_some_handler() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources: Vec<String> = files(&folder).iter().map(|path| fs::read_to_string(path).expect("a source")).collect();
    assert!(sources.len() > 20, "only {} files were found", sources.len());
    for name in FieldName::ALL {
        let named = format!("FieldName::{name:?}");
        assert!(sources.iter().any(|source| source.contains(&named)), "nothing reads {named}");
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
