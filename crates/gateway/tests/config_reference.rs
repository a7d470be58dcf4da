//! Keeps `docs/config.md` and `docs/config.schema.json` true: both are written from the
//! configuration's types.
//!
//! `make docs` (this test with `UPDATE=1`) writes them; otherwise a stale file fails.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::fmt::Write as _;
use std::path::PathBuf;

use portcullis_gateway::config::document::Document;
use serde_json::{Map, Value};

#[test]
fn the_configuration_reference_is_up_to_date() {
    let schema = schemars::schema_for!(Document).to_value();
    let json = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let markdown = Reference { schema: &schema }.render();
    for (name, content) in [("config.schema.json", json), ("config.md", markdown)] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &content).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == content, "docs/{name} is stale; run `make docs`");
    }
}

/// The reference as a page: one table a section, in the order in which the document names them.
struct Reference<'a> {
    schema: &'a Value,
}

impl Reference<'_> {
    fn render(&self) -> String {
        let mut page = String::from(INTRODUCTION);
        let mut pending = Vec::new();
        section(&mut page, "The document", self.schema, &mut pending);
        let mut done = Vec::new();
        while !pending.is_empty() {
            let name: String = pending.remove(0);
            if !done.contains(&name) {
                section(&mut page, &name, &self.schema["$defs"][&name], &mut pending);
                done.push(name);
            }
        }
        page
    }
}

fn section(page: &mut String, title: &str, schema: &Value, pending: &mut Vec<String>) {
    let _ = write!(page, "\n## {title}\n\n{}\n", wrapped(&text(schema), ""));
    if schema.get("properties").is_some() {
        fields(page, schema, pending);
    }
    let mut listed = false;
    for variant in variants(schema) {
        match variant.get("const").and_then(Value::as_str) {
            Some(name) => {
                let gap = if listed { "" } else { "\n" };
                let item = format!("- `\"{name}\"`: {}", text(variant));
                let _ = writeln!(page, "{gap}{}", wrapped(&item, "  "));
                listed = true;
            }
            None => {
                let _ = write!(page, "\n### `{}`\n\n{}\n", label(variant), wrapped(&text(variant), ""));
                fields(page, variant, pending);
            }
        }
    }
}

fn fields(page: &mut String, schema: &Value, pending: &mut Vec<String>) {
    let empty = Map::new();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    page.push_str("\n| field | type | default | what |\n|---|---|---|---|\n");
    for (name, field) in schema["properties"].as_object().unwrap_or(&empty) {
        let default = match field.get("default") {
            Some(Value::Object(section)) if section.is_empty() => "`{}`".to_owned(),
            Some(Value::Object(section)) => match section.get("type") {
                Some(tag) => format!("`{{ \"type\": {tag} }}`"),
                None => "the defaults of its fields".to_owned(),
            },
            Some(value) => format!("`{value}`"),
            None if required.iter().any(|other| other == name) => "**required**".to_owned(),
            None => "–".to_owned(),
        };
        let kind = kind(field, pending);
        let _ = writeln!(page, "| `{name}` | {kind} | {default} | {} |", text(field));
    }
}

/// A schema's description, on one line.
fn text(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Prose in lines of at most 100 columns, those after the first behind `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.chars().count().saturating_add(word.chars().count()) >= 100 && !line.is_empty() {
            lines.push(format!("{indent}{word}"));
        } else {
            let gap = if line.is_empty() { "" } else { " " };
            line.push_str(gap);
            line.push_str(word);
        }
    }
    lines.join("\n")
}

fn variants(schema: &Value) -> Vec<&Value> {
    ["oneOf", "anyOf"].iter().filter_map(|name| schema[name].as_array()).flatten().collect()
}

/// How a variant is written: by its tag, or by its one field.
fn label(variant: &Value) -> String {
    let properties = variant["properties"].as_object().unwrap();
    match properties.get("type").and_then(|tag| tag["const"].as_str()) {
        Some(tag) => format!("\"type\": \"{tag}\""),
        None => format!("{{ \"{}\": … }}", properties.keys().next().unwrap()),
    }
}

/// The type of a field; sections that it refers to are still to be written.
fn kind(field: &Value, pending: &mut Vec<String>) -> String {
    if let Some(reference) = field["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap().to_owned();
        pending.push(name.clone());
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(constant) = field.get("const") {
        return format!("`{constant}`");
    }
    if let Some(either) = field["anyOf"].as_array() {
        let others = either.iter().filter(|one| one["type"] != "null");
        return others.map(|one| kind(one, pending)).collect::<Vec<_>>().join(" or ");
    }
    let names = field["type"].as_array().into_iter().flatten().chain(std::iter::once(&field["type"]));
    match names.filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any") {
        "array" => format!("list of {}", kind(&field["items"], pending)),
        "object" if field.get("additionalProperties").is_some() => "map of strings".to_owned(),
        other => other.to_owned(),
    }
}

const INTRODUCTION: &str = "\
# Configuration

The plugin's configuration is one JSON document: Envoy's `configuration`, Istio's `pluginConfig`.
Unknown fields are refused everywhere. Durations are written `30s`, `10m`, `1h`, `7d`. A document
with mistakes is refused with all of them, each by its path, and the configuration before it keeps
serving.

A machine-readable schema is in [`config.schema.json`](config.schema.json). This page is generated;
`make docs` writes it.
";
