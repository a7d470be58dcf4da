//! Media types (RFC 9110 §8.3).

/// Returns `true` if a `content-type` names this media type, compared without case and without
/// parameters.
///
/// `content_type` is the value of the only such field; `None`, when it is absent or repeated, names
/// no media type.
#[must_use]
pub fn is_media_type(content_type: Option<&[u8]>, media_type: &str) -> bool {
    let named = content_type.and_then(|value| value.split(|byte| *byte == b';').next()).unwrap_or_default();
    named.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

/// Returns `true` for `application/json` (RFC 8259 §11) and for every type of `application` with
/// the suffix `+json` (RFC 6839 §3.1).
#[must_use]
pub fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let subtype = essence.split_once('/').filter(|(kind, _)| kind.eq_ignore_ascii_case("application"));
    subtype.is_some_and(|(_, subtype)| {
        let suffix = subtype.rsplit_once('+').map(|(name, suffix)| if name.is_empty() { "" } else { suffix });
        suffix.unwrap_or(subtype).eq_ignore_ascii_case("json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_named_by_its_type_or_its_suffix() {
        for value in
            ["application/json", "Application/JSON; charset=utf-8", "application/x+json", "application/a+b+json"]
        {
            assert!(is_json(Some(value)), "{value}");
        }
        for value in ["", "json", "text/json", "application/jsonp", "application/+json", "application/json, text/html"]
        {
            assert!(!is_json(Some(value)), "{value}");
        }
        assert!(!is_json(None));
    }

    #[test]
    fn a_media_type_compares_without_case_and_parameters() {
        for value in ["application/json", "Application/JSON", "application/json;charset=utf-8", " application/json ; x"]
        {
            assert!(is_media_type(Some(value.as_bytes()), "application/json"), "{value}");
        }
        for value in ["", ";", "application/jsonx", "application/json,text/plain", "text/plain;application/json"] {
            assert!(!is_media_type(Some(value.as_bytes()), "application/json"), "{value}");
        }
        assert!(!is_media_type(None, "application/json"));
        assert!(!is_media_type(Some(b"\xff"), "application/json"));
    }
}
