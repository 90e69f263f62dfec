//! What a response says beside its records: that there are more pages, or that something went wrong.

use osiris_sdk::http::{Answer, link};
use serde_json::{Map, Value};

/// Objects in which servers describe paging.
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

/// Members that say whether there is a next page.
const MORE: [&str; 5] = ["has_more", "hasMore", "has_next", "hasNext", "has_next_page"];

/// Members with the number of records on all pages.
const TOTAL: [&str; 12] = [
    "total_count",
    "totalCount",
    "total_results",
    "totalResults",
    "total_records",
    "totalRecords",
    "total_items",
    "totalItems",
    "total_elements",
    "totalElements",
    "totalSize",
    "@odata.count",
];

/// Headers with that number.
const TOTAL_HEADERS: [&str; 5] = ["x-total-count", "x-total", "total-count", "x-wp-total", "x-pagination-total-count"];

/// The sign in a response that another page follows.
pub fn of_more(json: Option<&Value>, link_header: &str) -> Option<String> {
    match link(link_header, "next") {
        Some(_) => Some("its `Link` header has a `rel=\"next\"`".to_owned()),
        None => in_body(json?.as_object()?),
    }
}

/// The number of records on all pages, and where the response says so.
pub fn of_total(json: Option<&Value>, answer: &Answer) -> Option<(String, u64)> {
    let from_header = TOTAL_HEADERS.iter().find_map(|name| {
        let total = answer.header(name)?.trim().parse().ok()?;
        Some((format!("`{name}`"), total))
    });
    // `items 0-24/319`, as PostgREST counts rows.
    let from_range = || {
        let total = answer.header("content-range")?.split_once('/')?.1.trim().parse().ok()?;
        Some(("`content-range`".to_owned(), total))
    };
    from_header.or_else(from_range).or_else(|| total_in_body(json?.as_object()?))
}

fn total_in_body(answer: &Map<String, Value>) -> Option<(String, u64)> {
    let number = |members: &Map<String, Value>, name: &str| members.get(name).and_then(Value::as_u64);
    let around = AROUND.iter().filter_map(|name| Some((*name, answer.get(*name)?.as_object()?)));
    let own = TOTAL.iter().find_map(|name| Some((format!("`{name}`"), number(answer, name)?)));
    own.or_else(|| {
        around.into_iter().find_map(|(place, members)| {
            // Only in an object about pages is `total` a number of records.
            let names = TOTAL.iter().chain(&["total"]);
            names.into_iter().find_map(|name| Some((format!("`{place}.{name}`"), number(members, name)?)))
        })
    })
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

/// Members that an error object may have beside `error`, `errors` or `success`.
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

/// The message of an object that has only the members of an error.
pub fn of_error(record: &Value) -> Option<String> {
    let members = record.as_object()?;
    of_failure(record).filter(|_| members.keys().all(|name| BESIDE.contains(&name.as_str())))
}

/// The message in an object's `error`, `errors`, `success` or `ok`.
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn signs_of_more_pages_are_recognised() {
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
    fn totals_are_found_only_in_information_about_pages() {
        for (answer, total) in [
            (json!({"totalCount": 7}), Some(7)),
            (json!({"meta": {"total": 7, "page": 1}}), Some(7)),
            (json!({"paging": {"total_results": 7}}), Some(7)),
            (json!({"total": 7, "items": []}), None),
            (json!({"meta": {"total": "7"}}), None),
            (json!({"meta": {"total": 7.5}}), None),
        ] {
            assert_eq!(total_in_body(answer.as_object().unwrap()).map(|(_, total)| total), total, "{answer}");
        }
    }

    #[test]
    fn an_error_object_is_recognised() {
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
