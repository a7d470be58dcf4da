//! Goes on past a value that does not fit.

use std::collections::BTreeMap;

use super::node::{Content, Node};

/// Takes out what does not fit, or puts the next stand-in there. Returns `false` where no more is
/// to be tried.
pub(super) fn repair(root: &mut Node, path: &str, tried: &mut usize) -> bool {
    let parts = path.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.collect();
    let Some((last, parents)) = parts.split_last() else { return false };
    let parent = parents.iter().try_fold(root, |node, part| match &mut node.content {
        Content::Map(fields) => fields.get_mut(*part),
        Content::List(entries) => entries.get_mut(part.parse::<usize>().ok()?),
        Content::Null | Content::Bool(_) | Content::UInt(_) | Content::Number | Content::Text(_) => None,
    });
    let attempt = *tried;
    *tried = attempt.saturating_add(1);
    match parent.map(|parent| &mut parent.content) {
        Some(Content::Map(fields)) => {
            // First without it: it may have a default.
            let removed = attempt == 0 && fields.remove(*last).is_some();
            removed
                || stand_in(attempt).is_some_and(|node| {
                    fields.insert((*last).to_owned(), node);
                    true
                })
        }
        Some(Content::List(entries)) => {
            let entry = last.parse::<usize>().ok().and_then(|index| entries.get_mut(index));
            entry.zip(stand_in(attempt)).map(|(entry, node)| *entry = node).is_some()
        }
        Some(_) | None => false,
    }
}

fn stand_in(attempt: usize) -> Option<Node> {
    Some(Node::new(match attempt {
        0 | 1 => Content::Text(String::new()),
        2 => Content::Map(BTreeMap::new()),
        3 => Content::List(Vec::new()),
        4 => Content::UInt(1),
        5 => Content::Bool(false),
        _ => return None,
    }))
}
