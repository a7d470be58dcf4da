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
    // A server that cannot be reached from here: the fetch must end before anything is connected
    // to.
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
