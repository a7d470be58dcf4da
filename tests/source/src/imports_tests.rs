use super::*;

#[test]
fn an_import_counts_for_the_file_that_declares_the_item() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::Y;"),
        ("b.rs", "mod deep; pub use deep::Y; pub struct Z;"),
        ("b/deep.rs", "pub struct Y;"),
    ];
    assert_eq!(pairs(files), ["a.rs → b/deep.rs"]);
}

#[test]
fn a_parent_that_declares_and_re_exports_imports_nothing() {
    let files = [
        ("lib.rs", "pub mod a; pub use a::{One, two::*}; pub(crate) use self::a::One as First;"),
        ("a.rs", "pub mod two; pub struct One;"),
        ("a/two.rs", "pub struct Two;"),
    ];
    assert_eq!(pairs(files), [""; 0]);
}

#[test]
fn a_parent_that_uses_what_it_re_exports_imports_it() {
    let files = [("lib.rs", "mod a; pub use a::One; fn one() -> One { One }"), ("a.rs", "pub struct One;")];
    assert_eq!(pairs(files), ["lib.rs → a.rs"]);
}

#[test]
fn a_re_export_from_elsewhere_is_an_import() {
    let files = [("lib.rs", "mod a; mod b;"), ("a.rs", "pub use crate::b::Y;"), ("b.rs", "pub struct Y;")];
    assert_eq!(pairs(files), ["a.rs → b.rs"]);
}

#[test]
fn every_spelling_of_a_path_is_followed() {
    for code in [
        "use crate::b::Y;",
        "use crate::{b::{Y as Renamed}};",
        "use super::b::{self, Y};",
        "use super::b; fn f(y: b::Y) {}",
        "use crate::b as c; fn f() { c::Y::new(); }",
        "fn f() { crate::b::Y::new(); }",
        "fn f() { use crate::b::Y; }",
        "fn f() -> Vec<Option<super::b::Y>> { vec![] }",
        "fn f(y: u8) { match y { super::b::Y => {} _ => {} } }",
        "fn f() { println!(\"{}\", 1 + crate::b::Y); }",
        "macro_rules! m { () => { $crate::b::Y } }",
        "struct S { #[serde(deserialize_with = \"crate::b::Y\")] field: u8 }",
        "impl crate::b::Y for u8 {}",
        "use crate::b::*;",
        "use crate::b::Y as _;",
        "use super::root::b::Y;",
        "mod inner { use super::super::b::Y; }",
    ] {
        let files =
            [("lib.rs", "mod a; mod b; mod root { pub use crate::b; }"), ("a.rs", code), ("b.rs", "pub struct Y;")];
        assert_eq!(pairs(files), ["a.rs → b.rs"], "{code}");
    }
}

#[test]
fn what_only_tests_compile_is_left_out() {
    for code in [
        "#[cfg(test)] mod tests { use crate::b::Y; }",
        "#[cfg(all(test, unix))] use crate::b::Y;",
        "mod a_tests;",
        "impl u8 { #[cfg(test)] fn f() { crate::b::Y; } }",
    ] {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", code),
            ("b.rs", "pub struct Y;"),
            ("a/a_tests.rs", "use crate::b::Y;"),
        ];
        assert_eq!(pairs(files), [""; 0], "{code}");
    }
    let files =
        [("lib.rs", "mod a; mod b;"), ("a.rs", "#[cfg(not(test))] use crate::b::Y;"), ("b.rs", "pub struct Y;")];
    assert_eq!(pairs(files), ["a.rs → b.rs"]);
}

#[test]
fn comments_strings_fields_and_other_crates_are_no_imports() {
    for code in [
        "/// See [`crate::b::Y`].\nfn f() {} // crate::b::Y",
        "fn f() { g(\"crate::b::Y\"); }",
        "fn f(x: X) { x.b; assert!(x.b == 1); }",
        "use ::b::Y;",
        "use std::fmt::{self, Display}; fn f() { fmt::Y; }",
        "use super::b;",
    ] {
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", code), ("b.rs", "pub struct Y;")];
        assert_eq!(pairs(files), [""; 0], "{code}");
    }
}

#[test]
fn aliases_that_lead_to_themselves_end() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub use crate::b::*; use url::url;"),
        ("b.rs", "pub use crate::a::*; fn f() { url::Y; Z; }"),
    ];
    assert_eq!(pairs(files), ["a.rs → b.rs", "b.rs → a.rs"]);
}

#[test]
fn a_module_and_an_item_of_one_name_are_told_apart() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::protect; use crate::b::protect::Other;"),
        ("b.rs", "pub mod protect; mod other; pub use other::protect;"),
        ("b/protect.rs", "pub struct Other;"),
        ("b/other.rs", "pub fn protect() {}"),
    ];
    assert_eq!(pairs(files), ["a.rs → b/other.rs", "a.rs → b/protect.rs"]);
}

#[test]
fn every_target_is_read_and_a_missing_file_is_named() {
    let files =
        [("main.rs", "mod args; fn main() { args::run(); }"), ("args.rs", "pub fn run() {}"), ("bin/two.rs", "")];
    assert_eq!(pairs(files), ["main.rs → args.rs"]);
    assert_eq!(imports(&Files::from([("lib.rs", "mod a;")])), Err("a/mod.rs: no such file".to_owned()));
    assert!(imports(&Files::from([("a.rs", "")])).is_err());
    assert!(imports(&Files::from([("lib.rs", "fn")])).is_err());
}

fn pairs<const N: usize>(files: [(&str, &str); N]) -> Vec<String> {
    let imports = imports(&Files::from(files)).unwrap();
    imports.iter().flat_map(|(from, targets)| targets.keys().map(move |to| format!("{from} → {to}"))).collect()
}
