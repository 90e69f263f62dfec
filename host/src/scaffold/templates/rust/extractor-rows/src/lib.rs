//! Greets each name in the config.

use osiris_sdk::{Array, Extractor, Output, Result, context};

#[derive(serde::Deserialize)]
struct Config {
    names: Vec<String>,
}

struct Driver;

impl Extractor for Driver {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        context::info("greeting", &[("names", &config.names.len())]);
        let ids: Vec<i64> = (1..).take(config.names.len()).collect();
        let columns = vec![("id", Array::from(ids)), ("greeting", Array::from(greetings(&config.names)))];
        output.write_columns("main", columns)?;
        Ok(())
    }
}

fn greetings(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("hello {name}")).collect()
}

osiris_sdk::export!(Driver: extractor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_greeted() {
        assert_eq!(greetings(&["Ada".to_owned(), "Žofie".to_owned()]), ["hello Ada", "hello Žofie"]);
        assert!(greetings(&[]).is_empty());
    }
}
