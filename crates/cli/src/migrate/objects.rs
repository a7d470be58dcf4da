//! The resources in the files, and how they refer to each other.

use crate::migrate::field::Field;
use crate::migrate::report::Report;
use crate::migrate::source::Source;

/// A resource of Kubernetes, or a runtime file.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The whole of it.
    pub(crate) root: Field<'a>,
    /// The file that it is in.
    pub(crate) source: &'a Source,
}

/// The kinds that this command tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Server,
    RemoteProxy,
    VirtualServer,
    ExternalAuth,
    Oidc,
    Authorization,
    /// One of ToolHive's that says nothing about who may call what.
    Other,
    ConfigMap,
    Secret,
    /// The file that an authorization server of ToolHive is started with.
    Runtime,
    /// A document of Cedar policies without a ConfigMap around it.
    Policies,
}

/// All resources.
#[derive(Debug, Default)]
pub(crate) struct Objects<'a>(Vec<Object<'a>>);

impl<'a> Objects<'a> {
    /// Returns the resources of files. What is none is refused.
    pub(crate) fn of(sources: &'a [Source], report: &mut Report) -> Self {
        let mut objects = Self::default();
        for source in sources {
            for document in &source.documents {
                objects.add(Field::document(&source.name, document), source, report);
            }
        }
        objects
    }

    /// The resources of a kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object<'a>> {
        self.0.iter().filter(move |object| object.kind == kind)
    }

    /// All resources.
    pub(crate) fn all(&self) -> &[Object<'a>] {
        &self.0
    }

    /// A resource by its name.
    pub(crate) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object<'a>> {
        self.of_kind(kind).find(|object| object.namespace == namespace && object.name == name)
    }

    /// The resource that the field `name` of a reference names, in the namespace of what refers to
    /// it. One that is in no file is refused.
    pub(crate) fn referred(
        &self,
        reference: &Field<'a>,
        kind: Kind,
        namespace: &str,
        report: &mut Report,
    ) -> Option<&Object<'a>> {
        let Some(name) = reference.text_of("name") else {
            report.refuse(reference, "has no `name`");
            return None;
        };
        let found = self.find(kind, namespace, name);
        if found.is_none() {
            let what = format!("the {} `{namespace}/{name}` is in none of the files; name its file too", kind.name());
            report.refuse(reference, what);
        }
        found
    }

    /// The document at a key of a ConfigMap, by a reference with `name` and `key`.
    pub(crate) fn in_config_map(
        &self,
        reference: &Field<'a>,
        default_key: &str,
        namespace: &str,
        report: &mut Report,
    ) -> Option<Field<'a>> {
        let config_map = self.referred(reference, Kind::ConfigMap, namespace, report)?;
        let key = reference.text_of("key").unwrap_or(default_key);
        let data = config_map.root.get("data").map_or_else(Vec::new, |data| data.members());
        let Some((_, field)) = data.into_iter().find(|(name, _)| *name == key) else {
            let what = format!("the ConfigMap `{namespace}/{}` has no key `{key}`", config_map.name);
            report.refuse(reference, what);
            return None;
        };
        match config_map.source.inside(&field) {
            Ok(inside) => {
                report.cover(reference);
                Some(inside)
            }
            Err(problem) => {
                match problem {
                    Some(problem) => report.unreadable(field.file, problem),
                    None => report.refuse(&field, "must be text"),
                }
                None
            }
        }
    }

    fn add(&mut self, root: Field<'a>, source: &'a Source, report: &mut Report) {
        let text = |name: &str| root.get(name).and_then(|field| field.text()).unwrap_or_default();
        let (version, written) = (text("apiVersion"), text("kind"));
        if written == "List" || (written.ends_with("List") && root.get("items").is_some()) {
            let items = root.get("items").map_or_else(Vec::new, |items| items.items());
            items.into_iter().for_each(|item| self.add(item, source, report));
            return;
        }
        let kind = match version.split_once('/') {
            Some((GROUP, version)) if !VERSIONS.contains(&version) => {
                let what = format!("must be {GROUP}/{}", VERSIONS.join(" or "));
                return report.refuse(&root.get("apiVersion").unwrap_or(root), what);
            }
            Some((GROUP, _)) => match KINDS.iter().find(|(name, _)| *name == written) {
                Some((_, kind)) => *kind,
                None => {
                    let what = "is not a kind of ToolHive that is known here; leave the document out";
                    return report.refuse(&root.get("kind").unwrap_or(root), what);
                }
            },
            None if version == "v1" && written == "ConfigMap" => Kind::ConfigMap,
            None if version == "v1" && written == "Secret" => Kind::Secret,
            Some(_) | None if !written.is_empty() && !version.is_empty() => {
                return report.note(&root, format!("{written} is not ToolHive's, and stays as it is"));
            }
            Some(_) | None => match without_kind(&root) {
                Some(kind) => kind,
                None => {
                    let what = "is neither a resource of Kubernetes nor a file of ToolHive's authorization server";
                    return report.refuse(&root, what);
                }
            },
        };
        let metadata = |name: &str| root.at(name).and_then(|field| field.text().map(str::to_owned));
        let namespace = metadata("metadata.namespace").unwrap_or_else(|| "default".to_owned());
        let name = metadata("metadata.name");
        if name.is_none() && !matches!(kind, Kind::Runtime | Kind::Policies) {
            return report.refuse(&root, "has no metadata.name");
        }
        let name = name.unwrap_or_else(|| "gateway".to_owned());
        if self.find(kind, &namespace, &name).is_some() {
            return report.refuse(&root, format!("the {} `{namespace}/{name}` is given twice", kind.name()));
        }
        for covered in ["apiVersion", "kind", "metadata", "status", "schemaVersion"] {
            root.get(covered).iter().for_each(|field| report.cover(field));
        }
        self.0.push(Object { kind, namespace, name, root, source });
    }
}

impl Kind {
    /// Its name in Kubernetes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Runtime => "runtime file",
            Self::Policies => "policy file",
            Self::Server
            | Self::RemoteProxy
            | Self::VirtualServer
            | Self::ExternalAuth
            | Self::Oidc
            | Self::Authorization
            | Self::Other => KINDS.iter().find(|(_, kind)| *kind == self).map_or("resource", |(name, _)| name),
        }
    }
}

/// A document that Kubernetes does not know.
fn without_kind(root: &Field<'_>) -> Option<Kind> {
    let has = |name: &str| root.get(name).is_some();
    if has("issuer") && (has("upstreams") || has("upstreamProviders") || has("signingKeyConfig")) {
        return Some(Kind::Runtime);
    }
    (root.text_of("type") == Some("cedarv1") || has("cedar")).then_some(Kind::Policies)
}

const GROUP: &str = "toolhive.stacklok.dev";
const VERSIONS: [&str; 2] = ["v1alpha1", "v1beta1"];
/// `Other` last, for its name.
const KINDS: [(&str, Kind); 16] = [
    ("MCPServer", Kind::Server),
    ("MCPRemoteProxy", Kind::RemoteProxy),
    ("VirtualMCPServer", Kind::VirtualServer),
    ("MCPExternalAuthConfig", Kind::ExternalAuth),
    ("MCPOIDCConfig", Kind::Oidc),
    ("MCPAuthzConfig", Kind::Authorization),
    ("MCPGroup", Kind::Other),
    ("MCPRegistry", Kind::Other),
    ("MCPServerEntry", Kind::Other),
    ("MCPToolConfig", Kind::Other),
    ("MCPTelemetryConfig", Kind::Other),
    ("MCPWebhookConfig", Kind::Other),
    ("EmbeddingServer", Kind::Other),
    ("MCPEmbedding", Kind::Other),
    ("ToolConfig", Kind::Other),
    ("VirtualMCPCompositeToolDefinition", Kind::Other),
];
