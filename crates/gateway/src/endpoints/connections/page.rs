//! The page itself.

use crate::audit::{AuditField, AuditFields, Reason};
use crate::browser::cookies::Browser;
use crate::config::{LoginMode, Provider, ProviderId};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::connections::error::ConnectionsError;
use crate::endpoints::form::csrf_token;
use crate::endpoints::pages::connections::{ConnectionItem, ConnectionsPage};
use crate::ports::Ports;
use crate::routing::endpoint_table::Endpoint;
use crate::upstream::connections::stored;
use crate::upstream::tokens::Upstream;

/// Shows what the user of a browser has connected, and can connect; first the provider that the
/// page is asked about.
pub(super) async fn page<P: Ports>(
    context: &RequestContext<'_, P>,
    browser: &Browser,
    about: Option<&str>,
) -> Result<Resolved, ConnectionsError> {
    let (config, now) = (context.config(), context.now());
    let is_about = |provider: &Provider| about == Some(&*provider.name);
    let mut providers: Vec<&Provider> =
        config.providers.iter().filter(|provider| connectable(provider, browser.chosen)).collect();
    if about.is_some() && !providers.iter().any(|provider| is_about(provider)) {
        return Err(ConnectionsError::UnknownProvider);
    }
    if providers.is_empty() {
        return Err(ConnectionsError::NoProviders);
    }
    providers.sort_by_key(|provider| !is_about(provider));
    let mut items = Vec::new();
    for provider in providers {
        let found = stored::load(context.gateway, browser.user_id, provider.id, context.ports).await?;
        items.push(item(provider, found.as_ref(), now));
    }
    let user = browser.user_id.to_string();
    let page = ConnectionsPage {
        title: &config.consent.title,
        logo: config.consent.logo.as_deref(),
        user: browser.name.as_deref().unwrap_or(&user),
        connections: &items,
        action: &Endpoint::Connections.below(&config.issuer.path),
        csrf: &csrf_token(config, &csrf_parts(browser, &now.to_be_bytes())),
        shown_at: now,
    };
    let audit = AuditFields::default().with(AuditField::User, &user).decided(Reason::ConnectionsShown);
    Ok(Resolved::Respond(page.response(), audit))
}

/// Returns `true` if a user can connect a provider: one that is no part of a login, or that was not
/// `chosen` for it.
pub(super) fn connectable(provider: &Provider, chosen: Option<ProviderId>) -> bool {
    match provider.login {
        LoginMode::Required => false,
        LoginMode::Choice => chosen.is_some_and(|chosen| chosen != provider.id),
        LoginMode::OnDemand => true,
    }
}

/// The parts that a form has in common with the browser that it was shown in: who has signed in
/// there, and when it was shown.
pub(super) fn csrf_parts<'a>(browser: &'a Browser, shown_at: &'a [u8; 8]) -> [&'a [u8]; 3] {
    [b"connections", browser.user_id.as_bytes(), shown_at]
}

fn item(provider: &Provider, found: Option<&Upstream>, now: u64) -> ConnectionItem {
    ConnectionItem {
        name: provider.name.to_string(),
        label: provider.display_name.to_string(),
        account: found.map(|found| found.user_label().to_owned()),
        since: found.and_then(|found| found.connected.as_ref()).map(|connected| day(connected.at)),
        is_over: found.is_some_and(|found| found.refresh_token.is_none() && now >= found.access().stale_at),
    }
}

/// Returns the day of a time in Unix seconds, as `YYYY-MM-DD` in UTC.
fn day(at: u64) -> String {
    // Days since 1 March of the year 0, in periods of 400 years, which have 146097 days. A year
    // begins in March, so that a leap day is its last.
    let days = (at / 86_400).saturating_add(719_468);
    let (period, day) = (days / 146_097, days % 146_097);
    let leap_days = (day / 1_460).saturating_add(day / 146_096).saturating_sub(day / 36_524);
    let year = day.saturating_sub(leap_days) / 365;
    let year_begins = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let day = day.saturating_sub(year_begins);
    let month = day.saturating_mul(5).saturating_add(2) / 153;
    let day = day.saturating_sub(month.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let (month, next) = if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    let year = period.saturating_mul(400).saturating_add(year).saturating_add(next);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_in_the_calendar() {
        for (at, expected) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (1_800_000_000, "2027-01-15"),
            (4_107_542_400, "2100-03-01"),
            (4_107_542_399, "2100-02-28"),
        ] {
            assert_eq!(day(at), expected);
        }
    }
}
