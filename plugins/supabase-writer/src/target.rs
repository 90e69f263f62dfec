//! The input's columns, matched with the table's and checked against their types.

use conversions::{SourceType, TargetType, check_input, input_columns, jsonb_loss};
use osiris_sdk::sql::{json_text, not_finite, query};
use osiris_sdk::{Error, ErrorKind, Input, Result, context};
use postgrest::{Api, Table, fetch, target_type};

use crate::rows::{Column, own};
use crate::{Config, ddl};

/// The columns to write, and the table as far as it is known.
///
/// # Errors
/// `not-found` for a table or a column that does not exist, `data` for values that the table's types cannot hold.
pub fn columns(config: &Config, api: &Api, input: &Input) -> Result<(Vec<Column>, Option<Table>)> {
    let source = input_columns(input)?;
    config.on_loss.check(source.iter().map(|(name, _)| name.as_str()))?;
    let Some(table) = find(config, api, &source)? else {
        return Ok((unchecked(source), None));
    };
    let columns = source.into_iter().map(|(name, kind)| {
        let target = table.column(&name).ok_or_else(|| unknown(config, &table, &name))?;
        Ok(Column {
            expression: own(&name),
            source: kind,
            target: target_type(target),
            target_name: target.type_name(),
            hides_digits: target.hides_digits(),
            is_required: target.is_required,
            name,
        })
    });
    let mut columns: Vec<Column> = columns.collect::<Result<_>>()?;
    let checked: Vec<conversions::Column> = columns
        .iter()
        .map(|column| conversions::Column {
            name: column.name.clone(),
            source: column.source.clone(),
            target: column.target.clone(),
            target_name: column.target_name.clone(),
        })
        .collect();
    let conversions = check_input(input, &checked, &config.on_loss)?;
    for (column, conversion) in columns.iter_mut().zip(conversions) {
        column.expression = conversion.expression;
        check_json(config, input, column)?;
        check_array(input, column)?;
    }
    Ok((columns, Some(table)))
}

/// The table; `None` if the step does not want it to be checked.
fn find(config: &Config, api: &Api, source: &[(String, SourceType)]) -> Result<Option<Table>> {
    let description = match api.description() {
        Ok(description) => description,
        Err(_) if !config.verify => return Ok(None),
        Err(error) => {
            return Err(error.context(
                "cannot read the API's description, by which values are checked before they are written (a key that \
                 may read it, usually `service_role`, is needed; `verify: false` writes without any check)",
            ));
        }
    };
    if let Some(table) = Table::find(&description, &config.table) {
        return Ok(Some(table));
    }
    let probe = api.table("GET", &config.table)?.query("limit", "0");
    match fetch(probe) {
        Err(error) if matches!(error.kind, ErrorKind::NotFound) => {
            let why = if config.create_if_missing { "`create_if_missing` cannot help: " } else { "" };
            let create = ddl::create_table(config.schema.as_deref(), &config.table, source, config.primary_key.list());
            Err(Error::not_found(format!(
                "{}; {why}the API cannot create tables. Run this once, in the project's SQL editor: {create}",
                error.message
            )))
        }
        Err(error) => Err(error),
        Ok(_) if !config.verify => Ok(None),
        Ok(_) => Err(Error::config(format!(
            "the API's description does not tell the columns of `{}` to this key, so values cannot be checked before \
             they are written; `verify: false` writes without any check",
            config.table
        ))),
    }
}

fn unchecked(source: Vec<(String, SourceType)>) -> Vec<Column> {
    context::warn("`verify: false`: values are written without being checked against the table's types", &[]);
    let column = |(name, source): (String, SourceType)| Column {
        expression: own(&name),
        source,
        target: TargetType::Opaque,
        target_name: "of an unknown type".to_owned(),
        hides_digits: false,
        is_required: false,
        name,
    };
    source.into_iter().map(column).collect()
}

fn unknown(config: &Config, table: &Table, name: &str) -> Error {
    let other_case = table.columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase());
    if let Some(other) = other_case {
        return Error::not_found(format!(
            "`{}` has no column `{name}`, but one whose name differs by case alone: `{}`; rename it in SQL",
            config.table, other.name
        ));
    }
    let known: Vec<String> = table.columns.iter().map(|column| format!("`{}`", column.name)).collect();
    Error::not_found(format!(
        "`{}` has no column `{name}`; it has: {}; add it to the table, or leave it out in SQL",
        config.table,
        known.join(", ")
    ))
}

/// JSON has neither NaN nor infinities, and PostgREST turns a JSON null at the top of a value into an SQL null.
fn check_json(config: &Config, input: &Input, column: &Column) -> Result<()> {
    if column.target != TargetType::Json {
        return Ok(());
    }
    let kind = column.source.to_string();
    if let Some(lost) = not_finite(&column.expression, &kind)? {
        let count = count(input, &lost)?;
        if let Some((row, value)) = first(input, &column.expression, &lost)?
            && config.on_loss.of(&column.name) != conversions::OnLoss::Null
        {
            return Err(Error::data(format!(
                "column `{}`, row {row}: `{value}` holds NaN or an infinity, which {} cannot hold ({count} rows have \
                 such values); `on_loss: null` writes null in their place",
                column.name, column.target_name
            )));
        }
        warn(column, count, "NaN and infinities became null, since JSON has none");
    }
    // Names and texts may contain a NUL character, and JSON may also contain a key twice.
    if column.target_name == "jsonb" && ["JSON", "VARCHAR", "ENUM"].iter().any(|text| kind.contains(text)) {
        check_jsonb(input, column, &kind)?;
    }
    if column.source == SourceType::Json {
        let is_null = format!("json_type({}) = 'NULL'", column.expression);
        warn(column, count(input, &is_null)?, "JSON nulls became SQL nulls, since PostgREST does not tell them apart");
    }
    Ok(())
}

/// Refuses nested lists that are not valid PostgreSQL arrays, whose sublists must all have the same length.
fn check_array(input: &Input, column: &Column) -> Result<()> {
    let (TargetType::List(_), (depth, item)) = (&column.target, column.source.innermost()) else { return Ok(()) };
    // Fixed-length arrays are checked like lists.
    let mut level = format!("cast({} as {item}{})", column.expression, "[]".repeat(depth));
    let mut conditions = Vec::new();
    for _ in 1..depth {
        conditions.push(format!(
            "coalesce(list_bool_or(list_transform({level}, lambda part: part is null or len(part) = 0 or len(part) <> len({level}[1]))), false)"
        ));
        level = format!("flatten({level})");
    }
    if conditions.is_empty() {
        return Ok(());
    }
    let Some((row, value)) = first(input, &column.expression, &conditions.join(" or "))? else { return Ok(()) };
    Err(Error::data(format!(
        "column `{}`, row {row}: `{value}` has lists in a list that are empty, null or of different lengths, which \
         PostgreSQL's arrays do not have; make the table's column `jsonb`, or select to_json() of it into a column of text",
        column.name
    )))
}

/// Refuses JSON of which `jsonb` would drop a part.
fn check_jsonb(input: &Input, column: &Column, kind: &str) -> Result<()> {
    let mut row = 0_u64;
    for batch in query(&format!("select {} as text from {}", json_text(&column.expression, kind)?, input.sql_name()))? {
        for text in batch?.column_at(0).strings()?.iter() {
            row += 1;
            if let Some(lost) = text.and_then(|text| jsonb_loss(text.as_bytes())) {
                return Err(Error::data(format!("column `{}`, row {row}: {lost}", column.name)));
            }
        }
    }
    Ok(())
}

fn warn(column: &Column, count: u64, sentence: &str) {
    if count > 0 {
        context::warn(&format!("column `{}`: {sentence}", column.name), &[("column", &column.name), ("count", &count)]);
    }
}

fn count(input: &Input, condition: &str) -> Result<u64> {
    let select = format!("select count(*)::varchar from {} where {condition}", input.sql_name());
    let Some(batch) = query(&select)?.next_batch()? else { return Ok(0) };
    Ok(batch.column_at(0).strings()?.get(0).and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// The number of the first row that satisfies `condition`, from 1, and its value, shortened.
fn first(input: &Input, value: &str, condition: &str) -> Result<Option<(String, String)>> {
    let select = format!(
        "select row::varchar, value from (select row_number() over () as row, left({value}::varchar, 61) as value, \
         {condition} as wrong from {}) where wrong order by row limit 1",
        input.sql_name()
    );
    let Some(batch) = query(&select)?.next_batch()?.filter(|batch| batch.rows() > 0) else { return Ok(None) };
    let text = |column: usize| -> Result<String> {
        Ok(batch.column_at(column).strings()?.get(0).unwrap_or_default().to_owned())
    };
    let (row, mut value): (String, String) = (text(0)?, text(1)?);
    if value.chars().count() > 60 {
        value = value.chars().take(60).chain(['…']).collect();
    }
    Ok(Some((row, value)))
}
