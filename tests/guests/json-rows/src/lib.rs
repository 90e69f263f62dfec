//! Reads its input as JSON records and writes them as a table of JSON records.

use std::collections::BTreeMap;

use osiris_sdk::{Array, Inputs, JsonReader, Output, Processor, Result, context, files, sql};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    types: BTreeMap<String, String>,
    columns: Vec<String>,
    select: Option<String>,
    records: Vec<String>,
    file: Option<String>,
    reject: Vec<serde_json::Value>,
    table: String,
}

struct JsonRows;

impl Processor for JsonRows {
    type Config = Config;

    fn transform(config: Config, inputs: Inputs, output: Output) -> Result<()> {
        let types: Vec<(&str, &str)> = config.types.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        let mut writer = output.create_json_table(&config.table, &types)?;
        if config.records.is_empty() {
            let reader: JsonReader = match &config.select {
                Some(select) => sql::query_json(select)?,
                None => {
                    let columns: Vec<&str> = config.columns.iter().map(String::as_str).collect();
                    inputs.only()?.read_json(&columns)?
                }
            };
            for records in reader {
                writer.append(&records?)?;
            }
        }
        for records in &config.records {
            writer.append(records)?;
        }
        writer.finish()?;
        for row in &config.reject {
            context::reject(row, "it is wrong")?;
        }
        let listed = config.file.map(|file| files::list(&file)).transpose()?.unwrap_or_default().join(", ");
        let attempt = Array::from(vec![i64::from(context::attempt())]);
        output.write_columns("about", vec![("attempt", attempt), ("files", Array::from(vec![listed]))])?;
        Ok(())
    }
}

osiris_sdk::export!(JsonRows: processor);
