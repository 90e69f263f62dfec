//! One file of the table: its schema, and how each of the table's columns is read from it.

use std::collections::BTreeMap;

use input_files::other_columns;
use osiris_sdk::files::{self, Source, Temporary};
use osiris_sdk::sql::{self, quote_name, quote_text};
use osiris_sdk::{Error, Result, context};

use crate::exact::{self, Decision, Finding};
use crate::schema::{Column, Risk, Schema};
use crate::{Config, expression, footer};

/// A file whose rows belong to the table.
pub struct Part {
    pub name: String,
    source: Source,
    place: footer::Place,
    pub schema: Schema,
    /// For each of the table's columns, its place in the file; `None` if the file does not have it.
    pub places: Vec<Option<usize>>,
    /// How each leaf of the schema is read, including those of columns that are not.
    pub decisions: Vec<Decision>,
    /// The most rows to read.
    pub limit: Option<u64>,
    /// The file with another footer, if a decision needs one.
    copy: Option<Temporary>,
}

/// DuckDB's reader for a file. Folders such as `day=1` in its path never become a column or replace one here.
pub fn reader(literal: &str) -> String {
    format!("read_parquet({literal}, hive_partitioning = false)")
}

/// The error with the name of the file.
pub fn named<T>(file: &str, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| error.context(format_args!("cannot read `{file}`")))
}

impl Part {
    /// # Errors
    /// `data` for a file that is not Parquet, is truncated or is encrypted.
    fn open(name: &str) -> Result<Self> {
        let source = files::open(name)?;
        let place = footer::find(&source, name)?;
        footer::check_encryption(&source, place)?;
        let literal = source.sql_literal();
        let schema = Schema::read(&literal, &reader(&literal))?;
        let decisions = vec![Decision::AsIs; schema.leaves.len()];
        Ok(Self {
            name: name.to_owned(),
            source,
            place,
            schema,
            places: Vec::new(),
            decisions,
            limit: None,
            copy: None,
        })
    }

    /// Opens the files, and chooses the table's columns.
    ///
    /// # Errors
    /// `data` for files whose columns differ unless they are united by name; `not-found` for a column that none has.
    pub fn open_all(config: &Config, names: &[String]) -> Result<(Vec<Self>, Vec<String>)> {
        let mut parts = Vec::with_capacity(names.len());
        for name in names {
            parts.push(named(name, Self::open(name))?);
        }
        let all = columns(config, &parts)?;
        let chosen = match &config.columns {
            None => all,
            Some(wanted) => {
                if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
                    let known: Vec<String> = all.iter().map(|column| format!("`{column}`")).collect();
                    let message = format!("there is no column `{unknown}`; there are: {}", known.join(", "));
                    return match names {
                        [name] => named(name, Err(Error::not_found(message))),
                        _ => Err(Error::not_found(message)),
                    };
                }
                wanted.clone()
            }
        };
        for part in &mut parts {
            let place = |name: &String| {
                let name = name.to_lowercase();
                part.schema.columns.iter().position(|column| column.name.to_lowercase() == name)
            };
            part.places = chosen.iter().map(place).collect();
        }
        set_limits(&mut parts, config.files.limit)?;
        Ok((parts, chosen))
    }

    /// The file's columns that are read, with their places in the table.
    pub fn columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        let own = |(place, own): (usize, &Option<usize>)| Some((place, &self.schema.columns[(*own)?]));
        self.places.iter().enumerate().filter_map(own)
    }

    /// The file as DuckDB reads it.
    pub fn literal(&self) -> String {
        self.copy.as_ref().map_or_else(|| self.source.sql_literal(), Temporary::sql_literal)
    }

    pub fn limit_clause(&self) -> String {
        self.limit.map_or_else(String::new, |limit| format!(" limit {limit}"))
    }

    /// Reports columns that have another name than in the file.
    pub fn report_renamed(&self) {
        for (_, column) in self.columns().filter(|(_, column)| column.name != column.own_name) {
            let sentence = format!(
                "column `{}` is called `{}` here: another column has its name, or one that differs by case alone",
                column.own_name, column.name
            );
            context::warn(&sentence, &[("column", &column.own_name), ("name", &column.name)]);
        }
    }

    /// What the leaves at risk contain, by their places in the schema.
    ///
    /// # Errors
    /// DuckDB's error, and `data` for a column whose leaves cannot be told apart.
    pub fn look(&self) -> Result<Vec<Finding>> {
        let is_risky = |column: &&Column| self.schema.leaves[column.leaves.clone()].iter().any(Option::is_some);
        let risky: Vec<&Column> = self.columns().map(|(_, column)| column).filter(is_risky).collect();
        if risky.is_empty() {
            return Ok(vec![Finding::default(); self.schema.leaves.len()]);
        }
        let mut risks: Vec<Option<Risk>> = vec![None; self.schema.leaves.len()];
        for column in &risky {
            risks[column.leaves.clone()].copy_from_slice(&self.schema.leaves[column.leaves.clone()]);
        }
        let readings: Vec<_> = risks.iter().map(|risk| risk.map(Risk::looked_at)).collect();
        let copy = footer::copy(&self.source, self.place, &self.name, &readings)?;
        let select = exact::select(&risky, &reader(&copy.sql_literal()), &self.limit_clause());
        exact::look(&select, &risky, &risks)
    }

    /// Makes the copy that the decisions need, if they need one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn prepare(&mut self) -> Result<()> {
        let readings: Vec<_> = self.decisions.iter().map(|decision| decision.reading()).collect();
        if readings.iter().any(Option::is_some) {
            self.copy = Some(footer::copy(&self.source, self.place, &self.name, &readings)?);
        }
        Ok(())
    }

    /// Whether the driver converts values itself.
    pub fn is_made_by_the_driver(&self) -> bool {
        self.decisions.iter().any(|decision| decision.is_made_by_the_driver())
    }

    /// The SQL of each of the table's columns in this file; `None` for one that it does not have.
    ///
    /// # Errors
    /// If DuckDB cannot read what the writer recorded.
    pub fn expressions(&self) -> Result<Vec<Option<String>>> {
        let recorded = recorded_types(&self.source.sql_literal())?;
        let mut expressions = vec![None; self.places.len()];
        for (place, column) in self.columns() {
            expressions[place] = Some(expression(column, recorded.get(&column.own_name)));
        }
        Ok(expressions)
    }
}

/// The columns of the table: those of the first file, or of all files in the order in which they first appear.
fn columns(config: &Config, parts: &[Part]) -> Result<Vec<String>> {
    let names = |part: &Part| part.schema.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let Some((first, rest)) = parts.split_first() else { return Ok(Vec::new()) };
    let mut columns = names(first);
    let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>();
    let mut known = lower(&columns);
    for part in rest {
        let names = names(part);
        if !config.files.union_by_name && lower(&names) != known {
            return Err(other_columns(&first.name, &columns, &part.name, &names));
        }
        for (name, lower) in names.iter().zip(lower(&names)) {
            if !known.contains(&lower) {
                columns.push(name.clone());
                known.push(lower);
            }
        }
    }
    Ok(columns)
}

/// Distributes the most rows to read among the files.
fn set_limits(parts: &mut [Part], limit: Option<u64>) -> Result<()> {
    let Some(mut left) = limit else { return Ok(()) };
    if let [part] = parts {
        part.limit = limit;
        return Ok(());
    }
    for part in parts {
        part.limit = Some(left);
        let counted = format!("select count(*)::bigint as rows from {}", reader(&part.source.sql_literal()));
        for batch in named(&part.name, sql::query(&counted))? {
            for row in named(&part.name, batch)?.each_row() {
                left = left.saturating_sub(u64::try_from(row.get::<i64>("rows")?).unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// The DuckDB types that filesystem.parquet_writer recorded in the file, by column.
fn recorded_types(literal: &str) -> Result<BTreeMap<String, String>> {
    let key = quote_text(parquet_types::METADATA_KEY);
    let select = format!("select decode(value) as types from parquet_kv_metadata({literal}) where key = {key}::blob");
    for batch in sql::query(&select)? {
        if let Some(text) = batch?.column_at(0).strings()?.get(0) {
            return Ok(serde_json::from_str(text).unwrap_or_default());
        }
    }
    Ok(BTreeMap::new())
}

/// An expression under a column's name.
pub fn aliased(expression: &str, name: &str) -> String {
    let name = quote_name(name);
    if expression == name { name } else { format!("{expression} as {name}") }
}
