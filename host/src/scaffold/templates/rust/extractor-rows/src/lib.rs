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
        let greetings: Vec<String> = config.names.iter().map(|name| format!("hello {name}")).collect();
        let ids: Vec<i64> = (1..).take(greetings.len()).collect();
        output.write_columns("main", vec![("id", Array::from(ids)), ("greeting", Array::from(greetings))]).map(drop)
    }
}

osiris_sdk::export!(Driver: extractor);

#[cfg(test)]
mod tests {
    use osiris_sdk::testing::Step;
    use serde_json::{Value, json};

    use super::*;

    fn rows(names: &[&str]) -> Vec<Value> {
        Step::new().config(json!({"names": names})).extract::<Driver>().rows("main")
    }

    #[test]
    fn each_name_is_greeted() {
        let expected = [json!({"id": 1, "greeting": "hello Ada"}), json!({"id": 2, "greeting": "hello Žofie"})];
        assert_eq!(rows(&["Ada", "Žofie"]), expected);
    }

    #[test]
    fn no_names_make_an_empty_table() {
        assert!(rows(&[]).is_empty());
    }
}
