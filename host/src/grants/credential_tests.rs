#![allow(clippy::unwrap_used)]
use std::path::Path;

use super::*;
use crate::grants::WantedGrants;
use crate::grants::policy::{ConnectionHosts, Policy};

fn wanted(credential: Value) -> Result<CredentialTemplate, String> {
    serde_json::from_value(credential).map_err(|error| error.to_string())
}

fn granted(credential: Value, config: &Value) -> Result<Vec<CredentialGrant>, Report> {
    let policy = Policy::default_with(ConnectionHosts { all: ["api".to_owned()].into(), ..ConnectionHosts::default() });
    let config = config.as_object().unwrap();
    let request = GrantRequest { step: "s", config, written: config, base: Path::new("/base"), policy: &policy };
    let wanted = WantedGrants { credentials: vec![wanted(credential).unwrap()], ..WantedGrants::default() };
    Ok(wanted.grant(&request)?.credentials)
}

#[test]
fn a_credential_has_one_place_and_goes_only_where_tls_or_the_author_leads() {
    for (credential, refused) in [
        (json!({"header": "Authorization", "value": "Bearer {config.t}", "for": "GET https://api/v1"}), None),
        (json!({"query": "api_key", "value": "{config.t}", "for": "GET {config.url}"}), None),
        (json!({"basic": "{config.user}:{config.t}", "for": "GET https://{config.shop}.example.com"}), None),
        (json!({"header": "A", "value": "{config.t}", "for": "GET http://api/v1"}), Some("without TLS")),
        (json!({"header": "A", "value": "{config.t}", "for": "GET http://{config.host}/v1"}), Some("without TLS")),
        (json!({"header": "Host", "value": "{config.t}", "for": "GET https://api/"}), Some("no header")),
        (json!({"header": "transfer-encoding", "value": "{config.t}", "for": "GET https://api/"}), Some("no header")),
        (json!({"header": "A\r\nB", "value": "{config.t}", "for": "GET https://api/"}), Some("no header")),
        (json!({"header": "", "value": "{config.t}", "for": "GET https://api/"}), Some("no header")),
        (json!({"query": "a&b", "value": "{config.t}", "for": "GET https://api/"}), Some("query parameter")),
        (json!({"header": "A", "query": "b", "value": "{config.t}", "for": "GET https://api/"}), Some("malformed")),
        (json!({"header": "A", "for": "GET https://api/"}), Some("malformed")),
        (json!({"value": "{config.t}", "for": "GET https://api/"}), Some("malformed")),
        (json!({"basic": "{config.t}", "value": "x", "for": "GET https://api/"}), Some("malformed")),
        (json!({"header": "A", "value": "{config.t", "for": "GET https://api/"}), Some("malformed")),
        (json!({"header": "A", "value": "{config.t}", "for": "https://api/"}), Some("names no method")),
        (json!({"header": "A", "value": "{config.t}"}), Some("for")),
        (json!({"header": "A", "value": "{config.t}", "for": "GET https://api/", "more": 1}), Some("more")),
    ] {
        let outcome = wanted(credential.clone());
        match refused {
            None => {
                let spelled = serde_json::to_value(outcome.unwrap()).unwrap();
                assert_eq!(wanted(spelled), wanted(credential), "a lock reads what it wrote");
            }
            Some(part) => assert!(outcome.as_ref().is_err_and(|why| why.contains(part)), "{credential}: {outcome:?}"),
        }
    }
}

#[test]
fn a_default_of_the_driver_never_leads_a_credential_to_a_server_without_tls() {
    let policy =
        crate::grants::policy::parse("http: ['GET http://api/', 'GET https://api/']", "p", ConnectionHosts::default())
            .unwrap();
    let credential = json!({"header": "A", "value": "{config.t}", "for": "GET {config.url}"});
    let wanted = WantedGrants { credentials: vec![wanted(credential).unwrap()], ..WantedGrants::default() };
    for (url, by_default) in [("http://api/v1", false), ("https://api/v1", true)] {
        let config = json!({"url": url});
        let (config, nothing) = (config.as_object().unwrap(), Map::new());
        for (written, allowed) in [(config, true), (&nothing, by_default)] {
            let request = GrantRequest { step: "s", config, written, base: Path::new("/base"), policy: &policy };
            assert_eq!(wanted.grant(&request).is_ok(), allowed, "{url}");
        }
    }
}

#[test]
fn a_value_is_made_of_secrets_and_fits_into_a_header() {
    let secrets = |text: &str| Secrets::from([("/t".to_owned(), Secret::new(text.to_owned()))]);
    let config = json!({"user": "me", "url": "http://api/v1"});
    let bearer = json!({"header": "Authorization", "value": "Bearer {config.t}", "for": "GET {config.url}"});
    let basic = json!({"basic": "{config.user}:{config.t}", "for": "GET {config.url}"});
    for (credential, secret, expected) in [
        (&bearer, "abc", Ok("Bearer abc")),
        (&basic, "päss", Ok("Basic bWU6cMOkc3M=")),
        (&bearer, "abc\n", Err("line break")),
        (&bearer, "a\r\nX-Other: b", Err("line break")),
        (&bearer, "ä", Ok("Bearer ä")),
        (&bearer, "a\u{7f}", Err("line break or another character")),
    ] {
        let granted = granted(credential.clone(), &config).unwrap();
        assert!(withheld(&granted).contains("/t"));
        let filled = fill("s", &granted, config.as_object().unwrap(), &secrets(secret));
        match expected {
            Ok(value) => assert_eq!(filled.unwrap()[0].value.reveal(), value),
            Err(part) => {
                let message = filled.unwrap_err().message;
                assert!(message.contains(part) && message.contains("`t`") && !message.contains(secret), "{message}");
            }
        }
    }
    // An option that is not set leaves the credential out; the secret is withheld all the same.
    let grants = granted(bearer.clone(), &config).unwrap();
    assert_eq!(fill("s", &grants, config.as_object().unwrap(), &Secrets::new()).unwrap(), []);
    let nowhere = granted(bearer, &json!({})).unwrap();
    assert!(nowhere[0].scopes.is_empty() && withheld(&nowhere).contains("/t"));
    assert!(Credentials::words(&nowhere, &|_| "").is_empty());
    assert_eq!(
        Credentials::words(&grants, &|_| ""),
        [
            "have the host fill the header `authorization` of `GET http://api:80/v1` from `t`, which its driver never sees"
        ]
    );
}
