//! Issuers that share one discovery document: the tenants of a provider.

use super::compiler::Compiler;
use super::quirks::Quirks;

/// The tenants of a provider whose users may log in. Each is an issuer of its own, and the provider
/// has one discovery document for all, whose `issuer` is a template.
pub struct Tenants {
    /// The issuer of a tenant, with [`PLACE`] for its id.
    template: String,
    /// The ids, in lower case.
    allowed: Vec<String>,
}

impl Tenants {
    /// Returns the issuer of a tenant; `None` if its users may not log in.
    #[must_use]
    pub fn issuer_of(&self, tenant: &str) -> Option<String> {
        let is_allowed = self.allowed.iter().any(|allowed| tenant == allowed);
        is_allowed.then(|| self.template.replace(PLACE, tenant))
    }

    /// Returns `true` if this is the template, or the issuer of a tenant whose users may log in.
    #[must_use]
    pub fn is_named(&self, issuer: &str) -> bool {
        issuer == self.template || self.allowed.iter().any(|tenant| issuer == self.template.replace(PLACE, tenant))
    }

    /// Returns `true` if a key of this issuer may sign the tokens of another one: it is the same,
    /// or the template.
    #[must_use]
    pub fn is_key_of(&self, key_issuer: &str, token_issuer: &str) -> bool {
        key_issuer == self.template || key_issuer == token_issuer
    }
}

impl Compiler<'_> {
    /// Compiles the tenants of a provider, with the URL below which its discovery document is;
    /// inside `None` for a provider that is one issuer.
    pub(super) fn tenants(
        &mut self,
        path: &str,
        issuer: &str,
        quirks: Option<&Quirks>,
        written: &[String],
    ) -> Option<Option<(Tenants, String)>> {
        let path = format!("{path}.allowedTenants");
        let words = quirks.map_or(&[][..], |quirks| quirks.tenant_words);
        let word = words.iter().find(|word| issuer.split('/').nth(3) == Some(**word));
        let (template, document) = match word {
            Some(word) => (issuer.replacen(&format!("/{word}"), &format!("/{PLACE}"), 1), issuer.to_owned()),
            None if issuer.contains(PLACE) => {
                (issuer.to_owned(), issuer.replace(PLACE, words.first().copied().unwrap_or("common")))
            }
            None if written.is_empty() => return Some(None),
            None => return self.problem(&path, "is only for an issuerUrl of many tenants"),
        };
        if !(1..=MAX_TENANTS).contains(&written.len()) {
            let what = format!(
                "is required, 1 to {MAX_TENANTS} ids of tenants: without it the users of every organization could log in"
            );
            return self.problem(&path, what);
        }
        for (index, _) in written.iter().enumerate().filter(|(_, tenant)| !is_guid(tenant)) {
            let what = "must be the id of a tenant, such as \"9188040d-6c67-4c5b-b112-36a304b66dad\", not its domain";
            self.problem::<()>(&format!("{path}[{index}]"), what);
        }
        let allowed = written.iter().map(|tenant| tenant.to_ascii_lowercase()).collect();
        Some(Some((Tenants { template, allowed }, document)))
    }
}

fn is_guid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Where the id of a tenant is in a template, as Microsoft writes it.
const PLACE: &str = "{tenantid}";
const MAX_TENANTS: usize = 100;
