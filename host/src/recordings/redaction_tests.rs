#![allow(clippy::unwrap_used)]
use super::*;
use crate::grants::endpoint::HttpScope;
use crate::recordings::matching::differences;

const SECRET: &str = "s3cret/token=of the+test";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

fn redactor(secrets: &[&str]) -> Redactor {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
    Redactor::new(&secrets, &[])
}

fn shown(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn a_secret_is_nowhere_in_a_request() {
    let form = "application/x-www-form-urlencoded";
    let basic =
        format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("u:{SECRET}")));
    let percent = encoded(SECRET);
    let (json, pairs) =
        (format!(r#"{{"q": "x {SECRET}", "password": "other-9"}}"#), format!("a={percent}&client_secret=other-9"));
    let redactor = redactor(&[SECRET, "pin7"]);
    for (url, sent, body) in [
        (format!("https://a.b/{percent}?x={percent}"), headers(&[("x-own", SECRET)]), ""),
        (
            "https://a.b/?api_key=other-9&pin=pin7&%61pi_key=other-9".to_owned(),
            headers(&[("authorization", "Bearer other-9")]),
            "",
        ),
        ("https://a.b/".to_owned(), headers(&[("content-type", "application/json"), ("x-api-key", "other-9")]), &*json),
        ("https://a.b/".to_owned(), headers(&[("content-type", form), ("cookie", "id=other-9")]), &*pairs),
        ("https://a.b/".to_owned(), headers(&[("authorization", &*basic)]), "\u{0}"),
    ] {
        let request = redactor.request("POST", &url, &sent, body.as_bytes());
        let text = shown(&request);
        for secret in [SECRET, &percent, "other-9", "pin7", &basic] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains(PLACEHOLDER), "{text}");
    }
    let binary = [b"\xff\xfe", SECRET.as_bytes()].concat();
    let text = shown(&redactor.request("POST", "https://a.b/", &HeaderMap::new(), &binary));
    assert!(text.contains(PLACEHOLDER) && !text.contains("base64"), "{text}");
    let plain = redactor.request("GET", "https://a.b/x?page_token=abc&key_of=1", &headers(&[("accept", "a/b")]), b"");
    assert_eq!(
        shown(&plain),
        r#"{"method":"GET","url":"https://a.b/x?page_token=abc&key_of=1","headers":{"accept":"a/b"}}"#
    );
}

#[test]
fn a_token_of_a_response_is_replaced_in_all_that_follows_and_its_placeholder_works_at_replay() {
    let mut recording = redactor(&[SECRET]);
    let received = headers(&[
        ("set-cookie", "sid=c00kie-value; Path=/"),
        ("x-session-key", "k3y-of-session"),
        ("link", "<https://a.b/?page=2&access_token=t0ken-of-server>; rel=\"next\""),
        ("date", "today"),
    ]);
    let body = r#"{"next": "https://a.b/?token=t0ken-of-server&n=1", "access_token": "t0ken-of-server", "n": 1.50}"#;
    let response = recording.response(200, &received, body.as_bytes());
    let text = shown(&response);
    for secret in ["t0ken", "c00kie", "k3y-of", "today"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(
        text.contains("sid=REDACTED-1; Path=/") && text.contains("1.50") && text.contains("access_token=REDACTED"),
        "{text}"
    );
    // What the driver sent while it was recorded, and what it sends now, are the same to the recording.
    let replaying = redactor(&["another-secret"]);
    let placeholder = |name: &str| {
        let Some(Content::Json(json)) = &response.body else { panic!("{text}") };
        serde_json::from_str::<serde_json::Value>(json.get()).unwrap()[name].as_str().unwrap().to_owned()
    };
    let token = placeholder("access_token");
    let sent = |redactor: &Redactor, token: &str, next: &str, secret: &str| {
        let body = format!(r#"{{"echo": "{token}", "own": "{secret}"}}"#);
        [
            redactor.request("GET", &format!("https://a.b/me/{token}?x={token}"), &headers(&[("cookie", token)]), b""),
            redactor.request("GET", next, &HeaderMap::new(), b""),
            redactor.request("POST", "https://a.b/", &HeaderMap::new(), body.as_bytes()),
        ]
    };
    let recorded = sent(&recording, "t0ken-of-server", "https://a.b/?token=t0ken-of-server&n=1", SECRET);
    let replayed = sent(&replaying, &token, &placeholder("next"), "another-secret");
    for (recorded, replayed) in recorded.iter().zip(&replayed) {
        assert_eq!(differences(recorded, replayed, &[]), Vec::<String>::new());
        assert!(!shown(recorded).contains("t0ken"), "{recorded:?}");
    }
}

#[test]
fn what_the_host_fills_in_is_redacted_even_if_it_is_short() {
    let credential = |place| Credential {
        place,
        value: Secret::new("k".to_owned()),
        scopes: vec![HttpScope::parse("GET https://a.b/").unwrap()],
    };
    let credentials = [credential(Place::Query("k".to_owned())), credential(Place::Header("x-odd".to_owned()))];
    let secrets: Vec<Secret> = Vec::new();
    let redactor = Redactor::new(&secrets, &credentials);
    let request = redactor.request("GET", "https://a.b/?k=k", &headers(&[("x-odd", "k")]), b"");
    assert_eq!(shown(&request), r#"{"method":"GET","url":"https://a.b/?k=REDACTED","headers":{"x-odd":"REDACTED"}}"#);
}

#[test]
fn a_short_token_is_replaced_where_it_stands_and_nowhere_else() {
    let mut redactor = redactor(&[]);
    let received = [("x-ratelimit-remaining-tokens", "149"), ("link", "<https://a.b/1>"), ("link", "<https://a.b/2>")];
    let mut sent = HeaderMap::new();
    for (name, value) in received {
        sent.append(name, value.parse().unwrap());
    }
    let first = shown(&redactor.response(200, &sent, br#"{"token": "1", "list": {"token": ["2", "2"]}, "n": "1"}"#));
    for expected in [
        r#""token":"REDACTED-1""#,
        r#""token":["REDACTED-2","REDACTED-2"]"#,
        r#""n":"1""#,
        "149",
        "<https://a.b/1>, <https://a.b/2>",
    ] {
        assert!(first.contains(expected), "{first}");
    }
    let next = redactor.request("GET", "https://a.b/?page=1&token=2", &HeaderMap::new(), b"");
    assert_eq!(next.url, "https://a.b/?page=1&token=REDACTED-2");
}
