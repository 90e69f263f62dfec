//! `mode: replace`: replaces all old rows by the new ones, without changing a row of another table.
//!
//! A DELETE reaches other tables through foreign keys that cascade or set null. So if other tables refer to this one,
//! rows whose key remains are updated, and only rows that the input does not have and that nothing refers to are
//! deleted.

use database_client::Writing;
use osiris_sdk::{Error, Result, context};
use postgres_client::{Client, Stream};

use crate::arrival;
use crate::keys;
use crate::plan::Planned;
use crate::rows::Rows;
use crate::target::Target;

/// A foreign key of another table that refers to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    name: String,
    /// The referring table, quoted.
    table: String,
    /// The target's columns that it refers to.
    columns: Vec<String>,
    /// A condition that is true if `child` refers to `old`.
    joined: String,
    /// The action of a deletion on the referring rows, in SQL.
    on_delete: String,
    /// Whether a deletion or a new key changes or deletes referring rows.
    spreads: bool,
}

/// How the old rows are replaced.
#[derive(Debug)]
pub enum Replacement {
    /// All are deleted first.
    Empty(String),
    /// Those whose key remains are updated, the others deleted.
    Merge { key: Vec<String>, foreign_keys: Vec<ForeignKey>, refers_to_itself: bool },
}

/// Decides how the rows of an existing table are replaced.
///
/// # Errors
/// `data`, naming a foreign key through which rows of another table would change; the server's error.
pub fn decide<S: Stream>(
    client: &mut Client<S>,
    target: &Target,
    config: &Writing,
    columns: &[Planned],
) -> Result<Replacement> {
    if config.replace_cascade {
        return Ok(Replacement::Empty(format!("delete from {}", target.quoted())));
    }
    let foreign_keys = foreign_keys(client, target)?;
    let Some(first) = foreign_keys.iter().find(|key| key.spreads).or(foreign_keys.first()) else {
        return empty(client, target).map(Replacement::Empty);
    };
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    let key = sorted(&first.columns);
    let other = foreign_keys.iter().find(|other| other.spreads && sorted(&other.columns) != key);
    let missing = key.iter().find(|name| !columns.iter().any(|column| column.input.name == **name));
    match (other, missing) {
        (None, None) => {
            let refers_to_itself = client.value(&format!(
                "select exists (select from pg_catalog.pg_constraint where contype = 'f' and conrelid = {oid} and \
                 confrelid = {oid})",
                oid = target.oid
            ))?;
            let refers_to_itself = refers_to_itself.as_deref() == Some("t");
            let foreign_keys = foreign_keys.iter().filter(|key| key.spreads).cloned().collect();
            Ok(Replacement::Merge { key: first.columns.clone(), foreign_keys, refers_to_itself })
        }
        // The server refuses to delete rows that others refer to.
        _ if !first.spreads => Ok(Replacement::Empty(format!("delete from {}", target.alone()))),
        (Some(other), _) => Err(refused(
            other,
            &format!("and `{}` refers to other columns, so rows cannot be replaced one by one", first.name),
        )),
        (None, missing) => Err(refused(
            first,
            &format!(
                "and the input lacks column `{}`, by which rows could be replaced one by one",
                missing.map(String::as_str).unwrap_or_default()
            ),
        )),
    }
}

fn refused(key: &ForeignKey, why: &str) -> Error {
    Error::data(format!(
        "replacing the rows would change rows of {} by its foreign key `{}` ({}), {why}; write with `mode: upsert`, or \
         set `replace_cascade: true`, which lets them change",
        key.table, key.name, key.on_delete
    ))
}

/// Merges the rows into the old ones.
///
/// # Errors
/// `data`, naming a foreign key that refers to rows which the input does not have; the server's error.
pub fn merge<S: Stream>(
    client: &mut Client<S>,
    target: &Target,
    rows: &Rows<'_>,
    columns: &[Planned],
    foreign_keys: &[ForeignKey],
    refers_to_itself: bool,
) -> Result<()> {
    // A new referring row has to lock the row it refers to, so with this lock none can appear between the check and the
    // deletion.
    client.execute(&format!("lock table {} in exclusive mode", target.quoted()))?;
    let (alone, same, table) = (target.alone(), rows.same_key(), rows.table());
    let gone = format!("not exists (select from {table} as new where {same})");
    for key in foreign_keys {
        let shown: Vec<String> = key.columns.iter().map(|name| postgres_client::sql::quote_name(name)).collect();
        let shown: Vec<String> = shown.iter().map(|name| format!("old.{name}")).collect();
        let found = client.value(&format!(
            "select pg_catalog.concat_ws(', ', {}) from {alone} as old join {} as child on {} where {gone} limit 1",
            shown.join(", "),
            key.table,
            key.joined
        ))?;
        if let Some(row) = found {
            return Err(Error::data(format!(
                "replacing the rows would change rows of {} by its foreign key `{}` ({}): they refer to the row with \
                 {} = {row}, which the input does not have; keep it in the input, remove the rows that refer to it \
                 first, or set `replace_cascade: true`, which lets them change",
                key.table,
                key.name,
                key.on_delete,
                key.columns.join(", "),
            )));
        }
    }
    let names: Vec<String> = key_names(rows, columns);
    let unique = keys::has_unique_index(client, target, &names)?;
    let cleared: Vec<&str> = target
        .columns
        .iter()
        .filter(|own| !own.stays && !columns.iter().any(|column| column.input.name == own.name))
        .map(|own| own.name.as_str())
        .collect();
    let delete = format!("delete from {alone} as old where {gone}");
    // Rows that refer to rows of the same table must first refer to rows that remain.
    if refers_to_itself {
        arrival::upsert(client, target, rows, unique, &cleared)?;
    }
    client.execute(&delete)?;
    if refers_to_itself { Ok(()) } else { arrival::upsert(client, target, rows, unique, &cleared) }
}

fn key_names(rows: &Rows<'_>, columns: &[Planned]) -> Vec<String> {
    let quoted: Vec<String> = rows.key().collect();
    columns.iter().filter(|column| quoted.contains(&column.quoted())).map(|column| column.input.name.clone()).collect()
}

/// Empties the table within the transaction: by TRUNCATE if no trigger fires for deleted rows, the user has the
/// privilege, and no row security policy hides rows from the user, which TRUNCATE would delete too.
fn empty<S: Stream>(client: &mut Client<S>, target: &Target) -> Result<String> {
    let oid = target.oid;
    let may = client.value(&format!(
        "select pg_catalog.has_table_privilege({oid}, 'truncate') and not pg_catalog.row_security_active({oid}) and not exists (select from pg_catalog.pg_trigger \
         where tgrelid = {oid} and not tgisinternal)"
    ))?;
    let verb = if may.as_deref() == Some("t") { "truncate table" } else { "delete from" };
    Ok(format!("{verb} {}", target.alone()))
}

/// The foreign keys of other tables that refer to the target or to a partition of it.
fn foreign_keys<S: Stream>(client: &mut Client<S>, target: &Target) -> Result<Vec<ForeignKey>> {
    let tree = format!("(select {oid} union select relid from pg_catalog.pg_partition_tree({oid}))", oid = target.oid);
    let rows = client.query(&format!(
        "select con.conname, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
         string_agg(own.attname, chr(1) order by k.place), \
         string_agg(pg_catalog.format('child.%I = old.%I', other.attname, own.attname), ' and '), \
         case con.confdeltype when 'c' then 'on delete cascade' when 'n' then 'on delete set null' when 'd' then \
         'on delete set default' else 'on update ' || case con.confupdtype when 'c' then 'cascade' when 'n' then \
         'set null' when 'd' then 'set default' else 'no action' end end, \
         con.confdeltype in ('c', 'n', 'd') or con.confupdtype in ('c', 'n', 'd') \
         from pg_catalog.pg_constraint con join pg_catalog.pg_class c on c.oid = con.conrelid \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         cross join lateral unnest(con.conkey, con.confkey) with ordinality as k(child, own, place) \
         join pg_catalog.pg_attribute own on own.attrelid = con.confrelid and own.attnum = k.own \
         join pg_catalog.pg_attribute other on other.attrelid = con.conrelid and other.attnum = k.child \
         where con.contype = 'f' and con.conrelid not in {tree} and (con.confrelid = {oid} and not exists (select from \
         pg_catalog.pg_constraint p where p.oid = con.conparentid and p.confrelid = {oid}) or con.conparentid = 0 and \
         con.confrelid in {tree}) group by con.oid, con.conname, n.nspname, c.relname, con.confdeltype, con.confupdtype \
         order by 2, 1",
        oid = target.oid
    ))?;
    let keys = rows.into_iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(table), Some(columns), Some(joined), Some(on_delete), Some(spreads)] => Some(ForeignKey {
            name: name.clone(),
            table: table.clone(),
            columns: columns.split('\u{1}').map(str::to_owned).collect(),
            joined: joined.clone(),
            on_delete: on_delete.clone(),
            spreads: spreads == "t",
        }),
        _ => None,
    });
    Ok(keys.collect())
}

/// The statements that drop a table to create it again, and those that grant the old table's privileges on the new one.
///
/// # Errors
/// `config` for a table that cannot be recreated unchanged; the server's error.
pub fn recreate<S: Stream>(client: &mut Client<S>, target: &Target) -> Result<(String, Vec<String>)> {
    if target.is_partitioned {
        return Err(Error::config("`replace_by: recreate` cannot create the partitions of a partitioned table again"));
    }
    let rights = client.query(&format!(
        "select pg_catalog.format('grant %s on %I.%I to %s%s', a.privilege_type, n.nspname, c.relname, case a.grantee \
         when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end, case when \
         a.is_grantable then ' with grant option' else '' end) from pg_catalog.pg_class c join pg_catalog.pg_namespace n \
         on n.oid = c.relnamespace cross join lateral pg_catalog.aclexplode(c.relacl) a where c.oid = {} and a.grantee <> \
         c.relowner",
        target.oid
    ))?;
    context::warn(
        "the table is created again; its indexes, constraints, triggers and policies are gone",
        &[("table", &target.quoted())],
    );
    let rights = rights.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    Ok((format!("drop table {}", target.quoted()), rights))
}

/// Drops the table that is to be recreated.
///
/// # Errors
/// `config`, naming what depends on the table; the server's error.
pub fn drop_table<S: Stream>(client: &mut Client<S>, target: &Target, statement: &str) -> Result<()> {
    const DEPENDENT_OBJECTS: &str = "2BP01";
    match client.try_execute(statement)? {
        Ok(_) => Ok(()),
        Err(refused) if refused.code == DEPENDENT_OBJECTS => Err(Error::config(format!(
            "table {} cannot be created again, since other objects depend on it: {}; drop those first and create them \
             again afterwards, or leave out `replace_by: recreate`, which keeps the table and replaces its rows",
            target.quoted(),
            refused.detail.as_deref().unwrap_or(&refused.message).lines().collect::<Vec<_>>().join("; ")
        ))),
        Err(refused) => Err(refused.into()),
    }
}

/// Whether the config asks to recreate an existing table.
pub fn is_recreated(target: &Target, config: &Writing) -> bool {
    target.exists() && config.recreates()
}
