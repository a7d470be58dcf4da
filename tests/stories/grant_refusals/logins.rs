//! The user's side of a login: consent belongs to one page in one browser, and so does the way back
//! from the provider.

use portcullis_testbed::browser::{Arrival, Browser, Form, Page};
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::oauth_client::{Authorization, Callback, OAuthClient};
use portcullis_testbed::testbed::Testbed;
use url::Url;

use super::testbed;
use crate::support::{assert_page, client};

#[tokio::test]
async fn the_way_back_from_the_provider_works_once() {
    let bed = testbed().await;
    let (client, authorization) = start(bed).await;
    let mut browser = Browser::new("alice");
    let back = at_the_callback(bed, &mut browser, &authorization).await;
    let first = Callback::read(&browser.open(back.as_str(), &client.redirect_uri).await.left());
    let again = browser.open(back.as_str(), &client.redirect_uri).await.page();
    assert_page(&again.response, 400, UNKNOWN_LOGIN, "the same callback again");
    client.redeem(first.code(), &authorization.verifier).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_login_that_was_consented_to_in_one_browser_cannot_be_finished_in_another() {
    let bed = testbed().await;
    let (client, authorization) = start(bed).await;
    let mut consenting = Browser::new("mallory");
    let back = at_the_callback(bed, &mut consenting, &authorization).await;

    let cookieless = Browser::new("alice").open(back.as_str(), &client.redirect_uri).await.page();
    assert_page(&cookieless.response, 400, UNKNOWN_LOGIN, "no cookie");

    // A user who has looked at a consent page, but not agreed to it.
    let mut looking = Browser::new("alice");
    let seen = looking.open(&client.authorization().url(), &client.redirect_uri).await.page();
    assert_eq!(seen.response.status, 200);
    assert!(looking.jar.cookies.iter().all(|cookie| cookie.name.starts_with(LOGIN_COOKIE)), "{:?}", looking.jar);
    let looked = looking.open(back.as_str(), &client.redirect_uri).await.page();
    assert_page(&looked.response, 400, UNKNOWN_LOGIN, "a cookie from before consent");

    // A user who has logged in here before, with a genuine cookie of their own.
    let mut victim = Browser::new("alice");
    let (own_client, own) = start(bed).await;
    victim.log_in(&own.url(), &own_client.redirect_uri).await;
    let relayed = victim.open(back.as_str(), &client.redirect_uri).await.page();
    assert_page(&relayed.response, 400, UNKNOWN_LOGIN, "a genuine cookie of another browser");

    // And forged or doubled ones.
    let held = consenting.jar.cookies.iter().find(|cookie| cookie.name.starts_with(LOGIN_COOKIE));
    let (name, genuine) = held.map(|cookie| (cookie.name.clone(), cookie.value.clone())).expect("the cookie");
    let of_looking = looking.jar.cookies.first().expect("a cookie").value.clone();
    for cookie in [
        format!("{name}=x"),
        format!("{name}={}", changed(&genuine)),
        format!("{name}={of_looking}"),
        format!("{name}={genuine}; {name}={genuine}"),
        format!("__Host-{name}={genuine}"),
        format!("{LOGIN_COOKIE}AAAAAAAAAAA={genuine}"),
        format!("portcullis-browser={genuine}"),
    ] {
        let reply = Request::get(back.as_str()).header("cookie", &cookie).send().await;
        assert_page(&reply, 400, UNKNOWN_LOGIN, &cookie);
    }

    // None of them has used the login up.
    let url = consenting.open(back.as_str(), &client.redirect_uri).await.left();
    client.redeem(Callback::read(&url).code(), &authorization.verifier).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn an_answer_of_the_provider_that_does_not_belong_to_a_login_leads_nowhere() {
    let bed = testbed().await;
    let callback = |query: &str| Request::get(&format!("{}/oauth/callback{query}", bed.gateway()));
    let unread = "The identity provider&#39;s answer cannot be read.";
    for (query, message) in [
        ("", UNKNOWN_LOGIN),
        ("?code=a", UNKNOWN_LOGIN),
        ("?code=a&state=", UNKNOWN_LOGIN),
        ("?code=a&state=unknown", UNKNOWN_LOGIN),
        ("?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E&state=unknown", UNKNOWN_LOGIN),
        ("?code=a&state=b&state=c", unread),
        ("?code=a&code=b&state=c", unread),
        ("?code=%zz&state=c", unread),
        ("?code=%ff&state=c", unread),
    ] {
        let reply = callback(query).send().await;
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
        let text = reply.text().replace("&#x27;", "&#39;").replace('\'', "&#39;");
        assert!(text.contains(message), "{query}: {text}");
        assert!(!text.contains("<script"), "{query}: {text}");
        assert_eq!(reply.header("location"), None, "{query}");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn an_error_of_the_provider_reaches_the_client_without_the_providers_words() {
    let bed = testbed().await;
    for (query, error, description) in [
        ("error=access_denied", "access_denied", "the identity provider did not log the user in"),
        ("error=login_required", "access_denied", "the identity provider did not log the user in"),
        ("error=temporarily_unavailable", "temporarily_unavailable", "the identity provider did not log the user in"),
        ("error=%3Cscript%3E", "access_denied", "the identity provider did not log the user in"),
        ("x=y", "server_error", "the login did not complete"),
        ("code=a&iss=https://evil.example", "server_error", "the login did not complete"),
        ("code=made-up", "access_denied", "the identity provider did not accept the login"),
    ] {
        let (client, authorization) = start(bed).await;
        let mut browser = Browser::new("alice");
        let mut back = at_the_callback(bed, &mut browser, &authorization).await;
        let state = back.query_pairs().find(|(name, _)| name == "state").expect("state").1.into_owned();
        back.set_query(Some(&format!("{query}&error_description=WORDS&error_uri=WORDS&state={state}")));
        let callback = Callback::read(&browser.open(back.as_str(), &client.redirect_uri).await.left());
        assert_eq!(callback.error.as_deref(), Some(error), "{query}");
        assert!(
            callback.parameters.contains(&("error_description".to_owned(), description.to_owned())),
            "{callback:?}"
        );
        assert_eq!((callback.state, callback.issuer), (Some(authorization.state), Some(bed.issuer())), "{query}");
        assert!(!format!("{:?}", callback.parameters).contains("WORDS"), "{query}");
        // That login is over.
        let again = browser.open(back.as_str(), &client.redirect_uri).await.page();
        assert_page(&again.response, 400, UNKNOWN_LOGIN, query);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn consent_counts_only_from_the_page_it_was_asked_on() {
    let bed = testbed().await;
    let (client, authorization) = start(bed).await;
    let mut browser = Browser::new("alice");
    let page = browser.open(&authorization.url(), &client.redirect_uri).await.page();
    let form = browser.fill_in(page.form());
    assert!(form.is_post);

    let mut other = Browser::new("mallory");
    let others_page = other.open(&authorization.url(), &client.redirect_uri).await.page();
    let others = other.fill_in(others_page.form());
    // The same browser's page for a different client: its token is for that client alone.
    let (_, second) = start(bed).await;
    let second = browser.open(&second.url(), &client.redirect_uri).await.page();
    let second = second.form();

    let csrf = form.value("csrf").expect("a token").to_owned();
    let with = |name: &str, value: &str| {
        let mut changed = form.clone();
        changed.set(name, value);
        changed
    };
    let without = |name: &str| {
        let mut changed = form.clone();
        changed.remove(name);
        changed
    };
    let changed = changed(form.value("transaction").expect("a transaction"));
    let key_of_csrf = csrf.split('.').next().expect("a key id");
    let not_shown = "This form was opened in another browser, or your cookies were cleared.";
    for (what, form, message) in [
        ("no token", without("csrf"), "The form was changed."),
        ("an empty token", with("csrf", ""), "The form was changed."),
        ("a made up token", with("csrf", "x.y"), not_shown),
        ("a token without a MAC", with("csrf", &format!("{key_of_csrf}.")), not_shown),
        ("another browser's token", with("csrf", others.value("csrf").expect("a token")), not_shown),
        ("another browser's form", others.clone(), not_shown),
        ("another page's token", with("csrf", second.value("csrf").expect("a token")), not_shown),
        ("another page's transaction", with("transaction", second.value("transaction").expect("one")), not_shown),
        ("a changed transaction", with("transaction", &changed), not_shown),
        ("no transaction", without("transaction"), "The form was changed."),
        ("no decision", without("decision"), "The form was changed."),
        ("another decision", with("decision", "maybe"), "The form was changed."),
    ] {
        let reply = post(&browser, &page, &form, |request| request.header("origin", bed.gateway())).await;
        assert_page(&reply, 403, message, what);
        assert_eq!(reply.headers("set-cookie").count(), 0, "{what}");
    }
    let approve = |request: Request| request.header("origin", bed.gateway());
    let cookieless = post(&Browser::new("alice"), &page, &form, approve).await;
    assert_page(&cookieless, 403, not_shown, "no cookie");
    let arrival = browser.submit(&page, &form, &format!("{}/auth", bed.idp())).await;
    assert!(matches!(arrival, Arrival::Left(_)), "the true answer is still accepted");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn consent_that_another_site_sends_is_refused() {
    let bed = testbed().await;
    let (client, authorization) = start(bed).await;
    let mut browser = Browser::new("alice");
    let page = browser.open(&authorization.url(), &client.redirect_uri).await.page();
    let form = browser.fill_in(page.form());
    let port = bed.gateway().rsplit(':').next().expect("a port").to_owned();
    for origin in [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        String::new(),
        bed.idp(),
        format!("http://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("{}.evil.example", bed.gateway()),
        format!("{}, https://evil.example", bed.gateway()),
    ] {
        let reply = post(&browser, &page, &form, |request| request.header("origin", &origin)).await;
        assert_page(&reply, 403, "It was sent from another site.", &origin);
    }
    for site in ["cross-site", "same-site", "none", "x"] {
        let from_there = |request: Request| request.header("origin", bed.gateway()).header("sec-fetch-site", site);
        assert_page(&post(&browser, &page, &form, from_there).await, 403, "It was sent from another site.", site);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_user_who_says_no_is_sent_back_without_seeing_the_provider() {
    let bed = testbed().await;
    let (client, authorization) = start(bed).await;
    let mut browser = Browser::new("alice");
    let page = browser.open(&authorization.url(), &client.redirect_uri).await.page();
    let mut form = page.form();
    form.press("decision", "deny");
    let callback = Callback::read(&browser.submit(&page, &form, &client.redirect_uri).await.left());
    assert_eq!(callback.error.as_deref(), Some("access_denied"));
    assert!(callback.parameters.contains(&("error_description".to_owned(), "the user did not consent".to_owned())));
    assert_eq!((callback.state, callback.issuer), (Some(authorization.state), Some(bed.issuer())));
    assert!(browser.hops.iter().all(|hop| hop.url.origin() == page.url.origin()), "it saw the provider");
    assert!(browser.jar.find("portcullis-browser").is_none(), "a refusal left a cookie that counts as consent");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_remembered_consent_is_for_one_client_at_a_web_site_and_one_user() {
    let bed = testbed().await;
    let mut client = OAuthClient::discover(&bed.api_resource()).await;
    client.redirect_uri = "https://app.example/callback".to_owned();
    let client = client.register().await;
    let authorization = client.authorization();
    let mut browser = Browser::new("alice");
    browser.log_in(&authorization.url(), &client.redirect_uri).await;
    let shows_consent = async |browser: &mut Browser, request: &Authorization| {
        let before = browser.hops.len();
        browser.log_in(&request.url(), &client.redirect_uri).await;
        browser.hops[before..].iter().any(|hop| hop.url.path() == "/oauth/consent")
    };
    assert!(!shows_consent(&mut browser, &client.authorization()).await, "the same again is not asked");
    assert!(shows_consent(&mut browser, &client.authorization().with("prompt", "consent")).await);
    assert!(shows_consent(&mut browser, &client.authorization().with("scope", "openid email")).await, "more scopes");
    assert!(shows_consent(&mut browser, &client.authorization().with("resource", &bed.resource())).await);
    // Any program can listen on the ports of this machine.
    let (native, first) = start(bed).await;
    for request in [first, native.authorization()] {
        let asked = browser.open(&request.url(), &native.redirect_uri).await.page();
        assert_eq!(asked.url.path(), "/oauth/authorize", "another client, each time");
        let form = asked.form();
        browser.submit(&asked, &form, &native.redirect_uri).await;
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn no_page_can_be_framed_scripted_or_kept() {
    let bed = testbed().await;
    let (client, authorization) = start(bed).await;
    let consent = authorization.send().await;
    let refused = authorization.clone().with("client_id", "no-such-client").send().await;
    for reply in [&consent, &refused] {
        let policy = reply.header("content-security-policy").expect("a policy");
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(reply.header("referrer-policy").is_some());
    }
    for cookie in consent.headers("set-cookie") {
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    }
    let mut registration = client.registration();
    registration["client_name"] = "<img src=x onerror=alert(1)>\u{202e}\u{200b}".into();
    let named = client.register_with(&registration).await.json();
    let page = authorization.with("client_id", named["client_id"].as_str().expect("an id")).send().await.text();
    assert!(!page.contains("<img"), "{page}");
    assert!(!page.contains(['\u{202e}', '\u{200b}']), "{page}");
    bed.assert_healthy().await;
}

async fn start(bed: &Testbed) -> (OAuthClient, Authorization) {
    let client = client(bed).await;
    let authorization = client.authorization();
    (client, authorization)
}

/// Goes through consent and login, and stops where the provider sends the browser back to the
/// gateway.
async fn at_the_callback(bed: &Testbed, browser: &mut Browser, authorization: &Authorization) -> Url {
    browser.log_in(&authorization.url(), &format!("{}/oauth/callback", bed.gateway())).await
}

/// Posts a form with the browser's cookies, and with the fields that a story wants to lie about.
async fn post(browser: &Browser, page: &Page, form: &Form, dress: impl FnOnce(Request) -> Request) -> Response {
    let mut request = Request::post(form.action.as_str()).form(&form.fields);
    if let Some(cookies) = browser.jar.header(&page.url) {
        request = request.header("cookie", cookies);
    }
    dress(request).send().await
}

/// The same text with one letter in the middle changed.
fn changed(text: &str) -> String {
    let (start, rest) = text.split_at(text.len() / 2);
    let letter = if rest.starts_with('A') { 'B' } else { 'A' };
    format!("{start}{letter}{}", &rest[1..])
}

const UNKNOWN_LOGIN: &str = "It is not known in this browser: it was started in another one, was used already or took too \
                             long, or cookies are turned off.";
/// What the names of the cookies of logins begin with.
const LOGIN_COOKIE: &str = "portcullis-login-";
