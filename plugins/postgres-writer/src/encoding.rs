//! Databases whose encoding is not UTF-8: which characters of the input they cannot store.

use std::collections::BTreeSet;

use conversions::{Column, Conversion, LossPolicy, characters, check_characters};
use osiris_sdk::{Error, Input, Result};
use postgres_client::sql::quote_text;
use postgres_client::{Client, Stream};

/// Encodings that lack no character: UTF-8, and SQL_ASCII, which stores any bytes.
const ANY_CHARACTER: [&str; 2] = ["UTF8", SQL_ASCII];

pub const SQL_ASCII: &str = "SQL_ASCII";

/// The encoding of the session's database.
///
/// # Errors
/// The server's error.
pub fn of_database<S: Stream>(client: &mut Client<S>) -> Result<String> {
    Ok(client.value("select pg_catalog.getdatabaseencoding()")?.unwrap_or_default())
}

/// Refuses values and names with characters that the database's encoding lacks, before anything is sent.
///
/// # Errors
/// `data` for the first of them, unless `policy` covers it; the server's error.
pub fn check<S: Stream>(
    client: &mut Client<S>,
    encoding: &str,
    input: &Input,
    columns: &[Column],
    policy: &LossPolicy,
    conversions: &mut [Conversion],
) -> Result<()> {
    if ANY_CHARACTER.contains(&encoding) {
        return Ok(());
    }
    let mut found = characters(input, columns)?;
    found.extend(columns.iter().flat_map(|column| column.name.chars()).filter(|one| !one.is_ascii()));
    let lacking = lacking(client, encoding, &found)?;
    if let Some(column) = columns.iter().find(|column| column.name.chars().any(|one| lacking.contains(&one))) {
        return Err(Error::data(format!(
            "the name of column `{}` has characters that the database's encoding {encoding} does not have; rename it in SQL",
            column.name
        )));
    }
    check_characters(input, columns, policy, encoding, (&found, &lacking), conversions)
}

/// The characters that the server cannot convert to its encoding. They are tried one by one in a function, since the
/// first failure ends any other statement. A server without PL/pgSQL refuses them as they arrive.
fn lacking<S: Stream>(client: &mut Client<S>, encoding: &str, found: &BTreeSet<char>) -> Result<BTreeSet<char>> {
    let may = "select exists (select from pg_catalog.pg_language where lanname = 'plpgsql' and \
               pg_catalog.has_language_privilege(oid, 'usage'))";
    if found.is_empty() || client.value(may)?.as_deref() != Some("t") {
        return Ok(BTreeSet::new());
    }
    client.execute(&format!(
        "create function pg_temp.osiris_lacking(codes text[]) returns setof text language plpgsql as $$ declare code text; \
         begin foreach code in array codes loop begin perform pg_catalog.convert(pg_catalog.decode(code, 'hex'), 'UTF8', {}); \
         exception when untranslatable_character then return next code; end; end loop; end $$",
        quote_text(encoding)
    ))?;
    let hex = |one: &char| one.to_string().bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let codes: Vec<String> = found.iter().map(hex).collect();
    let rows = client.query(&format!("select pg_temp.osiris_lacking('{{{}}}')", codes.join(",")))?;
    client.execute("drop function pg_temp.osiris_lacking(text[])")?;
    let refused: BTreeSet<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    Ok(found.iter().copied().filter(|one| refused.contains(&hex(one))).collect())
}
