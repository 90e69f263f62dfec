//! `mode: replace`: deletes the rows whose key the input does not have, once all of the input's rows are written.

use conversions::SourceType;
use osiris_sdk::sql::{query, quote_text};
use osiris_sdk::{Error, ErrorKind, Input, Result, context};
use postgrest::{Api, Reference, Table, content_range, fetch, filter};
use serde_json::Value;

use crate::Config;
use crate::keys::Key;
use crate::rows::own;

/// The number of keys requested at once; a server may return fewer.
const PAGE: u64 = 1000;

/// The longest filter of one DELETE: many servers refuse addresses beyond 8 kB.
const FILTER_BYTES: usize = 3000;

/// Refuses to delete rows that other tables refer to, before anything is written.
///
/// # Errors
/// `data`, naming the row and the table that refers to it.
pub fn refuse_cascade(config: &Config, api: &Api, input: &Input, key: &[Key], table: &Table) -> Result<()> {
    if config.replace_cascade || table.referred_by.is_empty() {
        return Ok(());
    }
    let (missing, _) = compare(config, api, input, key)?;
    let Some(first) = missing.first() else { return Ok(()) };
    for reference in &table.referred_by {
        let referred = match key {
            [only] if only.name == reference.own_column => first_referred(api, reference, &missing)?,
            // The row's value of the other column is not known here.
            _ => Some(first.join("`, `")),
        };
        if let Some(value) = referred {
            let names: Vec<String> = key.iter().map(|key| format!("`{}`", key.name)).collect();
            return Err(Error::data(format!(
                "`replace` would delete the row with {} = `{value}` of `{}`, and rows of `{}` (`{}`) refer to it: they \
                 would be deleted or changed with it, or the delete would fail; nothing was written. \
                 `replace_cascade: true` deletes it all the same",
                names.join(", "),
                config.table,
                reference.table,
                reference.column
            )));
        }
    }
    Ok(())
}

/// The first of these keys that a row of another table refers to.
fn first_referred(api: &Api, reference: &Reference, keys: &[Vec<String>]) -> Result<Option<String>> {
    for keys in chunks(keys) {
        let (column, condition) = filter::one_of(std::slice::from_ref(&reference.column), keys);
        let request = api
            .table("GET", &reference.table)?
            .query("select", &format!("k0:{}::text", filter::name(&reference.column)))
            .query(&column, &condition)
            .query("limit", "1");
        let rows: Vec<Value> = fetch(request)?.json()?;
        if let Some(row) = rows.first() {
            return Ok(Some(filter::text(&row["k0"]).unwrap_or_default()));
        }
    }
    Ok(None)
}

/// Deletes the rows of the table that are not in the input, but only after all keys were read and compared.
///
/// # Errors
/// `transient` if the table changed meanwhile, `data` if its keys do not compare with the input's.
pub fn delete_missing(config: &Config, api: &Api, input: &Input, key: &[Key]) -> Result<()> {
    let (missing, matched) = compare(config, api, input, key)?;
    // Every row of the input was written, so each must have been found. Otherwise keys do not compare as they should (a
    // collation ignores differences, a type rounds them), and a key that was not found is not missing.
    if matched != input.rows() {
        return Err(Error::new(
            ErrorKind::Transient,
            format!(
                "the input's {} rows were written to `{}`, but {matched} of them are found there by their key: it was \
                 changed meanwhile, or its column compares or holds values otherwise than the input's; nothing was deleted",
                input.rows(),
                config.table
            ),
        ));
    }
    let names: Vec<String> = key.iter().map(|key| key.name.clone()).collect();
    for keys in chunks(&missing) {
        let (column, condition) = filter::one_of(&names, keys);
        let request = api.table("DELETE", &config.table)?.header("prefer", "return=minimal").query(&column, &condition);
        fetch(request).map_err(|error| {
            error.context(format_args!("cannot delete rows that the input does not have; running again ends it"))
        })?;
    }
    context::metric("rows_deleted", missing.len() as f64);
    Ok(())
}

/// The keys of the table that the input does not have, and how many it has.
fn compare(config: &Config, api: &Api, input: &Input, key: &[Key]) -> Result<(Vec<Vec<String>>, u64)> {
    let (mut missing, mut matched, mut seen) = (Vec::new(), 0, 0);
    loop {
        let (page, total) = read_keys(config, api, key, seen)?;
        let count = page.len() as u64;
        let gone = missing_of(input, key, &page)?;
        matched += count - gone.len() as u64;
        seen += count;
        missing.extend(gone);
        if count == 0 || seen >= total {
            return Ok((missing, matched));
        }
    }
}

/// The keys of rows from `first` on, in the key's order, as PostgreSQL's texts, and the total number of rows.
fn read_keys(config: &Config, api: &Api, key: &[Key], first: u64) -> Result<(Vec<Vec<String>>, u64)> {
    let texts: Vec<String> =
        key.iter().enumerate().map(|(place, key)| format!("k{place}:{}::text", filter::name(&key.name))).collect();
    let names: Vec<String> = key.iter().map(|key| key.name.clone()).collect();
    let request = api
        .table("GET", &config.table)?
        .header("range-unit", "items")
        .header("range", &format!("{first}-{}", first + PAGE - 1))
        .header("prefer", "count=exact")
        .query("select", &texts.join(","))
        .query("order", &filter::names(&names));
    let answer = fetch(request)?;
    let total = content_range(&answer)?.total.unwrap_or_default();
    let rows: Vec<Value> = answer.json()?;
    let keys = rows.iter().map(|row| {
        let parts = (0..key.len()).map(|place| filter::text(&row[format!("k{place}").as_str()]));
        parts
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| Error::data(format!("`{}` has rows whose key is null; nothing was deleted", config.table)))
    });
    Ok((keys.collect::<Result<_>>()?, total))
}

/// The keys that the input does not have; DuckDB compares them as the table does.
fn missing_of(input: &Input, key: &[Key], page: &[Vec<String>]) -> Result<Vec<Vec<String>>> {
    if page.is_empty() {
        return Ok(Vec::new());
    }
    let row = |(place, parts): (usize, &Vec<String>)| {
        let parts: Vec<String> = parts.iter().map(|part| quote_text(part)).collect();
        format!("({place}, {})", parts.join(", "))
    };
    let values: Vec<String> = page.iter().enumerate().map(row).collect();
    let names: Vec<String> = (0..key.len()).map(|place| format!("k{place}")).collect();
    let same = key.iter().enumerate().map(|(place, key)| {
        let written = match key.source {
            SourceType::Blob => format!("unhex(substr(v.k{place}, 3))"),
            ref kind => format!("cast(v.k{place} as {kind})"),
        };
        format!("{} = {}", key.as_compared(&format!("i.{}", own(&key.name))), key.as_compared(&written))
    });
    let select = format!(
        "select v.place::bigint as place from (values {}) v(place, {}) where not exists (select 1 from {} i where {}) order by 1",
        values.join(", "),
        names.join(", "),
        input.sql_name(),
        same.collect::<Vec<_>>().join(" and ")
    );
    let failed = |error: Error| error.context("cannot compare the table's keys with the input's; nothing was deleted");
    let mut missing = Vec::new();
    for batch in query(&select).map_err(failed)? {
        let places = batch.map_err(failed)?.column_at(0).values::<i64>()?.into_owned();
        missing.extend(places.into_iter().filter_map(|place| page.get(usize::try_from(place).ok()?).cloned()));
    }
    Ok(missing)
}

/// Keys in groups whose filters are short enough for an address.
pub fn chunks(keys: &[Vec<String>]) -> impl Iterator<Item = &[Vec<String>]> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |key: &&Vec<String>| {
            // Three characters for each one that an address encodes, and the text around a value.
            bytes += key.iter().map(|part| part.len() * 3 + 30).sum::<usize>();
            bytes <= FILTER_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (chunk, more) = rest.split_at(count);
        rest = more;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_deleted_in_groups_that_fit_an_address() {
        let keys: Vec<Vec<String>> = (0..1000).map(|n| vec![n.to_string()]).collect();
        let groups: Vec<usize> = chunks(&keys).map(<[_]>::len).collect();
        assert_eq!(groups.iter().sum::<usize>(), 1000);
        assert!(groups.iter().all(|&count| (1..=90).contains(&count)), "{groups:?}");
        let long = vec![vec!["x".repeat(5000)], vec!["y".into()]];
        assert_eq!(chunks(&long).map(<[_]>::len).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(chunks(&[]).count(), 0);
    }
}
