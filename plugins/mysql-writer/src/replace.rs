//! How `mode: replace` removes the old rows without changing rows of other tables that refer to them.
//!
//! The rows are deleted with foreign key checks off, so that no ON DELETE action runs, and the rows that refer to them
//! are then checked explicitly: each must find its row again among the new ones. Nobody else can add a reference before
//! the commit, because the deleted rows are locked.

use mysql_client::sql::{TableName, quote_name, quote_text};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Result, context};

use crate::column::Column;
use crate::staging::STAGING;
use crate::table::{is_table, same_name};

/// A foreign key of another table, whose rows refer to rows of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    constraint: String,
    table: TableName,
    /// The referring columns, each with the target's column that it refers to.
    columns: Vec<(String, String)>,
}

/// The foreign keys of other tables that refer to the table, as far as the user may see them.
///
/// # Errors
/// The server's error.
pub fn references<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<Vec<Reference>> {
    let rows = client.query(&format!(
        "select constraint_name, table_schema, table_name, column_name, referenced_column_name, table_schema = {database} \
         and table_name = {name} from information_schema.key_column_usage where referenced_table_schema = {database} and \
         referenced_table_name = {name} order by table_schema, table_name, constraint_name, ordinal_position",
        database = table.database_sql(),
        name = quote_text(&table.table)
    ))?;
    let mut references: Vec<Reference> = Vec::new();
    for row in rows {
        let [Some(constraint), Some(database), Some(name), Some(column), Some(referenced), is_own] = row.as_slice()
        else {
            continue;
        };
        // Rows that refer to rows of their own table are replaced with it.
        if is_own.as_deref() == Some("1") {
            continue;
        }
        let table = TableName { database: Some(database.clone()), table: name.clone() };
        let pair = (column.clone(), referenced.clone());
        match references.last_mut() {
            Some(last) if last.constraint == *constraint && last.table == table => last.columns.push(pair),
            _ => references.push(Reference { constraint: constraint.clone(), table, columns: vec![pair] }),
        }
    }
    Ok(references)
}

/// Deletes the table's rows in the open transaction.
///
/// # Errors
/// `data` if rows of other tables refer to rows that are not among the new ones, naming the constraint; the server's
/// error.
pub fn delete_rows<S: Stream>(
    client: &mut Client<S>,
    table: &TableName,
    columns: &[Column],
    references: &[Reference],
    cascade: bool,
) -> Result<()> {
    let delete = format!("delete from {}", table.quoted());
    if references.is_empty() {
        client.execute(&delete)?;
        return Ok(());
    }
    if cascade {
        // Only rows that are really gone matter; a row whose key is written again does not.
        for reference in references {
            client.execute(&format!("{delete} where {}", reference.is_missing(columns, &table.quoted(), false)))?;
        }
    }
    client.execute("set session foreign_key_checks = 0")?;
    client.execute(&delete)?;
    client.execute("set session foreign_key_checks = 1")?;
    for reference in references {
        let child = reference.table.quoted();
        let missing = reference.is_missing(columns, &child, true);
        let value = reference
            .columns
            .iter()
            .map(|(column, _)| format!("ifnull(cast({} as char), 'null')", quote_name(column)))
            .collect::<Vec<_>>()
            .join(", ', ', ");
        let found =
            client.value(&format!("select concat({value}) from {child} where {missing} limit 1 lock in share mode"))?;
        if let Some(value) = found {
            return Err(reference.refusal(table, &value));
        }
    }
    Ok(())
}

impl Reference {
    /// A condition on rows of `rows`: their value of the reference is not among the new rows.
    fn is_missing(&self, columns: &[Column], rows: &str, of_child: bool) -> String {
        let own = |pair: &(String, String)| format!("{rows}.{}", quote_name(if of_child { &pair.0 } else { &pair.1 }));
        let filled =
            self.columns.iter().map(|pair| format!("{} is not null", own(pair))).collect::<Vec<_>>().join(" and ");
        let is_written = |name: &str| columns.iter().any(|column| same_name(&column.name, name));
        if !self.columns.iter().all(|(_, referenced)| is_written(referenced)) {
            // New rows get generated values there, so no existing reference can match one.
            return filled;
        }
        let equal = self.columns.iter().map(|pair| format!("staged.{} = {}", quote_name(&pair.1), own(pair)));
        format!(
            "{filled} and not exists (select 1 from {STAGING} staged where {})",
            equal.collect::<Vec<_>>().join(" and ")
        )
    }

    /// The referenced columns, as an index on the staged rows.
    fn index(&self, columns: &[Column]) -> Option<String> {
        let names = self.columns.iter().map(|(_, referenced)| {
            columns.iter().any(|column| same_name(&column.name, referenced)).then(|| quote_name(referenced))
        });
        Some(format!("({})", names.collect::<Option<Vec<_>>>()?.join(", ")))
    }

    fn refusal(&self, table: &TableName, value: &str) -> Error {
        let columns = self.columns.iter().map(|(column, _)| format!("`{column}`")).collect::<Vec<_>>().join(", ");
        let referenced = self.columns.iter().map(|(_, column)| format!("`{column}`")).collect::<Vec<_>>().join(", ");
        Error::data(format!(
            "rows of table {child} refer to rows of {table} that are not in the input: {columns} is {value}, and no new \
             row has that {referenced} (foreign key `{constraint}`); nothing was replaced. Use `mode: upsert`, which deletes \
             nothing, or `replace_cascade: true`, which lets the foreign keys act on rows of other tables",
            child = self.table.quoted(),
            table = table.quoted(),
            constraint = self.constraint,
        ))
    }
}

/// Indexes the staged rows by the columns that other tables refer to.
///
/// # Errors
/// The server's error.
pub fn index_staging<S: Stream>(client: &mut Client<S>, references: &[Reference], columns: &[Column]) -> Result<()> {
    let mut indexes: Vec<String> = references.iter().filter_map(|reference| reference.index(columns)).collect();
    indexes.sort();
    indexes.dedup();
    for index in indexes {
        client.execute(&format!("alter table {STAGING} add index {index}"))?;
    }
    Ok(())
}

/// Warns about triggers that run for each deleted row, since they may change other tables.
///
/// # Errors
/// The server's error.
pub fn warn_of_triggers<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<()> {
    let condition =
        is_table(table).replace("table_schema", "event_object_schema").replace("table_name", "event_object_table");
    let rows = client.query(&format!(
        "select trigger_name from information_schema.triggers where {condition} and event_manipulation = 'DELETE'"
    ))?;
    let names: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    if !names.is_empty() {
        context::warn(
            "the table's triggers on DELETE run for every row that is deleted, and may change other tables",
            &[("triggers", &names.join(", ")), ("count", &names.len())],
        );
    }
    Ok(())
}

/// A new table with the input's own types, which replaces `table`.
#[derive(Debug)]
pub struct Successor {
    pub name: TableName,
    old: TableName,
}

impl Successor {
    /// Chooses names for the new table, and for the old one while it is being replaced.
    ///
    /// # Errors
    /// `data` if other tables refer to `table` by foreign keys; the server's error.
    pub fn plan<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<Self> {
        if let Some(reference) = references(client, table)?.first() {
            return Err(Error::data(format!(
                "table {} cannot be created again: table {} refers to it by the foreign key `{}`; drop that constraint \
                 first, or use `replace_by: rows`",
                table.quoted(),
                reference.table.quoted(),
                reference.constraint
            )));
        }
        let number = client.value("select uuid_short()")?.unwrap_or_default();
        let named =
            |what: &str| TableName { database: table.database.clone(), table: format!("_osiris_{what}_{number}") };
        Ok(Self { name: named("new"), old: named("old") })
    }

    /// Replaces `table` by the new table, in one step for all readers, and drops the old one.
    ///
    /// # Errors
    /// The server's error.
    pub fn take_place<S: Stream>(&self, client: &mut Client<S>, table: &TableName) -> Result<()> {
        self.warn_of_what_goes(client, table)?;
        let (new, old, place) = (self.name.quoted(), self.old.quoted(), table.quoted());
        client.execute(&format!("rename table {place} to {old}, {new} to {place}"))?;
        client.execute(&format!("drop table {old}"))?;
        Ok(())
    }

    /// Drops the new table, which nobody uses yet, after an error.
    pub fn forget<S: Stream>(&self, client: &mut Client<S>) {
        // If this fails too, the first error is the one to report.
        let _ = client.execute(&format!("drop table if exists {}", self.name.quoted()));
    }

    fn warn_of_what_goes<S: Stream>(&self, client: &mut Client<S>, table: &TableName) -> Result<()> {
        let condition = is_table(table);
        let triggers =
            condition.replace("table_schema", "event_object_schema").replace("table_name", "event_object_table");
        let rows = client.query(&format!(
            "select concat('index ', index_name) from information_schema.statistics where {condition} union select \
             concat('foreign key ', constraint_name) from information_schema.table_constraints where {condition} and \
             constraint_type = 'FOREIGN KEY' union select concat('trigger ', trigger_name) from \
             information_schema.triggers where {triggers}"
        ))?;
        let names: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
        if !names.is_empty() {
            context::warn(
                "the table is created again without what hung on the old one",
                &[("lost", &names.join(", ")), ("count", &names.len())],
            );
        }
        Ok(())
    }
}
