//! Greets each name in the config.
use osiris_sdk::{Extractor, Output, Result};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Config {
    /// Whom to greet
    names: Vec<String>,
}

struct Hello;
impl Extractor for Hello {
    type Config = Config;
    fn extract(config: Config, output: Output) -> Result<()> {
        let greetings: Vec<String> = config.names.iter().map(|name| format!("hello {name}")).collect();
        output.write_columns("main", vec![("greeting", greetings.into())]).map(drop)
    }
}
osiris_sdk::export!(Hello: extractor);
#[cfg(test)]
mod tests;
