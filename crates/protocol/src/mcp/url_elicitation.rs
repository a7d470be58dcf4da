//! The answer to an MCP request that asks the client to open a URL first (MCP 2025-11-25, client
//! features, elicitation, `URLElicitationRequiredError`).

use serde::Serialize;

use crate::json::{Limits, MemberValue, ObjectMembers};

/// Returns `true` if a client that sends this `MCP-Protocol-Version` may be answered so: revision
/// 2025-11-25 or a later one. Revisions are dates (`YYYY-MM-DD`), which sort as text.
#[must_use]
pub fn is_known_to(version: &[u8]) -> bool {
    let is_date = |(place, byte): (usize, &u8)| match place {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    version.len() == FIRST_REVISION.len() && version.iter().enumerate().all(is_date) && version >= FIRST_REVISION
}

/// The id of a JSON-RPC request (JSON-RPC 2.0 §4, MCP: a string or an integer, never null).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A string.
    Text(String),
    /// An integer of at least 0.
    UInt(u64),
    /// An integer below 0.
    Int(i64),
}

impl RequestId {
    /// Reads the id of the one request that a body is; `None` for anything else, such as a
    /// notification, a response, a batch, or what two parsers may read differently.
    #[must_use]
    pub fn of_request(body: &[u8]) -> Option<Self> {
        let members = ObjectMembers::parse(body, LIMITS).ok()?;
        let member = |name: &str| members.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
        let is_text = |name: &str, wanted: &dyn Fn(&str) -> bool| matches!(member(name), Some(MemberValue::String(text)) if wanted(text));
        if !is_text("jsonrpc", &|version| version == "2.0") || !is_text("method", &|method| !method.is_empty()) {
            return None;
        }
        match member("id")? {
            MemberValue::String(text) => Some(Self::Text(text.to_string())),
            MemberValue::UInt(number) => Some(Self::UInt(*number)),
            MemberValue::Other(value) => value.as_i64().map(Self::Int),
        }
    }
}

/// A page that a user has to open before a request can be served.
pub struct UrlElicitation<'a> {
    /// Names this elicitation; opaque to the client.
    pub id: &'a str,
    /// The page.
    pub url: &'a str,
    /// Why it is to be opened, for the user.
    pub message: &'a str,
}

impl UrlElicitation<'_> {
    /// Returns the JSON-RPC answer to a request; empty if it cannot be written, which does not
    /// happen.
    #[must_use]
    pub fn answer(&self, request: &RequestId) -> Vec<u8> {
        let elicitation = Elicitation { mode: "url", elicitation_id: self.id, url: self.url, message: self.message };
        let answer = Answer {
            jsonrpc: "2.0",
            id: request,
            error: Error {
                code: URL_ELICITATION_REQUIRED,
                // A client that knows no URL elicitation shows this text.
                message: format!("{}: {}", self.message, self.url),
                data: Data { elicitations: [elicitation] },
            },
        };
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RequestId,
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: i32,
    message: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    elicitations: [Elicitation<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Elicitation<'a> {
    mode: &'static str,
    elicitation_id: &'a str,
    url: &'a str,
    message: &'a str,
}

/// The most bytes of a request that is read for its id.
pub const MAX_BODY_BYTES: usize = LIMITS.bytes;

/// A tool's arguments may be nested deeper than the documents of OAuth.
const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 32 };

/// The revision that has this answer first.
const FIRST_REVISION: &[u8] = b"2025-11-25";

/// `URL_ELICITATION_REQUIRED` in the schema of MCP.
const URL_ELICITATION_REQUIRED: i32 = -32042;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn revisions_since_2025_11_25_know_it() {
        for version in ["2025-11-25", "2025-12-01", "2026-07-28", "2100-01-01"] {
            assert!(is_known_to(version.as_bytes()), "{version}");
        }
        for version in ["2025-06-18", "2025-03-26", "2024-11-05", "", "2026", "2026-07-28 ", "draft", "2026/07/28", "9"]
        {
            assert!(!is_known_to(version.as_bytes()), "{version}");
        }
        assert!(!is_known_to(b"2026-07-2\xff"));
    }

    #[test]
    fn the_id_of_a_request_is_kept_as_it_was_written() {
        for (id, expected) in [
            (json!("a \"b\""), RequestId::Text("a \"b\"".to_owned())),
            (json!(""), RequestId::Text(String::new())),
            (json!(0), RequestId::UInt(0)),
            (json!(u64::MAX), RequestId::UInt(u64::MAX)),
            (json!(-7), RequestId::Int(-7)),
        ] {
            let request = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "x" } });
            let read = RequestId::of_request(request.to_string().as_bytes()).unwrap();
            assert_eq!(read, expected);
            assert_eq!(serde_json::to_value(&read).unwrap(), id);
        }
    }

    #[test]
    fn what_is_not_one_request_has_no_id() {
        let nested = "[".repeat(40) + &"]".repeat(40);
        let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{nested}}}"#);
        let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":"{}"}}"#, "x".repeat(MAX_BODY_BYTES));
        for body in [
            "",
            "{}",
            "null",
            r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
            r#"{"id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1,"a":2}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m"}{}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m""#,
            &deep,
            &long,
        ] {
            assert_eq!(RequestId::of_request(body.as_bytes()), None, "{body:.80}");
        }
        assert_eq!(RequestId::of_request(b"\xff"), None);
    }

    #[test]
    fn the_answer_has_the_form_of_the_specification() {
        let elicitation = UrlElicitation { id: "e-1", url: "https://gw.example/x?a=b", message: "connect \"A\"" };
        let answer: Value = serde_json::from_slice(&elicitation.answer(&RequestId::Int(-1))).unwrap();
        assert_eq!(
            answer,
            json!({
                "jsonrpc": "2.0",
                "id": -1,
                "error": {
                    "code": -32042,
                    "message": "connect \"A\": https://gw.example/x?a=b",
                    "data": { "elicitations": [{
                        "mode": "url",
                        "elicitationId": "e-1",
                        "url": "https://gw.example/x?a=b",
                        "message": "connect \"A\"",
                    }] },
                },
            })
        );
    }
}
