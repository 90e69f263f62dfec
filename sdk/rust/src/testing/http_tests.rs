//! Pages and logins of a driver that runs natively.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::{Exchange, Step};
use crate::http::{Client, Next, OAuth};
use crate::{Error, ErrorKind, Extractor, Output, Result, context};

const URL: &str = "https://api.test/items";

fn pages(next: &str) -> Result<Vec<i64>> {
    let next = match next {
        "link" => Next::Link,
        "url" => Next::Url("/next"),
        "cursor" => Next::Cursor { pointer: "/meta/next", parameter: "after" },
        "number" => Next::Number { parameter: "page", first: 1, records: "/items" },
        _ => Next::Offset { parameter: "offset", records: "" },
    };
    let pointer = if next == (Next::Offset { parameter: "offset", records: "" }) { "" } else { "/items" };
    let mut all = Vec::new();
    for page in Client::new().get(URL)?.query("size", "2").pages(next) {
        all.extend(page?.records::<i64>(pointer)?);
    }
    Ok(all)
}

driver!(Pages: String, extract |next, output| output.write_columns("main", vec![("n", pages(&next)?.into())]).map(drop));

fn numbers(next: &str, exchanges: Vec<Exchange>) -> Result<Vec<Value>> {
    let run = exchanges.into_iter().fold(Step::new().config(next), Step::http).extract::<Pages>();
    match run.result {
        Ok(()) => Ok(run.rows("main").iter().map(|row| row["n"].clone()).collect()),
        Err(error) => Err(error),
    }
}

#[test]
fn pages_are_read_to_the_last_whatever_leads_to_the_next() {
    let get = |query: &str, body: Value| Exchange::get(&format!("{URL}?{query}")).json(body);
    let link = r#"</items?size=2&p=2>; rel="next""#;
    for (next, exchanges) in [
        (
            "link",
            vec![
                get("size=2", json!({"items": [1, 2]})).header("link", link),
                get("size=2&p=2", json!({"items": [3]})),
            ],
        ),
        (
            "url",
            vec![
                get("size=2", json!({"items": [1, 2], "next": "/items?p=2"})),
                get("p=2", json!({"items": [3], "next": null})),
            ],
        ),
        (
            "cursor",
            vec![
                get("size=2", json!({"items": [1, 2], "meta": {"next": "a b"}})),
                get("size=2&after=a%20b", json!({"items": [3], "meta": {}})),
            ],
        ),
        (
            "number",
            vec![
                get("size=2&page=1", json!({"items": [1, 2]})),
                get("size=2&page=2", json!({"items": [3]})),
                get("size=2&page=3", json!({"items": []})),
            ],
        ),
        (
            "offset",
            vec![
                get("size=2&offset=0", json!([1, 2])),
                get("size=2&offset=2", json!([3])),
                get("size=2&offset=3", json!([])),
            ],
        ),
    ] {
        assert_eq!(numbers(next, exchanges).unwrap(), [json!(1), json!(2), json!(3)], "{next}");
    }
}

#[test]
fn pages_that_lead_nowhere_are_errors() {
    let get = |query: &str, body: Value| Exchange::get(&format!("{URL}?{query}")).json(body);
    for (next, exchanges, words) in [
        ("url", vec![get("size=2", json!({"items": [1], "next": "https://evil.test/x"}))], "another origin"),
        ("url", vec![get("size=2", json!({"items": [1], "next": {"a": 1}}))], "neither a text nor a number at `/next`"),
        ("number", vec![get("size=2&page=1", json!({"items": null}))], "no array at `/items`"),
        (
            "cursor",
            vec![
                get("size=2", json!({"items": [1], "meta": {"next": "a"}})),
                get("size=2&after=a", json!({"items": [2], "meta": {"next": "a"}})),
            ],
            "goes in circles",
        ),
        (
            "number",
            vec![get("size=2&page=1", json!({"items": [1]})), get("size=2&page=2", json!({"items": [1]}))],
            "the same page twice",
        ),
        ("link", vec![get("size=2", json!({"items": ["x"]}))], "record 1 of the response"),
        ("link", vec![], "the test has no response to `GET https://api.test/items?size=2`"),
        (
            "link",
            vec![Exchange::get(&format!("{URL}?size=2")).fail(Error::new(ErrorKind::Auth, "no trust"))],
            "no trust",
        ),
    ] {
        let error = numbers(next, exchanges).unwrap_err();
        assert!(error.message.contains(words), "{next}: {error}");
    }
}

#[test]
#[should_panic(expected = "the driver did not send these requests: [\"GET https://api.test/never\"]")]
fn a_request_that_is_not_sent_fails_the_test() {
    let first = Exchange::get(&format!("{URL}?size=2")).json(json!({"items": []}));
    Step::new().config("link").http(first).http(Exchange::get("https://api.test/never")).extract::<Pages>();
}

#[test]
fn a_token_is_fetched_once_and_again_when_it_is_refused() {
    driver!(Login: Value, extract |_, output| {
        let login = OAuth::client_credentials("https://login.test/token", "i d", &context::secret("/key").unwrap());
        let client = Client::new().header("x-key", "k").requests_per_second(2.0).oauth2(login.field("scope", "read"));
        for _ in 0..2 {
            client.get(URL)?.fetch()?;
        }
        output.write_columns("main", vec![("sent", vec![client.sent() as i64].into())]).map(drop)
    });
    let token = |token: &str| {
        Exchange::post("https://login.test/token").json(json!({"access_token": token, "expires_in": 3600}))
    };
    let run = Step::new()
        .secret("/key", "s:1")
        .http(token("one"))
        .http(Exchange::get(URL))
        .http(Exchange::get(URL).status(401))
        .http(token("two"))
        .http(Exchange::get(URL))
        .extract::<Login>();
    assert_eq!(run.rows("main"), [json!({"sent": 5})]);
    let sent: Vec<_> = run.requests().iter().map(|request| request.header("authorization").unwrap()).collect();
    let basic = "Basic aSUyMGQ6cyUzQTE=";
    assert_eq!(sent, [basic, "Bearer one", "Bearer one", basic, "Bearer two"]);
    assert_eq!(run.requests()[0].body, "grant_type=client_credentials&scope=read");
    assert_eq!(run.requests()[0].header("x-key"), None, "only the API gets it");
    assert!(run.waits().len() >= 4, "{:?}", run.waits());
    let refused = Exchange::post("https://login.test/token").status(400).json(json!({"error": "invalid_client"}));
    let run = Step::new().secret("/key", "s").http(refused).extract::<Login>();
    assert_eq!(run.error().kind, ErrorKind::Auth);
    assert!(run.error().message.starts_with("cannot get a token: "), "{}", run.error());
}
