//! Fetched documents: the bridge's own process against a TLS server on loopback, which the
//! operator's rules must allow first.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use portcullis_storage_api::wire::{
    Document, FetchDocument, FetchDocumentAnswer, FetchFailure, Get, GetAnswer, MAX_DOCUMENT_BYTES, RefusalCause, Verb,
};
use portcullis_storage_api::{Key, Kind};
use portcullis_testbed::bridge::{Bridge, check};
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, standalone, until};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::client::{Client, space};
use crate::tls::certificates;

/// A server on loopback with one of the certificates, or without TLS.
struct Website {
    port: u16,
    /// The heads of the requests that arrived.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Website {
    async fn start(certificate: Option<(&Path, &str)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let site = Self { port: listener.local_addr().unwrap().port(), heard: Arc::default() };
        let tls = certificate.map(|(folder, name)| {
            let chain = CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
            TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(vec![chain], key).unwrap()))
        });
        let (port, heard) = (site.port, Arc::clone(&site.heard));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, heard) = (tls.clone(), Arc::clone(&heard));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, port, &heard).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, port, &heard).await,
                            Err(_) => heard.lock().unwrap().push("no handshake".to_owned()),
                        },
                    }
                });
            }
        });
        site
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, port: u16, heard: &Mutex<Vec<String>>) {
    let mut head = vec![0; 4_096];
    let length = stream.read(&mut head).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    heard.lock().unwrap().push(head);
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let sized = |size: usize| format!("{json}content-length: {size}\r\n\r\n{}", "x".repeat(size));
    let answer = match path.as_str() {
        "/redirect" => {
            format!("HTTP/1.1 302 Found\r\nlocation: https://localhost:{port}/led\r\ncontent-length: 0\r\n\r\n")
        }
        "/gone" => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/html" => "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/gzip" => format!("{json}content-encoding: gzip\r\ncontent-length: 0\r\n\r\n"),
        "/full" => sized(MAX_DOCUMENT_BYTES),
        "/large" => sized(MAX_DOCUMENT_BYTES + 1),
        "/endless" | "/drip" => format!("{json}transfer-encoding: chunked\r\n\r\n"),
        "/silent" => String::new(),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            sized(2)
        }
        _ => format!("{json}cache-control: max-age=60\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\n{{}}"),
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    let (size, pause) = match path.as_str() {
        "/endless" => (1_024, Duration::ZERO),
        "/drip" => (1, Duration::from_millis(100)),
        "/silent" => return drop(stream.read(&mut [0; 1]).await),
        _ => return drop(stream.shutdown().await),
    };
    let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
    // Until the bridge has had enough.
    while stream.write_all(chunk.as_bytes()).await.is_ok() {
        tokio::time::sleep(pause).await;
    }
}

fn start(fetch: &str) -> (RedisServer, Bridge) {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), &format!("fetch: {{ {fetch} }}"));
    (server, bridge)
}

/// The operator's words that let the site be reached.
fn allowing(site: &Website, authority: Option<PathBuf>) -> String {
    let ca = authority.map(|file| format!("caCert: \"{}\", ", file.display())).unwrap_or_default();
    let addresses = "allowAddresses: [\"127.0.0.0/8\", \"::1/128\"]";
    format!("{ca}allowedPorts: [{}], {addresses}, perHostPerMinute: 100, perMinute: 100", site.port)
}

async fn fetch(client: &Client, url: &str) -> Result<Document, FetchFailure> {
    let answer = client.call(Verb::FetchDocument, &FetchDocument { url: url.to_owned() }).await;
    match answer.unwrap_or_else(|cause| panic!("refused: {cause:?}")) {
        FetchDocumentAnswer::Document(document) => Ok(document),
        FetchDocumentAnswer::Failure(failure) => Err(failure),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_fetched_and_what_is_none_is_not() {
    let folder = certificates();
    let site = Website::start(Some((folder.path(), "good"))).await;
    let (_server, bridge) = start(&allowing(&site, Some(folder.path().join("ca.crt"))));
    let client = Client::new(&bridge.socket, false);
    let document = fetch(&client, &site.url("/client.json?canary=8d1f6a")).await.unwrap();
    assert_eq!((document.content_type.as_str(), document.body.as_bytes()), ("application/json", b"{}".as_slice()));
    assert_eq!(document.max_age_seconds, Some(60));
    assert_eq!(fetch(&client, &site.url("/full")).await.unwrap().body.as_bytes().len(), MAX_DOCUMENT_BYTES);
    for (path, failure) in [
        ("/redirect", FetchFailure::Redirect),
        ("/gone", FetchFailure::Status),
        ("/html", FetchFailure::ContentType),
        ("/gzip", FetchFailure::ContentType),
        ("/large", FetchFailure::TooLarge),
        ("/endless", FetchFailure::TooLarge),
    ] {
        assert_eq!(fetch(&client, &site.url(path)).await, Err(failure), "{path}");
    }
    let heard = site.heard();
    assert_eq!(heard.len(), 8, "{heard:?}");
    assert!(heard.iter().all(|head| !head.contains("/led")), "a redirect was followed");
    assert!(heard.iter().all(|head| !head.to_lowercase().contains("cookie")), "a cookie was kept");
    assert_eq!(bridge.metric("portcullis_bridge_fetches_total{outcome=\"ok\"}"), 2);
    assert_eq!(bridge.metric("portcullis_bridge_fetches_total{outcome=\"too_large\"}"), 2);
    let log = bridge.log();
    assert!(log.contains("localhost") && !log.contains("canary"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_server_that_is_vouched_for_by_its_name_is_spoken_to() {
    let folder = certificates();
    for (certificate, authority) in [
        (Some("misnamed"), Some("ca.crt")),
        (Some("ended"), Some("ca.crt")),
        (Some("good"), Some("other-ca.crt")),
        // A private authority that is not configured.
        (Some("good"), None),
        (None, Some("ca.crt")),
    ] {
        let site = Website::start(certificate.map(|name| (folder.path(), name))).await;
        let (_server, bridge) = start(&allowing(&site, authority.map(|name| folder.path().join(name))));
        let client = Client::new(&bridge.socket, false);
        let failed = fetch(&client, &site.url("/client.json?canary")).await;
        assert_eq!(failed, Err(FetchFailure::Tls), "{certificate:?} {authority:?}");
        let heard = site.heard();
        assert!(heard.iter().all(|head| !head.contains("canary")), "the address was told to the wrong server");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_inside_is_reached_unless_the_operator_allows_it() {
    let folder = certificates();
    let site = Website::start(Some((folder.path(), "good"))).await;
    let ports = format!("allowedPorts: [{}, 443]", site.port);
    let ca = format!("caCert: \"{}\"", folder.path().join("ca.crt").display());
    let (server, bridge) = start(&format!("{ports}, {ca}, allowAddresses: [\"10.0.0.0/8\"]"));
    let client = Client::new(&bridge.socket, false);
    let at = |host: &str, port: u16| format!("https://{host}:{port}/");
    for (url, failure) in [
        (site.url("/"), FetchFailure::AddressRefused),
        (at("127.0.0.1", site.port), FetchFailure::BadUrl),
        (at("[::1]", site.port), FetchFailure::BadUrl),
        (at("2130706433", site.port), FetchFailure::BadUrl),
        (at("user@localhost", site.port), FetchFailure::BadUrl),
        (at("localhost.", site.port), FetchFailure::BadUrl),
        (at("localhost", 1), FetchFailure::PortRefused),
        (format!("http://localhost:{}/", site.port), FetchFailure::NotHttps),
        (at("no-such-host.invalid", site.port), FetchFailure::Resolve),
    ] {
        assert_eq!(fetch(&client, &url).await, Err(failure), "{url}");
    }
    let others = Bridge::start(
        &standalone(server.port),
        &format!("fetch: {{ {ports}, {ca}, allowedDomains: [client.example, \"*.example\"] }}"),
    );
    let refused = fetch(&Client::new(&others.socket, false), &site.url("/")).await;
    assert_eq!(refused, Err(FetchFailure::DomainRefused));
    assert_eq!(site.heard(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_stall_are_given_up_and_hold_nothing_else_up() {
    let folder = certificates();
    let site = Website::start(Some((folder.path(), "good"))).await;
    let (_server, bridge) = start(&allowing(&site, Some(folder.path().join("ca.crt"))));
    let started = Instant::now();
    let stalled = (0..16).map(|number| {
        let url = site.url(&format!("/{}?{number}", if number % 2 == 0 { "silent" } else { "drip" }));
        let client = Client::new(&bridge.socket, false);
        async move { fetch(&client, &url).await }
    });
    let stalled = tokio::spawn(join_all(stalled.collect::<Vec<_>>()));
    until("all are under way", || site.heard().len() == 16);
    let client = Client::new(&bridge.socket, false);
    let request = FetchDocument { url: site.url("/") };
    let one_more = client.call::<_, FetchDocumentAnswer>(Verb::FetchDocument, &request).await;
    assert_eq!(one_more, Err(RefusalCause::Overloaded));
    let get = Get { space: space(), key: Key { kind: Kind::Session, id: [3; 32] } };
    let _: GetAnswer = client.call(Verb::Get, &get).await.unwrap();
    assert!(!stalled.is_finished());
    let answers = stalled.await.unwrap();
    assert!(answers.iter().all(|answer| *answer == Err(FetchFailure::TimedOut)), "{answers:?}");
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(15), "{took:?}");
    assert!(fetch(&client, &site.url("/")).await.is_ok(), "the places were not given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_ask_at_once_share_one_fetch() {
    let folder = certificates();
    let site = Website::start(Some((folder.path(), "good"))).await;
    let (_server, bridge) = start(&allowing(&site, Some(folder.path().join("ca.crt"))));
    let clients: Vec<_> = (0..40).map(|_| Client::new(&bridge.socket, false)).collect();
    let url = site.url("/slow");
    let answers = join_all(clients.iter().map(|client| fetch(client, &url))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(site.heard().len(), 1);
    assert_eq!(bridge.metric("portcullis_bridge_fetches_total{outcome=\"ok\"}"), 1);
    assert!(fetch(&clients[0], &url).await.is_ok());
    assert_eq!(site.heard().len(), 2, "an answer is not kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_fetched_only_so_often_and_only_where_it_is_configured() {
    let folder = certificates();
    let site = Website::start(Some((folder.path(), "good"))).await;
    let words =
        allowing(&site, Some(folder.path().join("ca.crt"))).replace("perHostPerMinute: 100", "perHostPerMinute: 2");
    let (server, bridge) = start(&words);
    let client = Client::new(&bridge.socket, false);
    assert!(fetch(&client, &site.url("/a")).await.is_ok() && fetch(&client, &site.url("/b")).await.is_ok());
    assert_eq!(fetch(&client, &site.url("/c")).await, Err(FetchFailure::Budget));
    assert_eq!(site.heard().len(), 2);
    assert!(bridge.observe("/v1/fetch_document").starts_with("HTTP/1.1 404"));
    let without = Bridge::start(&standalone(server.port), "");
    let request = FetchDocument { url: site.url("/") };
    let client = Client::new(&without.socket, false);
    let refused = client.call::<_, FetchDocumentAnswer>(Verb::FetchDocument, &request).await;
    assert_eq!(refused, Err(RefusalCause::NotConfigured));
}

#[test]
fn authorities_that_cannot_be_read_are_a_fault_of_the_configuration() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("ca.crt");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["", "no certificate", broken] {
        fs::write(&file, text).unwrap();
        let (content, said) = check(&standalone(server.port), &format!("fetch: {{ caCert: \"{}\" }}", file.display()));
        assert!(!content && said.contains("fetch.caCert") && said.contains("has no certificate"), "{said}");
    }
}
