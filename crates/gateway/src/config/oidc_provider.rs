//! The section of an OpenID Connect provider.

use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::Compiler;
use super::document;
use super::document::{AssertionAudience, OidcConfig};
use super::json_path::JsonPath;
use super::quirks::Quirks;
use super::tenants::Tenants;
use super::upstream_client::UpstreamClient;

/// An OpenID Connect provider.
pub struct OidcProvider {
    /// The issuer identifier, exactly as configured and as its documents must state it.
    pub issuer: String,
    /// The path and query of its discovery document.
    pub discovery_path: String,
    /// The issuer's own authority.
    pub authority: String,
    /// The gateway as its client.
    pub client: UpstreamClient,
    /// The claim that names the user.
    pub subject_claim: String,
    /// The claim with the user's groups.
    pub groups_claim: JsonPath,
    /// Where to ask for what the ID token does not say.
    pub user_info: Option<OidcUserInfo>,
    /// The tenants whose users may log in, where the issuer stands for many.
    pub tenants: Option<Tenants>,
    /// The audience of client assertions where none is configured.
    pub assertion_audience: AssertionAudience,
}

/// The userinfo endpoint of an OpenID Connect provider.
pub enum OidcUserInfo {
    /// The one that the discovery document names.
    Discovered,
    /// This one.
    At(WebUrl),
}

impl Compiler<'_> {
    pub(super) fn oidc(&mut self, path: &str, written: &OidcConfig, development: bool) -> Option<OidcProvider> {
        let issuer_path = format!("{path}.issuerUrl");
        let host = written.issuer_url.split('/').nth(2).unwrap_or_default().to_ascii_lowercase();
        let quirks = Quirks::of(written.quirks, &host);
        let tenants = self.tenants(path, &written.issuer_url, quirks, &written.allowed_tenants);
        let document = tenants.as_ref().and_then(Option::as_ref).map(|(_, document)| document.as_str());
        let issuer = self.web_url(&issuer_path, document.unwrap_or(&written.issuer_url));
        let issuer = issuer.and_then(|url| self.provider_url(&issuer_path, url, development));
        let client = self.upstream_client(path, &written.into(), issuer.as_ref(), development);
        let scopes = format!("{path}.scopes");
        if !written.scopes.iter().any(|scope| scope == "openid") {
            self.problem::<()>(&scopes, "must contain \"openid\": without it there is no ID token");
        }
        for host in quirks.filter(|quirks| quirks.is_at(&host)).map_or(&[][..], |quirks| quirks.endpoint_hosts) {
            if !written.clusters.contains_key(*host) {
                let what = format!("needs Envoy's cluster for `{host}`, where the provider has endpoints");
                self.problem::<()>(&format!("{path}.clusters"), what);
            }
        }
        let groups_claim = self.claim_path(&format!("{path}.groupsClaim"), &written.groups_claim);
        let (issuer, mut client) = (issuer?, client?);
        if let Some(quirks) = quirks {
            follow(quirks, &mut client);
        }
        let others = written.clusters.iter().map(|(host, cluster)| (host.to_ascii_lowercase(), cluster.clone()));
        let own = std::mem::take(&mut client.clusters);
        client.clusters.extend(others);
        client.clusters.extend(own);
        let user_info = match &written.user_info {
            Some(user_info) => self.oidc_user_info(&format!("{path}.userInfo"), user_info, &client).map(Some),
            None => Some(None),
        };
        Some(OidcProvider {
            issuer: written.issuer_url.clone(),
            discovery_path: format!("{}/.well-known/openid-configuration", issuer.path().trim_end_matches('/')),
            authority: issuer.authority(),
            client,
            subject_claim: written.subject_claim.clone(),
            groups_claim: groups_claim?,
            user_info: user_info?,
            tenants: tenants?.map(|(tenants, _)| tenants),
            assertion_audience: quirks.map_or(AssertionAudience::Issuer, |quirks| quirks.assertion_audience),
        })
    }

    fn oidc_user_info(
        &mut self,
        path: &str,
        written: &document::OidcUserInfo,
        client: &UpstreamClient,
    ) -> Option<OidcUserInfo> {
        let Some(text) = &written.endpoint_url else { return Some(OidcUserInfo::Discovered) };
        let path = format!("{path}.endpointUrl");
        match WebUrl::parse(text) {
            Ok(url) if url.is_https() == client.plain_http => self.problem(&path, "must have the scheme of issuerUrl"),
            Ok(url) if !client.clusters.contains_key(&url.authority()) => {
                self.problem(&path, "has a host without a cluster: add it to `clusters`")
            }
            Ok(url) => Some(OidcUserInfo::At(url)),
            Err(_) => self.problem(&path, "must be an absolute https URL without fragment and user name"),
        }
    }
}

/// Makes a client ask in the way of its provider.
fn follow(quirks: &Quirks, client: &mut UpstreamClient) {
    for (name, value) in quirks.authorization_parameters {
        if !client.extra_parameters.iter().any(|(configured, _)| configured == name) {
            client.extra_parameters.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    let is_taken = |scope: &&str| !quirks.refused_scopes.contains(scope);
    client.scope = client.scope.split(' ').filter(is_taken).collect::<Vec<_>>().join(" ");
}
