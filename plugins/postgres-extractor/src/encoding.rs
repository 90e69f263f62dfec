//! Texts that the server cannot convert to UTF-8 from its database's encoding.

use osiris_sdk::sql::quote_name;
use osiris_sdk::{Error, ErrorKind, Result};
use postgres_client::types::Kind;
use postgres_client::{Client, Stream};

use crate::source::Source;

/// The error of a COPY, with the column that causes it and the remedy if the cause is a text that is not UTF-8: the
/// server names no column.
pub fn explained<S: Stream>(client: &mut Client<S>, source: &Source, error: Error) -> Error {
    if !matches!(error.kind, ErrorKind::Data) {
        return error;
    }
    // Whatever fails from here on, the first error is the one to report.
    find(client, source, &error).ok().flatten().unwrap_or(error)
}

fn find<S: Stream>(client: &mut Client<S>, source: &Source, error: &Error) -> Result<Option<Error>> {
    client.execute("rollback")?;
    let encoding = client.value("select pg_catalog.getdatabaseencoding()")?.unwrap_or_default();
    if encoding == "UTF8" {
        return Ok(None);
    }
    for (place, column) in source.columns.iter().enumerate().filter(|(_, column)| holds_text(&column.mapping.kind)) {
        let all = format!("select count(pg_catalog.convert_to(c{place}::text, 'UTF8')) from {}", source.rows());
        if client.query(&all).is_err_and(|refused| matches!(refused.kind, ErrorKind::Data)) {
            let name = quote_name(&column.name);
            let bytes = format!("convert_to({name}::text, '{encoding}')");
            let way_out = if encoding == "SQL_ASCII" {
                format!(
                    "a database of this encoding holds text of any encoding; read it in a `query` as what it is, such as \
                     LATIN1: convert_from(convert({bytes}, 'LATIN1', 'UTF8'), 'SQL_ASCII') as {name}"
                )
            } else {
                format!("read its bytes in a `query`: {bytes} as {name}")
            };
            return Ok(Some(Error::data(format!(
                "column `{}` has text that the server cannot convert from the database's encoding {encoding} to UTF-8 \
                 ({}); {way_out}",
                column.name, error.message
            ))));
        }
    }
    Ok(None)
}

fn holds_text(kind: &Kind) -> bool {
    match kind {
        Kind::Text | Kind::Json | Kind::Jsonb => true,
        Kind::List(item) => holds_text(item),
        _ => false,
    }
}
