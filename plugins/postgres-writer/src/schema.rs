//! The schema of a table that is to be created.

use osiris_sdk::{Error, ErrorKind, Result};
use postgres_client::sql::quote_name;
use postgres_client::{Client, Stream};

/// What the server answers to a user who may not create a schema.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// What it answers if another session created the schema meanwhile.
const EXISTS_ALREADY: [&str; 2] = ["42P06", "23505"];

/// Makes sure that the schema exists, in the open transaction.
///
/// # Errors
/// `not-found` for a missing schema that is not to be created, `denied` if the user may not create it; the server's
/// error.
pub fn find<S: Stream>(client: &mut Client<S>, schema: &str, creates: bool) -> Result<()> {
    let found = client.query_with("select from pg_catalog.pg_namespace where nspname = $1", &[Some(schema)])?;
    if !found.is_empty() {
        return Ok(());
    }
    if !creates {
        return Err(missing(client, schema)?);
    }
    let grant = client.value(
        "select pg_catalog.format('grant create on database %I to %I', pg_catalog.current_database(), current_user)",
    )?;
    match client.try_execute(&format!("create schema {}", quote_name(schema)))? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.code == INSUFFICIENT_PRIVILEGE => Err(Error::from(refusal).context(format!(
            "the user may not create schema `{schema}`; let the database's owner run `{}`, or create the schema",
            grant.unwrap_or_default()
        ))),
        Err(refusal) if EXISTS_ALREADY.contains(&refusal.code.as_str()) => Err(Error::new(
            ErrorKind::Transient,
            format!("another session created schema `{schema}` at the same time; run the step again"),
        )),
        Err(refusal) => Err(refusal.into()),
    }
}

fn missing<S: Stream>(client: &mut Client<S>, schema: &str) -> Result<Error> {
    let known = client.query(
        "select nspname from pg_catalog.pg_namespace where nspname <> 'information_schema' and nspname !~ '^pg_' and \
         pg_catalog.has_schema_privilege(oid, 'create') order by 1 limit 30",
    )?;
    let known: Vec<String> = known.into_iter().flatten().flatten().map(|name| format!("`{name}`")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Ok(Error::not_found(format!(
        "there is no schema `{schema}`; the user may create tables in: {known}; `create_schema: true` creates a missing one"
    )))
}
