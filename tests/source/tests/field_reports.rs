//! Every report in docs/field-reports.md names the tests that keep what was mended.

use portcullis_source_tests::files::{Files, project};
use portcullis_source_tests::reports::{count, untested};

#[test]
fn every_report_names_a_test_that_exists() {
    let files = Files::read(&project(), &[".rs", "field-reports.md"]).unwrap();
    let document = files.text("docs/field-reports.md").unwrap();
    let wrong = untested(document, &files);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count(document) >= 50, "only {} reports were found", count(document));
}
