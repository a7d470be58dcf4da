use super::*;

const JSON: &[u8] = b"application/json";

fn supported() -> ScopeSet {
    ScopeSet::parse("openid read offline_access").unwrap()
}

fn parse(body: &str) -> Result<Registration, RegistrationError> {
    Registration::parse(Some(JSON), body.as_bytes(), &supported())
}

/// A registration with one redirect URI and the given members.
fn with(members: &str) -> Result<Registration, RegistrationError> {
    parse(&format!(r#"{{"redirect_uris":["https://a.example/cb"],{members}}}"#))
}

fn answer(registration: &Registration) -> String {
    String::from_utf8(registration.response_json("id", 7)).unwrap()
}

#[test]
fn the_shortest_registration_gets_the_defaults_and_no_null() {
    let registration = parse(r#"{"redirect_uris":["https://a.example/cb"]}"#).unwrap();
    assert_eq!(
        answer(&registration),
        concat!(
            r#"{"client_id":"id","client_id_issued_at":7,"redirect_uris":["https://a.example/cb"],"#,
            r#""token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"#,
            r#""response_types":["code"],"scope":"openid read offline_access"}"#
        )
    );
}

#[test]
fn a_full_registration_is_answered_with_the_values_in_effect() {
    let registration = with(concat!(
        r#""client_name":"My Client","software_id":"sw 1","application_type":"native","scope":"read","#,
        r#""grant_types":["authorization_code","urn:ietf:params:oauth:grant-type:device_code"],"#,
        r#""response_types":["code"],"token_endpoint_auth_method":"client_secret_post","#,
        r#""logo_uri":"http://169.254.169.254/","jwks_uri":"http://10.0.0.1/","tos_uri":"","x":{"y":[1]}"#
    ))
    .unwrap();
    assert_eq!((registration.client_name(), registration.software_id()), (Some("My Client"), Some("sw 1")));
    assert_eq!(registration.application_type(), Some(ApplicationType::Native));
    assert!(!registration.has_refresh());
    let answer = answer(&registration);
    assert!(answer.contains(r#""token_endpoint_auth_method":"none","grant_types":["authorization_code"]"#), "{answer}");
    assert!(
        answer
            .ends_with(r#""scope":"read","client_name":"My Client","software_id":"sw 1","application_type":"native"}"#)
    );
    for absent in ["secret", "logo_uri", "jwks_uri", "tos_uri", "169.254", "null"] {
        assert!(!answer.contains(absent), "{absent}");
    }
}

#[test]
fn only_a_json_object_with_unique_members_is_read() {
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")]
    {
        let refused = Registration::parse(content_type.map(str::as_bytes), b"{}", &supported());
        assert_eq!(refused, Err(RegistrationError::ContentType), "{content_type:?}");
    }
    for body in [
        "",
        "[]",
        "{} {}",
        r#"{"redirect_uris":["https://a.example/"],"redirect_uris":["https://b.example/"]}"#,
        r#"{"redirect_uris":["https://a.example/"],"redirect\u005furis":["https://b.example/"]}"#,
        r#"{"redirect_uris":["https://a.example/"],"x":{"a":1,"a":2}}"#,
    ] {
        assert!(matches!(parse(body), Err(RegistrationError::Json(_))), "{body}");
    }
    let large = format!(r#"{{"redirect_uris":["https://a.example/"],"x":"{}"}}"#, "a".repeat(65536));
    let error = parse(&large).unwrap_err();
    assert_eq!((OAuthError::from(error.clone()).status(), error.code()), (413, ErrorCode::InvalidClientMetadata));
}

#[test]
fn one_to_ten_redirect_uris_are_accepted() {
    let list = |count: usize| {
        let uris: Vec<String> = (0..count).map(|n| format!("\"https://a.example/{n}\"")).collect();
        parse(&format!(r#"{{"redirect_uris":[{}]}}"#, uris.join(",")))
    };
    assert_eq!(list(10).unwrap().redirect_uris().len(), 10);
    for refused in [
        list(0),
        list(11),
        parse("{}"),
        parse(r#"{"redirect_uris":null}"#),
        parse(r#"{"redirect_uris":"https://a.example/"}"#),
        parse(r#"{"redirect_uris":[1]}"#),
    ] {
        let error = refused.unwrap_err();
        assert_eq!((&error, error.code()), (&RegistrationError::RedirectUris, ErrorCode::InvalidRedirectUri));
    }
}

#[test]
fn one_bad_redirect_uri_refuses_the_registration() {
    let error = parse(r#"{"redirect_uris":["https://a.example/","http://a.example/"]}"#).unwrap_err();
    assert_eq!(error, RegistrationError::RedirectUri { index: 1, error: RedirectError::PlainHttp });
    assert_eq!(error.code(), ErrorCode::InvalidRedirectUri);
    assert_eq!(error.to_string(), "redirect_uris[1]: http is for localhost, 127.0.0.1 and [::1] only; use https");
}

#[test]
fn invisible_characters_are_removed_from_a_name() {
    let name = |json: &str| with(&format!(r#""client_name":{json}"#)).map(|r| r.client_name().map(str::to_owned));
    assert_eq!(name(r#""Cl\u200baude\u202e\u0000\n\ufeff\u2066""#), Ok(Some("Claude".into())));
    assert_eq!(name(r#""<b>Ünïcode & 日本</b>""#), Ok(Some("<b>Ünïcode & 日本</b>".into())));
    assert_eq!(name(r#"" \u200b ""#), Ok(None));
    assert_eq!(name(r#""""#), Ok(None));
    assert!(name(&format!("\"{}\"", "é".repeat(256))).is_ok());
    assert_eq!(name(&format!("\"{}\"", "a".repeat(257))), Err(RegistrationError::Value("client_name")));
    assert_eq!(name("1"), Err(RegistrationError::Type("client_name")));
}

#[test]
fn a_software_id_is_printable_ascii() {
    assert!(with(&format!(r#""software_id":"{}""#, "a".repeat(256))).is_ok());
    for id in [&"a".repeat(257), "é", r"a\n"] {
        assert_eq!(with(&format!(r#""software_id":"{id}""#)), Err(RegistrationError::Value("software_id")), "{id}");
    }
    assert_eq!(with(r#""software_id":"""#).unwrap().software_id(), None);
}

#[test]
fn every_client_is_public_whatever_secret_it_asks_for() {
    for method in ["", "none", "client_secret_basic", "client_secret_post"] {
        let registration = with(&format!(r#""token_endpoint_auth_method":"{method}""#)).unwrap();
        assert!(answer(&registration).contains(r#""token_endpoint_auth_method":"none""#), "{method}");
    }
    for method in ["private_key_jwt", "client_secret_jwt", "tls_client_auth", "NONE", "x"] {
        let refused = with(&format!(r#""token_endpoint_auth_method":"{method}""#));
        assert_eq!(refused, Err(RegistrationError::AuthMethod), "{method}");
    }
}

#[test]
fn grants_and_response_types_are_those_of_the_code_flow() {
    for grants in [r#"["password"]"#, r#"["refresh_token"]"#, "[]"] {
        assert_eq!(with(&format!(r#""grant_types":{grants}"#)), Err(RegistrationError::GrantTypes), "{grants}");
    }
    assert!(with(r#""grant_types":["refresh_token","authorization_code"]"#).unwrap().has_refresh());
    for types in [r#"["token"]"#, r#"["code","token"]"#, r#"["code token"]"#, "[]"] {
        assert_eq!(with(&format!(r#""response_types":{types}"#)), Err(RegistrationError::ResponseTypes), "{types}");
    }
    assert_eq!(with(r#""grant_types":"authorization_code""#), Err(RegistrationError::Type("grant_types")));
    assert_eq!(with(r#""response_types":[1]"#), Err(RegistrationError::Type("response_types")));
}

#[test]
fn scopes_come_as_text_or_list_and_what_is_not_offered_is_dropped() {
    let scope = |json: &str| with(&format!(r#""scope":{json}"#)).map(|r| r.scope().to_string());
    assert_eq!(scope(r#""read openid read""#), Ok("read openid".into()));
    assert_eq!(scope(r#"["read","openid"]"#), Ok("read openid".into()));
    assert_eq!(scope(r#""read admin""#), Ok("read".into()));
    assert_eq!(scope(r#"["admin","openid","*"]"#), Ok("openid".into()));
    for all in ["null", r#""""#, "[]", r#"["admin"]"#, r#""*""#] {
        assert_eq!(scope(all), Ok("openid read offline_access".into()), "{all}");
    }
    for malformed in [r#""a\nb""#, r#"["a b"]"#] {
        assert_eq!(scope(malformed), Err(RegistrationError::Scope(ScopeError::BadName)), "{malformed}");
    }
    assert_eq!(scope("1"), Err(RegistrationError::Type("scope")));
}

#[test]
fn only_a_scope_that_is_less_than_what_is_offered_binds() {
    let named = |json: &str| {
        let registration = with(&format!(r#""scope":{json}"#)).unwrap();
        registration.named_scope().map(ToString::to_string)
    };
    assert_eq!(named(r#""read admin""#), Some("read".into()));
    for all in ["null", r#""admin""#, r#""offline_access read openid""#, r#""offline_access read openid admin""#] {
        assert_eq!(named(all), None, "{all}");
    }
}

#[test]
fn an_unknown_application_type_is_not_kept() {
    assert_eq!(with(r#""application_type":"web""#).unwrap().application_type(), Some(ApplicationType::Web));
    assert_eq!(with(r#""application_type":"tv""#).unwrap().application_type(), None);
}
