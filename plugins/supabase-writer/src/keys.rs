//! Checks the input's keys: present, not null, unique as the table compares them, and of a type that compares exactly.

use conversions::{Blanks, SourceType, TargetType, Text};
use osiris_sdk::sql::query;
use osiris_sdk::{Error, Input, Result};

use crate::rows::{Column, own};

/// A column of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub source: SourceType,
    pub target: TargetType,
    pub target_name: String,
    /// Whether the table's type ignores case.
    pub ignores_case: bool,
}

/// The key's columns, with what is known about them.
///
/// # Errors
/// `not-found` for a column that the input does not have, `config` for one that does not compare exactly.
pub fn of(names: &[String], columns: &[Column], ignores_case: &dyn Fn(&str) -> bool) -> Result<Vec<Key>> {
    let key = |name: &String| {
        let Some(column) = columns.iter().find(|column| column.name == *name) else {
            let known: Vec<String> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
            return Err(Error::not_found(format!("`primary_key` names `{name}`; the input has: {}", known.join(", "))));
        };
        if matches!(column.source, SourceType::Double | SourceType::Float) {
            return Err(Error::config(format!(
                "`primary_key` names `{name}`, a {}, which does not compare exactly",
                column.source
            )));
        }
        Ok(Key {
            name: name.clone(),
            source: column.source.clone(),
            target: column.target.clone(),
            target_name: column.target_name.clone(),
            ignores_case: ignores_case(name),
        })
    };
    names.iter().map(key).collect()
}

impl Key {
    /// `value` in a form that is equal if the table treats both as equal, as far as its type shows.
    pub fn as_compared(&self, value: &str) -> String {
        let is_text = self.source.is_text();
        let text = match &self.target {
            TargetType::Text(Text { blanks: Blanks::Padded, .. }) => format!("rtrim({value}::varchar, ' ')"),
            TargetType::Uuid if is_text => return format!("try_cast({value} as uuid)"),
            TargetType::Date { .. } if is_text => return format!("try_cast({value} as date)"),
            TargetType::Timestamp { zone: false, .. } if is_text => return format!("try_cast({value} as timestamp)"),
            TargetType::Timestamp { zone: true, .. } if is_text => return format!("try_cast({value} as timestamptz)"),
            TargetType::Integer { .. } if is_text => return format!("try_cast({value} as hugeint)"),
            // Trailing zeros of a fraction are insignificant.
            TargetType::Decimal { .. } if is_text => {
                return format!("regexp_replace(regexp_replace({value}::varchar, '([.]\\d*?)0+$', '\\1'), '[.]$', '')");
            }
            // An address with all of its bits as prefix is the address itself.
            TargetType::Opaque if is_text && matches!(self.target_name.as_str(), "inet" | "cidr") => {
                return format!("regexp_replace(lower({value}::varchar), '(^[^:]*)/32$|/128$', '\\1')");
            }
            TargetType::Opaque if is_text && self.target_name.starts_with("macaddr") => {
                return format!("regexp_replace(lower({value}::varchar), '[^0-9a-f]', '', 'g')");
            }
            _ => value.to_owned(),
        };
        if self.ignores_case { format!("lower({text}::varchar)") } else { text }
    }

    /// Whether the table may compare texts by rules that the API does not show: a collation.
    fn may_fold(&self) -> bool {
        self.source.is_text() && matches!(self.target, TargetType::Text(_) | TargetType::Opaque)
    }

    /// `value` in a form that is equal for all values that any usual collation or shorter type treats as equal; a
    /// higher level treats more values as equal.
    fn alike(&self, value: &str, level: usize) -> String {
        let own = self.as_compared(value);
        match (&self.source, level) {
            (SourceType::Decimal { .. }, level) => format!("round({own}, {})", [4, 2, 1, 0][level.min(3)]),
            (
                SourceType::Timestamp | SourceType::TimestampTz | SourceType::TimestampNs | SourceType::TimestampMs,
                level,
            ) => format!("date_trunc('{}', {own})", ["millisecond", "second", "minute", "day"][level.min(3)]),
            (source, 0) if source.is_text() => format!("lower(rtrim({own}::varchar))"),
            (source, _) if source.is_text() => format!("strip_accents(lower(trim({own}::varchar)))"),
            _ => own,
        }
    }
}

/// Checks that the key distinguishes the input's rows, in the input and in the table.
///
/// # Errors
/// `data` for nulls, and for two rows that are a single row in the table, naming both.
pub fn check(input: &Input, key: &[Key]) -> Result<()> {
    let is_null: Vec<String> = key.iter().map(|key| format!("{} is null", own(&key.name))).collect();
    let nulls = format!("select count(*)::varchar from {} where {}", input.sql_name(), is_null.join(" or "));
    if let Some(found) = texts(&nulls, 1)?.and_then(|mut row| row.remove(0)).filter(|count| count != "0") {
        return Err(Error::data(format!("`primary_key` is null in {found} rows of `{}`", input.alias())));
    }
    let forms: Vec<String> = key.iter().map(|key| key.as_compared(&own(&key.name))).collect();
    match twins(input, key, &forms)? {
        Some(twins) => Err(Error::data(format!(
            "`primary_key` does not tell rows of `{}` apart: {twins}, which are one row in the table; keep one of them, \
             by SQL that says which",
            input.alias()
        ))),
        None => Ok(()),
    }
}

/// The expressions that group rows whose keys the table's collation may treat as equal; none if the input has no such
/// rows. Within one request the server itself detects them.
///
/// # Errors
/// DuckDB's error.
pub fn together(input: &Input, key: &[Key]) -> Result<Vec<String>> {
    if !key.iter().any(Key::may_fold) {
        return Ok(Vec::new());
    }
    let form =
        |key: &Key| if key.may_fold() { key.alike(&own(&key.name), 1) } else { key.as_compared(&own(&key.name)) };
    let forms: Vec<String> = key.iter().map(form).collect();
    Ok(if has_groups(input, &forms)? { forms } else { Vec::new() })
}

/// A description of the rows that the server most probably treated as one, after it reported that two rows of a request
/// were.
///
/// # Errors
/// DuckDB's error.
pub fn suspects(input: &Input, key: &[Key]) -> Result<Option<String>> {
    for level in 0..4 {
        let forms: Vec<String> = key.iter().map(|key| key.alike(&own(&key.name), level)).collect();
        if let Some(twins) = twins(input, key, &forms)? {
            return Ok(Some(twins));
        }
    }
    Ok(None)
}

fn has_groups(input: &Input, forms: &[String]) -> Result<bool> {
    let table = input.sql_name();
    let groups = format!("select 'yes' from {table} group by {} having count(*) > 1 limit 1", forms.join(", "));
    Ok(texts(&groups, 1)?.is_some())
}

/// A description of two rows that are equal in all of `forms`.
fn twins(input: &Input, key: &[Key], forms: &[String]) -> Result<Option<String>> {
    if !has_groups(input, forms)? {
        return Ok(None);
    }
    let names: Vec<String> = key.iter().map(|key| own(&key.name)).collect();
    let values: Vec<String> = names.iter().map(|name| format!("left({name}::varchar, 60)")).collect();
    let shown = format!("array_to_string([{}], '`, `')", values.join(", "));
    let select = format!(
        "select earlier::varchar, number::varchar, earlier_key, own_key from (select number, own_key, lag(number) over same as earlier, \
         lag(own_key) over same as earlier_key from (select row_number() over () as number, {shown} as own_key, {} from {}) \
         window same as (partition by {} order by number)) where earlier is not null order by number limit 1",
        forms.iter().enumerate().map(|(place, form)| format!("{form} as form{place}")).collect::<Vec<_>>().join(", "),
        input.sql_name(),
        (0..forms.len()).map(|place| format!("form{place}")).collect::<Vec<_>>().join(", ")
    );
    let Some(row) = texts(&select, 4)? else { return Ok(None) };
    let [first, second, one, other] = [0, 1, 2, 3].map(|place| row[place].clone().unwrap_or_default());
    let columns: Vec<String> = key.iter().map(|key| format!("`{}` ({})", key.name, key.target_name)).collect();
    Ok(Some(format!("rows {first} and {second} have {} = `{one}` and `{other}`", columns.join(", "))))
}

/// The texts of a SELECT's first row.
fn texts(select: &str, width: usize) -> Result<Option<Vec<Option<String>>>> {
    let Some(batch) = query(select)?.next_batch()? else { return Ok(None) };
    let text = |place| Ok(batch.column_at(place).strings()?.get(0).map(str::to_owned));
    (0..width).map(text).collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: SourceType, target: TargetType, target_name: &str) -> Key {
        Key { name: "k".into(), source, target, target_name: target_name.into(), ignores_case: false }
    }

    #[test]
    fn keys_are_compared_as_the_table_compares_them() {
        let padded = TargetType::Text(Text { blanks: Blanks::Padded, ..Text::default() });
        assert_eq!(key(SourceType::Varchar, padded, "character(5)").as_compared("k"), "rtrim(k::varchar, ' ')");
        assert_eq!(key(SourceType::Varchar, TargetType::Uuid, "uuid").as_compared("k"), "try_cast(k as uuid)");
        assert_eq!(key(SourceType::Uuid, TargetType::Uuid, "uuid").as_compared("k"), "k");
        let folded = Key { ignores_case: true, ..key(SourceType::Varchar, TargetType::text(), "citext") };
        assert_eq!(folded.as_compared("k"), "lower(k::varchar)");
        let amount = key(SourceType::Decimal { precision: 9, scale: 2 }, TargetType::integer(32, true), "numeric");
        assert_eq!((amount.alike("k", 1), amount.alike("k", 9)), ("round(k, 2)".into(), "round(k, 0)".into()));
        assert!(!amount.may_fold() && folded.may_fold());
    }
}
