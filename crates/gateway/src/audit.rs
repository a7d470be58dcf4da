//! The audit trail: who asked for what and what was decided. No field can hold a token.

pub mod field;
pub mod outcome;
pub mod reason;
mod struct_value;

use std::cell::{Cell, RefCell};

pub use self::field::AuditField;
pub use self::outcome::AuditOutcome;
pub use self::reason::Reason;

/// What is known about who asks for what, before it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFields(Vec<u8>);

impl Default for AuditFields {
    /// Nothing is known yet.
    fn default() -> Self {
        Self(Vec::with_capacity(INITIAL_CAPACITY))
    }
}

impl AuditFields {
    /// Adds a field, once.
    pub fn add(&mut self, field: AuditField, value: &str) {
        struct_value::append(&mut self.0, field.as_str(), value);
    }

    /// As [`AuditFields::add`].
    #[must_use]
    pub fn with(mut self, field: AuditField, value: &str) -> Self {
        self.add(field, value);
        self
    }

    /// Adds a field that may be unknown.
    pub fn add_known(&mut self, field: AuditField, value: Option<&str>) {
        if let Some(value) = value {
            self.add(field, value);
        }
    }

    /// The decision for this reason.
    #[must_use]
    pub fn decided(self, reason: Reason) -> Audit {
        let mut encoded = self.0;
        let fields = encoded.len();
        struct_value::append_bytes(&mut encoded, AuditField::Decision.as_str(), reason.outcome().as_str().as_bytes());
        struct_value::append_bytes(&mut encoded, AuditField::Reason.as_str(), reason.as_str().as_bytes());
        let decided = encoded.len();
        // What is cached takes no more than it needs.
        encoded.reserve_exact(MAX_REQUEST_BYTES);
        encoded.shrink_to(decided.saturating_add(MAX_REQUEST_BYTES));
        Audit { reason, encoded: RefCell::new(encoded), fields, decided, ends_as_usual: Cell::new(false) }
    }
}

/// One decision, published as filter state `wasm.portcullis` and counted in metrics. It is encoded
/// once for all the requests that it is made about again: a `google.protobuf.Struct`, by which
/// Envoy's access logs read its fields one by one.
#[derive(Debug, Clone)]
pub struct Audit {
    reason: Reason,
    /// The fields, the decision, and what was last appended of a request.
    encoded: RefCell<Vec<u8>>,
    /// The bytes of the fields alone.
    fields: usize,
    /// The bytes of what does not differ between requests.
    decided: usize,
    /// Whether what was last appended is an id of the usual size alone.
    ends_as_usual: Cell<bool>,
}

impl Audit {
    /// A decision with nothing yet known about who asked.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        AuditFields::default().decided(reason)
    }

    /// Why it was decided so. What was decided follows from it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What is known about who asked, for another decision.
    #[must_use]
    pub fn fields(&self) -> AuditFields {
        AuditFields(self.encoded.borrow().get(..self.fields).unwrap_or_default().to_vec())
    }

    /// Returns a field's value; `None` if nothing is known of it.
    #[must_use]
    pub fn get(&self, field: AuditField) -> Option<String> {
        struct_value::get(self.encoded.borrow().get(..self.decided)?, field.as_str()).map(str::to_owned)
    }

    /// Publishes what there is to say about a request that is decided so.
    pub fn publish(&self, request: RequestFields<'_>, publish: impl FnOnce(&[u8])) {
        let mut encoded = self.encoded.borrow_mut();
        // perf: nearly all requests have an id of Envoy's own and nothing else. After another such
        // one its place is there.
        match (encoded.last_chunk_mut(), request.usual_id()) {
            (Some(place), Some(id)) if self.ends_as_usual.get() => *place = *id,
            (_, usual) => {
                self.ends_as_usual.set(usual.is_some());
                encoded.truncate(self.decided);
                request.append_to(&mut encoded);
            }
        }
        publish(&encoded);
    }

    /// The memory that it takes at most, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.decided.saturating_add(MAX_REQUEST_BYTES)
    }
}

impl PartialEq for Audit {
    fn eq(&self, other: &Self) -> bool {
        let decided = |audit: &Self| audit.encoded.borrow().get(..audit.decided).map(<[u8]>::to_vec);
        decided(self) == decided(other)
    }
}

/// The fields that a request's own headers add to the audit trail: empty where nothing is there
/// that can be taken as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestFields<'a> {
    id: &'a [u8],
    mcp_method: &'a [u8],
}

impl<'a> RequestFields<'a> {
    /// Takes the values of `x-request-id` and `Mcp-Method`, which anyone can have sent.
    #[must_use]
    pub fn new(id: &'a [u8], mcp_method: &'a [u8]) -> Self {
        let taken = |value: &'a [u8], most| {
            let is_taken = !value.is_empty() && value.len() <= most && struct_value::is_token(value);
            if is_taken { value } else { Default::default() }
        };
        Self { id: taken(id, MAX_ID_BYTES), mcp_method: taken(mcp_method, MAX_METHOD_BYTES) }
    }

    /// The id, if it has the usual size and there is nothing else.
    fn usual_id(&self) -> Option<&'a [u8; ENVOY_ID_BYTES]> {
        self.id.as_array().filter(|_| self.mcp_method.is_empty())
    }

    fn append_to(&self, encoded: &mut Vec<u8>) {
        for (field, value) in [(AuditField::RequestId, self.id), (AuditField::McpMethod, self.mcp_method)] {
            if !value.is_empty() {
                struct_value::append_bytes(encoded, field.as_str(), value);
            }
        }
    }

    /// The values, at most 128 and 64 bytes.
    #[must_use]
    pub fn values(&self) -> [&'a [u8]; 2] {
        [self.id, self.mcp_method]
    }
}

/// Room for a decision about a token, in bytes.
const INITIAL_CAPACITY: usize = 1024;
/// The longest request id, in bytes.
const MAX_ID_BYTES: usize = 128;
/// The size of the ids that Envoy makes, in bytes.
const ENVOY_ID_BYTES: usize = 36;
/// The longest MCP method, in bytes.
const MAX_METHOD_BYTES: usize = 64;
/// The most bytes that a request adds, with names and lengths.
const MAX_REQUEST_BYTES: usize = MAX_ID_BYTES + MAX_METHOD_BYTES + 48;

#[cfg(test)]
#[path = "audit/audit_tests.rs"]
mod audit_tests;
