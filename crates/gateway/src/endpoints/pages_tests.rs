use portcullis_protocol::base64url;
use portcullis_protocol::crypto::digest;

use super::*;

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;";

fn consent<'a>() -> ConsentPage<'a> {
    ConsentPage {
        title: "Example MCP",
        logo: Some("data:image/png;base64,AAAA"),
        client_name: "Desk Assistant",
        document: None,
        redirect_host: "app.example",
        redirect_uri: "https://app.example/callback",
        loopback: false,
        scopes: &["openid", "tickets:read"],
        resource: "https://mcp.example.com/mcp",
        providers: &[ProviderLabel { name: "okta", display_name: "Okta" }],
        choices: &[],
        action: "/oauth/consent",
        transaction: "transaction-1",
        csrf: "csrf-1",
    }
}

fn error<'a>() -> ErrorPage<'a> {
    ErrorPage {
        title: "Example MCP",
        heading: "Unknown app",
        message: "The app is not registered here.",
        hint: "Start again.",
    }
}

fn html(response: &Response) -> String {
    String::from_utf8(response.body_bytes().to_vec()).unwrap()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

/// The page with its styles left out, whose text no test about content should match.
fn markup(response: &Response) -> String {
    let page = html(response);
    page.replace(between(&page, "<style>", "</style>"), "")
}

#[test]
fn the_policy_allows_exactly_the_style_that_the_pages_carry() {
    for response in [consent().response(), error().response(400)] {
        let page = html(&response);
        let style = between(&page, "<style>", "</style>");
        let hash = base64url::encode(&digest::sha256(style.as_bytes())).replace('-', "+").replace('_', "/");
        let policy = response.header_value("content-security-policy").unwrap();
        assert!(policy.contains(&format!("style-src 'sha256-{hash}=';")), "the style now hashes to {hash}=");
        assert_eq!(page.matches("<style").count(), 1);
        assert!(!page.contains("style="), "the policy refuses style attributes");
    }
}

#[test]
fn every_page_carries_the_headers_that_keep_it_unframed_uncached_and_inert() {
    let unrendered = page(200, Err(askama::Error::Fmt));
    for response in [consent().response(), error().response(400), unrendered] {
        let policy = response.header_value("content-security-policy").unwrap();
        for directive in ["default-src 'none'", "img-src data:", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.split(';').any(|one| one.trim() == directive), "{directive} is missing");
        }
        assert!(!policy.contains("unsafe"));
        assert!(!policy.contains("form-action"), "it would block the redirect to the provider");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "same-origin"),
            ("permissions-policy", PERMISSIONS_POLICY),
        ] {
            assert_eq!(response.header_value(name), Some(value));
        }
        assert_eq!(response.header_value("cross-origin-opener-policy"), None);
    }
}

#[test]
fn the_pages_are_html_in_utf_8_with_the_status_asked_for() {
    for (response, status) in [(consent().response(), 200), (error().response(403), 403)] {
        assert_eq!(response.status(), status);
        assert_eq!(response.header_value("content-type"), Some("text/html; charset=utf-8"));
        assert!(html(&response).starts_with("<!doctype html>\n<html lang=\"en\">"));
    }
}

#[test]
fn a_page_that_does_not_render_is_a_server_error_in_plain_text() {
    let response = page(200, Err(askama::Error::Fmt));
    assert_eq!(response.status(), 500);
    assert_eq!(response.header_value("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(html(&response), UNRENDERED);
}

#[test]
fn the_form_posts_the_transaction_the_csrf_token_and_one_of_two_decisions() {
    let page = markup(&consent().response());
    assert_eq!(page.matches("<form").count(), 1);
    let form = between(&page, "<form method=\"post\" action=\"/oauth/consent\"", "</form>");
    assert!(form.contains("<input type=\"hidden\" name=\"transaction\" value=\"transaction-1\">"));
    assert!(form.contains("<input type=\"hidden\" name=\"csrf\" value=\"csrf-1\">"));
    assert!(form.contains("<button type=\"submit\" name=\"decision\" value=\"approve\""));
    assert!(form.contains("<button type=\"submit\" name=\"decision\" value=\"deny\""));
    assert_eq!(form.matches("<input").count(), 2);
    assert_eq!(form.matches("<button").count(), 2);
}

#[test]
fn with_a_choice_the_form_has_a_button_for_each_provider_and_none_that_approves_without_one() {
    let choices = ["okta", "hub"].map(|name| ProviderLabel { name, display_name: "Acme" });
    let page = markup(&ConsentPage { providers: &[], choices: &choices, ..consent() }.response());
    let form = between(&page, "<form method=\"post\" action=\"/oauth/consent\"", "</form>");
    for name in ["okta", "hub"] {
        assert!(form.contains(&format!("<button type=\"submit\" name=\"provider\" value=\"{name}\"")), "{form}");
    }
    assert!(form.contains("value=\"deny\"") && !form.contains("value=\"approve\""));
    assert_eq!((form.matches("<button").count(), form.matches("<input").count()), (3, 2));
    assert!(form.contains("Choose who you sign in with. If you"), "{form}");
}

#[test]
fn the_page_names_every_provider_that_the_user_signs_in_with() {
    let labels = ["A", "B", "C"].map(|display_name| ProviderLabel { name: "p", display_name });
    for (count, expected) in [(1, "A"), (2, "A and B"), (3, "A, B and C")] {
        let providers = labels.get(..count).unwrap();
        let page = markup(&ConsentPage { providers, ..consent() }.response());
        let told = between(&page, "<p id=\"next\">", "</p>");
        let told: String = told.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect();
        assert_eq!(told, format!("Next you sign in with {expected}. If you did not start this yourself, deny it."));
    }
}

#[test]
fn markup_in_any_field_of_the_consent_page_stays_text() {
    let scopes = &["tickets:read", "tickets:write"];
    for redirect_uri in ["https://app.example/", "com.example.app:/"] {
        let plain = markup(&ConsentPage { scopes, redirect_uri, ..consent() }.response());
        let hostile = ConsentPage {
            title: HOSTILE,
            logo: Some(HOSTILE),
            client_name: HOSTILE,
            redirect_host: HOSTILE,
            redirect_uri: &format!("{redirect_uri}{HOSTILE}"),
            scopes: &[HOSTILE, HOSTILE],
            resource: HOSTILE,
            providers: &[ProviderLabel { name: "okta", display_name: HOSTILE }],
            action: HOSTILE,
            transaction: HOSTILE,
            csrf: HOSTILE,
            ..consent()
        };
        assert_same_structure(&markup(&hostile.response()), &plain);
    }
}

#[test]
fn markup_in_any_field_of_the_error_page_stays_text() {
    let plain = markup(&error().response(400));
    let hostile = ErrorPage { title: HOSTILE, heading: HOSTILE, message: HOSTILE, hint: HOSTILE };
    assert_same_structure(&markup(&hostile.response(400)), &plain);
}

/// No field added a tag or ended an attribute, and the ampersands of the fields are escaped
/// too.
fn assert_same_structure(page: &str, plain: &str) {
    assert!(!page.to_ascii_lowercase().contains("<script"));
    for mark in ["<", ">", "\""] {
        assert_eq!(page.matches(mark).count(), plain.matches(mark).count(), "a field added {mark}");
    }
    assert!(!page.contains('\''));
    assert!(!page.contains("&amp;") && page.contains("&#38;amp;"));
}

#[test]
fn no_page_runs_a_script_or_loads_anything_from_elsewhere() {
    for response in [consent().response(), error().response(400)] {
        let page = html(&response).to_ascii_lowercase();
        for forbidden in ["<script", "javascript:", "<iframe", "<object", "@import", "url(", " onload", " onclick"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        let sources = page.split("src=\"").skip(1).chain(page.split("href=\"").skip(1));
        assert!(sources.into_iter().all(|source| source.starts_with("data:")));
    }
}

#[test]
fn the_consent_page_says_who_asks_for_what_and_where_the_answer_goes() {
    let page = markup(&consent().response());
    assert!(page.contains("<dt>It calls itself</dt>\n<dd><strong><bdi>Desk Assistant</bdi></strong>"));
    assert!(page.contains("<strong class=\"host\"><bdi dir=\"ltr\">app.example</bdi></strong>"));
    assert!(page.contains("<bdi dir=\"ltr\">https://app.example/callback</bdi>"));
    assert!(page.contains("<bdi dir=\"ltr\">https://mcp.example.com/mcp</bdi>"));
    assert!(page.contains("sign in with <strong><bdi>Okta</bdi></strong>. If"));
    assert!(page.contains("<img src=\"data:image/png;base64,AAAA\" alt=\"\">"));
}

#[test]
fn only_a_loopback_redirect_is_called_an_app_on_this_computer() {
    let elsewhere = markup(&consent().response());
    let here = ConsentPage { loopback: true, ..consent() };
    assert!(!elsewhere.contains("on this computer"));
    assert!(markup(&here.response()).contains("an app on this computer"));
}

#[test]
fn a_private_use_redirect_is_shown_whole_and_not_by_the_host_it_borrows() {
    for redirect_uri in ["evil://bank.example/callback", "com.example.app:/callback", "httpsx://bank.example/"] {
        let page = markup(&ConsentPage { redirect_host: "bank.example", redirect_uri, ..consent() }.response());
        assert!(page.contains(&format!("<strong class=\"host\"><bdi dir=\"ltr\">{redirect_uri}</bdi></strong>")));
        assert!(!page.contains(">bank.example<"));
    }
}

#[test]
fn a_client_without_a_name_is_not_shown_as_calling_itself_anything() {
    for client_name in ["", "  "] {
        let page = markup(&ConsentPage { client_name, ..consent() }.response());
        assert!(page.contains("the app gives no name"));
        assert!(!page.contains("chose this name"));
    }
}

#[test]
fn well_known_scopes_are_explained_and_all_are_shown_by_name() {
    let scopes = &["openid", "profile", "email", "offline_access", "tickets:read", "OpenID"];
    let page = markup(&ConsentPage { scopes, ..consent() }.response());
    let items: Vec<&str> = page.split("<li>").skip(1).map(|rest| rest.split_once("</li>").unwrap().0).collect();
    assert_eq!(items.len(), scopes.len());
    for (item, scope) in items.iter().zip(scopes) {
        assert!(item.ends_with(&format!("<bdi>{scope}</bdi></code>")), "{item}");
        let explained = !matches!(*scope, "tickets:read" | "OpenID");
        assert_eq!(item.starts_with("<span>"), explained, "{item}");
    }
}

#[test]
fn a_request_without_scopes_says_so() {
    let page = markup(&ConsentPage { scopes: &[], ..consent() }.response());
    assert!(page.contains("no separate permissions"));
    assert!(!page.contains("<ul"));
}

#[test]
fn parts_that_are_absent_leave_no_empty_element() {
    let page = markup(&ConsentPage { logo: None, ..consent() }.response());
    assert!(!page.contains("<img"));
    assert!(!markup(&ErrorPage { hint: "", ..error() }.response(400)).contains("class=\"hint\""));
}

#[test]
fn long_fields_are_shown_whole_and_add_no_more_than_their_escaped_length() {
    let name = "<".repeat(10_000);
    let uri = format!("https://app.example/{}", "a".repeat(10_000));
    let page = html(&ConsentPage { client_name: &name, redirect_uri: &uri, ..consent() }.response());
    assert!(page.contains(&"&#60;".repeat(10_000)));
    assert!(page.contains(&uri));
    assert!(page.len() < html(&consent().response()).len() + 5 * name.len() + uri.len());
}

#[test]
fn the_error_page_says_what_went_wrong_and_what_to_do() {
    let page = markup(&error().response(400));
    assert!(page.contains("<title>Unknown app - Example MCP</title>"));
    assert!(page.contains("<h1>Unknown app</h1>"));
    assert!(page.contains("<p>The app is not registered here.</p>"));
    assert!(page.contains("<p class=\"hint\">Start again.</p>"));
    assert!(!page.contains("<form"));
}
