//! One page after another: what to ask for next, and when to stop.

use json_records::Path;
use osiris_sdk::http::{PageGuard, Url, link};
use osiris_sdk::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::config::{LastPage, Pagination, Paging, Place, spelt};

/// What tells one page from the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ask {
    /// The whole address, where a server gave one.
    pub url: Option<Url>,
    pub params: Vec<(String, Value)>,
}

/// What an answer says about the page that follows it.
#[derive(Debug, Default)]
pub struct Hint {
    next: Option<Value>,
    has_more: Option<bool>,
}

/// Goes from page to page.
pub struct Pager {
    options: Pagination,
    address: Url,
    path: Option<Path>,
    has_more: Option<Path>,
    guard: PageGuard,
    number: u64,
    first_count: Option<u64>,
}

impl Pager {
    /// # Errors
    /// `config`, when an option that this kind of paging needs is missing.
    pub fn new(options: Pagination, address: Url, max_pages: u64, may_repeat: bool) -> Result<Self> {
        if options.path.is_none() && matches!(options.kind, Paging::Cursor | Paging::NextUrl) {
            return Err(Error::config(
                "`pagination.path` is missing: where an answer says what comes next, such as `$.meta.next`",
            ));
        }
        let parse = |text: &Option<String>| text.as_deref().map(Path::parse).transpose();
        let start = match options.kind {
            Paging::Page => options.start.unwrap_or(1),
            _ => options.start.unwrap_or(0),
        };
        Ok(Self {
            path: parse(&options.path)?,
            has_more: parse(&options.has_more_path)?,
            options,
            address,
            guard: PageGuard::new(max_pages).may_repeat(may_repeat),
            number: start,
            first_count: None,
        })
    }

    pub fn pages(&self) -> u64 {
        self.guard.pages()
    }

    /// Whether parameters go into the body.
    pub fn in_body(&self) -> bool {
        self.options.place == Place::Body
    }

    /// Whether an answer of 404 is the end.
    pub fn may_end_by_not_found(&self) -> bool {
        self.options.last_page == LastPage::NotFound && self.pages() > 1
    }

    /// What to ask for first.
    ///
    /// # Errors
    /// `config`, when no page is allowed.
    pub fn first(&mut self) -> Result<Ask> {
        let mut params = self.size();
        match self.options.kind {
            Paging::Page | Paging::Offset => params.push((self.param(), Value::from(self.number))),
            Paging::Cursor => {}
            Paging::None | Paging::Link | Paging::NextUrl => {}
        }
        self.asked(Ask { url: None, params })
    }

    fn asked(&mut self, ask: Ask) -> Result<Ask> {
        let url = ask.url.as_ref().map(ToString::to_string).unwrap_or_default();
        self.guard.ask(&format!("{url} {:?}", ask.params))?;
        Ok(ask)
    }

    fn size(&self) -> Vec<(String, Value)> {
        self.options
            .size_param
            .iter()
            .zip(self.options.size)
            .map(|(name, size)| (name.clone(), Value::from(size)))
            .collect()
    }

    fn param(&self) -> String {
        let default = match self.options.kind {
            Paging::Page => "page",
            Paging::Offset => "offset",
            _ => "cursor",
        };
        self.options.param.clone().unwrap_or_else(|| default.to_owned())
    }

    /// Reads what an answer says about what follows, before its records are taken.
    ///
    /// # Errors
    /// `data`, for what says neither yes nor no.
    pub fn look(&self, json: &Value, link_header: &str) -> Result<Hint> {
        let next = match self.options.kind {
            Paging::Link => link(link_header, "next").map(Value::from),
            _ => self.path.as_ref().and_then(|path| path.first(json)).cloned(),
        };
        let has_more = match &self.has_more {
            None => None,
            Some(path) => Some(match path.first(json) {
                None | Some(Value::Bool(false)) => false,
                Some(Value::Bool(true)) => true,
                Some(Value::Number(number)) => number.as_f64() != Some(0.0),
                Some(other) => {
                    return Err(Error::data(format!(
                        "`{}` says `{other}`, where true or false was expected",
                        path.text()
                    )));
                }
            }),
        };
        Ok(Hint { next, has_more })
    }

    /// What to ask for after a page of `count` records whose content was `bytes`; `None` after the last.
    ///
    /// # Errors
    /// `data`, when the server goes in circles or gives an address that is none; `denied`, for one of another
    /// host; `config`, beyond `max_pages`.
    pub fn next(&mut self, hint: &Hint, count: usize, bytes: &[u8], from: &Url) -> Result<Option<Ask>> {
        if self.options.kind == Paging::None {
            return Ok(None);
        }
        let count = count as u64;
        if count > 0 {
            self.guard.got(bytes)?;
        }
        let first_count = *self.first_count.get_or_insert(count);
        let ended = hint.has_more == Some(false);
        let next = match self.options.kind {
            Paging::None => None,
            Paging::Page | Paging::Offset => {
                let short = self.options.last_page == LastPage::Short
                    && (count < first_count || self.options.size.is_some_and(|size| count < size));
                if ended || count == 0 || short {
                    return Ok(None);
                }
                self.number += if self.options.kind == Paging::Page { 1 } else { count };
                let mut params = self.size();
                params.push((self.param(), Value::from(self.number)));
                Some(Ask { url: None, params })
            }
            Paging::Cursor => match &hint.next {
                _ if ended => None,
                None | Some(Value::Bool(false)) => None,
                Some(Value::String(text)) if text.is_empty() => None,
                Some(cursor) => {
                    let mut params = self.size();
                    params.push((self.param(), cursor.clone()));
                    Some(Ask { url: None, params })
                }
            },
            Paging::Link | Paging::NextUrl => {
                match hint.next.as_ref().and_then(spelt).filter(|next| !next.is_empty()) {
                    _ if ended => None,
                    None => None,
                    Some(next) => Some(Ask { url: Some(self.address_of(&next, from)?), params: Vec::new() }),
                }
            }
        };
        next.map(|ask| self.asked(ask)).transpose()
    }

    fn address_of(&self, next: &str, from: &Url) -> Result<Url> {
        let url = from
            .join(next)
            .map_err(|error| Error::data(format!("the next page is at no address: {}", error.message)))?;
        if !url.same_origin(&self.address) {
            let message = format!(
                "the next page is at another origin, `{}`, which would get this one's login; name that one as `url`",
                url.shown()
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pager(options: Value) -> Pager {
        let address = Url::parse("https://h/items?x=1").unwrap();
        Pager::new(serde_json::from_value(options).unwrap(), address, 100, false).unwrap()
    }

    /// Feeds answers (their JSON, link header and record count) and gives what was asked after each.
    fn run(pager: &mut Pager, answers: &[(Value, &str, usize)]) -> Vec<Option<Ask>> {
        let from = Url::parse("https://h/items?x=1").unwrap();
        let mut asked = vec![Some(pager.first().unwrap())];
        for (place, (json, link, count)) in answers.iter().enumerate() {
            let hint = pager.look(json, link).unwrap();
            asked.push(pager.next(&hint, *count, &[place as u8], &from).unwrap());
        }
        asked
    }

    fn params(ask: Option<&Ask>) -> Option<String> {
        ask.map(|ask| ask.params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
    }

    #[test]
    fn pages_and_offsets_count_on_until_a_page_is_empty() {
        let table = [
            (
                json!({"type": "page", "size_param": "per_page", "size": 2}),
                ["per_page=2&page=1", "per_page=2&page=2", "per_page=2&page=3"],
            ),
            (json!({"type": "page", "param": "p", "start": 0}), ["p=0", "p=1", "p=2"]),
            (
                json!({"type": "offset", "size_param": "limit", "size": 2}),
                ["limit=2&offset=0", "limit=2&offset=2", "limit=2&offset=3"],
            ),
        ];
        for (options, expected) in table {
            let asked = run(&mut pager(options), &[(json!(1), "", 2), (json!(1), "", 1), (json!(1), "", 0)]);
            let found: Vec<_> = asked.iter().map(|ask| params(ask.as_ref())).collect();
            let expected: Vec<_> = expected.iter().map(|text| Some((*text).to_owned())).chain([None]).collect();
            assert_eq!(found, expected);
        }
        let asked =
            run(&mut pager(json!({"type": "page", "last_page": "short"})), &[(json!(1), "", 2), (json!(1), "", 1)]);
        assert_eq!(asked.last().unwrap(), &None);
        let asked = run(
            &mut pager(json!({"type": "page", "has_more_path": "more"})),
            &[(json!({"more": true}), "", 2), (json!({"more": false}), "", 2)],
        );
        assert_eq!((asked.len(), asked.last().unwrap()), (3, &None));
    }

    #[test]
    fn cursors_links_and_addresses_are_followed() {
        let mut by_cursor = pager(json!({"type": "cursor", "path": "$.next", "param": "after"}));
        let asked = run(
            &mut by_cursor,
            &[(json!({"next": "ab"}), "", 1), (json!({"next": 7}), "", 0), (json!({"next": null}), "", 1)],
        );
        assert_eq!(
            asked.iter().map(|ask| params(ask.as_ref())).collect::<Vec<_>>(),
            [Some(String::new()), Some("after=\"ab\"".to_owned()), Some("after=7".to_owned()), None]
        );
        let mut by_link = pager(json!({"type": "link"}));
        let asked = run(
            &mut by_link,
            &[(json!([]), "</items?page=2>; rel=\"next\"", 1), (json!([]), "</items?page=1>; rel=\"prev\"", 1)],
        );
        assert_eq!(asked[1].as_ref().unwrap().url.as_ref().unwrap().to_string(), "https://h/items?page=2");
        assert_eq!(asked[2], None);
        let mut by_url = pager(json!({"type": "next_url", "path": "links.next"}));
        let asked = run(
            &mut by_url,
            &[(json!({"links": {"next": "https://h/items?c=2"}}), "", 1), (json!({"links": {}}), "", 1)],
        );
        assert_eq!(asked[1].as_ref().unwrap().url.as_ref().unwrap().to_string(), "https://h/items?c=2");
        assert_eq!(asked[2], None);
    }

    #[test]
    fn circles_other_hosts_and_nonsense_are_refused() {
        let from = Url::parse("https://h/items").unwrap();
        let mut circle = pager(json!({"type": "cursor", "path": "next"}));
        circle.first().unwrap();
        let hint = || Hint { next: Some(json!("a")), has_more: None };
        circle.next(&hint(), 1, b"1", &from).unwrap();
        assert!(circle.next(&hint(), 1, b"2", &from).unwrap_err().message.contains("circles"));
        let mut same = pager(json!({"type": "page"}));
        same.first().unwrap();
        same.next(&Hint::default(), 1, b"1", &from).unwrap();
        assert!(same.next(&Hint::default(), 1, b"1", &from).unwrap_err().message.contains("same page twice"));
        let mut other = pager(json!({"type": "next_url", "path": "next"}));
        other.first().unwrap();
        for next in ["https://evil/items", "http://h/items", "//evil/x"] {
            let refused = other.next(&Hint { next: Some(json!(next)), has_more: None }, 1, b"1", &from).unwrap_err();
            assert!(matches!(refused.kind, ErrorKind::Data | ErrorKind::Denied), "{refused:?}");
        }
        assert!(other.look(&json!({}), "").unwrap().next.is_none());
        let options = serde_json::from_value(json!({"type": "cursor"})).unwrap();
        assert!(Pager::new(options, from, 1, false).is_err());
    }
}
