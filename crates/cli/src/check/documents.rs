//! The documents of a text that is JSON or YAML.

use crate::check::node::Node;
use crate::check::problem::Problem;
use crate::check::text::Text;
use crate::check::{json, yaml};

/// Returns the documents of a text. Names that JSON gives twice are reported, and the first one
/// counts; in YAML they are an error.
///
/// # Errors
/// Where it is neither JSON nor YAML.
pub(crate) fn read(text: &Text) -> Result<(Vec<Node>, Vec<Problem>), Problem> {
    if is_json(text) {
        json::read(text).map(|(node, twice)| (vec![node], twice))
    } else {
        yaml::read(text).map(|nodes| (nodes, Vec::new()))
    }
}

/// Returns `true` for a text to read as JSON. YAML has maps in braces, too, but names in quotes are
/// JSON's.
pub(crate) fn is_json(text: &Text) -> bool {
    let inside = text.content().trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(['"', '}']))
}
