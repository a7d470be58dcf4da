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

#[cfg(test)]
mod tests {
    use super::*;

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
