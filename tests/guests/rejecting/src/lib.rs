//! A writer that delivers nothing, and rejects the rows that have a `reason`.

use osiris_sdk::{Inputs, Result, Writer, context};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Config {
    ignore_errors: bool,
    bytes: usize,
    times: usize,
    malformed: bool,
}

struct Rejecting;

impl Writer for Rejecting {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        for records in inputs.only()?.read_json(&[])? {
            for record in records?.lines() {
                let mut row: Map<String, Value> = serde_json::from_str(record)?;
                let Some(Value::String(reason)) = row.remove("reason") else { continue };
                if config.bytes > 0 {
                    row.insert("padding".to_owned(), "x".repeat(config.bytes).into());
                }
                let text = if config.malformed { "{\"id\": ".to_owned() } else { serde_json::to_string(&row)? };
                for _ in 0..config.times {
                    let rejected = context::reject_json(&text, &reason);
                    if !config.ignore_errors {
                        rejected?;
                    }
                }
            }
        }
        Ok(())
    }
}

osiris_sdk::export!(Rejecting: writer);
