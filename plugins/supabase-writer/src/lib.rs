//! `supabase.writer`: writes one input over PostgREST's HTTP API, in batches that are transactions.

mod culprit;
mod ddl;
mod keys;
mod replace;
mod rows;
mod step;
mod target;
mod verify;
mod write;

use conversions::LossPolicy;
use osiris_sdk::{Check, Error, Inputs, Result, Writer, context};
use postgrest::{Access, Api};
use serde::Deserialize;

use step::Step;

#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    access: Access,
    pub table: String,
    pub schema: Option<String>,
    pub mode: Mode,
    pub primary_key: Names,
    pub batch_rows: usize,
    pub batch_bytes: usize,
    pub one_request: bool,
    #[serde(default)]
    pub on_loss: LossPolicy,
    #[serde(default = "yes")]
    pub verify: bool,
    #[serde(default)]
    pub replace_cascade: bool,
    #[serde(default)]
    pub create_if_missing: bool,
}

fn yes() -> bool {
    true
}

/// Columns as a list, or as the name of the only one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    pub fn list(&self) -> &[String] {
        match self {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names,
        }
    }
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[serde(alias = "insert")]
    Append,
    Upsert,
    Replace,
}

struct Supabase;

impl Writer for Supabase {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let input = inputs.only()?;
        if config.primary_key.list().is_empty() && config.mode != Mode::Append {
            return Err(Error::config("`upsert` and `replace` need `primary_key`, the columns that tell rows apart"));
        }
        let api = Api::open(&config.access)?;
        let (columns, table) = target::columns(&config, &api, input)?;
        let ignores_case = |name: &str| {
            table.as_ref().and_then(|table| table.column(name)).is_some_and(postgrest::Column::ignores_case)
        };
        let key = keys::of(config.primary_key.list(), &columns, &ignores_case)?;
        if !key.is_empty() {
            keys::check(input, &key)?;
        }
        if let Some(table) = table.as_ref().filter(|_| config.mode == Mode::Replace) {
            replace::refuse_cascade(&config, &api, input, &key, table)?;
        }
        Step { config: &config, api: &api, input, columns: &columns, key: &key }.write()?;
        if config.mode == Mode::Replace {
            replace::delete_missing(&config, &api, input, &key)?;
        }
        context::metric("requests_sent", api.sent() as f64);
        Ok(())
    }
}

impl Check for Supabase {
    type Config = Access;

    fn check(access: Access) -> Result<String> {
        Ok(postgrest::version(&Api::open(&access)?.description()?))
    }
}

osiris_sdk::export!(Supabase: writer + check);
