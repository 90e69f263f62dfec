//! SQL expressions that write a value of any type as JSON text.
//!
//! DuckDB's own `to_json`, `json_object` and `COPY … (FORMAT json)` parse a JSON value again on its way out, so that
//! `12345678901234567890.123456789` becomes `12345678901234567000.0`, and take a FLOAT and a short DECIMAL for a DOUBLE.
//! Here JSON text is made of the values' own text.

use super::quote_text;
use crate::{DuckdbType, Error, Result};

/// A SQL expression of type VARCHAR: the JSON text of `expression`, whose type is `duckdb_type` as `typeof` writes it.
///
/// A null stays a SQL null; inside lists, structs and maps it is `null`. JSON is written as it is, except that its
/// line breaks become blanks, so that the text fits in a line. Numbers are written with all their digits. NaN and the
/// infinities, which JSON lacks, become `null`: see [`not_json`]. All other values are written as DuckDB's text of
/// them, between quotes: `"2024-01-31 10:00:00"`. A MAP is an object, whose keys are the texts of its keys; a UNION is
/// an object of its tag alone.
///
/// `expression` is repeated, so it should be a column's quoted name or as cheap.
///
/// # Errors
/// `data`, naming the type, for one that JSON text cannot hold: VARIANT, GEOMETRY, unnamed structs, maps whose keys are
/// nested.
pub fn json_text(expression: &str, duckdb_type: &str) -> Result<String> {
    text(expression, &DuckdbType::parse(duckdb_type)?, 0)
}

/// A SQL condition that is true where [`json_text`] of the same value has to change it: where a DOUBLE or FLOAT in it
/// is NaN or infinite, or where a JSON value is not JSON by the standard (DuckDB's type admits `NaN` and a comma before
/// a bracket). `None` for types that hold neither. The condition is never null.
///
/// # Errors
/// As [`json_text`].
pub fn not_json(expression: &str, duckdb_type: &str) -> Result<Option<String>> {
    Ok(fault(expression, &DuckdbType::parse(duckdb_type)?, 0))
}

fn text(value: &str, kind: &DuckdbType, depth: usize) -> Result<String> {
    match kind {
        DuckdbType::Scalar { name, arguments } => scalar(value, name, arguments),
        DuckdbType::List { item, .. } => {
            let name = format!("item{depth}");
            let inner = inside(&name, item, depth + 1)?;
            Ok(format!("('[' || array_to_string(list_transform({value}, lambda {name}: {inner}), ',') || ']')"))
        }
        DuckdbType::Struct(members) => {
            let members = members.iter().map(|(name, kind)| {
                if name.is_empty() {
                    return Err(refused("an unnamed STRUCT"));
                }
                let own = format!("struct_extract({value}, {})", quote_text(name));
                Ok((name.as_str(), inside(&own, kind, depth)?))
            });
            let members = members.collect::<Result<Vec<_>>>()?;
            Ok(format!("case when {value} is not null then {} end", object(&members)))
        }
        DuckdbType::Map(key, item) => {
            if !matches!(key.as_ref(), DuckdbType::Scalar { .. }) {
                return Err(refused("a MAP with nested keys"));
            }
            let entry = format!("entry{depth}");
            let inner = inside(&format!("{entry}.value"), item, depth + 1)?;
            let key = format!("to_json({entry}.key::varchar)::varchar");
            Ok(format!(
                "('{{' || array_to_string(list_transform(map_entries({value}), lambda {entry}: {key} || ':' || {inner}), ',') || '}}')"
            ))
        }
        DuckdbType::Union(members) => {
            let branches = members.iter().map(|(tag, kind)| {
                let own = format!("union_extract({value}, {})", quote_text(tag));
                let object = object(&[(tag.as_str(), inside(&own, kind, depth)?)]);
                Ok(format!("when {} then {object}", quote_text(tag)))
            });
            let branches = branches.collect::<Result<Vec<_>>>()?.join(" ");
            Ok(format!("case union_tag({value})::varchar {branches} end"))
        }
    }
}

/// The text of a value inside another, where a null is `null`.
fn inside(value: &str, kind: &DuckdbType, depth: usize) -> Result<String> {
    Ok(format!("coalesce({}, 'null')", text(value, kind, depth)?))
}

/// An expression that makes an object of members whose texts are given.
pub(super) fn object(members: &[(&str, String)]) -> String {
    let members = members.iter().enumerate().map(|(place, (name, text))| {
        let comma = if place == 0 { "" } else { "," };
        let key = format!("{comma}{}:", serde_json::Value::from(*name));
        format!("{}, {text}", quote_text(&key))
    });
    let members: Vec<String> = members.collect();
    // A chain of `||` over hundreds of columns would be too deep for DuckDB.
    if members.is_empty() { "'{}'".to_owned() } else { format!("concat('{{', {}, '}}')", members.join(", ")) }
}

fn scalar(value: &str, name: &str, arguments: &str) -> Result<String> {
    Ok(match name {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT"
        | "UINTEGER" | "UBIGINT" | "UHUGEINT" | "BIGNUM" => format!("{value}::varchar"),
        "DECIMAL" => match arguments.split_once(',') {
            // DuckDB writes `.50` where all digits are behind the point.
            Some((digits, scale)) if digits.trim() == scale.trim() => {
                format!("regexp_replace({value}::varchar, '^(-?)[.]', '\\10.')")
            }
            _ => format!("{value}::varchar"),
        },
        "DOUBLE" | "FLOAT" => format!("case when isfinite({value}) then {value}::varchar end"),
        "JSON" => format!("translate({value}::varchar, chr(10) || chr(13), '  ')"),
        "DATE"
        | "TIME"
        | "TIME_NS"
        | "TIMESTAMP"
        | "TIMESTAMP_S"
        | "TIMESTAMP_MS"
        | "TIMESTAMP_NS"
        | "TIME WITH TIME ZONE"
        | "TIMESTAMP WITH TIME ZONE"
        | "UUID"
        | "INTERVAL"
        | "BIT" => {
            format!("('\"' || {value}::varchar || '\"')")
        }
        "VARCHAR" => format!("to_json({value})::varchar"),
        "BLOB" | "ENUM" => format!("to_json({value}::varchar)::varchar"),
        "\"NULL\"" | "NULL" => "null::varchar".to_owned(),
        other => return Err(refused(other)),
    })
}

fn refused(kind: &str) -> Error {
    Error::data(format!("{kind} cannot be written as JSON; cast it to VARCHAR in SQL, or leave it out"))
}

fn fault(value: &str, kind: &DuckdbType, depth: usize) -> Option<String> {
    let any = |faults: Vec<String>| (!faults.is_empty()).then(|| format!("({})", faults.join(" or ")));
    match kind {
        DuckdbType::Scalar { name, .. } => match name.as_str() {
            "DOUBLE" | "FLOAT" => Some(format!("coalesce(not isfinite({value}), false)")),
            "JSON" => {
                let bare = format!("regexp_replace({value}::varchar, '\"(\\\\.|[^\"\\\\])*\"', '\"\"', 'g')");
                Some(format!(
                    "coalesce(not json_valid({value}::varchar) or regexp_matches({bare}, '(?i)nan|inf|,\\s*[\\]}}]'), false)"
                ))
            }
            _ => None,
        },
        DuckdbType::List { item, .. } => {
            let name = format!("item{depth}");
            let inner = fault(&name, item, depth + 1)?;
            Some(format!("coalesce(list_bool_or(list_transform({value}, lambda {name}: {inner})), false)"))
        }
        DuckdbType::Struct(members) => {
            let own = |name: &str| format!("struct_extract({value}, {})", quote_text(name));
            any(members.iter().filter_map(|(name, kind)| fault(&own(name), kind, depth)).collect())
        }
        DuckdbType::Union(members) => {
            let own = |tag: &str| format!("union_extract({value}, {})", quote_text(tag));
            any(members.iter().filter_map(|(tag, kind)| fault(&own(tag), kind, depth)).collect())
        }
        DuckdbType::Map(_, item) => {
            let entry = format!("entry{depth}");
            let inner = fault(&format!("{entry}.value"), item, depth + 1)?;
            Some(format!(
                "coalesce(list_bool_or(list_transform(map_entries({value}), lambda {entry}: {inner})), false)"
            ))
        }
    }
}

/// A SQL expression of type VARCHAR: one JSON object of named values, given as name, SQL expression and DuckDB type.
///
/// # Errors
/// As [`json_text`], naming the value.
pub fn json_object_text(members: &[(&str, &str, &str)]) -> Result<String> {
    let members = members.iter().map(|(name, expression, kind)| {
        let text = DuckdbType::parse(kind).and_then(|kind| inside(expression, &kind, 0));
        text.map(|text| (*name, text)).map_err(|error| error.context(format_args!("column `{name}`")))
    });
    Ok(object(&members.collect::<Result<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn json_is_never_parsed_on_its_way_out() {
        let nested = json_text("\"x\"", "STRUCT(\"it's\" JSON[], m MAP(INTEGER, JSON))").unwrap();
        assert!(nested.starts_with("case when \"x\" is not null then concat('{', '\"it''s\":', coalesce("), "{nested}");
        assert!(nested.contains("lambda item0: coalesce(translate(item0::varchar"), "{nested}");
        assert!(nested.contains("to_json(entry0.key::varchar)::varchar || ':'"), "{nested}");
        assert_eq!(json_text("x", "DECIMAL(18,3)").unwrap(), "x::varchar");
        assert!(json_text("x", "DECIMAL(3,3)").unwrap().contains("regexp_replace"));
    }

    #[test]
    fn types_without_json_text_are_named() {
        for (kind, word) in [
            ("VARIANT", "VARIANT"),
            ("GEOMETRY", "GEOMETRY"),
            ("STRUCT(INTEGER, VARCHAR)[]", "unnamed STRUCT"),
            ("MAP(INTEGER[], VARCHAR)", "MAP with nested keys"),
        ] {
            let error = json_text("x", kind).unwrap_err();
            assert!(error.message.contains(word) && error.message.contains("cast it"), "{error}");
        }
        let error = json_object_text(&[("v", "v", "VARIANT")]).unwrap_err();
        assert!(error.message.contains("column `v`"), "{error}");
    }

    #[test]
    fn only_types_that_can_lose_are_looked_at() {
        for kind in ["BIGINT", "VARCHAR[]", "STRUCT(\"b DOUBLE\" VARCHAR)", "MAP(DOUBLE, VARCHAR)", "ENUM('DOUBLE')"] {
            assert_eq!(not_json("x", kind).unwrap(), None, "{kind}");
        }
        let list = not_json("x", "FLOAT[3]").unwrap().unwrap();
        assert_eq!(
            list,
            "coalesce(list_bool_or(list_transform(x, lambda item0: coalesce(not isfinite(item0), false))), false)"
        );
        assert!(not_json("x", "STRUCT(a MAP(VARCHAR, DOUBLE), b JSON)").unwrap().unwrap().contains(" or "));
    }
}
