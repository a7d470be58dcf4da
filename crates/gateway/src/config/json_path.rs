//! Ways into JSON objects, as the configuration writes them.

use super::compiler::Compiler;

/// A way into a JSON object: the names of its members, from the outermost. Never empty.
pub struct JsonPath(Vec<String>);

impl JsonPath {
    /// The names, from the outermost.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// A member of the object itself, whatever characters its name has.
    pub(super) fn member(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// A claim of a token. One with the name of a URI, such as `https://example.com/groups` or
    /// `cognito:groups`, is a member of the token itself; the dots of any other lead into objects.
    fn claim(text: &str) -> Self {
        if text.contains([':', '/']) { Self::member(text) } else { Self::parse(text) }
    }

    fn parse(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }
}

impl Compiler<'_> {
    pub(super) fn json_paths(&mut self, path: &str, written: Option<&str>) -> Option<Vec<JsonPath>> {
        match written {
            Some(written) => self.json_path(path, written).map(|found| vec![found]),
            None => Some(Vec::new()),
        }
    }

    pub(super) fn json_path(&mut self, path: &str, written: &str) -> Option<JsonPath> {
        self.checked_path(path, JsonPath::parse(written), "\"authed_user.id\"")
    }

    pub(super) fn claim_path(&mut self, path: &str, written: &str) -> Option<JsonPath> {
        self.checked_path(path, JsonPath::claim(written), "\"realm_access.roles\"")
    }

    fn checked_path(&mut self, path: &str, found: JsonPath, example: &str) -> Option<JsonPath> {
        if found.names().len() > MAX_DEPTH || found.names().iter().any(String::is_empty) {
            let what = format!("must be up to {MAX_DEPTH} member names with dots between them, such as {example}");
            return self.problem(path, what);
        }
        Some(found)
    }
}

/// The most names in a path.
const MAX_DEPTH: usize = 8;
