//! Whom a request comes from, for limits by address.

use std::net::IpAddr;

use portcullis_protocol::http::message::{FieldName, Request};

/// The address that a request is counted under. Of `X-Forwarded-For` only what our own proxies
/// appended counts: the rest is the client's to invent. Envoy has appended the peer itself by then
/// (`use_remote_address`), which is no news. An IPv6 client is its /64, of which it can use every
/// address.
#[must_use]
pub fn client_address(request: &Request, trusted_proxies: u8) -> String {
    let peer = request.peer.rsplit_once(':').map_or(request.peer.as_str(), |(address, _)| address);
    let forwarded = usize::from(trusted_proxies).checked_sub(1).and_then(|skip| {
        let values: Vec<&[u8]> = request.headers.all(FieldName::XForwardedFor).collect();
        let joined = String::from_utf8(values.join(&b","[..])).ok()?;
        let mut appended = joined.rsplit(',').map(str::trim).peekable();
        appended.next_if(|last| *last == peer);
        appended.nth(skip).map(str::to_owned).filter(|address| !address.is_empty())
    });
    let text = forwarded.unwrap_or_else(|| peer.to_owned());
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address.map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_protocol::http::message::Method;

    use super::*;

    fn from(peer: &str, forwarded: &[&str]) -> Request {
        Request {
            method: Method::Post,
            target: b"/oauth/register".to_vec(),
            authority: b"gateway".to_vec(),
            headers: forwarded.iter().map(|value| (b"x-forwarded-for".as_slice(), value.as_bytes())).collect(),
            peer: peer.to_owned(),
        }
    }

    #[test]
    fn without_trusted_proxies_the_peer_counts_whatever_it_claims() {
        assert_eq!(client_address(&from("192.0.2.1:4711", &["203.0.113.9"]), 0), "192.0.2.1");
    }

    #[test]
    fn of_forwarded_addresses_only_those_our_proxies_appended_count() {
        let request = from("10.0.0.1:1", &["6.6.6.6, 203.0.113.9", "10.0.0.2"]);
        assert_eq!(client_address(&request, 1), "10.0.0.2");
        assert_eq!(client_address(&request, 2), "203.0.113.9");
        assert_eq!(client_address(&from("10.0.0.1:1", &[]), 1), "10.0.0.1");
    }

    #[test]
    fn what_envoy_itself_appended_is_not_taken_for_a_proxys_word() {
        let request = from("10.0.0.1:1", &["6.6.6.6, 203.0.113.9, 10.0.0.1"]);
        assert_eq!(client_address(&request, 0), "10.0.0.1");
        assert_eq!(client_address(&request, 1), "203.0.113.9");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        assert_eq!(client_address(&from("[2001:db8:1:2:3::4]:443", &[]), 0), "2001:db8:1:2::/64");
        assert_eq!(client_address(&from("[::ffff:192.0.2.1]:443", &[]), 0), "192.0.2.1");
    }
}
