//! `graphql.extractor`: reads the answer of a GraphQL query, page by page, into a table of typed columns.

mod ask;
mod catalog;
mod config;

use json_records::path::outline;
use json_records::{Options, Path, Records};
use osiris_sdk::http::PageGuard;
use osiris_sdk::{CatalogTable, Check, Discovery, Error, Extractor, Output, Result, context};
use serde_json::{Map, Value};

use ask::Api;
use config::{Access, Config};

struct GraphQl;

impl Extractor for GraphQl {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let pages = config.pagination_enabled.then(|| Pages::new(&config)).transpose()?;
        let data_path = Path::parse(&config.data_path)?;
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
        loop {
            guard.ask(&Value::Object(variables.clone()).to_string())?;
            let (answer, json) = api.ask(&config.query, config.operation_name.as_deref(), &variables)?;
            let next = match &pages {
                None => None,
                Some(pages) => pages.next(&json)?,
            };
            let shape = outline(&json);
            let found = data_path.records(json).ok_or_else(|| {
                Error::data(format!(
                    "the answer to `{}` has nothing at `data_path`, `{}`: it is {shape}",
                    answer.asked(),
                    data_path.text()
                ))
            })?;
            if !found.is_empty() {
                guard.got(&answer.bytes)?;
            }
            found.into_iter().try_for_each(|record| records.push(record))?;
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
        }
        context::metric("pages_read", guard.pages() as f64);
        context::metric("requests_sent", api.requests() as f64);
        records.finish()?;
        Ok(())
    }
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

    /// The next page's cursor, where there is one.
    fn next(&self, json: &Value) -> Result<Option<Value>> {
        let Some(info) = self.info.first(json) else {
            return Err(Error::data(format!(
                "an answer has nothing at `pagination_path`, `{}`: its `data` is {}",
                self.info.text(),
                outline(&json["data"])
            )));
        };
        match info.get(&self.has_next_field) {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false) | Value::Null) => return Ok(None),
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
        let (_, json) = api.ask("query { __typename }", None, &Map::new())?;
        let root = json["data"]["__typename"].as_str().unwrap_or("Query");
        Ok(format!("GraphQL at {}, query type `{root}`", api.address().shown()))
    }
}

impl Discovery for GraphQl {
    type Config = Access;

    fn discover(access: Access) -> Result<Vec<CatalogTable>> {
        let api = Api::new(&access)?;
        let asked = api.ask(catalog::QUERY, None, &Map::new());
        let (_, json) = asked.map_err(|error| error.context("cannot ask the API what it offers (introspection)"))?;
        Ok(catalog::tables(&json["data"]["__schema"]))
    }
}

osiris_sdk::export!(GraphQl: extractor + discovery + check);
