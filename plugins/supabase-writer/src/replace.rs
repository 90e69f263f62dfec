//! `mode: replace`: deletes the rows whose key the input does not have, once all of the input's are there.

use osiris_sdk::sql::{query, quote_name, quote_text};
use osiris_sdk::{Error, ErrorKind, Input, Result, context};
use postgrest::{Api, content_range, fetch, filter};
use serde_json::Value;

use crate::{Config, rows};

/// Keys that are asked for at once; a server may give fewer.
const PAGE: u64 = 1000;

/// How long the filter of one DELETE may be: addresses beyond 8 kB are refused by many servers.
const FILTER_BYTES: usize = 3000;

/// Deletes what is in the table and not in the input, nothing before all keys were read and compared.
///
/// # Errors
/// `transient` where the table changed meanwhile, `data` where its keys do not compare with the input's.
pub fn delete_missing(config: &Config, api: &Api, input: &Input) -> Result<()> {
    let key = &config.primary_key;
    let types = key_types(input, key)?;
    let (mut missing, mut matched, mut seen) = (Vec::new(), 0, 0);
    loop {
        let (page, total) = read_keys(config, api, seen)?;
        let count = page.len() as u64;
        let gone = missing_of(input, key, &types, &page)?;
        matched += count - gone.len() as u64;
        seen += count;
        missing.extend(gone);
        if count == 0 || seen >= total {
            break;
        }
    }
    // Every row of the input was written, so each must have been met. Otherwise keys do not compare as they
    // should (a type that rounds, pads or folds them), and what is not met is not missing.
    if matched != input.rows() {
        return Err(Error::new(
            ErrorKind::Transient,
            format!(
                "the input's {} rows were written to `{}`, but {matched} of them are found there by their key: it was \
                 changed meanwhile, or its column has another type than the input's; nothing was deleted",
                input.rows(),
                config.table
            ),
        ));
    }
    for keys in chunks(&missing) {
        let (column, condition) = filter::one_of(key, keys);
        let request = api.table("DELETE", &config.table)?.header("prefer", "return=minimal").query(&column, &condition);
        fetch(request).map_err(|error| {
            error.context(format_args!("cannot delete rows that the input does not have; running again ends it"))
        })?;
    }
    context::metric("rows_deleted", missing.len() as f64);
    Ok(())
}

fn key_types(input: &Input, key: &[String]) -> Result<Vec<String>> {
    let columns = rows::columns(input)?;
    let kind = |name: &String| columns.iter().find(|column| column.name == *name).map(|column| column.kind.clone());
    Ok(key.iter().filter_map(kind).collect())
}

/// The keys of rows from `first` on, in the key's order, and how many there are.
fn read_keys(config: &Config, api: &Api, first: u64) -> Result<(Vec<Vec<String>>, u64)> {
    let names = filter::names(&config.primary_key);
    let request = api
        .table("GET", &config.table)?
        .header("range-unit", "items")
        .header("range", &format!("{first}-{}", first + PAGE - 1))
        .header("prefer", "count=exact")
        .query("select", &names)
        .query("order", &names);
    let answer = fetch(request)?;
    let total = content_range(&answer)?.total.unwrap_or_default();
    let rows: Vec<Value> = answer.json()?;
    let keys = rows.iter().map(|row| {
        let parts = config.primary_key.iter().map(|name| filter::text(&row[name.as_str()]));
        parts
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| Error::data(format!("`{}` has rows whose key is null; nothing was deleted", config.table)))
    });
    Ok((keys.collect::<Result<_>>()?, total))
}

/// Those keys that the input does not have, compared by DuckDB as the input's own types.
fn missing_of(input: &Input, key: &[String], types: &[String], page: &[Vec<String>]) -> Result<Vec<Vec<String>>> {
    if page.is_empty() {
        return Ok(Vec::new());
    }
    let row = |(place, parts): (usize, &Vec<String>)| {
        let parts: Vec<String> = parts.iter().map(|part| quote_text(part)).collect();
        format!("({place}, {})", parts.join(", "))
    };
    let values: Vec<String> = page.iter().enumerate().map(row).collect();
    let names: Vec<String> = (0..key.len()).map(|place| format!("k{place}")).collect();
    let same = key.iter().zip(types).enumerate();
    let same = same.map(|(place, (name, kind))| format!("i.{} = cast(v.k{place} as {kind})", quote_name(name)));
    let select = format!(
        "select v.place::bigint as place from (values {}) v(place, {}) where not exists (select 1 from {} i where {}) order by 1",
        values.join(", "),
        names.join(", "),
        input.sql_name(),
        same.collect::<Vec<_>>().join(" and ")
    );
    let mut missing = Vec::new();
    let rows = query(&select)
        .map_err(|error| error.context("cannot compare the table's keys with the input's; nothing was deleted"))?;
    for batch in rows {
        let batch = batch
            .map_err(|error| error.context("cannot compare the table's keys with the input's; nothing was deleted"))?;
        let places = batch.column_at(0).values::<i64>()?.into_owned();
        missing.extend(places.into_iter().filter_map(|place| page.get(usize::try_from(place).ok()?).cloned()));
    }
    Ok(missing)
}

/// Keys in groups whose filters are short enough for an address.
fn chunks(keys: &[Vec<String>]) -> impl Iterator<Item = &[Vec<String>]> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |key: &&Vec<String>| {
            // Three signs for each that an address encodes, and what stands around a value.
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
