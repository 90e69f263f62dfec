//! Reads a list page by page.

use serde_json::Value;

use super::{Answer, PageGuard, Request, link};
use crate::{Error, Result};

/// The most pages of one list.
const MAX_PAGES: u64 = 1_000_000;

/// How a page leads to the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// By the `Link` header with `rel="next"` (RFC 8288).
    Link,
    /// By an address in the body, at a JSON pointer such as `/next`.
    Url(&'static str),
    /// By a value in the body, at a JSON pointer such as `/meta/cursor`, for a query parameter.
    Cursor { pointer: &'static str, parameter: &'static str },
    /// By a query parameter that counts pages, until a page has no records. They are in the array at a JSON pointer, which
    /// is empty if the body is the array.
    Number { parameter: &'static str, first: u64, records: &'static str },
    /// By a query parameter that counts records.
    Offset { parameter: &'static str, records: &'static str },
}

/// The pages of a list. A server that repeats a page or leads in a circle is an error, and so is a page that is not what
/// [`Next`] describes.
pub struct Pages {
    first: Request,
    next: Next,
    /// The request of the next page; `None` after the last.
    request: Option<Request>,
    guard: PageGuard,
    /// The number of the page, or how many records there were before it.
    position: u64,
}

impl Pages {
    pub(super) fn new(first: Request, next: Next) -> Self {
        let position = if let Next::Number { first, .. } = next { first } else { 0 };
        let request = match &next {
            Next::Number { parameter, .. } | Next::Offset { parameter, .. } => {
                first.clone().query(parameter, &position.to_string())
            }
            _ => first.clone(),
        };
        Self { first, next, request: Some(request), guard: PageGuard::new(MAX_PAGES), position }
    }

    fn page(&mut self, request: Request) -> Result<Option<Answer>> {
        self.guard.ask(&request.url().to_string())?;
        let page = request.fetch()?;
        let has_records = self.follow(&page)?;
        if has_records {
            self.guard.got(&page.bytes)?;
        }
        Ok(has_records.then_some(page))
    }

    /// Prepares the request of the next page; returns whether this one is part of the list.
    fn follow(&mut self, page: &Answer) -> Result<bool> {
        if page.is_empty() {
            return Ok(false);
        }
        match &self.next {
            Next::Link => self.request = self.address(page, link(&page.headers("link"), "next"))?,
            Next::Url(pointer) => {
                let body: Value = page.json()?;
                self.request = self.address(page, named(page, &body, pointer)?.as_deref())?;
            }
            Next::Cursor { pointer, parameter } => {
                let cursor = named(page, &page.json()?, pointer)?;
                self.request = cursor.map(|cursor| self.first.clone().query(parameter, &cursor));
            }
            Next::Number { parameter, records, .. } => {
                if count(page, records)? == 0 {
                    return Ok(false);
                }
                self.position += 1;
                self.request = Some(self.first.clone().query(parameter, &self.position.to_string()));
            }
            Next::Offset { parameter, records } => {
                let count = count(page, records)?;
                if count == 0 {
                    return Ok(false);
                }
                self.position += count;
                self.request = Some(self.first.clone().query(parameter, &self.position.to_string()));
            }
        }
        Ok(true)
    }

    /// The request of an address that a page names, which may be relative to its own.
    fn address(&self, page: &Answer, address: Option<&str>) -> Result<Option<Request>> {
        let Some(address) = address.filter(|address| !address.is_empty()) else { return Ok(None) };
        let url = page.url.join(address)?;
        if !url.same_origin(&self.first.url) {
            let message =
                format!("`{}` names a next page of another origin, which must not get its headers", page.asked());
            return Err(Error::new(crate::ErrorKind::Denied, message));
        }
        Ok(Some(self.first.clone().to(url)))
    }
}

/// A text or a number at a pointer. A member that is missing or null ends the list; any other value is an error.
fn named(page: &Answer, body: &Value, pointer: &str) -> Result<Option<String>> {
    match body.pointer(pointer) {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => {
            let message = format!("the response to `{}` has neither a text nor a number at `{pointer}`", page.asked());
            Err(Error::data(message))
        }
    }
}

fn count(page: &Answer, pointer: &str) -> Result<u64> {
    let body: Value = page.json()?;
    let records = body.pointer(pointer).and_then(Value::as_array);
    let missing = || Error::data(format!("the response to `{}` has no array at `{pointer}`", page.asked()));
    Ok(records.ok_or_else(missing)?.len() as u64)
}

impl Iterator for Pages {
    type Item = Result<Answer>;

    fn next(&mut self) -> Option<Self::Item> {
        let request = self.request.take()?;
        let page = self.page(request).transpose();
        if !matches!(page, Some(Ok(_))) {
            self.request = None;
        }
        page
    }
}
