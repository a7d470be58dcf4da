//! The section of an OpenID Connect provider.

use super::compiler::Compiler;
use super::document::OidcConfig;
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
}

impl Compiler<'_> {
    pub(super) fn oidc(&mut self, path: &str, written: &OidcConfig, development: bool) -> Option<OidcProvider> {
        let issuer_path = format!("{path}.issuerUrl");
        let issuer = self.web_url(&issuer_path, &written.issuer_url);
        let issuer = issuer.and_then(|url| self.provider_url(&issuer_path, url, development));
        let client = self.upstream_client(path, &written.into(), issuer.as_ref(), development);
        let scopes = format!("{path}.scopes");
        if !written.scopes.iter().any(|scope| scope == "openid") {
            self.problem::<()>(&scopes, "must contain \"openid\": without it there is no ID token");
        }
        let (issuer, mut client) = (issuer?, client?);
        let others = written.clusters.iter().map(|(host, cluster)| (host.to_ascii_lowercase(), cluster.clone()));
        let own = std::mem::take(&mut client.clusters);
        client.clusters.extend(others);
        client.clusters.extend(own);
        Some(OidcProvider {
            issuer: written.issuer_url.clone(),
            discovery_path: format!("{}/.well-known/openid-configuration", issuer.path().trim_end_matches('/')),
            authority: issuer.authority(),
            client,
            subject_claim: written.subject_claim.clone(),
        })
    }
}
