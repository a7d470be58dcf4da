use std::net::IpAddr;
use std::sync::Mutex;

use rustls::RootCertStore;
use tokio::net::TcpListener;

use super::*;
use crate::config::{Domains, Network};

/// Every host, two ports, no private address.
pub(super) fn rules() -> Fetch {
    Fetch {
        ports: vec![443, 8443],
        domains: vec![Domains::All],
        per_host_per_minute: 10,
        per_minute: 60,
        roots: RootCertStore::empty(),
        allow_addresses: Vec::new(),
    }
}

/// Answers with these, one after another; the last one again and again.
struct Scripted(Mutex<Vec<Vec<SocketAddr>>>);

impl Resolve for Scripted {
    async fn resolve(&self, _host: &str, _port: u16) -> Result<Vec<SocketAddr>, FetchFailure> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        if answer.is_empty() { Err(FetchFailure::Resolve) } else { Ok(answer) }
    }
}

fn fetcher(rules: Fetch, answers: &[&[SocketAddr]]) -> Fetcher<Scripted> {
    let answers = answers.iter().map(|answer| answer.to_vec()).collect();
    Fetcher::new(rules, Scripted(Mutex::new(answers)), Arc::default()).unwrap()
}

async fn failure<R: Resolve>(fetcher: &Fetcher<R>, url: &str) -> FetchFailure {
    match fetcher.answer(&FetchDocument { url: url.to_owned() }).await.unwrap() {
        FetchDocumentAnswer::Failure(failure) => failure,
        FetchDocumentAnswer::Document(document) => panic!("fetched {document:?}"),
    }
}

/// A listener that must not be reached, or must be.
async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn is_untouched(listener: &TcpListener) -> bool {
    // A connection that was made is in the queue already: the fetch was over before this.
    timeout(Duration::from_millis(50), listener.accept()).await.is_err()
}

#[tokio::test]
async fn one_private_address_among_public_ones_is_enough_to_refuse() {
    let (listener, private) = listener().await;
    // An unreachable server: the fetch must end before it connects.
    let public = SocketAddr::new(IpAddr::from([192, 0, 1, 1]), 443);
    for answer in [[private, public], [public, private]] {
        let fetcher = fetcher(rules(), &[&answer]);
        let started = Instant::now();
        assert_eq!(failure(&fetcher, "https://client.example/").await, FetchFailure::AddressRefused);
        assert!(started.elapsed() < Duration::from_secs(1));
    }
    assert!(is_untouched(&listener).await);
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_checked_address_is_connected_to() {
    let ((first, checked), (second, later)) = (listener().await, listener().await);
    let mut rules = rules();
    rules.allow_addresses = vec![Network::new(checked.ip(), 32)];
    let fetcher = fetcher(rules, &[&[checked], &[later]]);
    let answering = async {
        let (stream, _) = first.accept().await.unwrap();
        drop(stream);
    };
    let (failed, ()) = tokio::join!(failure(&fetcher, "https://client.example/"), answering);
    assert_eq!(failed, FetchFailure::Connect);
    assert!(is_untouched(&second).await);
    assert_eq!(fetcher.resolver.0.lock().unwrap().len(), 1, "the name was not looked up once");
}

#[tokio::test]
async fn what_the_operator_allows_is_allowed_and_no_more() {
    let (listener, address) = listener().await;
    let mut rules = rules();
    rules.allow_addresses = vec![Network::new(IpAddr::from([127, 0, 0, 2]), 32)];
    let fetcher = fetcher(rules, &[&[address]]);
    assert_eq!(failure(&fetcher, "https://client.example/").await, FetchFailure::AddressRefused);
    assert!(is_untouched(&listener).await);
}

#[tokio::test]
async fn a_name_that_stands_for_nothing_cannot_be_resolved() {
    let fetcher = fetcher(rules(), &[&[]]);
    assert_eq!(failure(&fetcher, "https://client.example/").await, FetchFailure::Resolve);
}

#[tokio::test]
async fn a_budget_that_is_spent_is_told_before_anything_is_looked_up() {
    let mut rules = rules();
    rules.per_host_per_minute = 2;
    let fetcher = fetcher(rules, &[&[], &[], &[], &[]]);
    let url = "https://client.example/";
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(failure(&fetcher, url).await);
    }
    assert_eq!(told, [FetchFailure::Resolve, FetchFailure::Resolve, FetchFailure::Budget]);
    assert_eq!(fetcher.resolver.0.lock().unwrap().len(), 2);
    // An address that is refused by its form costs nothing.
    assert_eq!(failure(&fetcher, "http://client.example/").await, FetchFailure::NotHttps);
    assert_eq!(failure(&fetcher, "https://other.example/").await, FetchFailure::Resolve);
}

/// Server-side request forgery by a name: of each row the name resolves, one of its addresses is
/// inside, and nothing is connected to. The listener is the loopback that the row would reach.
#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_nothing_is_connected_to() {
    let (listener, loopback) = listener().await;
    let public = "1.1.1.1";
    for (host, addresses) in [
        ("loopback.example", vec!["127.0.0.1"]),
        ("loopback-2.example", vec!["127.8.8.8"]),
        ("localhost", vec!["127.0.0.1", "::1"]),
        ("a.localhost", vec!["127.0.0.1"]),
        ("loopback-6.example", vec!["::1"]),
        ("any.example", vec!["0.0.0.0"]),
        ("any-6.example", vec!["::"]),
        ("this-network.example", vec!["0.1.2.3"]),
        ("ten.example", vec!["10.0.0.1"]),
        ("carrier.example", vec!["100.64.0.1"]),
        ("alibaba-metadata.example", vec!["100.100.100.200"]),
        ("link-local.example", vec!["169.254.0.1"]),
        ("metadata.google.internal", vec!["169.254.169.254"]),
        ("task-metadata.example", vec!["169.254.170.2"]),
        ("azure-platform.example", vec!["168.63.129.16"]),
        ("oracle-metadata.example", vec!["192.0.0.192"]),
        ("private-b.example", vec!["172.31.255.255"]),
        ("router.lan", vec!["192.168.0.1"]),
        ("documentation.example", vec!["203.0.113.1"]),
        ("benchmark.example", vec!["198.18.0.1"]),
        ("relay.example", vec!["192.88.99.1"]),
        ("multicast.example", vec!["224.0.0.251"]),
        ("reserved.example", vec!["240.0.0.1"]),
        ("broadcast.example", vec!["255.255.255.255"]),
        ("mapped.example", vec!["::ffff:127.0.0.1"]),
        ("mapped-metadata.example", vec!["::ffff:169.254.169.254"]),
        ("mapped-public.example", vec!["::ffff:1.1.1.1"]),
        ("compatible.example", vec!["::127.0.0.1"]),
        ("translated.example", vec!["::ffff:0:127.0.0.1"]),
        ("nat64.example", vec!["64:ff9b::7f00:1"]),
        ("nat64-local.example", vec!["64:ff9b:1::a9fe:a9fe"]),
        ("six-to-four.example", vec!["2002:7f00:1::1"]),
        ("teredo.example", vec!["2001:0:4136:e378:8000:63bf:80ff:fffe"]),
        ("unique-local.example", vec!["fd00::1"]),
        ("aws-metadata-6.example", vec!["fd00:ec2::254"]),
        ("link-local-6.example", vec!["fe80::1"]),
        ("site-local.example", vec!["fec0::1"]),
        ("multicast-6.example", vec!["ff02::1"]),
        ("discard.example", vec!["100::1"]),
        ("both.example", vec![public, "127.0.0.1"]),
        ("both-inside-first.example", vec!["127.0.0.1", public]),
        ("both-families.example", vec![public, "::1"]),
        ("last-of-many.example", vec![public, public, public, public, public, "10.0.0.1"]),
    ] {
        let answer: Vec<SocketAddr> =
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), loopback.port())).collect();
        let mut rules = rules();
        rules.ports.push(loopback.port());
        let fetcher = fetcher(rules, &[&answer]);
        let url = format!("https://{host}:{}/client.json", loopback.port());
        let started = Instant::now();
        assert_eq!(failure(&fetcher, &url).await, FetchFailure::AddressRefused, "{host} {addresses:?}");
        assert!(started.elapsed() < Duration::from_secs(1), "{host}");
    }
    assert!(is_untouched(&listener).await);
}

/// What is refused by the form of its URL is not even looked up: the resolver would fail the test.
#[tokio::test]
async fn a_url_of_a_forbidden_form_is_neither_looked_up_nor_connected_to() {
    struct NoLookup;
    impl Resolve for NoLookup {
        async fn resolve(&self, host: &str, _port: u16) -> Result<Vec<SocketAddr>, FetchFailure> {
            panic!("{host} was looked up")
        }
    }
    let fetcher = Fetcher::new(rules(), NoLookup, Arc::default()).unwrap();
    for (url, expected) in [
        ("http://client.example/a", FetchFailure::NotHttps),
        ("file:///etc/passwd", FetchFailure::NotHttps),
        ("gopher://127.0.0.1:6379/_INFO", FetchFailure::NotHttps),
        ("https://127.0.0.1/a", FetchFailure::BadUrl),
        ("https://127.1/a", FetchFailure::BadUrl),
        ("https://2130706433/a", FetchFailure::BadUrl),
        ("https://0x7f000001/a", FetchFailure::BadUrl),
        ("https://017700000001/a", FetchFailure::BadUrl),
        ("https://0177.0.0.1/a", FetchFailure::BadUrl),
        ("https://0/a", FetchFailure::BadUrl),
        ("https://169.254.169.254/a", FetchFailure::BadUrl),
        ("https://169.254.169.254./a", FetchFailure::BadUrl),
        ("https://[::1]/a", FetchFailure::BadUrl),
        ("https://[::ffff:127.0.0.1]/a", FetchFailure::BadUrl),
        ("https://[::ffff:7f00:1]/a", FetchFailure::BadUrl),
        ("https://[fd00:ec2::254]/a", FetchFailure::BadUrl),
        ("https://user@client.example/a", FetchFailure::BadUrl),
        ("https://trusted.example@127.0.0.1/a", FetchFailure::BadUrl),
        ("https://trusted.example\\@127.0.0.1/a", FetchFailure::BadUrl),
        ("https://trusted.example#@127.0.0.1/a", FetchFailure::BadUrl),
        ("https://client.example/a#b", FetchFailure::BadUrl),
        ("https://localhost./a", FetchFailure::BadUrl),
        ("https://client.example./a", FetchFailure::BadUrl),
        ("https://client.example/a/../b", FetchFailure::BadUrl),
        ("https://cl\u{ef}ent.example/a", FetchFailure::BadUrl),
        ("https://\u{2460}\u{2461}\u{2466}.0.0.1/a", FetchFailure::BadUrl),
        ("https://client.example:22/a", FetchFailure::PortRefused),
        ("https://client.example:80/a", FetchFailure::PortRefused),
        ("https://client.example:6379/a", FetchFailure::PortRefused),
    ] {
        assert_eq!(failure(&fetcher, url).await, expected, "{url:?}");
    }
}
