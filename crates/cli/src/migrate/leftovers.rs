//! What servers have besides tokens: what is not carried over, and what stays with their own
//! deployment.

use crate::migrate::field::Field;
use crate::migrate::objects::{Kind, Object, Objects};
use crate::migrate::report::Report;

/// Reports what no configuration was made of.
pub(crate) fn leftovers<'a>(objects: &Objects<'a>, report: &mut Report) {
    for object in objects.all() {
        match object.kind {
            Kind::Server | Kind::RemoteProxy | Kind::VirtualServer => server(object, objects, report),
            Kind::ExternalAuth | Kind::Oidc => unused(object, report),
            Kind::Other => other(object, report),
            Kind::Policies => policies(&object.root, report),
            // Its policies are reported where a server refers to it.
            Kind::Authorization => unused(object, report),
            // What is in them is not looked at, but for what a server refers to.
            Kind::Secret => report.note(&object.root, "only its name and its keys' names were looked at"),
            Kind::ConfigMap | Kind::Runtime => {}
        }
        if !matches!(object.kind, Kind::ConfigMap | Kind::Secret) {
            report.rest(&object.root);
        }
    }
    objects.of_kind(Kind::ConfigMap).for_each(|object| config_map(object, report));
}

/// The fields of a server that say nothing about tokens.
fn server<'a>(object: &Object<'a>, objects: &Objects<'a>, report: &mut Report) {
    let Some(spec) = object.root.get("spec") else { return report.left(&object.root, "has no `spec`") };
    for auth in [Some(spec.clone()), spec.get("incomingAuth")].into_iter().flatten() {
        if let Some(config) = auth.get("authzConfig") {
            authorization(&config, &object.namespace, objects, report);
        }
        if let Some(reference) = auth.get("authzConfigRef") {
            let shared = reference.text_of("name").and_then(|name| {
                objects.find(Kind::Authorization, &object.namespace, name).and_then(|shared| shared.root.get("spec"))
            });
            shared.iter().for_each(|shared| report.cover(shared));
            let count = shared.map_or(0, |shared| count_policies(&shared));
            not_authorized(&reference, count, report);
        }
    }
    for (name, why) in LEFT {
        if let Some(field) = spec.get(name) {
            report.left(&field, why);
        }
    }
    let kept: Vec<(&str, Field<'a>)> = spec.members().into_iter().filter(|(name, _)| KEPT.contains(name)).collect();
    kept.iter().for_each(|(_, field)| report.cover(field));
    if !kept.is_empty() {
        let names: Vec<String> = kept.iter().map(|(name, _)| format!("`{name}`")).collect();
        report.about(&spec, format!("{} stay with the server's own deployment", names.join(", ")));
    }
}

/// Cedar policies that a server refers to.
fn authorization<'a>(config: &Field<'a>, namespace: &str, objects: &Objects<'a>, report: &mut Report) {
    let document = match (config.get("configMap"), config.get("inline")) {
        (Some(reference), _) => objects.in_config_map(&reference, "authz.json", namespace, report),
        (None, Some(inline)) => Some(inline),
        (None, None) => None,
    };
    document.iter().for_each(|document| report.cover(document));
    not_authorized(config, document.map_or(0, |document| count_policies(&document)), report);
}

fn not_authorized(field: &Field<'_>, count: usize, report: &mut Report) {
    let policies = match count {
        0 => "its policies are".to_owned(),
        1 => "its one Cedar policy is".to_owned(),
        count => format!("its {count} Cedar policies are"),
    };
    let what = format!(
        "{policies} not enforced by the gateway, so everyone with a token may call everything: enforce them in the \
         server, or do not move it yet"
    );
    report.left(field, what);
}

fn count_policies(document: &Field<'_>) -> usize {
    let policies = document.get("policies").or_else(|| document.at("cedar.policies"));
    policies.or_else(|| document.at("config.cedar.policies")).map_or(0, |policies| policies.items().len())
}

/// A document of policies without a ConfigMap around it.
fn policies(root: &Field<'_>, report: &mut Report) {
    not_authorized(root, count_policies(root), report);
}

/// Fields of a ConfigMap that a server refers to, and that were not looked at.
fn config_map(object: &Object<'_>, report: &mut Report) {
    let mut is_used = false;
    for (_, field) in object.root.get("data").map_or_else(Vec::new, |data| data.members()) {
        let Ok(inside) = object.source.inside(&field) else { continue };
        if !report.is_untouched(&inside) {
            is_used = true;
            report.rest(&inside);
        }
    }
    if !is_used {
        report.note(&object.root, "no server in the files refers to it");
    }
}

/// A configuration that no server refers to.
fn unused(object: &Object<'_>, report: &mut Report) {
    let is_unused = object.root.get("spec").is_none_or(|spec| report.is_untouched(&spec));
    if is_unused {
        report.left(&object.root, "no server in the files refers to it; name the file of one that does");
    }
}

fn other(object: &Object<'_>, report: &mut Report) {
    if object.root.text_of("kind") == Some("MCPGroup") {
        return report.note(&object.root, "groups the backends of a VirtualMCPServer");
    }
    report.left(&object.root, "the gateway has nothing of this kind");
}

const LEFT: [(&str, &str); 12] = [
    (
        "sessionStorage",
        "the gateway keeps no MCP sessions: let Envoy send each session to one server, by a hash of `mcp-session-id`",
    ),
    ("rateLimiting", "the gateway does not limit calls of tools: limit requests in Envoy, or calls in the server"),
    ("rateLimit", "the gateway does not limit calls of tools: limit requests in Envoy, or calls in the server"),
    ("tools", "the gateway does not filter tools: do that in the server"),
    ("toolConfigRef", "the gateway does not filter or rename tools: do that in the server"),
    ("webhookConfigRef", "the gateway calls no webhooks"),
    ("config", "the gateway does not put several servers together: clients connect to each"),
    ("embeddingServerRef", "the gateway does not choose tools"),
    ("telemetry", "Envoy has its own statistics and traces"),
    ("telemetryConfigRef", "Envoy has its own statistics and traces"),
    ("endpointPrefix", "the gateway does not rewrite the addresses in answers"),
    ("audit", "the audit trail goes to Envoy's access log (docs/operate/audit.md)"),
];
/// Fields of the server's deployment.
const KEPT: [&str; 25] = [
    "image",
    "transport",
    "proxyMode",
    "port",
    "targetPort",
    "proxyPort",
    "mcpPort",
    "args",
    "env",
    "volumes",
    "resources",
    "secrets",
    "serviceAccount",
    "permissionProfile",
    "podTemplateSpec",
    "resourceOverrides",
    "replicas",
    "backendReplicas",
    "sessionAffinity",
    "groupRef",
    "serviceType",
    "imagePullSecrets",
    "trustProxyHeaders",
    "proxyReadTimeout",
    "proxyWriteTimeout",
];
