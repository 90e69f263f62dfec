//! `mode: delete_insert`: deletes the rows that the input supersedes, without changing a row of another table.

use database_client::{Superseded, Writing};
use osiris_sdk::{Error, Result};
use postgres_client::sql::{quote_name, quote_names};
use postgres_client::{Client, Stream};

use crate::rows::Rows;
use crate::target::Target;

/// The code of `foreign_key_violation`.
const REFERRED: &str = "23503";

/// Deletes the superseded rows of an existing table.
///
/// # Errors
/// `data`, naming a foreign key through which rows of other tables, or others of the table, would change; the server's
/// error.
pub fn superseded<S: Stream>(client: &mut Client<S>, target: &Target, rows: &Rows<'_>, config: &Writing) -> Result<()> {
    let Some(superseded) = config.superseded() else { return Ok(()) };
    if !config.replace_cascade {
        refuse_spreading(client, target)?;
    }
    // Two writers that delete the same rows would each add their own. Readers are not affected.
    client.execute(&format!("lock table {} in share row exclusive mode", target.quoted()))?;
    match client.try_execute(&statement(target, rows, superseded))? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.code == REFERRED => Err(Error::from(refusal).context(
            "rows that other rows refer to cannot be deleted, not even to be inserted again; `mode: upsert` updates them \
             in place",
        )),
        Err(refusal) => Err(refusal.into()),
    }
}

fn statement(target: &Target, rows: &Rows<'_>, superseded: Superseded<'_>) -> String {
    let (alone, source) = (target.alone(), rows.source());
    match superseded {
        Superseded::Matching(columns) => {
            let same = columns.iter().map(|name| format!("old.{0} = new.{0}", quote_name(name)));
            format!(
                "delete from {alone} as old using (select distinct {} from {source}) as new where {}",
                quote_names(columns.iter().map(String::as_str)),
                same.collect::<Vec<_>>().join(" and ")
            )
        }
        Superseded::Between(column) => {
            // Not every type that has an order has the functions min and max.
            let column = quote_name(column);
            let end = |order: &str| format!("(select {column} from {source} order by {column} {order} limit 1)");
            format!("delete from {alone} as old where old.{column} between {} and {}", end("asc"), end("desc"))
        }
    }
}

/// Refuses a table whose deleted rows would take other rows with them, or change them.
fn refuse_spreading<S: Stream>(client: &mut Client<S>, target: &Target) -> Result<()> {
    let found = client.query(&format!(
        "select con.conname, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), case \
         con.confdeltype when 'c' then 'cascade' when 'n' then 'set null' else 'set default' end from \
         pg_catalog.pg_constraint con join pg_catalog.pg_class c on c.oid = con.conrelid join pg_catalog.pg_namespace n \
         on n.oid = c.relnamespace where con.contype = 'f' and con.confdeltype in ('c', 'n', 'd') and con.confrelid in \
         (select {oid} union select relid from pg_catalog.pg_partition_tree({oid})) order by 2, 1 limit 1",
        oid = target.oid
    ))?;
    let Some([Some(name), Some(table), Some(action)]) = found.first().map(Vec::as_slice) else { return Ok(()) };
    Err(Error::data(format!(
        "deleting rows could change rows of {table} by its foreign key `{name}` (on delete {action}), even if they are \
         inserted again; write with `mode: upsert`, or set `replace_cascade: true`, which lets them change"
    )))
}
