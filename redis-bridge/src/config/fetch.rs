//! The part on fetching documents.

use std::net::IpAddr;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::reader::Reader;

/// The rules for fetching documents.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The allowed ports.
    pub ports: Vec<u16>,
    /// The allowed hosts.
    pub domains: Vec<Domains>,
    /// Fetches a minute from one host.
    pub per_host_per_minute: u32,
    /// Fetches a minute in total.
    pub per_minute: u32,
    /// The certificate authorities of the servers.
    pub roots: RootCertStore,
    /// Addresses that are allowed although they are not public.
    pub allow_addresses: Vec<Network>,
}

/// A pattern of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domains {
    /// Every host.
    All,
    /// This host.
    One(String),
    /// Every host below a domain; the text starts with a dot.
    Below(String),
}

impl Domains {
    /// Returns `true` if the pattern matches a host in lower case.
    #[must_use]
    pub fn contains(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(known) => host == known,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end),
        }
    }

    /// `*`, `name` or `*.name`.
    fn parse(text: &str) -> Option<Self> {
        let is_host = |host: &str| {
            let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
            let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letters);
            host.len() <= 253 && host.split('.').all(label) && host.parse::<IpAddr>().is_err()
        };
        match text.strip_prefix('*') {
            Some("") => Some(Self::All),
            Some(end) => end.strip_prefix('.').filter(|host| is_host(host)).map(|_| Self::Below(end.to_owned())),
            None => is_host(text).then(|| Self::One(text.to_owned())),
        }
    }
}

/// A CIDR block (RFC 4632 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Creates a block from an address and a prefix length.
    pub(crate) const fn new(address: IpAddr, bits: u32) -> Self {
        Self { address, bits }
    }

    /// Returns `true` if the block contains an address. One of another family is never contained.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits,
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// `address/bits`.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
        let max = if address.is_ipv4() { 32 } else { 128 };
        (bits <= max).then_some(Self { address, bits })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RawFetch {
    allowed_ports: Vec<u16>,
    allowed_domains: Vec<String>,
    per_host_per_minute: u32,
    per_minute: u32,
    ca_cert: Option<String>,
    allow_addresses: Vec<String>,
}

impl Default for RawFetch {
    fn default() -> Self {
        Self {
            allowed_ports: vec![443],
            allowed_domains: vec!["*".to_owned()],
            per_host_per_minute: 10,
            per_minute: 60,
            ca_cert: None,
            allow_addresses: Vec::new(),
        }
    }
}

impl Reader<'_> {
    pub(super) fn fetch(&mut self, raw: RawFetch) -> Option<Fetch> {
        if raw.allowed_ports.is_empty() || raw.allowed_ports.len() > MAX_ENTRIES || raw.allowed_ports.contains(&0) {
            self.problem("fetch.allowedPorts", format!("must have 1 to {MAX_ENTRIES} entries from 1 to 65535"));
        }
        let domains = self.list(&raw.allowed_domains, "fetch.allowedDomains", Domains::parse, DOMAIN_FORM);
        if raw.allowed_domains.is_empty() {
            self.problem("fetch.allowedDomains", "must have an entry; \"*\" allows every host");
        }
        let networks = self.list(&raw.allow_addresses, "fetch.allowAddresses", Network::parse, NETWORK_FORM);
        for (path, rate) in [("fetch.perHostPerMinute", raw.per_host_per_minute), ("fetch.perMinute", raw.per_minute)] {
            if !(1..=MAX_PER_MINUTE).contains(&rate) {
                self.problem(path, format!("must be from 1 to {MAX_PER_MINUTE}"));
            }
        }
        let roots = match raw.ca_cert {
            Some(file) => self.named_roots(&file),
            None => self.system_roots(),
        };
        Some(Fetch {
            ports: raw.allowed_ports,
            domains,
            per_host_per_minute: raw.per_host_per_minute,
            per_minute: raw.per_minute,
            roots: roots?,
            allow_addresses: networks,
        })
    }

    fn list<T>(&mut self, texts: &[String], path: &str, parse: fn(&str) -> Option<T>, form: &str) -> Vec<T> {
        if texts.len() > MAX_ENTRIES {
            self.problem(path, format!("must have at most {MAX_ENTRIES} entries"));
        }
        texts.iter().filter_map(|text| self.known(parse(text), path, &format!("every entry must be {form}"))).collect()
    }

    fn named_roots(&mut self, file: &str) -> Option<RootCertStore> {
        const PATH: &str = "fetch.caCert";
        let pem = self.file(file, PATH)?;
        let mut roots = RootCertStore::empty();
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let added = read.ok().is_some_and(|read| read.into_iter().all(|certificate| roots.add(certificate).is_ok()));
        self.known((added && !roots.is_empty()).then_some(roots), PATH, "the file has no certificate in PEM")
    }

    fn system_roots(&mut self) -> Option<RootCertStore> {
        self.environment?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let found = (!roots.is_empty()).then_some(roots);
        self.known(found, "fetch.caCert", "is required, because the system has no certificate authorities")
    }
}

const MAX_ENTRIES: usize = 64;
const MAX_PER_MINUTE: u32 = 6_000;
const DOMAIN_FORM: &str = "a host name in lower case, \"*.\" and one, or \"*\"";
const NETWORK_FORM: &str = "a CIDR block, like 10.0.0.0/8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_hosts_it_names() {
        let is = |pattern: &str, host: &str| Domains::parse(pattern).unwrap().contains(host);
        assert!(is("*", "a.example") && is("a.example", "a.example") && is("*.example", "a.example"));
        assert!(is("*.example", "b.a.example"));
        assert!(!is("a.example", "b.a.example") && !is("*.a.example", "a.example"));
        assert!(!is("*.example", "badexample") && !is("*.example", ".example") && !is("a.example", "a.example.evil"));
        for pattern in ["", ".", "*.", "**", "*a", "a.*", "a..b", "A.example", "a.example.", "10.0.0.1", "a b", "a/b"] {
            assert_eq!(Domains::parse(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn a_network_is_all_that_begins_like_it() {
        let is = |network: &str, address: &str| Network::parse(network).unwrap().contains(address.parse().unwrap());
        assert!(is("10.1.0.0/16", "10.1.0.0") && is("10.1.0.0/16", "10.1.255.255"));
        assert!(!is("10.1.0.0/16", "10.0.255.255") && !is("10.1.0.0/16", "10.2.0.0"));
        assert!(is("10.1.2.3/32", "10.1.2.3") && !is("10.1.2.3/32", "10.1.2.2"));
        assert!(is("0.0.0.0/0", "255.1.2.3") && !is("0.0.0.0/0", "::1") && !is("::/0", "1.2.3.4"));
        assert!(is("fd00::/8", "fdff::1") && !is("fd00::/8", "fe00::1") && is("::1/128", "::1"));
        assert!(!is("127.0.0.0/8", "::ffff:127.0.0.1"));
        for network in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "a/8", "10.0.0.0/8/8"] {
            assert_eq!(Network::parse(network), None, "{network}");
        }
    }
}
