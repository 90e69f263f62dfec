//! The rows to read, as the server describes them.

use std::collections::BTreeSet;

use osiris_sdk::{Error, Result};
use postgres_client::types::{Kind, Mapping, Types};
use postgres_client::{Client, Described, Stream};

use crate::options::Config;

/// A SELECT and its columns, which are named by position inside it: `c0`, `c1`.
#[derive(Debug)]
pub struct Source {
    select: String,
    pub columns: Vec<SourceColumn>,
    /// Whether the SELECT reads one table unchanged, so that the table's properties of a column apply to the rows.
    pub is_table: bool,
}

#[derive(Debug)]
pub struct SourceColumn {
    pub name: String,
    pub mapping: Mapping,
    pub described: Described,
}

impl Source {
    /// Asks the server to describe what the config selects.
    ///
    /// # Errors
    /// The server's error about the SELECT; `config` for a SELECT without columns, or with two of the same name.
    pub fn find<S: Stream>(client: &mut Client<S>, config: &Config) -> Result<Self> {
        let select = config.select()?;
        let described = client
            .describe(&select)?
            .map_err(|refusal| refusal.in_statement(&select, config.selection.authored(&select)))?;
        if described.is_empty() {
            return Err(Error::config("it gives no columns; only a statement that gives rows can be read"));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = described.iter().find(|column| !names.insert(column.name.to_lowercase())) {
            return Err(Error::config(format!(
                "two columns are called `{}` (letter case does not tell columns apart in DuckDB); rename one in a \
                 `query` with `as`",
                twice.name
            )));
        }
        for name in config.array_dimensions.keys().chain(&config.selection.cursor).chain(&config.selection.partition_on)
        {
            if !described.iter().any(|column| column.name == *name) {
                let known: Vec<String> = described.iter().map(|column| format!("`{}`", column.name)).collect();
                return Err(Error::config(format!("there is no column `{name}`; there are: {}", known.join(", "))));
            }
        }
        let types = Types::read(client, described.iter().map(|column| column.type_oid))?;
        let depths = depths(client, &described, &types, config)?;
        let columns = described
            .into_iter()
            .zip(depths)
            .map(|(described, depth)| SourceColumn {
                name: described.name.clone(),
                mapping: types.mapping(described.type_oid, described.modifier, depth, config.numeric),
                described,
            })
            .collect();
        Ok(Self { select, columns, is_table: config.selection.table.is_some() })
    }

    /// The SELECT with its columns named by position, for use in `from {this}`.
    pub fn rows(&self) -> String {
        let names: Vec<String> = (0..self.columns.len()).map(|place| format!("c{place}")).collect();
        format!("(\n{}\n) as source ({})", self.select, names.join(", "))
    }

    /// The columns as they are copied, with a cast if the server's own binary form is not sufficient.
    pub fn casts(&self) -> String {
        let casts = self.columns.iter().enumerate().map(|(place, column)| match column.mapping.cast {
            Some(cast) => format!("c{place}::{cast}"),
            None => format!("c{place}"),
        });
        casts.collect::<Vec<_>>().join(", ")
    }

    /// All rows; or one of `count` disjoint parts, which together are all rows.
    pub fn select_all(&self, on: Option<&str>, index: u32, count: u32) -> String {
        let part = on.filter(|_| count > 1).and_then(|name| self.place(name)).map(|place| {
            let number = match self.columns[place].mapping.kind {
                Kind::Int2 | Kind::Int4 | Kind::Int8 => format!("c{place}::int8"),
                _ => format!("pg_catalog.hashtextextended(c{place}::text, 0)"),
            };
            // A remainder has the sign of its dividend; null has none.
            format!(" where coalesce((({number} % {count}) + {count}) % {count}, 0) = {index}")
        });
        format!("select {} from {}{}", self.casts(), self.rows(), part.unwrap_or_default())
    }

    /// The position of a column.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// The depth of each column's arrays: from the config, or else from the table's definition, or else one.
fn depths<S: Stream>(
    client: &mut Client<S>,
    described: &[Described],
    types: &Types,
    config: &Config,
) -> Result<Vec<usize>> {
    let mut depths = Vec::with_capacity(described.len());
    for column in described {
        let is_array = matches!(types.mapping(column.type_oid, column.modifier, 1, config.numeric).kind, Kind::List(_));
        let depth = match config.array_dimensions.get(&column.name) {
            Some(depth) => *depth,
            None if is_array && column.table != 0 => client
                .value(&format!(
                    "select attndims from pg_catalog.pg_attribute where attrelid = {} and attnum = {}",
                    column.table, column.attribute
                ))?
                .and_then(|text| text.parse().ok())
                .unwrap_or(1),
            None => 1,
        };
        depths.push(depth.clamp(1, 6));
    }
    Ok(depths)
}
