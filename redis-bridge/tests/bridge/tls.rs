//! TLS to Redis: only the server that was meant is spoken to. Needs `openssl` on the path.

use portcullis_testbed::bridge::check;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, Sentinel, USER, free_port, until};

use crate::certificates::Certificates;

/// Two authorities; of the first, a server's certificate for this machine, one for another name,
/// and one that has ended.
pub(crate) fn certificates() -> Certificates {
    let made = Certificates::new(&["ca", "other-ca"]);
    made.issue("ca", "good", "IP:127.0.0.1,DNS:localhost", 2);
    made.issue("ca", "misnamed", "DNS:elsewhere.example", 2);
    made.issue("ca", "ended", "IP:127.0.0.1,DNS:localhost", -1);
    made
}

/// A server with this certificate, and its TLS port.
fn server(certificates: &Certificates, name: &str, more: &[&str]) -> (RedisServer, u16) {
    let port = free_port();
    let (cert, key) = (certificates.file(&format!("{name}.crt")), certificates.file(&format!("{name}.key")));
    let (ca, port_text) = (certificates.file("ca.crt"), port.to_string());
    let arguments = ["--tls-port", &port_text, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let arguments = [&arguments[..], &["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"], more].concat();
    (RedisServer::start(LEAST_ACL, &arguments), port)
}

/// What `--check` says of a server at this port with these words under `tls:`.
fn with(port: u16, tls: &str) -> (bool, String) {
    check(&format!("addr: \"127.0.0.1:{port}\", {USER}, tls: {{ {tls} }}"), "")
}

fn authority(certificates: &Certificates, name: &str) -> String {
    format!("caCert: \"{}\"", certificates.file(&format!("{name}.crt")))
}

#[test]
fn only_a_server_with_the_right_authority_name_and_time_is_spoken_to() {
    let made = certificates();
    let (good, port) = server(&made, "good", &[]);
    let (content, said) = with(port, &authority(&made, "ca"));
    assert!(content, "{said}");
    let (content, said) = with(port, &authority(&made, "other-ca"));
    assert!(!content, "a foreign authority was believed: {said}");
    assert!(said.contains("certificate"), "the log does not say why: {said}");
    let (content, said) = with(port, "");
    assert!(!content, "a private authority was believed without being named: {said}");
    let (content, said) = with(good.port, &authority(&made, "ca"));
    assert!(!content, "a server without TLS was spoken to: {said}");
    let (content, said) = with(port, "insecureSkipVerify: true");
    assert!(content && said.contains("INSECURE"), "{said}");
    for name in ["misnamed", "ended"] {
        let (_server, port) = server(&made, name, &[]);
        let (content, said) = with(port, &authority(&made, "ca"));
        assert!(!content, "a certificate that is {name} was taken: {said}");
    }
}

#[test]
fn a_server_that_speaks_nothing_newer_than_1_1_is_refused() {
    let made = certificates();
    let weak = "DEFAULT:@SECLEVEL=0";
    for (version, content) in [("TLSv1.2", true), ("TLSv1.1", false)] {
        let (_server, port) = server(&made, "good", &["--tls-protocols", version, "--tls-ciphers", weak]);
        let (found, said) = with(port, &authority(&made, "ca"));
        assert_eq!(found, content, "{version}: {said}");
    }
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_the_configured_one() {
    let made = certificates();
    made.issue("ca", "bridge", "DNS:bridge.example", 2);
    made.issue("other-ca", "stranger", "DNS:bridge.example", 2);
    let (_server, port) = server(&made, "good", &["--tls-auth-clients", "yes"]);
    let identity = |name: &str| {
        let (cert, key) = (made.file(&format!("{name}.crt")), made.file(&format!("{name}.key")));
        format!("{}, clientCert: \"{cert}\", clientKey: \"{key}\"", authority(&made, "ca"))
    };
    let (content, said) = with(port, &identity("bridge"));
    assert!(content, "{said}");
    let (content, said) = with(port, &authority(&made, "ca"));
    assert!(!content, "a server that asks for a certificate was content without: {said}");
    let (content, said) = with(port, &identity("stranger"));
    assert!(!content, "{said}");
}

#[test]
fn the_master_and_its_sentinels_have_their_own_authorities() {
    let made = certificates();
    made.issue("other-ca", "sentinel", "IP:127.0.0.1", 2);
    let (_server, master) = server(&made, "good", &[]);
    let port = free_port();
    let sentinel = Sentinel::start_with(
        master,
        &format!(
            "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no\n\
             tls-replication yes",
            made.file("sentinel.crt"),
            made.file("sentinel.key"),
            made.file("ca.crt")
        ),
    );
    let with = |port: u16, tls: &str| {
        let sentinels = format!("sentinelConfig: {{ masterName: mymaster, sentinelAddrs: [\"127.0.0.1:{port}\"] }}");
        check(&format!("{sentinels}, {USER}, {tls}"), "")
    };
    let (master, other) = (authority(&made, "ca"), authority(&made, "other-ca"));
    // A sentinel has half a second for its handshake, which is short on a busy machine.
    until("each is believed by its own authority", || {
        with(port, &format!("tls: {{ {master} }}, sentinelTls: {{ {other} }}")).0
    });
    let (content, said) = with(port, &format!("tls: {{ {other} }}, sentinelTls: {{ {master} }}"));
    assert!(!content, "the authorities were swapped: {said}");
    until("the sentinels' authority is not believed of a master", || {
        let (content, said) = with(port, &format!("tls: {{ {other} }}, sentinelTls: {{ {other} }}"));
        assert!(!content, "the sentinels' authority was believed of a master: {said}");
        said.contains("redis at")
    });
    let (content, said) = with(port, &format!("tls: {{ {master} }}"));
    assert!(!content, "the master's authority was believed of a sentinel: {said}");
    let (content, said) = with(sentinel.port, &format!("tls: {{ {master} }}, sentinelTls: {{ {other} }}"));
    assert!(!content, "a sentinel without TLS was spoken to: {said}");
    until("a sentinel is taken unverified, with a warning", || {
        let (content, said) = with(port, &format!("tls: {{ {master} }}, sentinelTls: {{ insecureSkipVerify: true }}"));
        assert!(said.contains("INSECURE") && said.contains("redis sentinel"), "{said}");
        content
    });
}
