//! Finds the recorded exchange that answers a request.

use super::{Content, Order, Replay, Request};
use crate::exact_json::Exact;
use crate::grants::endpoint::decoded;
use crate::untrusted::line;

/// The longest value that a difference shows, in characters.
const MAX_SHOWN: usize = 200;

impl Replay {
    fn differences(&self, recorded: &Request, request: &Request) -> Vec<String> {
        if self.any_body && recorded.body.is_none() {
            let without_body = Request { body: None, ..request.clone() };
            return differences(recorded, &without_body, &self.ignored);
        }
        differences(recorded, request, &self.ignored)
    }

    /// The place of the exchange that answers a request, which is used from now on.
    ///
    /// # Errors
    /// What the request is, and how it differs from the nearest exchange.
    pub fn answer(&mut self, request: &Request) -> Result<usize, String> {
        let unused = (0..self.exchanges.len()).filter(|place| !self.used.contains(place));
        let candidates: Vec<usize> = match self.order {
            Order::Strict => unused.take(1).collect(),
            // One that was not used comes first, so that equal requests get their answers in turn.
            Order::Lenient => unused.chain(self.used.iter().copied()).collect(),
        };
        let differences: Vec<(usize, Vec<String>)> = candidates
            .iter()
            .map(|place| (*place, self.differences(&self.exchanges[*place].request, request)))
            .collect();
        if let Some((place, _)) = differences.iter().find(|(_, found)| found.is_empty()) {
            self.used.insert(*place);
            return Ok(*place);
        }
        let asked = format!("no recorded exchange answers `{}`", words(request));
        let nearest = differences.iter().min_by_key(|(_, found)| found.len());
        Err(match (nearest, self.order) {
            (None, _) if self.exchanges.is_empty() => format!("{asked}: the recording has none"),
            (None, _) => format!("{asked}: all {} are used", self.exchanges.len()),
            (Some((place, found)), order) => {
                let which = if order == Order::Strict { "the next" } else { "the nearest" };
                let recorded = words(&self.exchanges[*place].request);
                format!("{asked}; {which} recorded request is number {}, `{recorded}`: {}", place + 1, found.join("; "))
            }
        })
    }
}

/// Method and address.
pub fn words(request: &Request) -> String {
    line(&format!("{} {}", request.method, request.url)).into_owned()
}

/// How a request differs from a recorded one. Parameters have no order, and JSON is compared as JSON.
pub fn differences(recorded: &Request, request: &Request, ignored: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    if recorded.method != request.method {
        found.push(format!("the method is `{}` instead of `{}`", line(&request.method), line(&recorded.method)));
    }
    let (recorded_base, recorded_query) = recorded.url.split_once('?').unwrap_or((&recorded.url, ""));
    let (base, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
    if recorded_base != base {
        found.push(format!("the address is `{}` instead of `{}`", line(base), line(recorded_base)));
    }
    let what = |name: &str| format!("the parameter `{}`", line(name));
    compare_pairs(&pairs(recorded_query, ignored), &pairs(query, ignored), &what, &mut found);
    compare_bodies(recorded.body.as_ref(), request.body.as_ref(), ignored, &mut found);
    found
}

/// The pairs of a query or a form, decoded and sorted, without the ignored ones.
fn pairs(text: &str, ignored: &[String]) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        decoded(&text).unwrap_or(text)
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(name), plain(value))
    };
    let mut pairs: Vec<_> = text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    pairs.retain(|(name, _)| !ignored.contains(name));
    pairs.sort();
    pairs
}

fn compare_pairs(
    recorded: &[(String, String)],
    sent: &[(String, String)],
    what: &dyn Fn(&str) -> String,
    found: &mut Vec<String>,
) {
    let of = |pairs: &[(String, String)], name: &str| {
        let values: Vec<&str> = pairs.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| shown(&values.join(", ")))
    };
    let mut names: Vec<&String> = recorded.iter().chain(sent).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    for name in names {
        match (of(recorded, name), of(sent, name)) {
            (Some(recorded), Some(sent)) if recorded != sent => {
                found.push(format!("{} is `{sent}` instead of `{recorded}`", what(name)));
            }
            (Some(recorded), None) => found.push(format!("{} is missing, recorded as `{recorded}`", what(name))),
            (None, Some(sent)) => found.push(format!("{} is new: `{sent}`", what(name))),
            _ => {}
        }
    }
}

fn compare_bodies(recorded: Option<&Content>, sent: Option<&Content>, ignored: &[String], found: &mut Vec<String>) {
    match (recorded, sent) {
        (None, None) => {}
        (Some(Content::Json(recorded)), Some(Content::Json(sent))) => {
            match (Exact::parse(recorded.get()), Exact::parse(sent.get())) {
                (Ok(recorded), Ok(sent)) => compare_json(&recorded, &sent, "", ignored, found),
                _ => found.push("the body is not JSON".to_owned()),
            }
        }
        (Some(Content::Text(recorded)), Some(Content::Text(sent))) if is_form(recorded) && is_form(sent) => {
            let what = |name: &str| format!("the field `{}` of the body", line(name));
            compare_pairs(&pairs(recorded, ignored), &pairs(sent, ignored), &what, found);
        }
        (recorded, sent) if recorded == sent => {}
        (recorded, sent) => {
            let of = |content: Option<&Content>| match content {
                None => "empty".to_owned(),
                Some(Content::Json(text)) => format!("`{}`", shown(text.get())),
                Some(Content::Text(text) | Content::Base64(text)) => format!("`{}`", shown(text)),
            };
            found.push(format!("the body is {} instead of {}", of(sent), of(recorded)));
        }
    }
}

fn is_form(text: &str) -> bool {
    text.contains('=') && !text.contains(char::is_whitespace)
}

fn compare_json(recorded: &Exact, sent: &Exact, pointer: &str, ignored: &[String], found: &mut Vec<String>) {
    if ignored.iter().any(|ignored| ignored == pointer) {
        return;
    }
    match (recorded, sent) {
        (Exact::Object(one), Exact::Object(two)) => {
            let member = |members: &[(String, Exact)], name: &str| {
                members.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
            };
            let mut names: Vec<&String> = one.iter().chain(two).map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            for name in names {
                let place = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                match (member(one, name), member(two, name)) {
                    (Some(one), Some(two)) => compare_json(&one, &two, &place, ignored, found),
                    _ if ignored.contains(&place) => {}
                    (Some(_), None) => found.push(format!("`{}` of the body is missing", line(&place))),
                    (None, _) => found.push(format!("`{}` of the body is new", line(&place))),
                }
            }
        }
        (Exact::List(one), Exact::List(two)) if one.len() == two.len() => {
            for (place, (one, two)) in one.iter().zip(two).enumerate() {
                compare_json(one, two, &format!("{pointer}/{place}"), ignored, found);
            }
        }
        _ if recorded.equals(sent) => {}
        _ => found.push(format!("`{}` of the body is {} instead of {}", line(pointer), value(sent), value(recorded))),
    }
}

fn value(value: &Exact) -> String {
    match value {
        Exact::List(items) => format!("a list of {} items", items.len()),
        Exact::Object(_) => "an object".to_owned(),
        other => format!("`{}`", shown(&other.to_string())),
    }
}

/// A value as a difference shows it: on one line, cut to a bound.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => line(text).into_owned(),
        Some((end, _)) => format!("{}…", line(&text[..end])),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::recordings::{Exchange, Response};

    fn request(method: &str, url: &str, body: &str) -> Request {
        Request {
            method: method.to_owned(),
            url: url.to_owned(),
            body: Content::of(body.as_bytes()),
            ..Request::default()
        }
    }

    fn replay(order: Order, requests: &[Request]) -> Replay {
        let response = Response { status: 200, headers: [].into(), body: None };
        let exchange = |request: &Request| Exchange { request: request.clone(), response: response.clone() };
        Replay { exchanges: requests.iter().map(exchange).collect(), order, ..Replay::default() }
    }

    #[test]
    fn parameters_have_no_order_and_json_is_compared_as_json() {
        let base = request("POST", "https://a.b/x?p=1&q=a%20b", r#"{"n": 1.50, "l": [1, 2]}"#);
        for (url, body) in [
            ("https://a.b/x?q=a+b&p=1", r#"{"l":[1,2],"n":1.5}"#),
            ("https://a.b/x?q=a%20b&p=1&now=7", r#"{"l":[1,2],"n":1.5,"at":{"time":9}}"#),
        ] {
            let ignored = ["now".to_owned(), "/at".to_owned()];
            assert_eq!(differences(&base, &request("POST", url, body), &ignored), Vec::<String>::new());
        }
        for (other, expected) in [
            (
                request("PUT", "https://a.b/x?p=1&q=a%20b", r#"{"n": 1.50, "l": [1, 2]}"#),
                "the method is `PUT` instead of `POST`",
            ),
            (
                request("POST", "https://a.b/y?p=1&q=a b", r#"{"n": 1.50, "l": [1, 2]}"#),
                "the address is `https://a.b/y` instead of",
            ),
            (
                request("POST", "https://a.b/x?p=2&q=a b", r#"{"n": 1.50, "l": [1, 2]}"#),
                "the parameter `p` is `2` instead of `1`",
            ),
            (request("POST", "https://a.b/x?p=1", r#"{"n": 1.50, "l": [1, 2]}"#), "the parameter `q` is missing"),
            (
                request("POST", "https://a.b/x?p=1&q=a b", r#"{"n": 1.51, "l": [1, 2]}"#),
                "`/n` of the body is `1.51` instead of `1.5`",
            ),
            (
                request("POST", "https://a.b/x?p=1&q=a b", r#"{"n": 1.50, "l": [1]}"#),
                "`/l` of the body is a list of 1 items instead",
            ),
            (request("POST", "https://a.b/x?p=1&q=a b", ""), "the body is empty instead of `{"),
        ] {
            let found = differences(&base, &other, &[]);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
        }
        assert!(differences(&request("POST", "u", "a=1&b=2"), &request("POST", "u", "b=2&a=1"), &[]).is_empty());
    }

    #[test]
    fn strict_replay_keeps_the_order_and_uses_each_exchange_once() {
        let (one, two) = (request("GET", "https://a.b/?page=1", ""), request("GET", "https://a.b/?page=2", ""));
        let mut strict = replay(Order::Strict, &[one.clone(), two.clone()]);
        let refused = strict.answer(&two).unwrap_err();
        assert!(
            refused.contains("the next recorded request is number 1")
                && refused.contains("`page` is `2` instead of `1`"),
            "{refused}"
        );
        assert_eq!((strict.answer(&one), strict.answer(&two)), (Ok(0), Ok(1)));
        assert!(strict.answer(&two).unwrap_err().contains("all 2 are used"));
        let mut lenient = replay(Order::Lenient, &[one.clone(), two.clone(), one.clone()]);
        assert_eq!([&two, &one, &one, &one].map(|request| lenient.answer(request)), [Ok(1), Ok(0), Ok(2), Ok(0)]);
        let refused = lenient.answer(&request("GET", "https://a.b/?page=3", "")).unwrap_err();
        assert!(refused.contains("the nearest recorded request"), "{refused}");
        let posted = request("POST", "https://a.b/", "{}");
        let mut strict = replay(Order::Strict, &[Request { body: None, ..posted.clone() }]);
        assert!(strict.answer(&posted).unwrap_err().contains("the body is `{}` instead of empty"));
        strict.any_body = true;
        assert_eq!(strict.answer(&posted), Ok(0));
        assert!(replay(Order::Strict, &[]).answer(&one).unwrap_err().contains("the recording has none"));
    }
}
