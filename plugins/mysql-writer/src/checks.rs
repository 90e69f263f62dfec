//! Checks with DuckDB, before the first row is sent, whether the values survive in the table's columns.

use conversions::{LossPolicy, OnLoss, SourceType, check_input, first_null};
use mysql_client::sql::TableName;
use mysql_client::{Client, Stream};
use osiris_sdk::sql::{json_text, not_finite, not_json, query, quote_name, quote_text};
use osiris_sdk::{Error, Input, Result, context};

use crate::column::Column;
use crate::kinds::target_type;

/// A predicate that is true if a value of one column survives, and what it loses otherwise.
struct OwnCheck {
    survives: String,
    lost: String,
    /// The nearest value to that of [`Column::expression`], if there is one.
    rounded: Option<String>,
}

impl OwnCheck {
    fn new(survives: String, lost: impl Into<String>) -> Self {
        Self { survives, lost: lost.into(), rounded: None }
    }
}

/// Checks all columns, and sets the expression that each one writes.
///
/// # Errors
/// `data` for what would be lost, unless `on_loss` covers it.
pub fn check<S: Stream>(
    client: &Client<S>,
    table: &TableName,
    input: &Input,
    columns: &mut [Column],
    on_loss: &LossPolicy,
) -> Result<()> {
    on_loss.check(columns.iter().map(|column| column.name.as_str()))?;
    let last_timestamp = last_timestamp(client.version());
    let asked: Vec<conversions::Column> = columns
        .iter()
        .map(|column| conversions::Column {
            name: column.name.clone(),
            source: column.source.clone(),
            target: target_type(&column.target, &column.source, last_timestamp),
            target_name: format!("{} ({})", column.target.kind, table.quoted()),
        })
        .collect();
    for (column, conversion) in columns.iter_mut().zip(check_input(input, &asked, on_loss)?) {
        column.expression = conversion.expression;
    }
    for column in columns.iter_mut() {
        column.check_spelling()?;
        if let Some(check) = own_check(client.is_mariadb(), column)? {
            apply(input, column, &check, on_loss.of(&column.name.clone()))?;
        }
    }
    refuse_nulls(input, columns)
}

/// Refuses nulls for columns that do not allow them: the server would replace them by a default.
fn refuse_nulls(input: &Input, columns: &[Column]) -> Result<()> {
    let strict: Vec<&Column> = columns.iter().filter(|column| !column.target.nullable).collect();
    let expressions: Vec<&str> = strict.iter().map(|column| column.expression.as_str()).collect();
    match first_null(input, &expressions)? {
        None => Ok(()),
        Some((row, place)) => Err(Error::data(format!(
            "row {row} of the input has no `{}` (null), and the table's column is {} not null",
            strict[place].name, strict[place].target.kind
        ))),
    }
}

/// The last `timestamp` of the server: since 11.5 MariaDB counts unsigned seconds.
fn last_timestamp(version: &str) -> &'static str {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version_number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version.contains("MariaDB") && version_number >= (11, 5) {
        "2106-02-07 06:28:15.999999"
    } else {
        "2038-01-19 03:14:07.999999"
    }
}

/// Checks that only MySQL needs: sets, unsigned zeros, and JSON, which cannot contain NaN, and whose numbers MySQL's
/// own type stores as doubles.
fn own_check(is_mariadb: bool, column: &Column) -> Result<Option<OwnCheck>> {
    let (name, kind) = (quote_name(&column.name), column.kind());
    if kind.base == "set" {
        let list = kind.labels.iter().map(|label| quote_text(label)).collect::<Vec<_>>().join(", ");
        let text = format!("{name}::varchar");
        return Ok(Some(OwnCheck::new(
            format!(
                "array_to_string(list_filter([{list}]::varchar[], lambda label: list_contains(string_split({text}, ','), \
                 label)), ',') = {text}"
            ),
            format!("members, or their order: it takes some of {list} in this order, separated by commas"),
        )));
    }
    let is_float = matches!(column.source, SourceType::Float | SourceType::Double);
    if is_float && (kind.base == "float" || kind.base == "double") {
        return Ok(Some(OwnCheck {
            rounded: Some(format!("cast(({}) + 0.0::double as {})", column.expression, column.source)),
            ..OwnCheck::new(
                format!("not ({name} = 0 and signbit({name}))"),
                "the sign of -0.0, which the server does not keep",
            )
        }));
    }
    if column.source.is_nested() || column.source.item().is_some() {
        let source = column.source.to_string();
        let faults: Vec<String> =
            [not_finite(&name, &source)?, not_json(&name, &source)?].into_iter().flatten().collect();
        let mut survives: Vec<String> = faults.iter().map(|fault| format!("not ({fault})")).collect();
        if kind.base == "json" && !is_mariadb {
            survives.push(exact_in_doubles(&json_text(&name, &source)?));
        }
        let lost = "NaN, an infinity, JSON that is not by the standard, or digits beyond a double's";
        return Ok((!survives.is_empty()).then(|| OwnCheck::new(survives.join(" and "), lost)));
    }
    if column.target.json && column.source.is_text() {
        let lost = "digits of a number, which MySQL's json keeps as a double";
        let check = || OwnCheck::new(exact_in_doubles(&format!("{name}::varchar")), lost);
        return Ok((!is_mariadb).then(check));
    }
    Ok(None)
}

/// A condition on a JSON text: outside its strings there are no integers beyond 64 bits, and no decimals beyond 15
/// digits, which MySQL would store as doubles.
fn exact_in_doubles(text: &str) -> String {
    let bare = format!("regexp_replace({text}, '\"([^\"\\\\]|\\\\.)*\"', '\"\"', 'g')");
    format!(
        "not regexp_matches({bare}, '[0-9]{{20}}') and len(list_filter(regexp_extract_all({bare}, '[0-9]+[.][0-9]+'), \
         lambda number: length(number) > 16)) = 0"
    )
}

fn apply(input: &Input, column: &mut Column, check: &OwnCheck, on_loss: OnLoss) -> Result<()> {
    let (name, survives) = (quote_name(&column.name), format!("coalesce({}, true)", check.survives));
    let select = format!(
        "select count(*)::varchar as n, arg_min(number, number)::varchar as row, arg_min(value, number) as v from (select \
         row_number() over () as number, {name}::varchar as value, {survives} as survives from {}) where not survives",
        input.sql_name()
    );
    let batch = query(&select)?.next_batch()?.ok_or_else(|| Error::internal("the host gave no row for a count"))?;
    let text = |place: usize| Ok::<_, Error>(batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned());
    let (count, row, value) = (text(0)?, text(1)?, text(2)?);
    if count == "0" {
        return Ok(());
    }
    if on_loss == OnLoss::Null {
        context::warn(
            "values became null, since the target cannot hold them",
            &[("column", &column.name), ("count", &count), ("target", &column.target.kind), ("lost", &check.lost)],
        );
        column.expression = format!("case when {survives} then {} end", column.expression);
        return Ok(());
    }
    if let (OnLoss::Round, Some(rounded)) = (on_loss, &check.rounded) {
        context::warn(
            "values were rounded, since the target cannot hold them",
            &[("column", &column.name), ("count", &count), ("target", &column.target.kind), ("lost", &check.lost)],
        );
        column.expression.clone_from(rounded);
        return Ok(());
    }
    let round = if check.rounded.is_some() { "`on_loss: round` writes the nearest value, " } else { "" };
    let shown: String = value.chars().take(60).collect();
    let others = if count == "1" { String::new() } else { format!(" ({count} rows have such values)") };
    Err(Error::data(format!(
        "column `{}`, row {row}: `{shown}` is {} and the table's column is {}, which would lose {}{others}; \
         {round}`on_loss: null` writes null, or change it in SQL",
        column.name, column.source, column.target.kind, check.lost
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_timestamp_depends_on_the_server() {
        assert!(last_timestamp("10.11.6-MariaDB").starts_with("2038"));
        assert!(last_timestamp("11.5.2-MariaDB").starts_with("2106"));
        assert!(last_timestamp("8.4.0").starts_with("2038"));
    }

    #[test]
    fn mysqls_json_is_checked_for_digits_and_mariadbs_only_for_being_json() {
        let check = |source: &str, kind: &str, json: bool, is_mariadb: bool| {
            let mut column = Column::new("c", SourceType::parse(source));
            (column.target.kind, column.target.json) = (kind.to_owned(), json);
            own_check(is_mariadb, &column).ok().flatten().map(|check| check.survives).unwrap_or_default()
        };
        assert!(check("JSON", "json", true, false).contains("[0-9]{20}"));
        assert!(check("STRUCT(a JSON)", "json", true, false).contains("[0-9]{20}"));
        assert!(check("VARCHAR", "json", true, false).contains("[0-9]{20}"));
        assert_eq!(check("VARCHAR", "longtext", true, true), "");
        assert_eq!(check("VARCHAR", "longtext", false, true), "");
        assert!(check("DOUBLE[]", "longtext", true, true).contains("isfinite"));
        assert!(check("DOUBLE", "double", false, true).contains("signbit"));
        assert_eq!(check("DOUBLE", "decimal(5,1)", false, true), "");
    }
}
