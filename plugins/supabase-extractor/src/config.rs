//! The options of `supabase.extractor` in their alternative forms, and the query that they make.

use std::collections::BTreeMap;

use database_client::{Initial, Lookback, NullCursor, Replication, Selection};
use osiris_sdk::{Error, Result};
use postgrest::{Access, filter};
use record_cursor::CursorType;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub access: Access,
    table: Option<String>,
    #[serde(default)]
    tables: Vec<String>,
    columns: Option<Vec<String>>,
    select: Option<String>,
    #[serde(default)]
    filters: BTreeMap<String, Conditions>,
    #[serde(default)]
    filter: BTreeMap<String, Value>,
    order: Option<Order>,
    pub limit: Option<u64>,
    #[serde(default)]
    pub offset: u64,
    pub page_size: u64,
    pub dtype: BTreeMap<String, String>,
    #[serde(default)]
    replication: Replication,
    cursor: Option<String>,
    #[serde(default)]
    pub cursor_type: CursorType,
    /// Where the first incremental run starts.
    pub initial: Option<Value>,
    lookback: Option<Lookback>,
    #[serde(default)]
    pub null_cursor: NullCursor,
}

/// The condition on a column: one, or several that must all hold.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Conditions {
    One(String),
    All(Vec<String>),
}

/// Columns to order by: `id`, `at.desc`, or several, as a list or separated by commas.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Order {
    Text(String),
    List(Vec<String>),
}

/// PostgREST's operators, with which a condition starts.
const OPERATORS: [&str; 27] = [
    "eq",
    "gt",
    "gte",
    "lt",
    "lte",
    "neq",
    "like",
    "ilike",
    "match",
    "imatch",
    "in",
    "is",
    "isdistinct",
    "fts",
    "plfts",
    "phfts",
    "wfts",
    "cs",
    "cd",
    "ov",
    "sl",
    "sr",
    "nxr",
    "nxl",
    "adj",
    "not",
    "any",
];

impl Config {
    /// The table to read.
    ///
    /// # Errors
    /// `config` if none is named.
    pub fn table(&self) -> Result<&str> {
        match (&self.table, self.tables.as_slice()) {
            (Some(table), _) => Ok(table),
            (None, [only]) => Ok(only),
            _ => Err(Error::config("no `table` is named; a step reads one table")),
        }
    }

    /// The column that distinguishes new rows, if only those are read.
    ///
    /// # Errors
    /// `config` for options that do not go together, by the rules that all table extractors share.
    pub fn cursor(&self) -> Result<Option<&str>> {
        let selection = Selection {
            table: Some(self.table()?.to_owned()),
            limit: self.limit,
            replication: self.replication,
            cursor: self.cursor.clone(),
            initial: self.initial.as_ref().map(|value| Initial::Text(value.to_string())),
            lookback: self.lookback.clone(),
            ..Selection::default()
        };
        selection.check()?;
        if self.cursor.is_some() && self.offset > 0 {
            return Err(Error::config("`offset` would leave rows out of every increment; leave it out"));
        }
        Ok(self.cursor.as_deref())
    }

    /// The span that is read again, in the form that cursors of JSON records use.
    ///
    /// # Errors
    /// `config` for a number that JSON cannot hold.
    pub fn lookback(&self) -> Result<Option<Value>> {
        Ok(match &self.lookback {
            None => None,
            Some(Lookback::Number(digits)) => Some(serde_json::from_str(digits)?),
            Some(span) => Some(Value::from(span.to_string())),
        })
    }

    /// The order that the step requests; empty if it requests none.
    pub fn order(&self) -> Vec<String> {
        match &self.order {
            None => Vec::new(),
            Some(Order::List(columns)) => columns.clone(),
            Some(Order::Text(text)) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
        }
    }

    /// The part of the query that all pages have in common.
    ///
    /// # Errors
    /// `config` for `columns` beside `select`, and for an invalid filter.
    pub fn query(&self, order: &[String]) -> Result<Vec<(String, String)>> {
        let mut query = Vec::new();
        match (&self.columns, &self.select) {
            (Some(_), Some(_)) => {
                return Err(Error::config("`columns` and `select` both choose columns; keep one of them"));
            }
            (Some(columns), None) => query.push(("select".to_owned(), filter::names(columns))),
            (None, Some(select)) if select != "*" => query.push(("select".to_owned(), select.clone())),
            _ => {}
        }
        query.extend(self.conditions()?);
        if !order.is_empty() {
            query.push(("order".to_owned(), order.join(",")));
        }
        Ok(query)
    }

    /// The conditions of `filters` and `filter`.
    ///
    /// # Errors
    /// `config` for an invalid filter.
    pub fn conditions(&self) -> Result<Vec<(String, String)>> {
        let mut query = Vec::new();
        for (column, conditions) in &self.filters {
            match conditions {
                Conditions::One(condition) => query.push(parameter(column, condition)),
                Conditions::All(all) => query.extend(all.iter().map(|condition| parameter(column, condition))),
            }
        }
        for (column, value) in &self.filter {
            query.extend(conditions(column, value)?.iter().map(|condition| parameter(column, condition)));
        }
        Ok(query)
    }
}

/// A condition on a column; `or` and `and` are not columns.
fn parameter(column: &str, condition: &str) -> (String, String) {
    let is_logic = matches!(column, "or" | "and" | "not.or" | "not.and") && condition.starts_with('(');
    if is_logic { (column.to_owned(), condition.to_owned()) } else { filter::condition(column, condition) }
}

/// The conditions of a value in `filter`: a condition if it starts with an operator, else equality.
fn conditions(column: &str, value: &Value) -> Result<Vec<String>> {
    Ok(match value {
        Value::Null => vec!["is.null".to_owned()],
        Value::Bool(flag) => vec![format!("is.{flag}")],
        Value::Number(number) => vec![format!("eq.{number}")],
        Value::String(text) if is_condition(text) || text.starts_with('(') => vec![text.clone()],
        Value::String(text) => vec![format!("eq.{text}")],
        Value::Array(items) if items.iter().all(|item| item.as_str().is_some_and(is_condition)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Value::Array(items) => {
            let values: Option<Vec<String>> =
                items.iter().map(|item| filter::text(item).map(|text| filter::quoted(&text))).collect();
            let values = values.ok_or_else(|| {
                Error::config(format!("`filter` of `{column}`: a list cannot hold null, which equals nothing"))
            })?;
            vec![format!("in.({})", values.join(","))]
        }
        Value::Object(_) => {
            return Err(Error::config(format!(
                "`filter` of `{column}` is an object; write a condition (`gte.5`), a value, or a list of values"
            )));
        }
    })
}

fn is_condition(text: &str) -> bool {
    let word = text.split(['.', '(']).next().unwrap_or_default();
    word.len() < text.len() && OPERATORS.contains(&word)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(more: &str) -> Config {
        serde_json::from_str(&format!(r#"{{"page_size": 10, "dtype": {{}}, {more}}}"#)).unwrap()
    }

    #[test]
    fn conditions_and_values_become_a_query() {
        let filter = r#"{"a": "gte.5", "b": 7, "c": null, "d": "plain", "e": [1, "x,y"], "f": ["gt.1", "lt.9"], "g": true, "or": "(a.eq.1,b.eq.2)", "select": "eq.1"}"#;
        let query = config(&format!(r#""table": "t", "filter": {filter}, "order": "at.desc, id", "select": "*""#));
        let query: Vec<String> =
            query.query(&query.order()).unwrap().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            query,
            [
                "a=gte.5",
                "b=eq.7",
                "c=is.null",
                "d=eq.plain",
                r#"e=in.("1","x,y")"#,
                "f=gt.1",
                "f=lt.9",
                "g=is.true",
                "or=(a.eq.1,b.eq.2)",
                r#"and=("select".eq."1")"#,
                "order=at.desc,id"
            ]
        );
        assert!(config(r#""table": "t", "columns": ["a"], "select": "b""#).query(&[]).is_err());
        assert!(config(r#""table": "t", "filter": {"a": {}}"#).query(&[]).is_err());
    }

    #[test]
    fn exactly_one_table_is_read() {
        assert_eq!(config(r#""table": "t", "tables": ["a", "b"]"#).table().unwrap(), "t");
        assert_eq!(config(r#""tables": ["a"]"#).table().unwrap(), "a");
        assert!(config(r#""tables": ["a", "b"]"#).table().is_err());
    }
}
