//! The options of a step that select what to read.

use database_client::{Replication, Selection};
use mysql_client::sql::{TableName, quote_name, quote_names};
use mysql_client::types::{Reading, TimeAs, Tinyint1};
use osiris_sdk::{Error, Result, context};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub connection: mysql_client::Config,
    #[serde(flatten)]
    pub selection: Selection,
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    #[serde(default)]
    pub tinyint1: Tinyint1,
    #[serde(default)]
    pub time: TimeAs,
    #[serde(default)]
    pub zero_dates: ZeroDates,
    /// The database of the table, if `table` names none.
    pub schema: Option<String>,
    /// How many rows to skip at the start of the table.
    pub offset: Option<u64>,
    /// The columns by which rows are ordered.
    pub order: Option<Order>,
}

/// The order of rows: `created_at desc, id`, or a list of such.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Order {
    One(String),
    Many(Vec<String>),
}

impl Order {
    /// The ORDER BY list, with quoted names.
    ///
    /// # Errors
    /// `config` for anything other than a column with `asc` or `desc`.
    fn sql(&self) -> Result<String> {
        let parts: Vec<&str> = match self {
            Order::One(text) => text.split(',').collect(),
            Order::Many(list) => list.iter().map(String::as_str).collect(),
        };
        let parts = parts.into_iter().map(|part| {
            let part = part.trim();
            let (name, direction) = match part.rsplit_once(char::is_whitespace) {
                Some((name, word)) if word.eq_ignore_ascii_case("desc") => (name.trim(), " desc"),
                Some((name, word)) if word.eq_ignore_ascii_case("asc") => (name.trim(), ""),
                _ => (part, ""),
            };
            let name = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).unwrap_or(name);
            if name.is_empty() {
                return Err(Error::config(
                    "`order` names no column; write columns, each with `asc` or `desc`: `created_at desc, id`",
                ));
            }
            Ok(format!("{}{direction}", quote_name(name)))
        });
        Ok(parts.collect::<Result<Vec<_>>>()?.join(", "))
    }
}

fn batch_size() -> usize {
    65_536
}

/// How to handle dates that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZeroDates {
    #[default]
    Error,
    Null,
}

impl Config {
    /// Checks that options go together, and gives `query` precedence over a `table` beside it.
    ///
    /// # Errors
    /// `config`, with the options that do not go together.
    pub fn checked(mut self) -> Result<Self> {
        if self.selection.query.is_some() && self.selection.table.take().is_some() {
            context::warn("`query` is read; `table` beside it has no effect", &[]);
        }
        self.selection.check()?;
        let in_order = self.offset.is_some_and(|offset| offset > 0) || self.order.is_some();
        if in_order && self.selection.query.is_some() {
            return Err(Error::config("`offset` and `order` go with `table`; write them into the `query`"));
        }
        let in_parts = self.selection.partitions.is_some_and(|count| count > 1);
        if in_order && (in_parts || self.selection.replication == Replication::Incremental) {
            return Err(Error::config(
                "`offset` and `order` go with a whole read by one connection: leave out `partitions`, and `replication: \
                 incremental`",
            ));
        }
        Ok(self)
    }

    pub fn reading(&self) -> Reading {
        Reading { tinyint1: self.tinyint1, time: self.time }
    }

    /// The rows to read, for use in `from {this}`.
    ///
    /// # Errors
    /// `config` for an invalid table name.
    pub fn rows(&self) -> Result<String> {
        if let Some(query) = self.selection.query() {
            return Ok(format!("(\n{query}\n) as source"));
        }
        Ok(self.table()?.quoted())
    }

    /// The table to read.
    ///
    /// # Errors
    /// `config` for an invalid table name, or one in another database than `schema`.
    pub fn table(&self) -> Result<TableName> {
        TableName::parse(self.selection.table.as_deref().unwrap_or_default())?.in_database(self.schema.as_deref())
    }

    /// A SELECT of the rows that satisfy the config's filter and `condition`.
    ///
    /// # Errors
    /// As for [`rows`](Self::rows).
    pub fn select(&self, what: Option<&str>, condition: Option<&str>) -> Result<String> {
        if let (Some(query), None, None) = (self.selection.query(), what, condition) {
            return Ok(query.to_owned());
        }
        let columns = self.selection.columns.as_ref().map(|names| quote_names(names.iter().map(String::as_str)));
        let what = what.map(str::to_owned).or(columns).unwrap_or_else(|| "*".to_owned());
        let filter = self.selection.filter.as_ref().map(|filter| format!("(\n{filter}\n)"));
        let conditions: Vec<String> = filter.into_iter().chain(condition.map(|text| format!("({text})"))).collect();
        let mut select = format!("select {what} from {}", self.rows()?);
        if !conditions.is_empty() {
            select += &format!(" where {}", conditions.join(" and "));
        }
        if let Some(order) = &self.order {
            select += &format!(" order by {}", order.sql()?);
        }
        match (self.selection.limit, self.offset.filter(|offset| *offset > 0)) {
            (Some(limit), None) => select += &format!(" limit {limit}"),
            // MySQL has no offset without a limit; its manual recommends this number.
            (limit, Some(offset)) => {
                select += &format!(" limit {} offset {offset}", limit.unwrap_or(u64::MAX));
            }
            (None, None) => {}
        }
        Ok(select)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config() -> Config {
        Config {
            connection: mysql_client::Config::default(),
            selection: Selection { table: Some("shop.orders".to_owned()), ..Selection::default() },
            batch_size: 1,
            tinyint1: Tinyint1::Boolean,
            time: TimeAs::Time,
            zero_dates: ZeroDates::Error,
            schema: None,
            offset: None,
            order: None,
        }
    }

    #[test]
    fn a_table_becomes_a_select() {
        let mut whole = config();
        whole.selection.columns = Some(vec!["id".to_owned(), "a`b".to_owned()]);
        whole.selection.filter = Some("id > 5 -- new ones".to_owned());
        whole.selection.limit = Some(3);
        assert_eq!(
            whole.select(None, None).unwrap(),
            "select `id`, `a``b` from `shop`.`orders` where (\nid > 5 -- new ones\n) limit 3"
        );
        whole.offset = Some(2);
        whole.order = Some(Order::One("id desc, `a b` ASC,c`d".to_owned()));
        let ends = " order by `id` desc, `a b`, `c``d` limit 3 offset 2";
        assert!(whole.select(None, None).unwrap().ends_with(ends), "{:?}", whole.select(None, None));
        whole.selection.limit = None;
        assert!(whole.select(None, None).unwrap().ends_with(" limit 18446744073709551615 offset 2"));
        assert!(whole.clone().checked().is_ok());
        assert!(
            Config { order: Some(Order::Many(vec!["id".to_owned(), " ".to_owned()])), ..config() }
                .select(None, None)
                .is_err()
        );
        whole.selection.partitions = Some(2);
        whole.selection.partition_on = Some("id".to_owned());
        assert!(whole.checked().is_err());
        let schema = |name: &str| Config { schema: Some(name.to_owned()), ..config() }.rows();
        assert_eq!(schema("shop").unwrap(), "`shop`.`orders`");
        assert!(schema("other").is_err());
        let selection = Selection { query: Some("select 1 ; \n".to_owned()), ..Selection::default() };
        let query = Config { selection, ..config() };
        assert_eq!(query.select(None, None).unwrap(), "select 1");
        assert_eq!(query.select(Some("1"), Some("x")).unwrap(), "select 1 from (\nselect 1\n) as source where (x)");
    }
}
