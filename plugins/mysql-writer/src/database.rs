//! The database of a table that is to be created.

use mysql_client::sql::{TableName, quote_name};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, ErrorKind, Result};

/// Makes sure that the database exists, if the table's name or `schema` names one.
///
/// # Errors
/// `not-found` for a missing database that is not to be created, `denied` if the user may not create it; the server's
/// error.
pub fn find<S: Stream>(client: &mut Client<S>, table: &TableName, creates: bool) -> Result<()> {
    // The connection's own database exists, or the connection names no database and the server asks for one.
    let Some(database) = &table.database else { return Ok(()) };
    // A database in which the user may do nothing is not shown.
    let visible = client.query("select schema_name from information_schema.schemata order by 1")?;
    let visible: Vec<String> = visible.into_iter().flatten().flatten().collect();
    if visible.contains(database) {
        return Ok(());
    }
    if !creates {
        let known: Vec<String> = visible.iter().take(30).map(|name| format!("`{name}`")).collect();
        return Err(Error::not_found(format!(
            "there is no database `{database}` that the user may see; there are: {}; `create_schema: true` creates a \
             missing one",
            known.join(", ")
        )));
    }
    let create = format!("create database if not exists {} character set utf8mb4", quote_name(database));
    match client.try_execute(&create)? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.kind() == ErrorKind::Denied => Err(Error::from(refusal).context(format!(
            "the user may not create database `{database}`; let an administrator run `grant all on {}.* to …`, or create \
             the database",
            quote_name(database)
        ))),
        Err(refusal) => Err(refusal.into()),
    }
}
