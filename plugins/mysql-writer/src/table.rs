//! The catalog's description of the target table: its columns, unique indexes and engine.

use mysql_client::sql::{TableName, quote_name, quote_text};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Result};

/// A column of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableColumn {
    pub name: String,
    /// The whole type, such as `int(10) unsigned` or `enum('a','B')`.
    pub kind: String,
    /// The character set of a text.
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub nullable: bool,
    /// Whether its values are JSON; MariaDB stores them as a text with a check constraint.
    pub json: bool,
    /// Whether the server computes its values, and accepts none.
    pub generated: bool,
    /// Whether a row that omits it gets null, or a generated number.
    pub absent_is_unique: bool,
}

/// A unique index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UniqueIndex {
    pub name: String,
    pub parts: Vec<IndexPart>,
}

/// A column of an index, or something other than a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexPart {
    Column(String),
    /// This many leading characters or bytes of a column.
    Prefix(String, u64),
    Expression,
}

impl IndexPart {
    /// The column that it uses; `None` for an expression.
    pub fn column(&self) -> Option<&str> {
        match self {
            IndexPart::Column(name) | IndexPart::Prefix(name, _) => Some(name),
            IndexPart::Expression => None,
        }
    }

    /// The compared value, in MySQL's SQL.
    pub fn sql(&self) -> Option<String> {
        match self {
            IndexPart::Column(name) => Some(quote_name(name)),
            IndexPart::Prefix(name, length) => Some(format!("left({}, {length})", quote_name(name))),
            IndexPart::Expression => None,
        }
    }
}

/// Whether MySQL treats two names as the same column: it ignores case, but not accents.
pub fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// `table_schema = … and table_name = …` for the catalog.
pub fn is_table(table: &TableName) -> String {
    format!("table_schema = {} and table_name = {}", table.database_sql(), quote_text(&table.table))
}

/// The table's columns in order; none if there is no such table.
///
/// # Errors
/// The server's error; `config` if there is a table whose name differs only in case.
pub fn columns<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<Vec<TableColumn>> {
    let rows = client.query(&format!(
        "select column_name, column_type, character_set_name, collation_name, extra, is_nullable, column_default from \
         information_schema.columns where {} order by ordinal_position",
        is_table(table)
    ))?;
    if rows.is_empty() {
        refuse_other_case(client, table)?;
    }
    let json = json_columns(client, table)?;
    let columns = rows.into_iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(kind), charset, collation, extra, nullable, default] => {
            let extra = extra.as_deref().unwrap_or_default().to_lowercase();
            let generated = extra.contains("virtual generated") || extra.contains("stored generated");
            // MariaDB writes a missing default as NULL.
            let no_default = default.as_deref().is_none_or(|text| text.eq_ignore_ascii_case("null"));
            Some(TableColumn {
                name: name.clone(),
                kind: kind.clone(),
                charset: charset.clone(),
                collation: collation.clone(),
                nullable: nullable.as_deref() == Some("YES"),
                json: kind.eq_ignore_ascii_case("json") || json.contains(name),
                generated,
                absent_is_unique: !generated
                    && (extra.contains("auto_increment") || (nullable.as_deref() == Some("YES") && no_default)),
            })
        }
        _ => None,
    });
    Ok(columns.collect())
}

/// The columns that a check constraint of MariaDB's restricts to JSON.
fn json_columns<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<Vec<String>> {
    if !client.is_mariadb() {
        return Ok(Vec::new());
    }
    let rows = client.query(&format!(
        "select constraint_name, check_clause from information_schema.check_constraints where {}",
        is_table(table).replace("table_schema", "constraint_schema")
    ))?;
    let names = rows.into_iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(clause)] if clause.starts_with("json_valid(") => Some(name.clone()),
        _ => None,
    });
    Ok(names.collect())
}

/// If table names are case-sensitive, a second table with nearly the same name is never intended.
fn refuse_other_case<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<()> {
    let similar = client.query(&format!(
        "select table_name from information_schema.tables where table_schema = {} and lower(table_name) = lower({})",
        table.database_sql(),
        quote_text(&table.table)
    ))?;
    let similar: Vec<String> = similar
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .map(|name| format!("`{name}`"))
        .collect();
    if similar.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "there is no table {}, but there is {}; this server tells letter case in names of tables apart \
         (`lower_case_table_names` is 0): write the name as it is",
        table.quoted(),
        similar.join(", ")
    )))
}

/// The table's unique indexes, including the primary key.
///
/// # Errors
/// The server's error.
pub fn unique_indexes<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<Vec<UniqueIndex>> {
    let rows = client.query(&format!(
        "select index_name, column_name, sub_part from information_schema.statistics where {} and non_unique = 0 order by \
         index_name, seq_in_index",
        is_table(table)
    ))?;
    let mut indexes: Vec<UniqueIndex> = Vec::new();
    for row in rows {
        let [Some(name), column, length] = row.as_slice() else { continue };
        let part = match (column, length.as_ref().and_then(|length| length.parse().ok())) {
            (Some(column), Some(length)) => IndexPart::Prefix(column.clone(), length),
            (Some(column), None) => IndexPart::Column(column.clone()),
            // An index over an expression has no column there.
            (None, _) => IndexPart::Expression,
        };
        match indexes.last_mut() {
            Some(last) if last.name == *name => last.parts.push(part),
            _ => indexes.push(UniqueIndex { name: name.clone(), parts: vec![part] }),
        }
    }
    Ok(indexes)
}

/// Refuses a table whose engine does not roll back a failed transaction completely.
///
/// # Errors
/// `config`, naming the engine; the server's error.
pub fn refuse_half_transactions<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<()> {
    let row = client.query(&format!(
        "select t.engine, e.transactions from information_schema.tables t left join information_schema.engines e on \
         e.engine = t.engine where {}",
        is_table(table)
    ))?;
    match row.first().map(Vec::as_slice) {
        Some([Some(engine), transactions]) if transactions.as_deref() != Some("YES") => Err(Error::config(format!(
            "table {} has the engine {engine}, which knows no transactions, so that a failure would leave it half \
             written; `alter table … engine = InnoDB` changes that",
            table.quoted()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_differ_by_accents_and_not_by_case() {
        assert!(same_name("ID", "id") && same_name("Ä", "ä") && !same_name("a", "ä"));
    }

    #[test]
    fn parts_of_an_index_are_compared_like_the_index() {
        assert_eq!(IndexPart::Column("a`b".to_owned()).sql().as_deref(), Some("`a``b`"));
        assert_eq!(IndexPart::Prefix("a".to_owned(), 3).sql().as_deref(), Some("left(`a`, 3)"));
        assert_eq!((IndexPart::Expression.sql(), IndexPart::Expression.column()), (None, None));
    }
}
