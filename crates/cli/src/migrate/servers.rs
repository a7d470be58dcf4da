//! The servers in the files: whose tokens they accept, and what their backends get.

use crate::migrate::authorization_server::AuthorizationServer;
use crate::migrate::clusters::label;
use crate::migrate::field::Field;
use crate::migrate::incoming::{Incoming, incoming};
use crate::migrate::inject::{Injection, type_of};
use crate::migrate::objects::{Kind, Object, Objects};
use crate::migrate::report::Report;

/// A server that is protected.
#[derive(Debug)]
pub(crate) struct Server<'a, 'w> {
    /// Its name, for a path of its own.
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The field that stands for it in the report.
    pub(crate) field: Field<'a>,
    /// The authorization server in front of it.
    pub(crate) authorization_server: Option<AuthorizationServer<'a>>,
    /// The issuer of the tokens that it accepts.
    pub(crate) incoming: Option<Incoming<'a>>,
    /// What it is reached at.
    pub(crate) endpoints: Vec<Endpoint<'a, 'w>>,
}

/// A URL of a server, and what its backend gets.
#[derive(Debug)]
pub(crate) struct Endpoint<'a, 'w> {
    pub(crate) url: String,
    pub(crate) injection: Injection<'a, 'w>,
}

/// The servers in the files, and the authorization servers that no server refers to.
pub(crate) fn servers<'a, 'w>(objects: &'w Objects<'a>, report: &mut Report) -> Vec<Server<'a, 'w>> {
    let mut servers = Vec::new();
    for object in objects.all() {
        let server = match object.kind {
            Kind::Server | Kind::RemoteProxy => single(object, objects, report),
            Kind::VirtualServer => virtual_server(object, objects, report),
            Kind::ExternalAuth
            | Kind::Oidc
            | Kind::Authorization
            | Kind::Other
            | Kind::ConfigMap
            | Kind::Secret
            | Kind::Runtime
            | Kind::Policies => None,
        };
        servers.extend(server);
    }
    let alone: Vec<_> = objects.all().iter().filter_map(|object| alone(object, &servers, report)).collect();
    servers.extend(alone);
    servers
}

/// An MCPServer or an MCPRemoteProxy.
fn single<'a, 'w>(object: &'w Object<'a>, objects: &'w Objects<'a>, report: &mut Report) -> Option<Server<'a, 'w>> {
    let spec = object.root.get("spec")?;
    let external = referred(&spec, "externalAuthConfigRef", objects, &object.namespace, report);
    let by_reference = referred(&spec, "authServerRef", objects, &object.namespace, report);
    let is_unresolved = |name: &str, found: Option<&Object<'a>>| spec.get(name).is_some() && found.is_none();
    if is_unresolved("externalAuthConfigRef", external) || is_unresolved("authServerRef", by_reference) {
        return None;
    }
    let is_embedded = |config: &&Object<'a>| type_of(config) == Some("embeddedAuthServer");
    let embedded = external.filter(is_embedded).or(by_reference);
    let authorization_server = embedded.and_then(embedded_server);
    let incoming = incoming(&spec, &object.namespace, objects, report);
    if authorization_server.is_none() && incoming.is_none() {
        // One that is refused has been reported.
        if !names_tokens(&spec) {
            unprotected(object, &spec, objects, report);
        }
        return None;
    }
    let injection = match external.filter(|config| !is_embedded(config)) {
        Some(config) => Injection::Config(config),
        None if authorization_server.as_ref().is_some_and(AuthorizationServer::injects) => Injection::FirstProvider,
        None => match spec.get("headerForward") {
            Some(headers) => Injection::Headers(headers, &object.namespace),
            None => Injection::Nothing,
        },
    };
    let infix = if object.kind == Kind::RemoteProxy { "remote-proxy" } else { "proxy" };
    let port = spec.get("proxyPort").or_else(|| spec.get("port")).and_then(|port| port.number()).unwrap_or(8_080);
    let internal = format!("http://mcp-{}-{infix}.{}.svc.cluster.local:{port}", object.name, object.namespace);
    let url = url(incoming.as_ref(), &internal, &spec, report);
    Some(Server {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        field: spec,
        authorization_server,
        incoming,
        endpoints: vec![Endpoint { url, injection }],
    })
}

/// A VirtualMCPServer: one resource for each of its backends.
fn virtual_server<'a, 'w>(
    object: &'w Object<'a>,
    objects: &'w Objects<'a>,
    report: &mut Report,
) -> Option<Server<'a, 'w>> {
    let spec = object.root.get("spec")?;
    let authorization_server = spec.get("authServerConfig").map(|field| AuthorizationServer {
        field,
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    });
    let auth = spec.get("incomingAuth");
    if let Some(kind) = auth.as_ref().and_then(|auth| auth.get("type")) {
        report.cover(&kind);
        if kind.text() == Some("anonymous") {
            report.left(&kind, "calls without a token are refused");
        }
    }
    let incoming = auth.as_ref().and_then(|auth| incoming(auth, &object.namespace, objects, report));
    if authorization_server.is_none() && incoming.is_none() {
        // One that is refused has been reported.
        if !auth.is_some_and(|auth| names_tokens(&auth)) {
            unprotected(object, &spec, objects, report);
        }
        return None;
    }
    let internal = format!("http://vmcp-{}.{}.svc.cluster.local:4483", object.name, object.namespace);
    let url = url(incoming.as_ref(), &internal, &spec, report);
    let mut backends = backends(object, &spec, objects, report);
    let endpoints = if backends.len() > 1 {
        let what = "one endpoint for several servers is not carried over: each backend is a resource of its own, with \
                    its name at the end of the path; let clients connect to each";
        report.changed(&spec.get("outgoingAuth").unwrap_or_else(|| spec.clone()), what);
        let endpoint = |(name, injection): (&str, Injection<'a, 'w>)| Endpoint {
            url: format!("{}/{}", url.trim_end_matches('/'), label(name)),
            injection,
        };
        backends.into_iter().map(endpoint).collect()
    } else {
        let injection = backends.pop().map_or(Injection::Nothing, |(_, injection)| injection);
        vec![Endpoint { url, injection }]
    };
    Some(Server {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        field: spec,
        authorization_server,
        incoming,
        endpoints,
    })
}

/// The backends of a VirtualMCPServer, by name.
fn backends<'a, 'w>(
    object: &'w Object<'a>,
    spec: &Field<'a>,
    objects: &'w Objects<'a>,
    report: &mut Report,
) -> Vec<(&'a str, Injection<'a, 'w>)> {
    let outgoing = spec.get("outgoingAuth");
    outgoing.as_ref().and_then(|outgoing| outgoing.get("source")).iter().for_each(|source| report.cover(source));
    let discovers = outgoing.as_ref().is_none_or(|outgoing| outgoing.text_of("source") != Some("inline"));
    let default = outgoing.as_ref().and_then(|outgoing| outgoing.get("default"));
    let default = default.and_then(|default| outgoing_config(&default, objects, &object.namespace, report));
    let mut found: Vec<(&str, Injection<'_, '_>)> = Vec::new();
    let written = outgoing.as_ref().and_then(|outgoing| outgoing.get("backends"));
    for (name, backend) in written.map_or_else(Vec::new, |backends| backends.members()) {
        let config = outgoing_config(&backend, objects, &object.namespace, report).or(default);
        found.push((name, config.map_or(Injection::Nothing, Injection::Config)));
    }
    let listed = spec.get("backends").map_or_else(Vec::new, |list| list.items());
    for name in listed.iter().filter_map(|backend| backend.text_of("name")) {
        if !found.iter().any(|(known, _)| *known == name) {
            found.push((name, default.map_or(Injection::Nothing, Injection::Config)));
        }
    }
    if let Some(list) = spec.get("backends") {
        report.note(&list, "route each resource to its backend in Envoy");
    }
    let group = group(spec);
    for member in objects.all().iter().filter(|member| is_member(member, &object.namespace, group)) {
        let Some(name) = member.root.at("metadata.name").and_then(|name| name.text()) else { continue };
        if found.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let spec = member.root.get("spec");
        let own = spec.and_then(|spec| referred(&spec, "externalAuthConfigRef", objects, &object.namespace, report));
        let config = own.filter(|_| discovers).or(default);
        found.push((name, config.map_or(Injection::Nothing, Injection::Config)));
    }
    found
}

/// The configuration that one backend's `outgoingAuth` refers to.
fn outgoing_config<'a, 'w>(
    backend: &Field<'a>,
    objects: &'w Objects<'a>,
    namespace: &str,
    report: &mut Report,
) -> Option<&'w Object<'a>> {
    // The first texts of the documentation have no `type`; later ones differ in its spelling.
    backend.get("type").iter().for_each(|kind| report.cover(kind));
    referred(backend, "externalAuthConfigRef", objects, namespace, report)
}

/// An authorization server that no server refers to: its issuer is the resource.
fn alone<'a, 'w>(object: &'w Object<'a>, servers: &[Server<'a, 'w>], report: &mut Report) -> Option<Server<'a, 'w>> {
    let (authorization_server, urls) = match object.kind {
        Kind::ExternalAuth if type_of(object) == Some("embeddedAuthServer") => (embedded_server(object)?, Vec::new()),
        Kind::Runtime => {
            let field = object.root.clone();
            let audiences = field.get("allowedAudiences");
            audiences.iter().for_each(|field| report.carried(field, "resources[].resource"));
            let urls = audiences.map_or_else(Vec::new, |list| list.items());
            let urls = urls.iter().filter_map(Field::text).map(str::to_owned).collect();
            let (namespace, name) = (object.namespace.clone(), object.name.clone());
            (AuthorizationServer { field, namespace, name }, urls)
        }
        Kind::ExternalAuth
        | Kind::Server
        | Kind::RemoteProxy
        | Kind::VirtualServer
        | Kind::Oidc
        | Kind::Authorization
        | Kind::Other
        | Kind::ConfigMap
        | Kind::Secret
        | Kind::Policies => return None,
    };
    let is_used = servers.iter().filter_map(|server| server.authorization_server.as_ref()).any(|used| {
        used.namespace == authorization_server.namespace
            && std::ptr::eq(used.field.node, authorization_server.field.node)
    });
    if is_used {
        return None;
    }
    object.root.at("spec.type").iter().for_each(|kind| report.cover(kind));
    let mut urls: Vec<String> = urls;
    if urls.is_empty() {
        let issuer = authorization_server.issuer().to_owned();
        let what =
            "no server in the files refers to it: the issuer itself is the resource; name the servers' files, too";
        report.changed(&authorization_server.field, what);
        urls.push(issuer);
    }
    let injects = authorization_server.injects();
    let injection =
        |url| Endpoint { url, injection: if injects { Injection::FirstProvider } else { Injection::Nothing } };
    Some(Server {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        field: authorization_server.field.clone(),
        authorization_server: Some(authorization_server),
        incoming: None,
        endpoints: urls.into_iter().map(injection).collect(),
    })
}

fn embedded_server<'a>(config: &Object<'a>) -> Option<AuthorizationServer<'a>> {
    let field = config.root.at("spec.embeddedAuthServer")?;
    Some(AuthorizationServer { field, namespace: config.namespace.clone(), name: config.name.clone() })
}

/// The MCPExternalAuthConfig that a field refers to.
fn referred<'a, 'w>(
    spec: &Field<'a>,
    name: &str,
    objects: &'w Objects<'a>,
    namespace: &str,
    report: &mut Report,
) -> Option<&'w Object<'a>> {
    let reference = spec.get(name)?;
    let config = objects.referred(&reference, Kind::ExternalAuth, namespace, report)?;
    report.note(&reference, "carried over with what it refers to");
    config.root.at("spec.type").iter().for_each(|kind| report.cover(kind));
    Some(config)
}

/// A server's URL: what is written, or ToolHive's default.
fn url(incoming: Option<&Incoming<'_>>, internal: &str, spec: &Field<'_>, report: &mut Report) -> String {
    let written = incoming.and_then(|incoming| incoming.resource_url.clone());
    let is_url = |text: &&String| text.starts_with("https://") || text.starts_with("http://");
    let written = written.or_else(|| incoming.and_then(|incoming| incoming.audience.as_ref().filter(is_url).cloned()));
    written.unwrap_or_else(|| {
        let what = format!(
            "clients know it by its URL in the cluster, {internal}: if they reach Envoy by another, change \
             `resources[].resource`"
        );
        report.about(spec, what);
        internal.to_owned()
    })
}

/// A server that ToolHive serves to everyone.
fn unprotected(object: &Object<'_>, spec: &Field<'_>, objects: &Objects<'_>, report: &mut Report) {
    let group = group(spec);
    let is_backend = object.kind != Kind::VirtualServer
        && objects.of_kind(Kind::VirtualServer).any(|other| {
            other.namespace == object.namespace && {
                let other = other.root.get("spec");
                let has_group =
                    other.as_ref().is_some_and(|other| is_member(object, &object.namespace, self::group(other)));
                group.is_some() && has_group
            }
        });
    let named = objects.of_kind(Kind::VirtualServer).any(|other| {
        let backends = other.root.at("spec.outgoingAuth.backends");
        other.namespace == object.namespace && backends.is_some_and(|backends| backends.get(&object.name).is_some())
    });
    if is_backend || named {
        report.about(spec, "is a backend of a VirtualMCPServer: let clients reach it through Envoy only");
    } else {
        let what = "ToolHive serves it without a token, and a resource here needs one: say with `oidcConfig` whose";
        report.left(spec, what);
    }
}

/// Whether a server says whose tokens it accepts.
fn names_tokens(spec: &Field<'_>) -> bool {
    spec.get("oidcConfig").or_else(|| spec.get("oidcConfigRef")).is_some()
}

/// The group that a server names.
fn group<'a>(spec: &Field<'a>) -> Option<&'a str> {
    let group = spec.get("groupRef").or_else(|| spec.at("config.groupRef"))?;
    group.text().or_else(|| group.text_of("name"))
}

fn is_member(object: &Object<'_>, namespace: &str, of: Option<&str>) -> bool {
    let is_server = matches!(object.kind, Kind::Server | Kind::RemoteProxy);
    let own = object.root.get("spec").and_then(|spec| group(&spec));
    is_server && object.namespace == namespace && of.is_some() && own == of
}
