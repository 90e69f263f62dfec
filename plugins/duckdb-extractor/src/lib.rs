//! `duckdb.extractor`: reads a table, or one SELECT, of a DuckDB file, inside DuckDB.

use osiris_sdk::sql::{create_table, quote_name};
use osiris_sdk::{CatalogTable, Error, Extractor, Output, Result, context, databases};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Config {
    path: String,
    table: Option<String>,
    query: Option<String>,
    columns: Option<Vec<String>>,
}

/// The most tables that an error lists.
const MOST_LISTED: usize = 20;

struct DuckDbExtractor;

impl Extractor for DuckDbExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let tables = databases::open(&config.path)?;
        let select = select(&config, &tables)?;
        let rows = create_table(&output, "main", &select)
            .map_err(|error| error.context(format!("cannot read `{}`", config.path)))?;
        context::info("read", &[("path", &config.path), ("rows", &rows)]);
        Ok(())
    }
}

/// The SELECT that the options stand for.
///
/// # Errors
/// `config` for options that exclude each other; `not-found` for a table or column that is not there, listing those that are.
fn select(config: &Config, tables: &[CatalogTable]) -> Result<String> {
    match (&config.table, &config.query) {
        (None, Some(query)) if config.columns.is_none() => Ok(query.clone()),
        (None, Some(_)) => Err(Error::config("`columns` goes with `table`; `query` names its columns itself")),
        (Some(name), None) => {
            let table = tables.iter().find(|table| is_named(table, name)).ok_or_else(|| {
                Error::not_found(format!("`{}` has no table `{name}`; {}", config.path, listed(tables)))
            })?;
            let columns = columns(table, config.columns.as_deref())?;
            let schema = table.schema.as_deref().unwrap_or("main");
            Ok(format!("select {columns} from {}.{}", quote_name(schema), quote_name(&table.name)))
        }
        (Some(_), Some(_)) => Err(Error::config("give `table` or `query`, not both")),
        (None, None) => Err(Error::config(format!("give `table` or `query`; {}", listed(tables)))),
    }
}

/// Whether `written`, such as `orders`, `sales.orders` or `"sa.les"."orders"`, names a table; DuckDB ignores the case.
fn is_named(table: &CatalogTable, written: &str) -> bool {
    let schema = table.schema.as_deref().unwrap_or("main");
    let spellings = |name: &str| [name.to_owned(), quote_name(name)];
    let tables = spellings(&table.name);
    let qualified =
        spellings(schema).into_iter().flat_map(|schema| tables.clone().map(|name| format!("{schema}.{name}")));
    let plain = tables.iter().filter(|_| schema.eq_ignore_ascii_case("main")).cloned();
    qualified.chain(plain).any(|spelling| spelling.eq_ignore_ascii_case(written))
}

fn columns(table: &CatalogTable, wanted: Option<&[String]>) -> Result<String> {
    let Some(wanted) = wanted else { return Ok("*".to_owned()) };
    let known = |name: &&String| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    if let Some(missing) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<String> = table.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        return Err(Error::not_found(format!(
            "table `{}` has no column `{missing}`; there are: {}",
            table.name,
            names.join(", ")
        )));
    }
    Ok(wanted.iter().map(|name| quote_name(name)).collect::<Vec<_>>().join(", "))
}

fn listed(tables: &[CatalogTable]) -> String {
    if tables.is_empty() {
        return "it has no tables (views are not read: write their SELECT as `query`)".to_owned();
    }
    let name = |table: &CatalogTable| match table.schema.as_deref() {
        None | Some("main") => format!("`{}`", table.name),
        Some(schema) => format!("`{schema}.{}`", table.name),
    };
    let mut names: Vec<String> = tables.iter().take(MOST_LISTED).map(name).collect();
    if tables.len() > MOST_LISTED {
        names.push(format!("and {} more", tables.len() - MOST_LISTED));
    }
    format!("its tables: {} (views are not read: write their SELECT as `query`)", names.join(", "))
}

osiris_sdk::export!(DuckDbExtractor: extractor);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use osiris_sdk::CatalogColumn;

    fn table(schema: &str, name: &str) -> CatalogTable {
        let column = |name: &str| CatalogColumn {
            name: name.to_owned(),
            source_type: "INTEGER".to_owned(),
            duckdb_type: "INTEGER".to_owned(),
            nullable: true,
        };
        CatalogTable {
            schema: Some(schema.to_owned()),
            name: name.to_owned(),
            columns: vec![column("id"), column("a b")],
            primary_key: Vec::new(),
            estimated_rows: None,
        }
    }

    fn config(table: Option<&str>, query: Option<&str>, columns: Option<&[&str]>) -> Config {
        let columns = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Config { path: "w".to_owned(), table: table.map(str::to_owned), query: query.map(str::to_owned), columns }
    }

    #[test]
    fn a_table_is_found_by_each_of_its_spellings() {
        let tables = [table("main", "orders"), table("sa.les", "Orders")];
        for written in ["orders", "ORDERS", "main.orders", "\"orders\""] {
            let found = select(&config(Some(written), None, None), &tables).unwrap();
            assert_eq!(found, "select * from \"main\".\"orders\"", "{written}");
        }
        let found = select(&config(Some("\"sa.les\".orders"), None, Some(&["A B"])), &tables).unwrap();
        assert_eq!(found, "select \"A B\" from \"sa.les\".\"Orders\"");
    }

    #[test]
    fn what_is_missing_is_listed() {
        let tables = [table("main", "orders"), table("sales", "items")];
        let message = select(&config(Some("order"), None, None), &tables).unwrap_err().message;
        assert!(message.contains("`orders`") && message.contains("`sales.items`"), "{message}");
        let message = select(&config(Some("orders"), None, Some(&["no"])), &tables).unwrap_err().message;
        assert!(message.contains("`a b`"), "{message}");
        for wrong in [
            config(None, None, None),
            config(Some("orders"), Some("select 1"), None),
            config(None, Some("select 1"), Some(&["id"])),
        ] {
            assert!(select(&wrong, &tables).is_err());
        }
    }
}
