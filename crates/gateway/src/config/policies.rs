//! Lifespans, registration, logins and consent.

use portcullis_storage_api::wire::MAX_BUCKET_CAPACITY;

use super::compiler::Compiler;
use super::document::{self, Document};

/// How long tokens live, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifespans {
    /// Access tokens.
    pub access_token: u64,
    /// Refresh tokens.
    pub refresh_token: u64,
    /// Authorization codes.
    pub authorization_code: u64,
    /// Connections of users, from their last use.
    pub connection: u64,
}

/// What registration allows.
#[derive(Debug, Clone, Copy)]
pub struct RegistrationPolicy {
    /// Whether clients may register.
    pub enabled: bool,
    /// Seconds that a client has a record after a successful token request.
    pub lifetime: u64,
    /// Registrations a minute from one address.
    pub per_address: u32,
}

/// The consent page's settings.
#[derive(Debug, Clone)]
pub struct ConsentPolicy {
    /// Seconds that a consent is remembered; 0 for never.
    pub remember: u64,
    /// The name on the page.
    pub title: String,
    /// The logo on the page, a data URI.
    pub logo: Option<String>,
}

impl Compiler<'_> {
    pub(super) fn lifespans(&mut self, written: &document::TokenLifespans, development: bool) -> Option<Lifespans> {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let least = |seconds: u64| if development { 1 } else { seconds };
        let access_token = self.duration("tokenLifespans.accessToken", &written.access_token, least(MINUTE), DAY);
        let refresh_token = self.duration("tokenLifespans.refreshToken", &written.refresh_token, least(HOUR), 30 * DAY);
        let authorization_code =
            self.duration("tokenLifespans.authorizationCode", &written.authorization_code, least(30), 10 * MINUTE);
        let connection = self.duration("tokenLifespans.connection", &written.connection, least(HOUR), 365 * DAY);
        Some(Lifespans {
            access_token: access_token?,
            refresh_token: refresh_token?,
            authorization_code: authorization_code?,
            connection: connection?,
        })
    }

    pub(super) fn registration(&mut self, written: &document::DynamicRegistration) -> Option<RegistrationPolicy> {
        const PATH: &str = "clients.dynamicRegistration";
        let lifetime = self.duration(&format!("{PATH}.lifetime"), &written.lifetime, 60, 365 * 24 * 3600);
        let per_address = written.rate_per_minute;
        if per_address == 0 {
            let what = "must be at least 1; use \"enabled\": false to close it";
            self.problem::<()>(&format!("{PATH}.ratePerMinute"), what);
        } else if per_address > MAX_BUCKET_CAPACITY {
            self.problem::<()>(&format!("{PATH}.ratePerMinute"), format!("must be at most {MAX_BUCKET_CAPACITY}"));
        }
        Some(RegistrationPolicy { enabled: written.enabled, lifetime: lifetime?, per_address })
    }

    pub(super) fn logins_per_minute(&mut self, document: &Document) -> Option<u32> {
        const TIMES_REGISTRATIONS: u32 = 5;
        let registrations = document.clients.dynamic_registration.rate_per_minute;
        let usual = || registrations.saturating_mul(TIMES_REGISTRATIONS).clamp(1, MAX_BUCKET_CAPACITY);
        match document.logins.rate_per_minute {
            Some(rate) if (1..=MAX_BUCKET_CAPACITY).contains(&rate) => Some(rate),
            Some(_) => self.problem("logins.ratePerMinute", format!("must be between 1 and {MAX_BUCKET_CAPACITY}")),
            None => Some(usual()),
        }
    }

    pub(super) fn consent(&mut self, written: &document::Consent) -> Option<ConsentPolicy> {
        let remember = self.duration("consent.remember", &written.remember, 0, 365 * 24 * 3600);
        if written.title.is_empty() || written.title.chars().count() > 80 {
            self.problem::<()>("consent.title", "must have 1 to 80 characters");
        }
        if let Some(logo) = &written.logo
            && !is_image_data_uri(logo)
        {
            self.problem::<()>("consent.logo", "must be a data:image/…;base64, URI of at most 32 KiB");
        }
        Some(ConsentPolicy { remember: remember?, title: written.title.clone(), logo: written.logo.clone() })
    }
}

fn is_image_data_uri(text: &str) -> bool {
    const MAX_BYTES: usize = 32 * 1024;
    let Some(rest) = text.strip_prefix("data:image/") else { return false };
    let Some((kind, data)) = rest.split_once(";base64,") else { return false };
    text.len() <= MAX_BYTES
        && matches!(kind, "png" | "svg+xml" | "jpeg" | "webp" | "gif")
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}
