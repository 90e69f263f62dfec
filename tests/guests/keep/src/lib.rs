//! Sets a state, creates files and warns according to its config, and outputs what it was given.

use osiris_sdk::bindings::osiris::driver::catalog::{Column, Table};
use osiris_sdk::bindings::osiris::driver::state;
use osiris_sdk::{Array, Discovery, Extractor, Output, Result, context, files};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Config {
    connection: Option<Value>,
    state: Option<String>,
    create: Vec<String>,
    warn: usize,
    body: Option<Value>,
}

struct Keep;

impl Extractor for Keep {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let earlier = state::get();
        for name in &config.create {
            files::create(name)?.write(b"new\n")?;
        }
        for number in 0..config.warn {
            context::warn("a column was left out", &[("column", &format!("c{number}")), ("rows", &12)]);
        }
        if let Some(text) = config.state {
            let text = match context::secret("key") {
                Some(key) => text.replace("SECRET", &key),
                None => text,
            };
            state::set(&text)?;
        }
        let mut body = config.body.unwrap_or_default();
        context::restore_secrets("body", &mut body);
        // The texts of secrets are output as their lengths, because no session may contain them.
        let password = context::secret("connection.password").unwrap_or_default().len();
        output.write_columns(
            "main",
            vec![
                ("earlier", Array::from(vec![earlier])),
                ("connection", Array::from(vec![config.connection.map(|value| value.to_string())])),
                ("body", Array::from(vec![shape(&body).to_string()])),
                ("password_bytes", Array::from(vec![i64::try_from(password).unwrap_or_default()])),
            ],
        )?;
        Ok(())
    }
}

/// The value with each text replaced by its length.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(text.len()),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), shape(field))).collect(),
        other => other.clone(),
    }
}

/// Finds as many tables with as many columns as the connection's `database` says: `3000x40`.
impl Discovery for Keep {
    type Config = Value;

    fn discover(config: Value) -> Result<Vec<Table>> {
        let wanted = config["connection"]["database"].as_str().and_then(|text| text.split_once('x'));
        let (tables, columns) = wanted.unwrap_or(("1", "1"));
        let column = |number| Column {
            name: format!("column {number}"),
            source_type: "character varying(255)".to_owned(),
            duckdb_type: "VARCHAR".to_owned(),
            nullable: true,
        };
        let columns: Vec<Column> = (0..columns.parse().unwrap_or(1)).map(column).collect();
        let table = |number| Table {
            schema: Some("public".to_owned()),
            name: format!("table {number:06}"),
            columns: columns.clone(),
            primary_key: Vec::new(),
            estimated_rows: None,
        };
        Ok((0..tables.parse().unwrap_or(1)).map(table).collect())
    }
}

osiris_sdk::export!(Keep: extractor + discovery);
