//! Logins in a real Chromium.

use std::path::Path;

use portcullis_testbed::oauth_client::Callback;
use portcullis_testbed::paths;
use portcullis_testbed::recorder::Recorder;
use serde_json::Value;
use url::Url;

use crate::mcp_clients::{run, testbed};
use crate::support::{assert_serves, client};

#[tokio::test]
async fn ten_tabs_of_one_chromium_log_in_at_once() {
    let bed = testbed().await;
    let callbacks = Recorder::start().expect("a port");
    let mut client = client(bed).await;
    // By the rule of loopback clients, the port is not the registered one.
    client.redirect_uri = format!("http://127.0.0.1:{}/callback", callbacks.port());
    let authorizations: Vec<_> = (0..10).map(|_| client.authorization()).collect();
    let profile = tempfile::tempdir().expect("a folder");
    let [program, folder] = [paths::chromium().display().to_string(), profile.path().display().to_string()];
    let mut arguments = vec![program, folder, "alice".to_owned(), client.redirect_uri.clone()];
    arguments.extend(authorizations.iter().map(|authorization| authorization.url()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let steps = run(Path::new("node"), &paths::in_tests("clients/chromium.mjs"), &arguments).await;

    let [pages, approved, done] = steps.as_slice() else { panic!("{steps:?}") };
    for (step, count) in [(pages, 10), (approved, 10), (done, 1)] {
        let (cookies, bytes) = gateways_cookies(step);
        assert_eq!(cookies.len(), count, "{step}");
        assert!(bytes <= 8 * 1024, "what one header field may have: {bytes}");
    }
    assert_eq!(gateways_cookies(done).0, ["portcullis-browser"]);

    for authorization in &authorizations {
        let recorded = callbacks.recorded();
        let urls =
            recorded.iter().filter_map(|request| Url::parse(&client.redirect_uri).ok()?.join(&request.path).ok());
        let mut own =
            urls.map(|url| Callback::read(&url)).filter(|back| back.state.as_ref() == Some(&authorization.state));
        let (Some(back), None) = (own.next(), own.next()) else { panic!("not one callback: {recorded:?}") };
        let tokens = client.redeem(back.code(), &authorization.verifier).await;
        assert_serves(bed, &tokens.access_token).await;
        client.refresh(&tokens.refresh_token).await;
    }
    bed.assert_healthy().await;
}

/// The names of the gateway's cookies in the profile, and the bytes of their names and values.
fn gateways_cookies(step: &Value) -> (Vec<&str>, usize) {
    let cookies = step["cookies"].as_array().into_iter().flatten();
    let held = cookies.filter_map(|cookie| Some((cookie["name"].as_str()?, cookie["bytes"].as_u64()?)));
    let own: Vec<_> = held.filter(|(name, _)| name.starts_with("portcullis-")).collect();
    let bytes = own.iter().map(|(name, bytes)| name.len() + usize::try_from(*bytes).expect("a size")).sum();
    (own.into_iter().map(|(name, _)| name).collect(), bytes)
}
