//! What an answer says beside its records: that there are more pages, or that something went wrong.

use osiris_sdk::http::link;
use serde_json::{Map, Value};

/// Objects in which servers say how pages follow.
const AROUND: [&str; 9] =
    ["meta", "paging", "pagination", "links", "_links", "page_info", "pageInfo", "page", "cursors"];

/// Members that name the next page.
const NEXT: [&str; 9] = [
    "next",
    "next_url",
    "nextUrl",
    "next_page",
    "next_cursor",
    "nextCursor",
    "next_page_token",
    "nextPageToken",
    "@odata.nextLink",
];

/// Members that say whether there is one.
const MORE: [&str; 5] = ["has_more", "hasMore", "has_next", "hasNext", "has_next_page"];

/// That an answer which was taken for the only page names another.
pub fn of_more(json: Option<&Value>, link_header: &str) -> Option<String> {
    let sign = match link(link_header, "next") {
        Some(_) => "its `Link` header has a `rel=\"next\"`".to_owned(),
        None => in_body(json?.as_object()?)?,
    };
    Some(format!(
        "the answer says that there are more records ({sign}), but only this one page was read; name how pages follow by \
         `pagination`"
    ))
}

fn in_body(answer: &Map<String, Value>) -> Option<String> {
    let around = AROUND.iter().filter_map(|name| Some((format!("{name}."), answer.get(*name)?.as_object()?)));
    std::iter::once((String::new(), answer)).chain(around).find_map(|(place, members)| {
        let is_next = |value: &Value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Number(number) => number.as_f64() != Some(0.0),
            // `_links: {next: {href: ...}}`
            Value::Object(members) => members.get("href").is_some_and(Value::is_string),
            _ => false,
        };
        let next = NEXT.iter().find(|name| members.get(**name).is_some_and(is_next));
        let more = MORE.iter().find(|name| members.get(**name) == Some(&Value::Bool(true)));
        let name = next.or(more)?;
        Some(format!("`{place}{name}` is `{}`", members[*name]))
    })
}

/// Members that an object of nothing but an error has beside `error`, `errors` or `success`.
const BESIDE: [&str; 22] = [
    "error",
    "errors",
    "error_description",
    "error_code",
    "errorCode",
    "errorMessage",
    "message",
    "messages",
    "msg",
    "code",
    "status",
    "statusCode",
    "status_code",
    "detail",
    "details",
    "title",
    "type",
    "success",
    "ok",
    "request_id",
    "timestamp",
    "path",
];

/// What an object says that has the members of an error and no others.
pub fn of_error(record: &Value) -> Option<String> {
    let members = record.as_object()?;
    of_failure(record).filter(|_| members.keys().all(|name| BESIDE.contains(&name.as_str())))
}

/// What an object says by `error`, `errors`, `success` or `ok`.
pub fn of_failure(answer: &Value) -> Option<String> {
    let members = answer.as_object()?;
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let named = ["error", "errors"].into_iter().find(|name| members.get(*name).is_some_and(|value| !is_empty(value)));
    let failed = ["success", "ok"].into_iter().find(|name| members.get(*name) == Some(&Value::Bool(false)));
    named.or(failed)?;
    Some(answer.to_string().chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn signs_of_more_pages_are_seen() {
        for (answer, header, seen) in [
            (json!([]), "</x?page=2>; rel=\"next\"", true),
            (json!({"has_more": true, "data": []}), "", true),
            (json!({"meta": {"next_cursor": "abc"}}), "", true),
            (json!({"_links": {"next": {"href": "/x"}}}), "", true),
            (json!({"next_page": 2}), "", true),
            (json!({"has_more": false, "next": null, "meta": {"next": ""}}), "", false),
            (json!({"id": 1, "page": 3}), "</x>; rel=\"last\"", false),
            (json!([{"next": "x"}]), "", false),
        ] {
            assert_eq!(of_more(Some(&answer), header).is_some(), seen, "{answer}");
        }
    }

    #[test]
    fn an_object_of_nothing_but_an_error_is_seen() {
        for (answer, seen) in [
            (json!({"error": "rate limit", "code": 7}), true),
            (json!({"errors": [{"message": "no"}]}), true),
            (json!({"success": false, "message": "no"}), true),
            (json!({"error": null, "message": "x"}), false),
            (json!({"error": "x", "id": 1}), false),
            (json!({"id": 1}), false),
        ] {
            assert_eq!(of_error(&answer).is_some(), seen, "{answer}");
        }
    }
}
