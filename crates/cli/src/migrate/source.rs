//! The files, read.

use std::collections::BTreeMap;
use std::path::Path;
use std::ptr;

use crate::check::documents;
use crate::check::node::Node;
use crate::check::problem::Problem;
use crate::check::text::Text;
use crate::migrate::field::Field;

/// A file with its documents.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name.
    pub(crate) name: String,
    /// Its documents.
    pub(crate) documents: Vec<Node>,
    /// The documents inside the texts of its ConfigMaps, by the addresses of the texts.
    inside: BTreeMap<usize, Result<Node, Problem>>,
}

impl Source {
    /// Reads a file's content.
    ///
    /// # Errors
    /// Where it is neither JSON nor YAML, or gives a name twice.
    pub(crate) fn read(name: &Path, content: &str) -> Result<Self, Problem> {
        let text = Text::of_file(content);
        let (documents, twice) = documents::read(&text)?;
        if let Some(problem) = twice.into_iter().next() {
            return Err(problem);
        }
        let mut inside = BTreeMap::new();
        documents.iter().for_each(|document| read_inside(document, &text, &mut inside));
        Ok(Self { name: name.display().to_string(), documents, inside })
    }

    /// The document in a text of a ConfigMap.
    ///
    /// # Errors
    /// Where it is neither JSON nor YAML; `None` if the field is no such text.
    pub(crate) fn inside<'a>(&'a self, field: &Field<'a>) -> Result<Field<'a>, Option<&'a Problem>> {
        match self.inside.get(&ptr::from_ref(field.node).addr()) {
            Some(Ok(node)) => Ok(field.inner(node)),
            Some(Err(problem)) => Err(Some(problem)),
            None => Err(None),
        }
    }
}

/// Reads what the ConfigMaps of a document hold.
fn read_inside(document: &Node, text: &Text, inside: &mut BTreeMap<usize, Result<Node, Problem>>) {
    let kind = document.get("kind").and_then(Node::string).map_or("", |kind| kind.value.as_str());
    if kind == "List" {
        let items = document.get("items").map_or(&[][..], Node::items);
        items.iter().for_each(|item| read_inside(item, text, inside));
    }
    if kind != "ConfigMap" {
        return;
    }
    for field in document.get("data").map_or(&[][..], Node::fields) {
        let Some(embedded) = field.value.embedded(text) else { continue };
        let read = documents::read(&embedded).and_then(|(mut documents, twice)| match twice.into_iter().next() {
            Some(problem) => Err(problem),
            None if documents.len() == 1 => documents.pop().ok_or_else(|| not_one(&field.value)),
            None => Err(not_one(&field.value)),
        });
        inside.insert(ptr::from_ref(&field.value).addr(), read);
    }
}

fn not_one(node: &Node) -> Problem {
    Problem::new(node.place, "", "must be one document of JSON or YAML")
}
