//! The readings of backends, written as they do it: step by step on the whole text, without any of
//! the code that is tested.

use std::collections::BTreeSet;

type Step = fn(&[u8]) -> Vec<u8>;

/// Returns every text that any backend would look up its routes with: every way through the stages,
/// of which each backend has one step each.
pub(super) fn readings(path: &[u8]) -> BTreeSet<Vec<u8>> {
    let stages: [&[Step]; 11] = [
        &[keep, drop_parameters, resolve, drop_parameters_and_resolve],
        &[keep, decode],
        &[keep, drop_parameters, resolve, drop_parameters_and_resolve],
        &[keep, decode],
        &[keep, to_ascii],
        &[keep, end_at_question_mark],
        &[keep, turn_backslashes],
        &[keep, drop_parameters],
        &[keep, drop_ends],
        &[keep, to_lower_case],
        &[resolve],
    ];
    // Sets are filled one by one: collecting into one sorts, which would be a fortieth of the
    // module.
    let mut readings = BTreeSet::new();
    readings.insert(path.to_vec());
    for steps in stages {
        let mut next = BTreeSet::new();
        next.extend(readings.iter().flat_map(|read| steps.iter().map(|step| step(read))));
        readings = next;
    }
    readings
}

/// Returns the readings of three backends: nginx, which decodes and then folds; a servlet
/// container, which drops parameters before both; and RFC 3986 to the letter (§5.2.4, §2.4), which
/// keeps empty segments.
pub(super) fn references(path: &[u8]) -> [Vec<u8>; 3] {
    [resolve(&decode(path)), resolve(&decode(&drop_parameters(path))), decode(&remove_dot_segments(path))]
}

/// Returns `true` if a backend with this reading serves it by a prefix in lower case.
pub(super) fn serves(read: &[u8], prefix: &str) -> bool {
    let rest = read.strip_prefix(prefix.as_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn keep(path: &[u8]) -> Vec<u8> {
    path.to_vec()
}

/// nginx, Tomcat, Go, Node: decodes every well-formed escape and keeps the rest.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low].map(char::from).iter().collect::<String>();
                decoded.push(u8::from_str_radix(&digits, 16).unwrap());
                rest = after;
            }
            _ => decoded.push(*first),
        }
    }
    decoded
}

/// Servlet containers: from `;` to the next slash.
fn drop_parameters(path: &[u8]) -> Vec<u8> {
    let mut inside = false;
    let keep = |byte: &&u8| {
        inside = match **byte {
            b';' => true,
            b'/' => false,
            _ => inside,
        };
        !inside
    };
    path.iter().filter(keep).copied().collect()
}

fn drop_parameters_and_resolve(path: &[u8]) -> Vec<u8> {
    resolve(&drop_parameters(path))
}

/// nginx, Tomcat: merges slashes and resolves dot segments.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut resolved: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(resolved.pop()),
            other => resolved.push(other),
        }
    }
    [b"/".to_vec(), resolved.join(&b'/')].concat()
}

/// RFC 3986 §5.2.4: slashes are not merged.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    [b"/".to_vec(), kept.join(&b'/')].concat()
}

/// Windows, Express: ignores case.
fn to_lower_case(path: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(path).to_lowercase().into_bytes()
}

/// Windows: takes the separator of the file system for a slash.
fn turn_backslashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

/// A proxy that decodes and forwards without encoding again.
fn end_at_question_mark(path: &[u8]) -> Vec<u8> {
    path.iter().take_while(|byte| !matches!(byte, b'?' | b'#')).copied().collect()
}

/// Windows: drops a dot or a space at the end of a name.
fn drop_ends(path: &[u8]) -> Vec<u8> {
    let names: Vec<String> = path
        .split(|byte| *byte == b'/')
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .map(
            |name| {
                if matches!(name.as_str(), "." | "..") { name } else { name.trim_end_matches(['.', ' ']).to_owned() }
            },
        )
        .collect();
    names.join("/").into_bytes()
}

/// Compatibility normalisation, and a lenient decoder of UTF-8, for what can become ASCII.
fn to_ascii(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            // An overlong form: two bytes for what fits in one.
            (0xc0 | 0xc1, [second @ 0x80..=0xbf, after @ ..]) => {
                text.push((first << 6) | (second & 0x3f));
                rest = after;
            }
            // U+FF01 to U+FF5E.
            (0xef, [0xbc, third @ 0x81..=0xbf, after @ ..]) => {
                text.push(third.wrapping_sub(0x60));
                rest = after;
            }
            (0xef, [0xbd, third @ 0x80..=0x9e, after @ ..]) => {
                text.push(third.wrapping_sub(0x20));
                rest = after;
            }
            _ => text.push(*first),
        }
    }
    text
}

#[test]
fn the_backends_read_paths_as_real_ones_do() {
    let found = |path: &str| readings(path.as_bytes()).contains(b"/api/admin".as_slice());
    for path in [
        "/api/admin",
        "/%2fapi/admin",
        "/api/%2fadmin",
        "/api/;x/admin",
        "/api/%3b/admin",
        "/api;x/admin",
        "/api%2fadmin",
        "/api%252fadmin",
        "/%61pi/adm%69n",
        "/api/x/..%2fadmin",
        "/api/x/..;y/admin",
        "/api%5cadmin",
        "/API/Admin",
        "/api./admin%20",
        "/api/admin%3fx",
        "/api%c0%afadmin",
        "/api/%ef%bd%81dmin",
        "/api%ef%bc%8fadmin",
    ] {
        assert!(found(path), "{path}");
    }
    for path in ["/api", "/api/adminx", "/api/x/admin", "/apiadmin", "/api/admin/x"] {
        assert!(!found(path), "{path}");
    }
}
