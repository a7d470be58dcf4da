use serde_json::json;

use super::*;

const ID: &str = "https://client.example/client.json";
const CALLBACK: &str = "https://client.example/callback";

fn parse(document: &Value) -> Result<ClientDocument, ClientDocumentError> {
    ClientDocument::parse(&ClientIdUrl::parse(ID).unwrap(), document.to_string().as_bytes())
}

/// A good document with these members set, or removed by `null`.
fn with(changes: &Value) -> Value {
    let mut document = json!({ "client_id": ID, "client_name": "Client", "redirect_uris": [CALLBACK] });
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

fn changed(changes: Value) -> Result<ClientDocument, ClientDocumentError> {
    parse(&with(&changes))
}

#[test]
fn a_document_says_who_the_client_is() {
    let document = changed(json!({})).unwrap();
    assert_eq!(document.client_name(), Some("Client"));
    assert_eq!(document.redirect_uris(), [CALLBACK]);
    assert!(document.has_refresh());
    assert_eq!(document.bytes(), 2 * PER_TEXT_BYTES + 6 + CALLBACK.len());
}

#[test]
fn a_document_names_itself_by_the_same_text() {
    for id in [
        json!(null),
        json!(1),
        json!([ID]),
        json!(""),
        json!("https://client.example/client.json/"),
        json!("https://client.example/client.json?"),
        json!("https://client.example/Client.json"),
        json!("https://client.example/%63lient.json"),
        json!("https://client.example:443/client.json"),
        json!("https://CLIENT.example/client.json"),
        json!("http://client.example/client.json"),
        json!("https://client.example/other.json"),
        json!("https://other.example/client.json"),
        json!(" https://client.example/client.json"),
    ] {
        assert_eq!(changed(json!({ "client_id": id })), Err(ClientDocumentError::OtherClientId), "{id}");
    }
    // JSON escapes are no difference.
    let escaped = with(&json!({})).to_string().replace("client.json", "client\\u002ejson");
    assert!(ClientDocument::parse(&ClientIdUrl::parse(ID).unwrap(), escaped.as_bytes()).is_ok());
}

#[test]
fn a_document_holds_no_secret_and_asks_for_no_method_that_needs_one() {
    for (changes, error) in [
        (json!({ "client_secret": "s" }), ClientDocumentError::Secret),
        (json!({ "client_secret": "" }), ClientDocumentError::Secret),
        (json!({ "client_secret_expires_at": 0 }), ClientDocumentError::Secret),
        (json!({ "token_endpoint_auth_method": "client_secret_basic" }), ClientDocumentError::SharedSecret),
        (json!({ "token_endpoint_auth_method": "client_secret_post" }), ClientDocumentError::SharedSecret),
        (json!({ "token_endpoint_auth_method": "client_secret_jwt" }), ClientDocumentError::SharedSecret),
        (json!({ "token_endpoint_auth_method": "private_key_jwt" }), ClientDocumentError::AuthMethod),
        (json!({ "token_endpoint_auth_method": "tls_client_auth" }), ClientDocumentError::AuthMethod),
        (json!({ "token_endpoint_auth_method": "None" }), ClientDocumentError::AuthMethod),
        (json!({ "token_endpoint_auth_method": ["none"] }), ClientDocumentError::AuthMethod),
    ] {
        assert_eq!(changed(changes.clone()), Err(error), "{changes}");
    }
    for changes in [
        json!({ "client_secret": null }),
        json!({ "token_endpoint_auth_method": "none" }),
        json!({ "token_endpoint_auth_method": "" }),
        json!({ "token_endpoint_auth_method": null }),
    ] {
        assert!(changed(changes.clone()).is_ok(), "{changes}");
    }
}

#[test]
fn what_this_server_does_not_offer_is_left_out() {
    for changes in [
        json!({ "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"] }),
        json!({ "grant_types": null }),
        json!({ "response_types": ["code"] }),
        json!({ "response_types": ["token", "code", "code id_token"] }),
        json!({ "scope": "anything at all" }),
        json!({ "scope": ["a"] }),
        json!({ "scope": 7 }),
        json!({ "logo_uri": "http://169.254.169.254/", "jwks_uri": "file:///etc/passwd", "jwks": { "keys": [] } }),
        json!({ "client_uri": "https://client.example", "tos_uri": "x", "policy_uri": "x", "contacts": ["a"] }),
        json!({ "software_id": "a", "software_version": 1.5, "application_type": "native" }),
        json!({ "dpop_bound_access_tokens": true, "id_token_signed_response_alg": "none", "x": { "y": [{}] } }),
        json!({ "client_name#de": "Klient", "@context": "https://www.w3.org/ns/did/v1" }),
    ] {
        let document = changed(changes.clone()).unwrap_or_else(|error| panic!("{changes}: {error}"));
        assert!(document.has_refresh(), "{changes}");
    }
    assert!(!changed(json!({ "grant_types": ["authorization_code"] })).unwrap().has_refresh());
}

#[test]
fn a_client_that_cannot_use_the_code_grant_is_refused() {
    for grants in
        [json!([]), json!(["refresh_token"]), json!(["client_credentials"]), json!("authorization_code"), json!([1])]
    {
        assert_eq!(changed(json!({ "grant_types": grants })), Err(ClientDocumentError::GrantTypes), "{grants}");
    }
    for types in [json!([]), json!(["token"]), json!(["code id_token"]), json!("code"), json!([null])] {
        assert_eq!(changed(json!({ "response_types": types })), Err(ClientDocumentError::ResponseTypes), "{types}");
    }
}

#[test]
fn redirect_uris_are_those_that_a_client_may_register() {
    let several =
        json!(["http://127.0.0.1/cb", "http://client.example/", "cursor://a/b", "javascript:alert(1)", CALLBACK]);
    let document = changed(json!({ "redirect_uris": several })).unwrap();
    assert_eq!(document.redirect_uris(), ["http://127.0.0.1/cb", "cursor://a/b", CALLBACK]);
    for (uris, error) in [
        (json!(null), ClientDocumentError::RedirectUris),
        (json!([]), ClientDocumentError::RedirectUris),
        (json!(CALLBACK), ClientDocumentError::RedirectUris),
        (json!([CALLBACK, 1]), ClientDocumentError::RedirectUris),
        (json!(vec![CALLBACK; 65]), ClientDocumentError::RedirectUris),
        (json!(["http://client.example/"]), ClientDocumentError::RedirectUri(RedirectError::PlainHttp)),
        (json!(["javascript:alert(1)"]), ClientDocumentError::RedirectUri(RedirectError::ForbiddenScheme)),
        (json!(["https://client.example/#"]), ClientDocumentError::RedirectUri(RedirectError::Fragment)),
        (json!(["https://*.example/"]), ClientDocumentError::RedirectUri(RedirectError::BadHost)),
    ] {
        assert_eq!(changed(json!({ "redirect_uris": uris })), Err(error), "{uris}");
    }
    assert!(changed(json!({ "redirect_uris": vec![CALLBACK; 64] })).is_ok());
}

#[test]
fn a_name_is_a_claim_and_never_a_reason_to_refuse() {
    for (name, shown) in [
        (json!(null), None),
        (json!(7), None),
        (json!(""), None),
        (json!(" \u{200b}\u{202e} "), None),
        (json!("Cl\u{202e}aude\u{200b}"), Some("Claude".to_owned())),
        (json!("n".repeat(300)), Some("n".repeat(256))),
    ] {
        assert_eq!(changed(json!({ "client_name": name })).unwrap().client_name(), shown.as_deref(), "{name}");
    }
}

#[test]
fn what_two_parsers_read_differently_is_no_document() {
    let parse = |text: &str| ClientDocument::parse(&ClientIdUrl::parse(ID).unwrap(), text.as_bytes());
    let good = with(&json!({})).to_string();
    assert!(parse(&good).is_ok() && parse(&format!(" {good}\n")).is_ok());
    let twice = good.replacen('{', &format!("{{\"redirect_uris\":[\"{CALLBACK}\"],"), 1);
    for (text, error) in [
        (twice.as_str(), JsonError::DuplicateMember),
        ("", JsonError::Syntax),
        ("<html></html>", JsonError::Syntax),
        ("[]", JsonError::NotAnObject),
        (&format!("{good}{good}"), JsonError::Syntax),
        (&format!("{{\"a\":{}1{}}}", "[".repeat(20), "]".repeat(20)), JsonError::TooDeep),
    ] {
        assert_eq!(parse(text), Err(ClientDocumentError::Json(error)), "{text}");
    }
}
