//! Where the parts are: the project's folder, the module, Envoy, the Node and Python packages.

use std::env;
use std::path::{Path, PathBuf};

/// The project's folder.
#[must_use]
pub fn project() -> PathBuf {
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR"));
    testbed.ancestors().nth(2).unwrap_or(testbed).to_path_buf()
}

/// A file or folder in `tests`.
#[must_use]
pub fn in_tests(path: &str) -> PathBuf {
    project().join("tests").join(path)
}

/// The filter's module: `PORTCULLIS_WASM`, else what a release build for `wasm32-wasip1` left in
/// the target folder.
#[must_use]
pub fn module() -> PathBuf {
    if let Some(named) = env::var_os("PORTCULLIS_WASM") {
        return PathBuf::from(named);
    }
    target().join("wasm32-wasip1/release/portcullis_filter.wasm")
}

/// The filter's module of another release, whose records have other fields: what
/// `tests/other-release.sh` left in the target folder.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn other_release() -> PathBuf {
    let module = target().join("other-release/portcullis_filter.wasm");
    assert!(module.exists(), "no module of another release is built: run `make other-release`");
    module
}

/// The bridge's binary: `PORTCULLIS_BRIDGE`, else the one built with this program.
#[must_use]
pub fn bridge() -> PathBuf {
    if let Some(named) = env::var_os("PORTCULLIS_BRIDGE") {
        return PathBuf::from(named);
    }
    let built = built("redis-bridge");
    built.unwrap_or_else(|| panic!("no redis-bridge is built: run `make bridge`, or set PORTCULLIS_BRIDGE"))
}

/// A program of this crate, such as `testbed`.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    built(name).unwrap_or_else(|| panic!("no {name} is built: run `cargo build -p portcullis-testbed --bins`"))
}

/// Cargo's target folder.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from)
}

/// A program that Cargo built into the folder of the running one, or above it: a test runs in
/// `deps`.
fn built(name: &str) -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Envoy's binary: `ENVOY`, else the one that the Python package brought.
#[must_use]
pub fn envoy() -> PathBuf {
    if let Some(named) = env::var_os("ENVOY") {
        return PathBuf::from(named);
    }
    let venv = project().join(".venv");
    // The script in `bin` would put a Python process between us and Envoy; its package holds the
    // binary itself.
    let packaged = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    packaged
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|binary| binary.exists())
        .unwrap_or_else(|| venv.join("bin/envoy"))
}

/// nginx, which Debian puts where only root's path leads.
#[must_use]
pub fn nginx() -> PathBuf {
    let debian = Path::new("/usr/sbin/nginx");
    if debian.exists() { debian.to_path_buf() } else { PathBuf::from("nginx") }
}

/// A Chromium: `CHROMIUM`, else the first that is installed.
///
/// # Panics
/// When none is.
#[must_use]
pub fn chromium() -> PathBuf {
    if let Some(named) = env::var_os("CHROMIUM") {
        return PathBuf::from(named);
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let mut programs = CHROMIUMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = programs.find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("no Chromium is installed: run `make tools`, or set CHROMIUM"))
}

/// The Python interpreter with the MCP client package.
#[must_use]
pub fn python() -> PathBuf {
    project().join(".venv/bin/python")
}

/// The names of Chromium and its like; `tests/provision.sh` installs the first where there is none.
const CHROMIUMS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];
