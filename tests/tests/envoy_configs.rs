//! The configurations that we give to others are accepted by the Envoy that they are meant for.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use portcullis_tests::place;

#[test]
fn the_standalone_sample_is_valid() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = validate(dir.path(), &standalone_sample());
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_check_of_the_sample_notices_a_field_that_envoy_does_not_know() {
    let dir = tempfile::tempdir().expect("a folder");
    let broken = standalone_sample().replace("allow_on_headers_stop_iteration", "allow_on_headers_stop");
    let output = validate(dir.path(), &broken);
    assert!(!output.status.success());
    assert!(said(&output).contains("allow_on_headers_stop"), "{}", said(&output));
}

#[test]
fn the_sample_keeps_secrets_out_of_the_file() {
    let sample = standalone_sample();
    assert!(sample.contains("host_env_keys: [SIGNING_KEY, GATEWAY_SECRET, IDP_SECRET]"));
    for leak in ["inline", "key_values", "BEGIN"] {
        assert!(!sample.contains(leak), "the sample contains {leak:?}");
    }
}

fn standalone_sample() -> String {
    fs::read_to_string(place::project().join("envoy/standalone/envoy.yaml")).expect("the sample is there")
}

/// Runs Envoy's own check with the sample's files where the test can put them.
fn validate(dir: &Path, sample: &str) -> Output {
    let made =
        Command::new(place::python()).args(["-c", MAKE_CERTIFICATE]).current_dir(dir).output().expect("Python runs");
    assert!(made.status.success(), "{}", said(&made));
    fs::copy(place::module(), dir.join("portcullis_filter.wasm")).expect("the module is built");
    let trusted = dir.join("tls.crt").display().to_string();
    let here = sample
        .replace("/etc/portcullis", &dir.display().to_string())
        .replace("/etc/ssl/certs/ca-certificates.crt", &trusted);
    let config = dir.join("envoy.yaml");
    fs::write(&config, here).expect("a file");
    Command::new(place::envoy())
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(&config)
        .env("SIGNING_KEY", fs::read_to_string(dir.join("tls.key")).expect("a key"))
        .env("GATEWAY_SECRET", "forty letters that are no secret to anyone")
        .env("IDP_SECRET", "another one")
        .output()
        .expect("Envoy runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A certificate that is good for being parsed; the Python package that does it came with the MCP client.
const MAKE_CERTIFICATE: &str = r#"
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mcp.example.com")])
now = datetime.datetime.now(datetime.timezone.utc)
builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
with open("tls.crt", "wb") as file:
    file.write(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
with open("tls.key", "wb") as file:
    form = serialization.PrivateFormat.PKCS8
    file.write(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
"#;
