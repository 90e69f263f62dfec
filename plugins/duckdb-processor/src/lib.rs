//! `duckdb.processor`: transforms the step's inputs with SQL, inside DuckDB.

use std::collections::BTreeMap;

use osiris_sdk::{Error, Inputs, Output, Processor, Result, sql};

#[derive(serde::Deserialize)]
struct Config {
    query: Option<String>,
    queries: Option<BTreeMap<String, String>>,
}

impl Config {
    /// Each output table with its SELECT.
    fn tables(self) -> Result<BTreeMap<String, String>> {
        match (self.query, self.queries) {
            (Some(query), None) => Ok(BTreeMap::from([("main".to_owned(), query)])),
            (None, Some(queries)) if !queries.is_empty() => Ok(queries),
            (Some(_), Some(_)) => Err(Error::config("give `query` or `queries`, not both")),
            _ => Err(Error::config("give `query: select …`, or `queries: {table: select …}` for several tables")),
        }
    }
}

struct DuckDb;

impl Processor for DuckDb {
    type Config = Config;

    fn transform(config: Config, _inputs: Inputs, output: Output) -> Result<()> {
        for (table, select) in config.tables()? {
            sql::create_table(&output, &table, &select)
                .map_err(|error| error.context(format_args!("cannot make table `{table}`")))?;
        }
        Ok(())
    }
}

osiris_sdk::export!(DuckDb: processor);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn exactly_one_of_query_and_queries_is_accepted() {
        let config = |query: Option<&str>, queries: Option<&[(&str, &str)]>| Config {
            query: query.map(str::to_owned),
            queries: queries
                .map(|queries| queries.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect()),
        };
        assert_eq!(config(Some("select 1"), None).tables().unwrap()["main"], "select 1");
        assert_eq!(config(None, Some(&[("a", "select 1")])).tables().unwrap()["a"], "select 1");
        assert!(config(None, None).tables().is_err());
        assert!(config(None, Some(&[])).tables().is_err());
        assert!(config(Some("select 1"), Some(&[("a", "select 1")])).tables().is_err());
    }
}
