//! Callers by TCP: only a certificate of the right authority with an allowed name opens the door.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as Plain;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_storage_api::wire::{Get, GetAnswer, Mutation, Put, Space, Value, Verb};
use portcullis_storage_api::{Key, Kind, Ttl};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::Certificates;
use crate::client::fresh;
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, cli, free_port, standalone};

struct Door {
    made: Certificates,
    server: RedisServer,
    bridge: Bridge,
    port: u16,
}

impl Door {
    fn open(more: &str) -> Self {
        let made = Certificates::new(&["ca", "callers-ca", "other-ca"]);
        made.issue("ca", "bridge", "DNS:bridge.example", 2);
        let (server, port) = (RedisServer::start(LEAST_ACL, &[]), free_port());
        let listen = format!(
            "listen: {{ tcp: {{ address: \"127.0.0.1:{port}\", cert: \"{}\", key: \"{}\", clientCa: \"{}\", \
             allowedNames: [Envoy.prod.example, \"spiffe://prod/envoy\"] }} }}\n{more}",
            made.file("bridge.crt"),
            made.file("bridge.key"),
            made.file("callers-ca.crt"),
        );
        let bridge = Bridge::start(&standalone(server.port), &listen);
        Self { made, server, bridge, port }
    }

    /// The status and body of one request with this identity; why not, where nothing was answered.
    async fn ask(&self, identity: Option<&str>, protocol: &str, path: &str, body: Vec<u8>) -> Result<Answer, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.made.read("ca.crt")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_slice(&self.made.read(&format!("{name}.crt"))).unwrap();
                let key = PrivateKeyDer::from_pem_slice(&self.made.read(&format!("{name}.key"))).unwrap();
                config.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from("bridge.example").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let request =
            Request::post(format!("https://bridge.example{path}")).body(Full::new(Bytes::from(body))).unwrap();
        let answer = if protocol == "h2" {
            let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(driver);
            sender.send_request(request).await
        } else {
            let (mut sender, driver) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(driver);
            sender.send_request(request).await
        };
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes().to_vec()))
    }

    fn refused(&self, reason: &str) -> u64 {
        self.bridge.metric(&format!("portcullis_bridge_refused_connections_total{{reason=\"{reason}\"}}"))
    }
}

type Answer = (u16, Vec<u8>);

#[tokio::test]
async fn a_caller_with_an_allowed_name_is_served_by_either_protocol() {
    let door = Door::open("");
    door.made.issue("callers-ca", "by-name", "DNS:other.example,DNS:envoy.PROD.example", 2);
    door.made.issue("callers-ca", "by-uri", "URI:spiffe://prod/envoy", 2);
    for (identity, protocol) in [("by-name", "h2"), ("by-name", "http/1.1"), ("by-uri", "h2"), ("by-uri", "http/1.1")] {
        let space = Space::new("prod", "gateway").unwrap();
        let (status, _) = door.ask(Some(identity), protocol, Verb::Put.path(), put(&space)).await.unwrap();
        assert_eq!(status, 200, "{identity} by {protocol}");
        let get = serde_json::to_vec(&Get { space, key: key() }).unwrap();
        let (status, body) = door.ask(Some(identity), protocol, Verb::Get.path(), get).await.unwrap();
        assert_eq!(status, 200);
        let answer: GetAnswer = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer.record.unwrap().value.as_bytes(), b"by tls");
    }
    assert!(!door.bridge.socket.exists());
}

#[tokio::test]
async fn everybody_else_is_refused_and_writes_nothing() {
    let door = Door::open("");
    door.made.issue("callers-ca", "ended", "DNS:envoy.prod.example", -1);
    door.made.issue("other-ca", "foreign", "DNS:envoy.prod.example", 2);
    door.made.issue("ca", "server-side", "DNS:envoy.prod.example", 2);
    // An allowed name as the common name is none; nor is one that only looks like it.
    door.made.issue("callers-ca", "envoy.prod.example", "DNS:elsewhere.example", 2);
    door.made.issue("callers-ca", "longer", "DNS:envoy.prod.example.org,DNS:x.envoy.prod.example", 2);
    door.made.issue("callers-ca", "wild", "DNS:*.prod.example", 2);
    door.made.issue("callers-ca", "other-uri", "URI:spiffe://prod/envoy/x,URI:spiffe://PROD/envoy", 2);
    let space = Space::new("prod", "gateway").unwrap();
    let handshakes = [None, Some("ended"), Some("foreign"), Some("server-side")];
    let names = [Some("envoy.prod.example"), Some("longer"), Some("wild"), Some("other-uri")];
    for identity in handshakes.into_iter().chain(names) {
        for protocol in ["h2", "http/1.1"] {
            let answer = door.ask(identity, protocol, Verb::Put.path(), put(&space)).await;
            assert!(answer.is_err(), "{identity:?} by {protocol}: {answer:?}");
        }
    }
    assert_eq!((door.refused("handshake"), door.refused("foreign name")), (8, 8));
    let mut plain = Plain::connect(("127.0.0.1", door.port)).unwrap();
    plain.write_all(b"POST /v1/health HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(cli(door.server.port, &["DBSIZE"]), "0");
    let log = door.bridge.log();
    assert!(log.contains("x.envoy.prod.example") || log.contains("elsewhere.example"), "{log}");

    let version = |version: &str| {
        let port = format!("127.0.0.1:{}", door.port);
        door.made.issue("callers-ca", "good", "DNS:envoy.prod.example", 2);
        let (cert, key) = (door.made.file("good.crt"), door.made.file("good.key"));
        let arguments = ["s_client", "-connect", &port, version, "-cipher", "DEFAULT:@SECLEVEL=0"];
        let client = Command::new("openssl").args(arguments).args(["-cert", &cert, "-key", &key]).output().unwrap();
        String::from_utf8_lossy(&client.stdout).contains("Cipher is ECDHE")
    };
    assert!(version("-tls1_2"), "the test's client does not work");
    assert!(!version("-tls1_1"), "TLS 1.1 was spoken");
}

#[tokio::test]
async fn a_stranger_who_says_nothing_takes_no_callers_place_and_is_sent_away() {
    let door = Door::open("limits: { connections: 1 }");
    door.made.issue("callers-ca", "good", "DNS:envoy.prod.example", 2);
    let silent: Vec<Plain> = (0..64).map(|_| Plain::connect(("127.0.0.1", door.port)).unwrap()).collect();
    let started = Instant::now();
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "the bridge spoke first");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let (status, _) = door.ask(Some("good"), "h2", Verb::Health.path(), b"{}".to_vec()).await.unwrap();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_certificates_name_has_its_own_spaces() {
    let callers = "callers:\n- { name: envoy.prod.example, spaces: [\"prod:gateway\"] }\n\
                   - { name: \"spiffe://prod/envoy\", spaces: [\"test:*\"] }";
    let door = Door::open(callers);
    door.made.issue("callers-ca", "by-name", "DNS:envoy.prod.example", 2);
    door.made.issue("callers-ca", "by-uri", "URI:spiffe://prod/envoy", 2);
    door.made.issue("callers-ca", "by-both", "DNS:envoy.prod.example,URI:spiffe://prod/envoy", 2);
    let cases = [
        ("by-name", "prod", "gateway", 200),
        ("by-name", "prod", "gateway-2", 403),
        ("by-name", "test", "gateway", 403),
        ("by-uri", "test", "anything", 200),
        ("by-uri", "prod", "gateway", 403),
        ("by-both", "prod", "gateway", 200),
        ("by-both", "test", "one", 200),
        ("by-both", "prod", "one", 403),
    ];
    for (identity, namespace, name, expected) in cases {
        let space = Space::new(namespace, name).unwrap();
        let (status, body) = door.ask(Some(identity), "h2", Verb::Put.path(), put(&space)).await.unwrap();
        assert_eq!(status, expected, "{identity} at {namespace}:{name}");
        assert_eq!(status == 403, body == br#"{"error":"forbidden"}"#);
    }
    assert_eq!(door.bridge.metric("portcullis_bridge_requests_total{verb=\"put\",outcome=\"forbidden\"}"), 4);
    let log = door.bridge.log();
    assert_eq!(log.lines().filter(|line| line.contains("caller without the right")).count(), 2, "{log}");
    assert!(log.contains("\"caller\":\"envoy.prod.example\""), "{log}");
    let stored = cli(door.server.port, &["KEYS", "*"]);
    assert!(!stored.contains("gateway-2") && !stored.contains("test:gateway") && !stored.contains("prod:one"));
}

fn key() -> Key {
    Key { kind: Kind::Session, id: [7; 32] }
}

fn put(space: &Space) -> Vec<u8> {
    let (value, mutation) =
        (Value::new(b"by tls".to_vec()).unwrap(), Mutation { idempotency: fresh(), durable: false });
    serde_json::to_vec(&Put { space: space.clone(), key: key(), value, ttl: Ttl::Seconds(60), mutation }).unwrap()
}
