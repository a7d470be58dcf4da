//! Finds the configurations in a file: the file itself, or what an Envoy bootstrap, a resource of
//! Kubernetes or a ConfigMap holds.

use crate::check::documents;
use crate::check::node::{Content, Node};
use crate::check::problem::Problem;
use crate::check::text::{Place, Text};

/// A configuration to check.
pub(crate) enum Found {
    /// A plugin configuration as JSON text.
    PluginText(Text),
    /// A plugin configuration as a part of the file.
    PluginTree(Node),
    /// A configuration of `redis-bridge`: the text, and where its values are.
    Bridge(Text, Node),
}

/// Returns the configurations in a text.
///
/// # Errors
/// Why it cannot be read, or that nothing was found.
pub(crate) fn find(text: Text) -> Result<Vec<Found>, Vec<Problem>> {
    let mut found = Vec::new();
    search(text, 0, &mut found)?;
    // Other plugins have configurations, too.
    if found.iter().any(Found::is_ours) {
        found.retain(Found::is_ours);
    }
    if found.is_empty() {
        return Err(vec![Problem::new(Place { line: 1, column: 1 }, "", NOTHING)]);
    }
    Ok(found)
}

impl Found {
    fn is_ours(&self) -> bool {
        match self {
            Self::PluginText(text) => mentions(text.content(), &PLUGIN),
            Self::PluginTree(node) => has_any(node, &PLUGIN),
            Self::Bridge(..) => true,
        }
    }
}

fn search(text: Text, depth: usize, found: &mut Vec<Found>) -> Result<(), Vec<Problem>> {
    let is_json = documents::is_json(&text);
    let (documents, twice) = documents::read(&text).map_err(|problem| vec![problem])?;
    if !twice.is_empty() && !documents.first().is_some_and(is_plugin) {
        return Err(twice);
    }
    if let [document] = documents.as_slice() {
        if is_plugin(document) {
            found.push(if is_json { Found::PluginText(text) } else { Found::PluginTree(document.clone()) });
            return Ok(());
        }
        if is_bridge(document) {
            found.push(Found::Bridge(text, document.clone()));
            return Ok(());
        }
    }
    documents.iter().try_for_each(|document| resource(document, &text, depth, found))
}

/// A document that holds configurations.
fn resource(document: &Node, text: &Text, depth: usize, found: &mut Vec<Found>) -> Result<(), Vec<Problem>> {
    let kind = document.get("kind").and_then(Node::string).map_or("", |kind| kind.value.as_str());
    match kind {
        "WasmPlugin" => {
            let config = document.get("spec").and_then(|spec| spec.get("pluginConfig"));
            config.into_iter().for_each(|config| found.push(value(config, text)));
        }
        "EnvoyExtensionPolicy" => {
            let wasm = document.get("spec").and_then(|spec| spec.get("wasm")).map_or(&[][..], Node::items);
            found.extend(wasm.iter().filter_map(|wasm| wasm.get("config")).map(|config| value(config, text)));
        }
        "ConfigMap" if depth < MAX_DEPTH => {
            for field in document.get("data").map_or(&[][..], Node::fields) {
                let Some(inner) = field.value.embedded(text) else { continue };
                // A ConfigMap may hold anything; only what looks like one of ours must be readable.
                let is_ours = mentions(inner.content(), &PLUGIN) || mentions(inner.content(), &["redis", "listen"]);
                match search(inner, depth.saturating_add(1), found) {
                    Err(problems) if is_ours => return Err(problems),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        "List" if depth < MAX_DEPTH => {
            for item in document.get("items").map_or(&[][..], Node::items) {
                resource(item, text, depth.saturating_add(1), found)?;
            }
        }
        _ => filters(document, text, found)?,
    }
    Ok(())
}

/// Every wasm filter of an Envoy configuration, however deep it is.
fn filters(node: &Node, text: &Text, found: &mut Vec<Found>) -> Result<(), Vec<Problem>> {
    let is_filter = |name: &str| node.get(name).and_then(Node::string).is_some_and(|kind| kind.value.ends_with(FILTER));
    if is_filter("@type") || is_filter("type_url") || is_filter("typeUrl") {
        let plugin = node.get("config").or_else(|| node.get("value").and_then(|value| value.get("config")));
        let Some(configuration) = plugin.and_then(|plugin| plugin.get("configuration")) else {
            return Err(vec![Problem::new(node.place, "", "a wasm filter without a `configuration`")]);
        };
        found.push(any(configuration, text)?);
        return Ok(());
    }
    match &node.content {
        Content::List(items) => items.iter().try_for_each(|item| filters(item, text, found)),
        Content::Map(fields) => fields.iter().try_for_each(|field| filters(&field.value, text, found)),
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::String(_) => Ok(()),
    }
}

/// A `google.protobuf.Any` with a string or a struct.
fn any(configuration: &Node, text: &Text) -> Result<Found, Vec<Problem>> {
    let kind = configuration.get("@type").and_then(Node::string).map_or("", |kind| kind.value.as_str());
    let inner = configuration.get("value");
    match inner {
        Some(inner) if kind.ends_with("google.protobuf.StringValue") || kind.ends_with("google.protobuf.Struct") => {
            Ok(value(inner, text))
        }
        Some(_) | None => {
            let what = "must be a google.protobuf.StringValue or a google.protobuf.Struct with a `value`";
            Err(vec![Problem::new(configuration.place, "configuration", what)])
        }
    }
}

fn value(node: &Node, text: &Text) -> Found {
    node.embedded(text).map_or_else(|| Found::PluginTree(node.clone()), Found::PluginText)
}

fn is_plugin(node: &Node) -> bool {
    let is_empty = matches!(&node.content, Content::Map(fields) if fields.is_empty());
    is_empty || (has_any(node, &PLUGIN) && node.get("kind").is_none() && node.get("static_resources").is_none())
}

fn is_bridge(node: &Node) -> bool {
    BRIDGE.iter().filter(|name| node.get(name).is_some()).count() >= 2 && node.get("kind").is_none()
}

fn has_any(node: &Node, names: &[&str]) -> bool {
    names.iter().any(|name| node.get(name).is_some())
}

fn mentions(text: &str, names: &[&str]) -> bool {
    names.iter().any(|name| text.contains(&format!("{name}\":")) || text.contains(&format!("{name}:")))
}

const FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// Fields that nothing else is likely to have.
const PLUGIN: [&str; 6] =
    ["issuer", "signingKeys", "upstreamProviders", "scopesSupported", "tokenLifespans", "trustedIssuers"];
const BRIDGE: [&str; 10] =
    ["listen", "callers", "keyPrefix", "redis", "durability", "metrics", "secretsDir", "fetch", "limits", "admin"];
/// How deep texts and lists may be inside each other.
const MAX_DEPTH: usize = 4;
const NOTHING: &str = "no configuration found; looked for a plugin configuration (JSON or YAML), an Envoy configuration \
    with a filter of type envoy.extensions.filters.http.wasm.v3.Wasm, a WasmPlugin with spec.pluginConfig, an \
    EnvoyExtensionPolicy with spec.wasm[].config, a ConfigMap that holds one of these, and a redis-bridge configuration";
