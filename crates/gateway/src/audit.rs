//! The audit trail: who asked for what and what was decided. No field can hold a token.

pub mod outcome;
pub mod reason;

use std::rc::Rc;

use serde_json::Value;

pub use self::outcome::AuditOutcome;
pub use self::reason::Reason;

/// One decision, published as filter state `wasm.portcullis` and counted in metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The user's id in this gateway, when one was proven.
    pub subject: Option<Rc<str>>,
    /// The OAuth client's id, when one was proven.
    pub client: Option<Rc<str>>,
    /// The resource or endpoint that was asked for.
    pub resource: Option<Rc<str>>,
    /// Why it was decided so. What was decided follows from it.
    pub reason: Reason,
}

impl Audit {
    /// A decision with nothing yet known about who asked.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self { subject: None, client: None, resource: None, reason }
    }

    /// The text that is published: one JSON object of `decision`, `reason` and, where they are
    /// known, `resource`, `client` and `subject`, in this order.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(DEFAULT_BYTES);
        for part in [r#"{"decision":""#, self.reason.outcome().as_str(), r#"","reason":""#, self.reason.as_str(), "\""]
        {
            text.push_str(part);
        }
        for (name, value) in
            [(r#","resource":"#, &self.resource), (r#","client":"#, &self.client), (r#","subject":"#, &self.subject)]
        {
            if let Some(value) = value {
                text.push_str(name);
                push_string(&mut text, value);
            }
        }
        text.push('}');
        text
    }
}

/// Appends a JSON string. Names that need an escape do not occur, but nothing else keeps them out.
fn push_string(text: &mut String, value: &str) {
    if is_plain(value.as_bytes()) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&Value::from(value).to_string());
    }
}

/// Whether a JSON string may hold a text as it is. Eight bytes at a time: it is asked of every
/// token that is new.
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    words.iter().all(|word| are_plain(*word))
        && match text.last_chunk() {
            Some(end) => are_plain(*end),
            None => rest.iter().all(|byte| are_plain([*byte; 8])),
        }
}

fn are_plain(bytes: [u8; 8]) -> bool {
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    // The top bit of a byte that is less than the limit is set, and of others only where there is
    // such a one.
    let less = |bytes: u64, limit: u8| bytes.wrapping_sub(each(limit)) & !bytes & each(0x80);
    let bytes = u64::from_ne_bytes(bytes);
    less(bytes, 0x20) | less(bytes ^ each(b'"'), 1) | less(bytes ^ each(b'\\'), 1) == 0
}

/// Room for the text of a decision about a token, in bytes.
const DEFAULT_BYTES: usize = 256;

/// A decision with its text, rendered once for all the requests that it is made about again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    audit: Audit,
    json: String,
}

impl Rendered {
    /// Renders a decision.
    #[must_use]
    pub fn new(audit: Audit) -> Rc<Self> {
        Rc::new(Self { json: audit.to_json(), audit })
    }

    /// The decision.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What [`Audit::to_json`] gave.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_one_object_of_what_is_known() {
        let denied = Audit::new(Reason::NoToken);
        assert_eq!(denied.to_json(), r#"{"decision":"deny","reason":"no_token"}"#);
        let allowed = Audit {
            subject: Some("user".into()),
            client: Some("client".into()),
            resource: Some("https://gw.example/mcp".into()),
            ..Audit::new(Reason::ValidToken)
        };
        let json = r#"{"decision":"allow","reason":"valid_token","resource":"https://gw.example/mcp","client":"client","subject":"user"}"#;
        assert_eq!((allowed.to_json().as_str(), Rendered::new(allowed.clone()).json()), (json, json));
    }

    #[test]
    fn every_text_is_read_as_it_was_wherever_a_character_stands() {
        for character in (0..=0x100).filter_map(char::from_u32) {
            for before in 0..18 {
                for after in [0, 1, 9] {
                    let name = [&"\u{7f}".repeat(before), character.to_string().as_str(), &"~".repeat(after)].concat();
                    let mut text = String::new();
                    push_string(&mut text, &name);
                    assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
                }
            }
        }
    }

    #[test]
    fn no_text_can_end_its_own_string() {
        let name = "a\",\"decision\":\"allow\\\n";
        let audit = Audit { client: Some(name.into()), ..Audit::new(Reason::NoToken) };
        let read: Value = serde_json::from_str(&audit.to_json()).unwrap();
        assert_eq!((read["decision"].as_str(), read["client"].as_str()), (Some("deny"), Some(name)));
    }
}
