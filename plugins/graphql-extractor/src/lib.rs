//! `graphql.extractor`: reads the response to a GraphQL query, page by page, into a table of typed columns.

mod ask;
mod catalog;
mod config;
mod unread;

use json_records::path::outline;
use json_records::{Nulls, Options, Page, Path, Records, RecordsPath, Sink};
use osiris_sdk::http::PageGuard;
use osiris_sdk::{CatalogTable, Check, Discovery, Error, Extractor, Output, Result, context};
use serde_json::{Map, Value};

use ask::{Api, Told};
use config::{Access, Config};
use unread::Unread;

struct GraphQl;

impl Extractor for GraphQl {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let pages = config.pagination_enabled.then(|| Pages::new(&config)).transpose()?;
        let data_path = RecordsPath::parse(&config.data_path)?;
        let options = Options {
            flatten: config.flatten_result.then(|| config.flatten_separator.clone()),
            dtype: config.dtype.clone(),
            hold_bytes: config.hold_mb << 20,
        };
        let mut variables = Value::Object(config.variables.clone());
        context::restore_secrets("variables", &mut variables);
        let variables = variables.as_object().cloned().unwrap_or_default();
        let mut reading = Reading {
            api: Api::new(&config.access)?,
            records: Records::into_table(output, "main", &options, None)?,
            guard: PageGuard::new(u64::MAX),
            nulls: Nulls::new(config.null_records),
            unread: Unread::default(),
            config: &config,
            pages,
            data_path,
        };
        reading.run(variables)?;
        reading.finish()
    }
}

/// Reads all pages into the table.
struct Reading<'a, S: Sink> {
    config: &'a Config,
    api: Api<'a>,
    pages: Option<Pages>,
    data_path: RecordsPath,
    records: Records<S>,
    guard: PageGuard,
    nulls: Nulls,
    unread: Unread,
}

impl<S: Sink> Reading<'_, S> {
    fn run(&mut self, mut variables: Map<String, Value>) -> Result<()> {
        loop {
            self.guard.ask(&asked(&variables))?;
            let told = self.api.ask(&self.config.query, self.config.operation_name.as_deref(), &variables)?;
            let page = page(&self.data_path, &told)?;
            if let Some(json) = &told.json {
                let info = self.pages.as_ref().map(|pages| &pages.info);
                self.unread.look(&json["data"], &mut vec!["data".to_owned()], info);
            }
            let next = self.pages.as_ref().map_or(Ok(None), |pages| pages.next(&told, page.sent))?;
            let is_empty = page.sent == 0;
            self.take(page, &told)?;
            context::progress(self.records.records(), None);
            let (Some(pages), Some(cursor)) = (&self.pages, next) else { return Ok(()) };
            let max_pages = self.config.max_pages;
            if max_pages > 0 && self.guard.pages() >= max_pages {
                context::warn(
                    "there are more pages than `max_pages`; the rest was not read",
                    &[("max_pages", &max_pages)],
                );
                return Ok(());
            }
            variables.insert(pages.variable.clone(), cursor);
            if is_empty && self.guard.was_asked(&asked(&variables)) {
                // A retry would give the same response.
                context::warn(
                    "a page is empty, says that there is more and names a page that was read already, so it was taken for the last",
                    &[("page", &self.guard.pages())],
                );
                return Ok(());
            }
        }
    }

    fn take(&mut self, page: Page, told: &Told) -> Result<()> {
        if page.sent > 0 {
            self.guard.got(&told.answer.bytes)?;
        }
        for (place, record) in page.records.into_iter().enumerate() {
            let number = self.guard.pages();
            if !self.nulls.leave_out(&record, || format!("record {} of page {number}", place + 1))? {
                self.records.push(record)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.unread.tell();
        self.nulls.warn();
        context::metric("pages_read", self.guard.pages() as f64);
        context::metric("requests_sent", self.api.requests() as f64);
        self.records.finish()?;
        Ok(())
    }
}

/// Distinguishes one page's request from the others.
fn asked(variables: &Map<String, Value>) -> String {
    Value::Object(variables.clone()).to_string()
}

/// The records of a response. One without a body is an empty page.
fn page(data_path: &RecordsPath, told: &Told) -> Result<Page> {
    let Some(json) = &told.json else { return Ok(Page { records: Vec::new(), sent: 0 }) };
    data_path.page(json).ok_or_else(|| {
        Error::data(format!(
            "the response to `{}` has nothing at `data_path`, `{}`: it is {}, its `data` {}",
            told.answer.asked(),
            data_path.text(),
            outline(json),
            outline(&json["data"])
        ))
    })
}

/// Where a response says whether and how there is more.
struct Pages {
    info: Path,
    cursor_field: String,
    has_next_field: String,
    variable: String,
}

impl Pages {
    fn new(config: &Config) -> Result<Self> {
        let variable = config.pagination_variable_name.clone();
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let used =
            config.query.split('$').skip(1).any(|rest| rest.split(|c| !name(c)).next() == Some(variable.as_str()));
        if !used {
            return Err(Error::config(format!(
                "`query` does not use `${variable}`, so it would give the first page for ever; take it as a variable, such as \
                 `query (${variable}: String) {{ items(after: ${variable}) … }}`, or name another by `pagination_variable_name`"
            )));
        }
        Ok(Self {
            info: Path::parse(&config.pagination_path)?,
            cursor_field: config.pagination_cursor_field.clone(),
            has_next_field: config.pagination_has_next_field.clone(),
            variable,
        })
    }

    /// The next page's cursor, if there is one. A page without records and without information about a next page is the
    /// last.
    fn next(&self, told: &Told, sent: usize) -> Result<Option<Value>> {
        let Some(json) = &told.json else { return Ok(None) };
        let Some(info) = self.info.first(json) else {
            if sent == 0 && self.info.leads(json) {
                return Ok(None);
            }
            return Err(Error::data(format!(
                "a response has nothing at `pagination_path`, `{}`: its `data` is {}",
                self.info.text(),
                outline(&json["data"])
            )));
        };
        match info.get(&self.has_next_field) {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Ok(None),
            Some(Value::Null) if sent == 0 => return Ok(None),
            _ => {
                return Err(Error::data(format!(
                    "`{}.{}` does not say true or false: it is {}",
                    self.info.text(),
                    self.has_next_field,
                    outline(info)
                )));
            }
        }
        match info.get(&self.cursor_field) {
            Some(cursor @ (Value::String(_) | Value::Number(_))) => Ok(Some(cursor.clone())),
            _ => Err(Error::data(format!(
                "a response says that there is another page, but not by which cursor: `{}.{}` is empty",
                self.info.text(),
                self.cursor_field
            ))),
        }
    }
}

impl Check for GraphQl {
    type Config = Access;

    fn check(access: Access) -> Result<String> {
        let api = Api::new(&access)?;
        let json = api.ask("query { __typename }", None, &Map::new())?.json()?;
        let root = json["data"]["__typename"].as_str().unwrap_or("Query");
        Ok(format!("GraphQL at {}, query type `{root}`", api.address().shown()))
    }
}

impl Discovery for GraphQl {
    type Config = Access;

    fn discover(access: Access) -> Result<Vec<CatalogTable>> {
        let api = Api::new(&access)?;
        let asked = api.ask(catalog::QUERY, None, &Map::new());
        let told = asked.map_err(|error| error.context("cannot ask the API what it offers (introspection)"))?;
        let json = told.json()?;
        Ok(catalog::tables(&json["data"]["__schema"]))
    }
}

osiris_sdk::export!(GraphQl: extractor + discovery + check);
