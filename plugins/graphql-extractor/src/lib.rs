//! `graphql.extractor`: reads the answer of a GraphQL query, page by page, into a table of typed columns.

mod ask;
mod catalog;
mod config;
mod unread;

use json_records::path::outline;
use json_records::{Options, Page, Path, Records, RecordsPath};
use osiris_sdk::http::PageGuard;
use osiris_sdk::{CatalogTable, Check, Discovery, Error, Extractor, Output, Result, context};
use serde_json::{Map, Value};

use ask::{Api, Told};
use config::{Access, Config, NullRecords};
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
        context::restore_secrets("variables", &mut variables)?;
        let mut variables = variables.as_object().cloned().unwrap_or_default();
        let mut records = Records::into_table(output, "main", &options, None)?;
        let api = Api::new(&config.access)?;
        let mut guard = PageGuard::new(u64::MAX);
        let mut nulls: u64 = 0;
        let mut unread = Unread::default();
        loop {
            guard.ask(&asked(&variables))?;
            let told = api.ask(&config.query, config.operation_name.as_deref(), &variables)?;
            let page = page(&data_path, &told)?;
            if let Some(json) = &told.json {
                unread.look(&json["data"], &mut vec!["data".to_owned()], pages.as_ref().map(|pages| &pages.info));
            }
            let next = pages.as_ref().map_or(Ok(None), |pages| pages.next(&told, page.sent))?;
            if page.sent > 0 {
                guard.got(&told.answer.bytes)?;
            }
            let is_empty = page.sent == 0;
            for (place, record) in page.records.into_iter().enumerate() {
                if !record.is_null() {
                    records.push(record)?;
                } else if config.null_records == NullRecords::Skip {
                    nulls += 1;
                } else {
                    return Err(Error::data(format!(
                        "record {} of page {} is null, where a record was expected; `null_records: skip` leaves such out and \
                         counts them",
                        place + 1,
                        guard.pages()
                    )));
                }
            }
            context::progress(records.records(), None);
            let (Some(pages), Some(cursor)) = (&pages, next) else { break };
            if config.max_pages > 0 && guard.pages() >= config.max_pages {
                context::warn(
                    "there are more pages than `max_pages`; the rest was not read",
                    &[("max_pages", &config.max_pages)],
                );
                break;
            }
            variables.insert(pages.variable.clone(), cursor);
            if is_empty && guard.was_asked(&asked(&variables)) {
                // Asking again would give the same.
                context::warn(
                    "a page is empty, says that there is more and names a page that was read already, so it was taken for the last",
                    &[("page", &guard.pages())],
                );
                break;
            }
        }
        unread.tell();
        if nulls > 0 {
            context::warn("nulls in place of records were left out", &[("count", &nulls)]);
        }
        context::metric("pages_read", guard.pages() as f64);
        context::metric("requests_sent", api.requests() as f64);
        records.finish()?;
        Ok(())
    }
}

/// What tells one page's request from the others.
fn asked(variables: &Map<String, Value>) -> String {
    Value::Object(variables.clone()).to_string()
}

/// The records of an answer. One without a body is an empty page.
fn page(data_path: &RecordsPath, told: &Told) -> Result<Page> {
    let Some(json) = &told.json else { return Ok(Page { records: Vec::new(), sent: 0 }) };
    data_path.page(json).ok_or_else(|| {
        Error::data(format!(
            "the answer to `{}` has nothing at `data_path`, `{}`: it is {}, its `data` {}",
            told.answer.asked(),
            data_path.text(),
            outline(json),
            outline(&json["data"])
        ))
    })
}

/// Where an answer says whether and how there is more.
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

    /// The next page's cursor, where there is one. A page of no records that says nothing is the last.
    fn next(&self, told: &Told, sent: usize) -> Result<Option<Value>> {
        let Some(json) = &told.json else { return Ok(None) };
        let Some(info) = self.info.first(json) else {
            if sent == 0 && self.info.leads(json) {
                return Ok(None);
            }
            return Err(Error::data(format!(
                "an answer has nothing at `pagination_path`, `{}`: its `data` is {}",
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
                "an answer says that there is another page, but not by which cursor: `{}.{}` is empty",
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
