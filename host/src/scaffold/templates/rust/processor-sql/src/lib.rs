//! Counts the rows of the input by a column, inside DuckDB.

use osiris_sdk::{Inputs, Output, Processor, Result, sql};

#[derive(serde::Deserialize)]
struct Config {
    by: String,
}

struct Driver;

impl Processor for Driver {
    type Config = Config;

    fn transform(config: Config, inputs: Inputs, output: Output) -> Result<()> {
        sql::create_table(&output, "main", &query(&config.by, &inputs.only()?.sql_name()))?;
        Ok(())
    }
}

fn query(by: &str, source: &str) -> String {
    let by = by.replace('"', "\"\"");
    format!("select \"{by}\", count(*) as rows from {source} group by all order by all")
}

osiris_sdk::export!(Driver: processor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_quoted() {
        let expected = r#"select "a ""b""", count(*) as rows from "orders" group by all order by all"#;
        assert_eq!(query(r#"a "b""#, r#""orders""#), expected);
    }
}
