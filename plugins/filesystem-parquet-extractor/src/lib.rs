//! `filesystem.parquet_extractor`: reads one Parquet file through DuckDB's own reader.

use osiris_sdk::sql::quote_name;
use osiris_sdk::{Error, Extractor, Output, Result, files, sql};

#[derive(Debug, serde::Deserialize)]
struct Config {
    path: String,
    columns: Option<Vec<String>>,
    limit: Option<u64>,
}

impl Config {
    /// The SELECT over `from`, the file's reader.
    fn select(&self, from: &str) -> String {
        let columns = match &self.columns {
            Some(columns) => columns.iter().map(|name| quote_name(name)).collect::<Vec<_>>().join(", "),
            None => "*".to_owned(),
        };
        let limit = self.limit.map_or_else(String::new, |limit| format!(" limit {limit}"));
        format!("select {columns} from {from}{limit}")
    }
}

struct ParquetExtractor;

impl Extractor for ParquetExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let from = format!("read_parquet({})", files::open(&config.path)?.sql_literal());
        let doing = |error: Error| error.context(format_args!("cannot read `{}`", config.path));
        let reader = sql::query(&format!("select columns(*)::varchar from {from} limit 0")).map_err(doing)?;
        for name in config.columns.iter().flatten() {
            reader.schema().find(name).map_err(doing)?;
        }
        sql::create_table(&output, "main", &config.select(&from)).map_err(doing)?;
        Ok(())
    }
}

osiris_sdk::export!(ParquetExtractor: extractor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_limit_become_sql() {
        let config = Config { path: String::new(), columns: Some(vec!["a\"b".into()]), limit: Some(3) };
        assert_eq!(config.select("f"), "select \"a\"\"b\" from f limit 3");
        assert_eq!(Config { columns: None, limit: None, ..config }.select("f"), "select * from f");
    }
}
