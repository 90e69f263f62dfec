//! The smallest driver: an extractor that makes a table of greetings.
use osiris_sdk::{Array, Extractor, Output, Result};

#[derive(serde::Deserialize)]
struct Config {
    names: Vec<String>,
}

struct Hello;

impl Extractor for Hello {
    type Config = Config;
    fn extract(config: Config, output: Output) -> Result<()> {
        let greetings: Vec<String> = config.names.iter().map(|name| format!("hello {name}")).collect();
        output.write_columns("main", vec![("greeting", Array::from(greetings))])?;
        Ok(())
    }
}

osiris_sdk::export!(Hello: extractor);
