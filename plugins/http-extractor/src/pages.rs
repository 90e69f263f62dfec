//! One page after another: what to request next, and when to stop.

use json_records::path::outline;
use json_records::{Page, Path};
use osiris_sdk::http::{PageGuard, Url, link};
use osiris_sdk::{Error, ErrorKind, Result};
use record_cursor::spelt;
use serde_json::Value;

use crate::config::{LastPage, Pagination, Paging, Place, Step};
use crate::overlap::Overlap;

/// A possible explanation if numbered pages repeat.
const CLAMPED: &str = "if the server answers a number beyond the last page with the last page, write `pagination.last_page: repeated`; \
                       if pages may be equal, `allow_repeated_pages: true`";

/// A possible explanation if other pages repeat.
const EQUAL: &str = "if pages may have equal records, write `allow_repeated_pages: true`";

/// What distinguishes one page's request from the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ask {
    /// The complete address, if the server gave one.
    pub url: Option<Url>,
    pub params: Vec<(String, Value)>,
}

/// What a response says about the next page.
#[derive(Debug, Default)]
pub struct Hint {
    next: Option<Value>,
    /// Whether the place that would name the next page exists at all.
    is_named: bool,
    has_more: More,
}

/// What a response says at `has_more_path`.
#[derive(Debug, Default, PartialEq)]
enum More {
    /// The author named no such path.
    #[default]
    Unasked,
    Yes,
    No,
    /// There is nothing there, for this reason.
    Missing(String),
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
    /// Whether the next page to request may be beyond the last one.
    is_probing: bool,
    overlap: Overlap,
    /// How many records at the start of pages were the last of the previous page.
    overlapping: u64,
    last_count: u64,
    notes: Vec<String>,
}

impl Pager {
    /// # Errors
    /// `config` if an option that this kind of paging needs is missing.
    pub fn new(options: Pagination, address: Url, max_pages: u64, may_repeat: bool) -> Result<Self> {
        if options.path.is_none() && matches!(options.kind, Paging::Cursor | Paging::NextUrl) {
            return Err(Error::config(
                "`pagination.path` is missing: where a response says what comes next, such as `$.meta.next`",
            ));
        }
        if options.step == Step::Size && (options.size.is_none() || options.kind != Paging::Offset) {
            return Err(Error::config(
                "`pagination.step: size` lets an offset grow by `pagination.size`, which is missing, or this is no \
                 `type: offset`",
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
            is_probing: false,
            overlap: Overlap::default(),
            overlapping: 0,
            last_count: 0,
            notes: Vec::new(),
        })
    }

    pub fn pages(&self) -> u64 {
        self.guard.pages()
    }

    /// Notes for the user about how the pages ended.
    pub fn take_notes(&mut self) -> Vec<String> {
        let count = std::mem::take(&mut self.overlapping);
        if count > 0 {
            self.notes.push(format!(
                "{count} records came twice: pages began with the last records of the page before, as they do where records \
                 are added while they are read{}",
                match self.options.kind {
                    Paging::Offset =>
                        ", or where the server filters its pages (then write `pagination.size` and `pagination.step: size`)",
                    _ => "",
                }
            ));
        }
        std::mem::take(&mut self.notes)
    }

    /// Counts records that the previous page had as its last ones.
    ///
    /// # Errors
    /// `data` if an offset grew by fewer records than requested, which explains it.
    pub fn look_for_overlap(&mut self, page: &Page) -> Result<()> {
        let count = self.overlap.look(page) as u64;
        let before = std::mem::replace(&mut self.last_count, page.sent as u64);
        let is_whole = count == before && count == page.sent as u64;
        if count == 0 || is_whole || self.guard.repeats() {
            return Ok(());
        }
        match self.options.size {
            Some(size)
                if before < size && self.options.kind == Paging::Offset && self.options.step == Step::Received =>
            {
                Err(Error::data(format!(
                    "page {} begins with the last {count} of the {before} records of the page before, for which {size} were \
                     asked: the server filters a page after it was cut, so the offset must grow by what is asked for; write \
                     `pagination.step: size`, or `allow_repeated_pages: true` if records may be equal",
                    self.pages()
                )))
            }
            _ => {
                self.overlapping += count;
                Ok(())
            }
        }
    }

    /// Whether parameters go into the body.
    pub fn in_body(&self) -> bool {
        self.options.place == Place::Body
    }

    /// Whether a response of 404 is the end.
    pub fn may_end_by_not_found(&self) -> bool {
        self.is_probing || (self.options.last_page == LastPage::NotFound && self.pages() > 1)
    }

    /// The first request.
    ///
    /// # Errors
    /// `config` if no page is allowed.
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
        self.guard.ask(&key(&ask))?;
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

    /// Parses what a response says about the next page, before its records are taken; `json` is `None` for a response
    /// without a body.
    ///
    /// # Errors
    /// `data` for a value that means neither yes nor no.
    pub fn look(&self, json: Option<&Value>, link_header: &str) -> Result<Hint> {
        if self.options.kind == Paging::Link {
            let next = link(link_header, "next").map(Value::from);
            return Ok(Hint { next, is_named: true, has_more: self.more(json)? });
        }
        let (Some(path), Some(json)) = (&self.path, json) else {
            return Ok(Hint { next: None, is_named: true, has_more: self.more(json)? });
        };
        Ok(Hint { next: path.first(json).cloned(), is_named: path.leads(json), has_more: self.more(Some(json))? })
    }

    fn more(&self, json: Option<&Value>) -> Result<More> {
        let Some(path) = &self.has_more else { return Ok(More::Unasked) };
        let Some(json) = json else { return Ok(More::Missing("the response has no body".to_owned())) };
        Ok(match path.first(json) {
            None if path.leads(json) => More::Missing("it is null".to_owned()),
            None => More::Missing(surroundings(path.text(), json)),
            Some(Value::Bool(more)) => {
                if *more {
                    More::Yes
                } else {
                    More::No
                }
            }
            Some(Value::Number(number)) => {
                if number.as_f64() == Some(0.0) {
                    More::No
                } else {
                    More::Yes
                }
            }
            Some(Value::String(text)) if is_one_of(text, &["true", "1", "yes", "y"]) => More::Yes,
            Some(Value::String(text)) if is_one_of(text, &["false", "0", "no", "n", ""]) => More::No,
            Some(other) => {
                return Err(Error::data(format!("`{}` says `{other}`, where true or false was expected", path.text())));
            }
        })
    }

    /// Whether the server itself says whether there is more.
    pub fn has_sign(&self) -> bool {
        self.has_more.is_some() || self.options.end_value.is_some()
    }

    /// Distinguishes a page's records from those of the previous page. The content around them does not count: a page
    /// number, the time, another cursor.
    pub fn content(page: &Page, bytes: &[u8]) -> Vec<u8> {
        page.digest().map_or_else(|| bytes.to_vec(), |digest| digest.to_vec())
    }

    /// Whether a page that repeats the previous one is the end.
    pub fn ends_with(&self, content: &[u8]) -> bool {
        let counted = matches!(self.options.kind, Paging::Page | Paging::Offset);
        counted && (self.is_probing || self.options.last_page == LastPage::Repeated) && self.guard.is_last(content)
    }

    /// The request after a page of `count` records, as the server sent them, whose content was `bytes`; `None` after
    /// the last one.
    ///
    /// # Errors
    /// `data` if the server goes in circles, does not say whether there is more, or gives an invalid address; `denied`
    /// for an address on another host; `config` beyond `max_pages`.
    pub fn next(&mut self, hint: &Hint, count: usize, bytes: &[u8], from: &Url) -> Result<Option<Ask>> {
        if self.options.kind == Paging::None {
            return Ok(None);
        }
        let count = count as u64;
        if count > 0 {
            let counted = matches!(self.options.kind, Paging::Page | Paging::Offset);
            self.guard.got(bytes).map_err(|error| match counted {
                true => Error { message: format!("{}; {CLAMPED}", error.message), ..error },
                false => Error { message: format!("{}; {EQUAL}", error.message), ..error },
            })?;
        }
        if self.pages() == 1 {
            // A server may later refer to its first page by its complete address.
            self.guard.note(&key(&Ask { url: Some(from.clone()), params: Vec::new() }));
        }
        let more = match &hint.has_more {
            More::Missing(why) if count > 0 || self.names_next(hint) => return Err(self.silent(why)),
            // An empty page that says nothing about a next one is the last.
            More::No | More::Missing(_) => return Ok(None),
            More::Yes => true,
            More::Unasked => false,
        };
        let next = match self.options.kind {
            Paging::None => None,
            Paging::Page | Paging::Offset => self.counted(count, more)?,
            Paging::Cursor => self.by_cursor(hint, count)?,
            Paging::Link | Paging::NextUrl => self.by_address(hint, count, from)?,
        };
        let Some(ask) = next else {
            if more && !matches!(self.options.kind, Paging::Page | Paging::Offset) {
                return Err(Error::data(format!(
                    "page {} says that there is more, but not where: there is nothing at {}",
                    self.pages(),
                    self.path
                        .as_ref()
                        .map_or("`rel=\"next\"` of the `Link` header".to_owned(), |path| format!("`{}`", path.text()))
                )));
            }
            return Ok(None);
        };
        if count == 0 && self.guard.was_asked(&key(&ask)) {
            // A retry would give the same page.
            if more {
                self.notes.push(format!(
                    "page {} is empty, says that there is more and names a page that was read already, so it was taken for the \
                     last",
                    self.pages()
                ));
            }
            return Ok(None);
        }
        self.asked(ask).map(Some)
    }

    fn names_next(&self, hint: &Hint) -> bool {
        if let (Some(end), Some(next)) = (&self.options.end_value, &hint.next)
            && spelt(end) == spelt(next)
        {
            return false;
        }
        match &hint.next {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
            Some(_) => true,
        }
    }

    fn silent(&self, why: &str) -> Error {
        let path = self.options.has_more_path.as_deref().unwrap_or_default();
        Error::data(format!(
            "page {} does not say whether there is more: there is nothing at `pagination.has_more_path`, `{path}`: {why}",
            self.pages()
        ))
    }

    /// The next number, computed from what the server sent.
    fn counted(&mut self, count: u64, more: bool) -> Result<Option<Ask>> {
        let first_count = *self.first_count.get_or_insert(count);
        // A first page below `size` is either the only one, or that of a server that returns fewer at a time; the next
        // one shows.
        let is_short = self.options.last_page == LastPage::Short;
        self.is_probing = is_short && self.pages() == 1 && self.options.size.is_some_and(|size| count < size);
        let short = is_short && count < first_count;
        if !more && (count == 0 || short) {
            return Ok(None);
        }
        let step = match (self.options.kind, count) {
            (Paging::Page, _) => 1,
            _ if self.options.step == Step::Size => self.options.size.unwrap_or(1),
            (_, 0) => self.options.size.ok_or_else(|| {
                Error::data(format!(
                    "page {} is empty and says that there is more, but not how many records to go on by; name their number by \
                     `pagination.size`",
                    self.pages()
                ))
            })?,
            (_, count) => count,
        };
        self.number += step;
        let mut params = self.size();
        params.push((self.param(), Value::from(self.number)));
        Ok(Some(Ask { url: None, params }))
    }

    fn by_cursor(&mut self, hint: &Hint, count: u64) -> Result<Option<Ask>> {
        let Some(next) = hint.next.clone().filter(|_| self.names_next(hint)) else {
            self.note_unnamed(hint, count);
            return Ok(None);
        };
        let is_value = matches!(next, Value::String(_) | Value::Number(_));
        if !is_value && !(self.in_body() && (next.is_object() || next.is_array())) {
            let path = self.options.path.as_deref().unwrap_or_default();
            return Err(Error::data(format!(
                "page {} has {} at `pagination.path`, `{path}`, where the next value of `{}` was expected; name the text or \
                 number itself",
                self.pages(),
                if next == Value::Bool(true) { "`true`".to_owned() } else { outline(&next) },
                self.param()
            )));
        }
        let mut params = self.size();
        params.push((self.param(), next));
        Ok(Some(Ask { url: None, params }))
    }

    fn by_address(&mut self, hint: &Hint, count: u64, from: &Url) -> Result<Option<Ask>> {
        match &hint.next {
            Some(Value::String(next)) if !next.is_empty() => {
                Ok(Some(Ask { url: Some(self.address_of(next, from)?), params: Vec::new() }))
            }
            _ if !self.names_next(hint) => {
                self.note_unnamed(hint, count);
                Ok(None)
            }
            other => {
                let other = other.clone().unwrap_or_default();
                Err(Error::data(format!("the next page has no address: the response says `{other}`")))
            }
        }
    }

    /// If a first page with records does not have such a key at all, the path may be misspelled.
    fn note_unnamed(&mut self, hint: &Hint, count: u64) {
        if let Some(path) = &self.path
            && !hint.is_named
            && hint.has_more == More::Unasked
            && self.pages() == 1
            && count > 0
        {
            self.notes.push(format!(
                "the first page has nothing at `pagination.path`, `{}`, not even null, so it was taken for the only one; if \
                 there are more, correct the path",
                path.text()
            ));
        }
    }

    fn address_of(&mut self, next: &str, from: &Url) -> Result<Url> {
        let mut url = from
            .join(next)
            .map_err(|error| Error::data(format!("the next page has no valid address: {}", error.message)))?;
        if !url.is_tls() && url.secured().same_origin(&self.address) {
            // A server behind a proxy that ends TLS gives its own addresses this way.
            if self.pages() == 1 {
                self.notes.push("the server names its next pages by `http`; they were asked for by `https`".to_owned());
            }
            url = url.secured();
        }
        if !url.same_origin(&self.address) {
            let message = format!(
                "the next page is at another origin, `{}`, which would get this one's login; if the API is there, make that the \
                 step's (or the connection's) `url`",
                url.shown()
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
        Ok(url)
    }
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// Distinguishes one request from the others.
fn key(ask: &Ask) -> String {
    let url = ask.url.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{url} {:?}", ask.params)
}

/// What exists where a path matches nothing: the keys of the innermost object that it reaches.
fn surroundings(path: &str, json: &Value) -> String {
    let mut outer = path.trim();
    while let Some(place) = outer.rfind(['.', '[']) {
        outer = &outer[..place];
        if let Some(found) = Path::parse(outer).ok().and_then(|outer| outer.first(json).map(outline)) {
            let outer = if outer.is_empty() { "$" } else { outer };
            return format!("`{outer}` is {found}");
        }
    }
    format!("`$` is {}", outline(json))
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
