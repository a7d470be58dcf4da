use super::*;

fn caller() -> AuditFields {
    AuditFields::default()
        .with(AuditField::Resource, "https://gw.example/mcp")
        .with(AuditField::Client, "client")
        .with(AuditField::User, "user")
}

fn published(audit: &Audit, request: RequestFields<'_>) -> Vec<u8> {
    let mut published = Vec::new();
    audit.publish(request, |fields| published = fields.to_vec());
    published
}

/// Every field of a published value, in the order in which they were written.
fn written(mut published: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let take = |bytes: &mut &[u8], tag: u8| {
        let (length, head) = if bytes[1] < 0x80 {
            (bytes[1].into(), 2)
        } else {
            (usize::from(bytes[1] & 0x7f) | usize::from(bytes[2]) << 7, 3)
        };
        assert_eq!(bytes[0], tag);
        let taken = bytes[head..][..length].to_vec();
        *bytes = &bytes[head..][length..];
        taken
    };
    let mut fields = Vec::new();
    while !published.is_empty() {
        let entry = take(&mut published, 0x0a);
        let mut entry = entry.as_slice();
        let name = take(&mut entry, 0x0a);
        let value = take(&mut entry, 0x12);
        assert!(entry.is_empty());
        let mut value = value.as_slice();
        fields.push((text(&name), text(&take(&mut value, 0x1a))));
        assert!(value.is_empty());
    }
    fields
}

#[test]
fn what_is_published_is_what_is_known_the_decision_and_the_requests_own() {
    let denied = Audit::new(Reason::NoToken);
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let bare = pairs(&[("decision", "deny"), ("reason", "no_token")]);
    assert_eq!(written(&published(&denied, RequestFields::default())), bare);
    let allowed = caller().decided(Reason::ValidToken);
    let known = pairs(&[
        ("resource", "https://gw.example/mcp"),
        ("client", "client"),
        ("user", "user"),
        ("decision", "allow"),
        ("reason", "valid_token"),
    ]);
    for (id, method) in [
        (ENVOY_ID, ""),
        ("id-1", "tools/call"),
        ("", "ping"),
        (ENVOY_ID, ""),
        (ANOTHER_ID, ""),
        ("", ""),
        (ANOTHER_ID, ""),
        // As long as an id of the usual size alone.
        ("14-bytes-of-id", "ping"),
        (ENVOY_ID, ""),
        (ENVOY_ID, "ping"),
        (ANOTHER_ID, ""),
    ] {
        let own = pairs(&[("request_id", id), ("mcp_method", method)]);
        let own = own.into_iter().filter(|(_, value)| !value.is_empty());
        let expected: Vec<_> = known.iter().cloned().chain(own).collect();
        assert_eq!(written(&published(&allowed, RequestFields::new(id.as_bytes(), method.as_bytes()))), expected);
    }
    assert_eq!(allowed.get(AuditField::Client).as_deref(), Some("client"));
    assert_eq!(allowed.get(AuditField::Session), None);
}

#[test]
fn another_decision_about_the_same_caller_says_all_that_is_known() {
    let allowed = caller().decided(Reason::ValidToken);
    published(&allowed, RequestFields::new(b"id", b"ping"));
    let denied = allowed.fields().decided(Reason::SessionEnded);
    assert_eq!(denied, caller().decided(Reason::SessionEnded));
    assert_ne!(denied, allowed);
    assert_eq!(denied.get(AuditField::Reason).as_deref(), Some("session_ended"));
    assert_eq!(denied.get(AuditField::RequestId), None);
}

#[test]
fn no_value_can_write_another_field() {
    let entry = b"\x0a\x13\x0a\x08decision\x12\x07\x1a\x05allow";
    let forged = String::from_utf8(entry.to_vec()).unwrap();
    let name = format!("{forged}\",\"decision\":\"allow\\\n");
    let audit = caller().with(AuditField::ClientName, &name).decided(Reason::NoToken);
    let fields = written(&published(&audit, RequestFields::new(entry, forged.as_bytes())));
    assert_eq!(fields.iter().filter(|(name, _)| name == "decision").count(), 1);
    assert_eq!(audit.get(AuditField::Decision).as_deref(), Some("deny"));
    let shown = name.replace(|c: char| c.is_control(), "\u{fffd}");
    assert_eq!(audit.get(AuditField::ClientName), Some(shown));
}

#[test]
fn a_requests_own_headers_are_left_out_unless_they_can_be_taken_as_they_are() {
    for (id, method) in [
        (&b"a b"[..], &b"tools call"[..]),
        (b"a\"b", b"a\\b"),
        ("\u{e9}".as_bytes(), b"\xff"),
        (&[b'a'; MAX_ID_BYTES + 1], &[b'a'; MAX_METHOD_BYTES + 1]),
    ] {
        assert_eq!(RequestFields::new(id, method), RequestFields::default());
    }
    let longest = RequestFields::new(&[b'a'; MAX_ID_BYTES], &[b'b'; MAX_METHOD_BYTES]);
    assert_eq!(longest.values().map(<[u8]>::len), [MAX_ID_BYTES, MAX_METHOD_BYTES]);
    let audit = caller().decided(Reason::ValidToken);
    assert!(published(&audit, longest).len() <= audit.size());
}

const ENVOY_ID: &str = "5f0c9b3e-8a75-4d0b-9d7b-1f6f0f7a2c11";
const ANOTHER_ID: &str = "00000000-8a75-9d0b-9d7b-1f6f0f7a2c12";
