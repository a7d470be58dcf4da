//! The configurations of gateways: which servers share one, and what it is.

use portcullis_protocol::url::web_url::WebUrl;

use crate::migrate::authorization_server::{AuthorizationServer, Sections};
use crate::migrate::clusters::{Clusters, label};
use crate::migrate::document::Members;
use crate::migrate::environment::Environment;
use crate::migrate::incoming::scopes;
use crate::migrate::inject::inject;
use crate::migrate::objects::Objects;
use crate::migrate::provider;
use crate::migrate::report::Report;
use crate::migrate::servers::Server;
use crate::migrate::work::Work;

/// A gateway: its files, and what it needs besides.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// A name for its folder.
    pub(crate) name: String,
    /// The plugin's configuration.
    pub(crate) plugin: Members,
    /// The configuration of `redis-bridge`, where logins are kept in Redis.
    pub(crate) bridge: Option<String>,
    pub(crate) clusters: Clusters,
    pub(crate) environment: Environment,
}

/// The gateways of servers. Those of one authorization server share one; so do those without,
/// unless they mean different tokens of an issuer, which one entry of `trustedIssuers` cannot say.
pub(crate) fn gateways<'a>(servers: &[Server<'a, '_>], objects: &Objects<'a>, report: &mut Report) -> Vec<Gateway> {
    let mut groups: Vec<Vec<&Server<'a, '_>>> = Vec::new();
    for server in servers {
        match groups.iter_mut().find(|group| group.iter().all(|other| fits(server, other))) {
            Some(group) => group.push(server),
            None => groups.push(vec![server]),
        }
    }
    let mut names = Vec::new();
    groups.iter().filter_map(|group| gateway(group, &mut names, objects, report)).collect()
}

fn fits(server: &Server<'_, '_>, other: &Server<'_, '_>) -> bool {
    match (&server.authorization_server, &other.authorization_server) {
        (Some(one), Some(two)) => std::ptr::eq(one.field.node, two.field.node),
        (None, None) => match (&server.incoming, &other.incoming) {
            (Some(one), Some(two)) => one.agrees_with(two),
            (Some(_) | None, Some(_) | None) => false,
        },
        (Some(_) | None, Some(_) | None) => false,
    }
}

fn gateway<'a>(
    group: &[&Server<'a, '_>],
    names: &mut Vec<String>,
    objects: &Objects<'a>,
    report: &mut Report,
) -> Option<Gateway> {
    let first = group.first()?;
    let server = first.authorization_server.as_ref();
    let wanted = label(server.map_or(first.name.as_str(), |server| server.name.as_str()));
    let name = (1_usize..)
        .map(|number| if number == 1 { wanted.clone() } else { format!("{wanted}-{number}") })
        .find(|name| !names.contains(name))?;
    names.push(name.clone());
    let mut work = Work::new(objects, report);
    let (plugin, bridge) = match server {
        Some(server) => of_authorization_server(&mut work, server, group),
        None => (of_trusted_issuers(&mut work, group), None),
    };
    let Work { clusters, environment, .. } = work;
    Some(Gateway { name, plugin, bridge, clusters, environment })
}

fn of_authorization_server<'a>(
    work: &mut Work<'a, '_>,
    server: &AuthorizationServer<'a>,
    group: &[&Server<'a, '_>],
) -> (Members, Option<String>) {
    let asked: Vec<String> = group
        .iter()
        .filter_map(|server| server.incoming.as_ref()?.scopes.as_ref())
        .flat_map(|field| field.items())
        .filter_map(|item| item.text().map(str::to_owned))
        .collect();
    let Sections { head, providers, bridge } = server.sections(work, &asked);
    let names = server.providers().map_or_else(Vec::new, |list| provider::names(&list));
    for incoming in group.iter().filter_map(|server| server.incoming.as_ref()) {
        incoming.own(work, server.issuer());
    }
    let resources = resources(work, group, &names, true);
    (head.with("upstreamProviders", providers).with("resources", resources), bridge)
}

fn of_trusted_issuers<'a>(work: &mut Work<'a, '_>, group: &[&Server<'a, '_>]) -> Members {
    let mut entries: Vec<Members> = Vec::new();
    for server in group {
        let (Some(incoming), Some(endpoint)) = (&server.incoming, server.endpoints.first()) else { continue };
        let entry = incoming.trusted(work, &endpoint.url);
        if !entries.iter().any(|known| known.text("issuer") == Some(incoming.issuer.as_str())) {
            entries.push(entry);
        }
    }
    let has_several = entries.len() > 1;
    let resources = resources(work, group, &[], false);
    let resources: Vec<Members> = group
        .iter()
        .flat_map(|server| server.endpoints.iter().map(move |_| server.incoming.as_ref()))
        .zip(resources)
        .map(|(incoming, resource)| {
            let issuers = incoming.filter(|_| has_several).map(|incoming| vec![incoming.issuer.as_str()]);
            resource.with_some("issuers", issuers)
        })
        .collect();
    Members::new().with("trustedIssuers", entries).with("resources", resources)
}

fn resources<'a>(
    work: &mut Work<'a, '_>,
    group: &[&Server<'a, '_>],
    providers: &[String],
    is_own: bool,
) -> Vec<Members> {
    let urls: Vec<&str> =
        group.iter().flat_map(|server| &server.endpoints).map(|endpoint| endpoint.url.as_str()).collect();
    let is_shared =
        |url: &str| urls.iter().filter(|other| prefix(other).eq_ignore_ascii_case(&prefix(url))).count() > 1;
    let mut resources = Vec::new();
    for server in group {
        for endpoint in &server.endpoints {
            let mut url = endpoint.url.clone();
            if is_shared(&url) {
                let has_namesake = group.iter().filter(|other| label(&other.name) == label(&server.name)).count() > 1;
                let name =
                    if has_namesake { format!("{}-{}", server.namespace, server.name) } else { server.name.clone() };
                url = format!("{}/{}", url.trim_end_matches('/'), label(&name));
                let what = format!(
                    "another server has the same path: clients reach this one at `{}`; route that to it without the \
                     path's last part",
                    prefix(&url)
                );
                work.report.changed(&server.field, what);
            }
            let scopes = scopes(work, server.incoming.as_ref(), is_own);
            let inject = inject(work, &endpoint.injection, providers);
            resources.push(
                Members::new()
                    .with("resource", url.as_str())
                    .with("match", Members::new().with("prefix", prefix(&url)))
                    .with_some("scopes", scopes)
                    .with_some("inject", inject),
            );
        }
    }
    resources
}

/// The path of a URL; `/` for one without, and for what is no URL.
fn prefix(url: &str) -> String {
    let path = WebUrl::parse(url).map_or_else(|_| String::new(), |url| url.path().trim_end_matches('/').to_owned());
    if path.is_empty() { "/".to_owned() } else { path }
}
