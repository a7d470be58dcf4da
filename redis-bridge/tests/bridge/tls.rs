//! TLS to Redis: only the server that was meant is spoken to. Needs `openssl` on the path.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use portcullis_tests::bridge::check;
use portcullis_tests::redis::{RedisServer, SEED_ACL, USER, free_port};

/// Two authorities; of the first, a server's certificate for this machine, one for another name, and one that has ended.
pub(crate) fn certificates() -> TempDir {
    let folder = TempDir::new().unwrap();
    for authority in ["ca", "other-ca"] {
        openssl(
            folder.path(),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.crt"
            ),
        );
    }
    for (name, subject, days) in [
        ("good", "IP:127.0.0.1,DNS:localhost", "2"),
        ("misnamed", "DNS:elsewhere.example", "2"),
        ("ended", "IP:127.0.0.1,DNS:localhost", "-1"),
    ] {
        std::fs::write(folder.path().join(format!("{name}.ext")), format!("subjectAltName={subject}\n")).unwrap();
        openssl(
            folder.path(),
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ),
        );
        openssl(
            folder.path(),
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.crt"
            ),
        );
    }
    folder
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A server with this certificate, and its TLS port.
fn server(folder: &Path, name: &str) -> (RedisServer, u16) {
    let port = free_port();
    let file = |name: &str, kind: &str| folder.join(format!("{name}.{kind}")).display().to_string();
    let (cert, key, ca) = (file(name, "crt"), file(name, "key"), file("ca", "crt"));
    let port_text = port.to_string();
    let arguments = [
        "--tls-port",
        &port_text,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    (RedisServer::start(SEED_ACL, &arguments), port)
}

#[test]
fn only_a_server_with_the_right_authority_name_and_time_is_spoken_to() {
    let folder = certificates();
    let with = |port: u16, tls: &str| check(&format!("addr: \"127.0.0.1:{port}\", {USER}, tls: {{ {tls} }}"), "");
    let authority = |name: &str| format!("caCert: \"{}/{name}.crt\"", folder.path().display());
    let (good, port) = server(folder.path(), "good");
    let (content, said) = with(port, &authority("ca"));
    assert!(content, "{said}");
    let (content, said) = with(port, &authority("other-ca"));
    assert!(!content, "a foreign authority was believed: {said}");
    assert!(said.contains("certificate"), "the log does not say why: {said}");
    let (content, said) = with(port, "");
    assert!(!content, "a private authority was believed without being named: {said}");
    let (content, said) = with(good.port, &authority("ca"));
    assert!(!content, "a server without TLS was spoken to: {said}");
    let (content, said) = with(port, "insecureSkipVerify: true");
    assert!(content && said.contains("INSECURE"), "{said}");
    for name in ["misnamed", "ended"] {
        let (_server, port) = server(folder.path(), name);
        let (content, said) = with(port, &authority("ca"));
        assert!(!content, "a certificate that is {name} was taken: {said}");
    }
}
