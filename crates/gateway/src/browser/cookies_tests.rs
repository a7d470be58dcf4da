use portcullis_protocol::http::message::Method;

use super::*;

const STATE: &str = "state-of-43-characters-of-which-11-count-00";

fn issuer(https: bool) -> Issuer {
    let scheme = if https { "https" } else { "http" };
    let origin = format!("{scheme}://gateway.example");
    Issuer { url: origin.clone(), origin, authority: "gateway.example".to_owned(), path: String::new(), https }
}

/// A request with these `Cookie` fields.
fn carrying(fields: &[&str]) -> Request {
    let headers = fields.iter().map(|field| (&b"cookie"[..], field.as_bytes())).collect();
    Request { method: Method::Get, target: b"/".to_vec(), authority: Vec::new(), headers, peer: String::new() }
}

/// The names and values that `Set-Cookie` fields set, and how long each is kept.
fn kept(fields: &[String]) -> Vec<(&str, &str, &str)> {
    fields
        .iter()
        .map(|field| {
            let (name, rest) = field.split_once('=').unwrap();
            let (value, rest) = rest.split_once("; Path=/; Max-Age=").unwrap();
            (name, value, rest.split_once(';').unwrap().0)
        })
        .collect()
}

/// The `Cookie` field of a browser with this many logins of one cookie each.
fn logins_of(count: usize, bytes: usize) -> String {
    let cookie = |number| format!("__Host-portcullis-login-login-{number:05}={}", "v".repeat(bytes));
    (0..count).map(cookie).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_backend_sets_cookies_but_not_in_the_gateways_names() {
    for own in [
        &b"__Host-portcullis-browser=x; Path=/; Secure"[..],
        b"portcullis-login-abc=",
        b"  \tportcullis-x=1",
        b"=portcullis-browser=x",
        b" = __Host-portcullis-browser=x",
        b"__host-Portcullis-browser=x",
        b"__Host-portcullis-",
    ] {
        assert!(sets_own(own), "{own:?}");
    }
    for other in [&b"a=1; __Host-portcullis-browser=x"[..], b"", b"=", b"xportcullis-a=1", b"portcullis=1", b"\xff"] {
        assert!(!sets_own(other), "{other:?}");
    }
}

#[test]
fn own_cookies_are_taken_out_of_the_header_and_others_stay() {
    let header = b"a=1; __Host-portcullis-browser=x; b=2;portcullis-csrf=y; c=\xff";
    assert_eq!(without_own(header).as_deref(), Some(&b"a=1; b=2; c=\xff"[..]));
    assert_eq!(without_own(b"__Host-portcullis-csrf=x").as_deref(), Some(&b""[..]));
    assert_eq!(without_own(b"a=1; x__Host-portcullis-csrf=2"), None);
}

#[test]
fn a_cookie_that_is_sent_twice_counts_as_none() {
    assert_eq!(cookie(&carrying(&["a=1; b=2"]), "a").as_deref(), Some("1"));
    assert_eq!(cookie(&carrying(&["b=2", " a=1=x ;c=3"]), "a").as_deref(), Some("1=x"));
    for twice in [&["a=1; a=1"][..], &["a=1", "a=2"], &["a=;a=1"]] {
        assert_eq!(cookie(&carrying(twice), "a"), None, "{twice:?}");
    }
}

#[test]
fn a_cookie_field_of_16_kib_is_read_and_a_longer_one_is_not() {
    let value = "v".repeat(16 * 1024 - 2);
    assert_eq!(cookie(&carrying(&[&format!("a={value}")]), "a"), Some(value.clone()));
    assert_eq!(cookie(&carrying(&[&format!("a={value}v")]), "a"), None);
}

#[test]
fn a_login_is_kept_in_pieces_that_browsers_take_and_put_together_again() {
    let name = "__Host-portcullis-login-state-of-43";
    for (bytes, pieces) in [(0, 1), (1, 1), (3_800, 1), (3_801, 2), (7_600, 2), (7_601, 3), (8 * 1024, 3)] {
        let value: String = ('a'..='z').cycle().take(bytes).collect();
        let set = keep_login(&carrying(&[]), &issuer(true), STATE, &value, 600);
        let kept = kept(&set);
        assert_eq!(kept.len(), pieces, "{bytes}");
        assert!(kept.iter().all(|(_, piece, life)| piece.len() <= 3_800 && *life == "600"), "{bytes}");
        let names = [name.to_owned(), format!("{name}.1"), format!("{name}.2")];
        assert!(kept.iter().map(|(name, ..)| *name).eq(names.iter().take(pieces)), "{bytes}");
        let sent: Vec<String> = kept.iter().map(|(name, piece, _)| format!("{name}={piece}")).collect();
        assert_eq!(login(&carrying(&[&sent.join("; ")]), &issuer(true), STATE), Some(value), "{bytes}");
        assert_eq!(login(&carrying(&[&sent.join("; ")]), &issuer(false), STATE), None, "{bytes}");
    }
    assert_eq!(login(&carrying(&["a=1"]), &issuer(true), STATE), None);
}

#[test]
fn a_seventeenth_login_ends_the_oldest_and_a_sixteenth_ends_none() {
    let ended = |count| {
        let set = keep_login(&carrying(&[&logins_of(count, 1)]), &issuer(true), STATE, "v", 600);
        kept(&set).iter().filter(|(.., life)| *life == "0").map(|(name, ..)| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert!(ended(15).is_empty());
    assert_eq!(ended(16), ["__Host-portcullis-login-login-00000"]);
    assert_eq!(ended(17), ["__Host-portcullis-login-login-00000", "__Host-portcullis-login-login-00001"]);
}

#[test]
fn logins_of_8_kib_together_stay_and_a_byte_more_ends_the_oldest() {
    let ended = |bytes| {
        let request = carrying(&[&logins_of(2, 1_000)]);
        let set = keep_login(&request, &issuer(true), STATE, &"v".repeat(bytes), 600);
        kept(&set).iter().filter(|(.., life)| *life == "0").count()
    };
    assert_eq!((ended(8 * 1024 - 2_000), ended(8 * 1024 - 1_999), ended(8 * 1024)), (0, 1, 2));
}

#[test]
fn a_login_that_is_kept_again_replaces_itself_and_ends_no_other() {
    let own = "__Host-portcullis-login-state-of-43=old";
    let request = carrying(&[&format!("{own}; {}", logins_of(15, 1))]);
    let set = keep_login(&request, &issuer(true), STATE, "new", 600);
    assert_eq!(kept(&set), [("__Host-portcullis-login-state-of-43", "new", "600")]);
}

#[test]
fn the_end_of_a_login_takes_its_own_pieces_and_nothing_else() {
    let name = "__Host-portcullis-login-state-of-43";
    let request = carrying(&[&format!(
        "{name}=a; {name}.1=b; {name}.9=c; {name}.0=d; {name}.10=e; {name}x=f; {}; portcullis-login-state-of-43=g; \
         __Host-portcullis-login-state=h; __Host-portcullis-login-state of-4=i; __Host-portcullis-browser=j",
        logins_of(1, 1),
    )]);
    let ended = end_login(&request, &issuer(true), STATE);
    let pieces = [name.to_owned(), format!("{name}.1"), format!("{name}.9")];
    assert!(kept(&ended).into_iter().eq(pieces.iter().map(|name| (name.as_str(), "", "0"))), "{ended:?}");
}

#[test]
fn cookies_are_for_https_only_where_the_gateway_is() {
    let of = |https| keep_login(&carrying(&[]), &issuer(https), STATE, "v", 60).join("\n");
    let attributes = "state-of-43=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
    assert_eq!(of(true), format!("__Host-portcullis-login-{attributes}; Secure"));
    assert_eq!(of(false), format!("portcullis-login-{attributes}"));
}
