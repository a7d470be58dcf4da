//! The module that Envoy loads, as `make module` built it.

use portcullis_testbed::paths;

#[test]
fn the_module_is_small() {
    let bytes = std::fs::metadata(paths::module()).expect("the module, by `make module`").len();
    assert!(bytes <= 1_583_000, "the module has {bytes} bytes");
}
