//! Every report in docs/field-reports.md, and every row of the last part of docs/threats.md, names
//! its tests.

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

#[test]
fn every_threat_of_the_part_that_goes_test_by_test_names_tests_that_exist() {
    let files = Files::read(&project(), &[".rs", "threats.md"]).unwrap();
    let (_, part) = files.text("docs/threats.md").unwrap().split_once("test by test\n").unwrap();
    let wrong = untested(part, &files);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count(part) >= 45, "only {} threats were found", count(part));
}
