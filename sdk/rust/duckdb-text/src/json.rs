//! SQL expressions that write a value of any type as JSON text.
//!
//! DuckDB's own `to_json`, `json_object` and `COPY … (FORMAT json)` parse a JSON value again when they write it, so
//! that `12345678901234567890.123456789` becomes `12345678901234567000.0`, and convert a FLOAT and a short DECIMAL to a
//! DOUBLE. Here JSON text is made from the values' own text.

use crate::{DuckdbType, Error, Result, quote_text};

/// A SQL expression of type VARCHAR: the JSON text of `expression`, whose type is `duckdb_type` as `typeof` prints it.
///
/// A null stays a SQL null; inside lists, structs and maps it is `null`. JSON is written unchanged, except that its
/// line breaks become blanks, so that the text fits on one line. Numbers are written with all their digits. NaN and the
/// infinities, which JSON lacks, become `null`: see [`not_finite`]. All other values are written as their text in
/// DuckDB, in quotes: `"2024-01-31 10:00:00"`. A MAP is an object with the texts of its keys as names; a UNION is an
/// object with only its tag.
///
/// `expression` is repeated, so it should be a column's quoted name or something equally cheap.
///
/// # Errors
/// Names a type that JSON text cannot hold: VARIANT, GEOMETRY, unnamed structs, maps with nested
/// keys.
pub fn json_text(expression: &str, duckdb_type: &str) -> Result<String> {
    json_text_with(expression, duckdb_type, NotFinite::Null)
}

/// As for [`json_text`], with NaN and the infinities as `not_finite` says.
///
/// # Errors
/// As for [`json_text`].
pub fn json_text_with(expression: &str, duckdb_type: &str, not_finite: NotFinite) -> Result<String> {
    not_finite.text(expression, &DuckdbType::parse(duckdb_type)?, 0)
}

/// A SQL condition that is true if a value contains NaN or an infinity, which [`json_text`] makes null. `None` for
/// types that cannot contain one. The condition is never null.
///
/// # Errors
/// As for [`json_text`].
pub fn not_finite(expression: &str, duckdb_type: &str) -> Result<Option<String>> {
    Ok(any(expression, &DuckdbType::parse(duckdb_type)?, 0, &|value, name| {
        matches!(name, "DOUBLE" | "FLOAT").then(|| format!("coalesce(not isfinite({value}), false)"))
    }))
}

/// A SQL condition that is true if a value contains JSON that is not standard JSON: DuckDB's type admits `NaN`, and a
/// comma before a closing bracket. `None` for types without JSON. The condition is never null.
///
/// # Errors
/// As for [`json_text`].
pub fn not_json(expression: &str, duckdb_type: &str) -> Result<Option<String>> {
    Ok(any(expression, &DuckdbType::parse(duckdb_type)?, 0, &|value, name| {
        let text = format!("{value}::varchar");
        let bare = format!("regexp_replace({text}, '\"(\\\\.|[^\"\\\\])*\"', '\"\"', 'g')");
        (name == "JSON").then(|| {
            format!("coalesce(not json_valid({text}) or regexp_matches({bare}, '(?i)nan|inf|,\\s*[\\]}}]'), false)")
        })
    }))
}

/// How to write NaN and the infinities, which JSON lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotFinite {
    #[default]
    Null,
    /// The texts `"NaN"`, `"Infinity"` and `"-Infinity"`.
    Text,
}

impl NotFinite {
    fn text(self, value: &str, kind: &DuckdbType, depth: usize) -> Result<String> {
        match kind {
            DuckdbType::Scalar { name, arguments } => self.scalar(value, name, arguments),
            DuckdbType::List { item, .. } => {
                let name = format!("item{depth}");
                let inner = self.inside(&name, item, depth + 1)?;
                Ok(format!("('[' || array_to_string(list_transform({value}, lambda {name}: {inner}), ',') || ']')"))
            }
            DuckdbType::Struct(members) => {
                let members = members.iter().map(|(name, kind)| {
                    if name.is_empty() {
                        return Err(refused("an unnamed STRUCT"));
                    }
                    let own = format!("struct_extract({value}, {})", quote_text(name));
                    Ok((name.as_str(), self.inside(&own, kind, depth)?))
                });
                let members = members.collect::<Result<Vec<_>>>()?;
                Ok(format!("case when {value} is not null then {} end", object(&members)))
            }
            DuckdbType::Map(key, item) => {
                if !matches!(key.as_ref(), DuckdbType::Scalar { .. }) {
                    return Err(refused("a MAP with nested keys"));
                }
                let entry = format!("entry{depth}");
                let inner = self.inside(&format!("{entry}.value"), item, depth + 1)?;
                let key = format!("to_json({entry}.key::varchar)::varchar");
                Ok(format!(
                    "('{{' || array_to_string(list_transform(map_entries({value}), lambda {entry}: {key} || ':' || {inner}), ',') || '}}')"
                ))
            }
            DuckdbType::Union(members) => {
                let branches = members.iter().map(|(tag, kind)| {
                    let own = format!("union_extract({value}, {})", quote_text(tag));
                    let object = object(&[(tag.as_str(), self.inside(&own, kind, depth)?)]);
                    Ok(format!("when {} then {object}", quote_text(tag)))
                });
                let branches = branches.collect::<Result<Vec<_>>>()?.join(" ");
                Ok(format!("case union_tag({value})::varchar {branches} end"))
            }
        }
    }

    /// The text of a value inside another, in which a null is `null`.
    fn inside(self, value: &str, kind: &DuckdbType, depth: usize) -> Result<String> {
        Ok(format!("coalesce({}, 'null')", self.text(value, kind, depth)?))
    }

    fn scalar(self, value: &str, name: &str, arguments: &str) -> Result<String> {
        Ok(match name {
            "BOOLEAN" | "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT"
            | "UINTEGER" | "UBIGINT" | "UHUGEINT" | "BIGNUM" => format!("{value}::varchar"),
            "DECIMAL" => match arguments.split_once(',') {
                // DuckDB writes `.50` if all digits are after the point.
                Some((digits, scale)) if digits.trim() == scale.trim() => {
                    format!("regexp_replace({value}::varchar, '^(-?)[.]', '\\10.')")
                }
                _ => format!("{value}::varchar"),
            },
            "DOUBLE" | "FLOAT" => {
                let words = match self {
                    Self::Null => "",
                    Self::Text => {
                        "when isnan({}) then '\"NaN\"' when {} > 0 then '\"Infinity\"' when {} < 0 then '\"-Infinity\"'"
                    }
                };
                format!("case when isfinite({value}) then {value}::varchar {} end", words.replace("{}", value))
            }
            "JSON" => format!("translate({value}::varchar, chr(10) || chr(13), '  ')"),
            "DATE"
            | "TIME"
            | "TIME_NS"
            | "TIMESTAMP"
            | "TIMESTAMP_S"
            | "TIMESTAMP_MS"
            | "TIMESTAMP_NS"
            | "TIME WITH TIME ZONE"
            | "TIMETZ"
            | "UUID"
            | "INTERVAL"
            | "BIT" => {
                format!("('\"' || {value}::varchar || '\"')")
            }
            "TIMESTAMP WITH TIME ZONE" | "TIMESTAMPTZ" => {
                format!("('\"' || {} || '\"')", super::timestamptz_text(value))
            }
            "VARCHAR" => format!("to_json({value})::varchar"),
            "BLOB" | "ENUM" => format!("to_json({value}::varchar)::varchar"),
            "\"NULL\"" | "NULL" => "null::varchar".to_owned(),
            other => return Err(refused(other)),
        })
    }
}

/// An expression that makes an object from members with the given texts.
fn object(members: &[(&str, String)]) -> String {
    let members = members.iter().enumerate().map(|(place, (name, text))| {
        let comma = if place == 0 { "" } else { "," };
        let key = format!("{comma}{}:", serde_json::Value::from(*name));
        format!("{}, {text}", quote_text(&key))
    });
    let members: Vec<String> = members.collect();
    // A chain of `||` over hundreds of columns would be nested too deeply for DuckDB.
    if members.is_empty() { "'{}'".to_owned() } else { format!("concat('{{', {}, '}}')", members.join(", ")) }
}

fn refused(kind: &str) -> Error {
    Error(format!("{kind} cannot be written as JSON; cast it to VARCHAR in SQL, or leave it out"))
}

/// Whether the condition that `leaf` makes from a scalar's expression and type is true anywhere in `value`.
fn any(value: &str, kind: &DuckdbType, depth: usize, leaf: &dyn Fn(&str, &str) -> Option<String>) -> Option<String> {
    let one = |conditions: Vec<String>| (!conditions.is_empty()).then(|| format!("({})", conditions.join(" or ")));
    let among = |list: String, name: &str, inner: &str| {
        format!("coalesce(list_bool_or(list_transform({list}, lambda {name}: {inner})), false)")
    };
    match kind {
        DuckdbType::Scalar { name, .. } => leaf(value, name),
        DuckdbType::List { item, .. } => {
            let name = format!("item{depth}");
            let inner = any(&name, item, depth + 1, leaf)?;
            Some(among(value.to_owned(), &name, &inner))
        }
        DuckdbType::Struct(members) => {
            let own = |name: &str| format!("struct_extract({value}, {})", quote_text(name));
            one(members.iter().filter_map(|(name, kind)| any(&own(name), kind, depth, leaf)).collect())
        }
        DuckdbType::Union(members) => {
            let own = |tag: &str| format!("union_extract({value}, {})", quote_text(tag));
            one(members.iter().filter_map(|(tag, kind)| any(&own(tag), kind, depth, leaf)).collect())
        }
        DuckdbType::Map(_, item) => {
            let entry = format!("entry{depth}");
            let inner = any(&format!("{entry}.value"), item, depth + 1, leaf)?;
            Some(among(format!("map_entries({value})"), &entry, &inner))
        }
    }
}

/// A named value in an object.
#[derive(Debug, Clone, Copy)]
pub struct JsonMember<'a> {
    pub name: &'a str,
    pub expression: &'a str,
    pub duckdb_type: &'a str,
    pub not_finite: NotFinite,
}

/// A SQL expression of type VARCHAR: one JSON object.
///
/// # Errors
/// As for [`json_text`], naming the value.
pub fn json_object_text(members: &[JsonMember<'_>]) -> Result<String> {
    let members = members.iter().map(|member| {
        let text = DuckdbType::parse(member.duckdb_type)
            .and_then(|kind| member.not_finite.inside(member.expression, &kind, 0));
        text.map(|text| (member.name, text)).map_err(|error| Error(format!("column `{}`: {error}", member.name)))
    });
    Ok(object(&members.collect::<Result<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn json_is_never_parsed_when_it_is_written() {
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
            assert!(error.0.contains(word) && error.0.contains("cast it"), "{error}");
        }
        let error = json_object_text(&[JsonMember {
            name: "v",
            expression: "v",
            duckdb_type: "VARIANT",
            not_finite: NotFinite::Null,
        }])
        .unwrap_err();
        assert!(error.0.contains("column `v`"), "{error}");
    }

    #[test]
    fn only_types_that_can_lose_something_are_checked() {
        for kind in ["BIGINT", "VARCHAR[]", "STRUCT(\"b DOUBLE\" VARCHAR)", "MAP(DOUBLE, VARCHAR)", "ENUM('DOUBLE')"] {
            assert_eq!(not_finite("x", kind).unwrap(), None, "{kind}");
            assert_eq!(not_json("x", kind).unwrap(), None, "{kind}");
        }
        let list = not_finite("x", "FLOAT[3]").unwrap().unwrap();
        let expected = "list_transform(x, lambda item0: coalesce(not isfinite(item0), false))";
        assert_eq!(list, format!("coalesce(list_bool_or({expected}), false)"));
        let both = "STRUCT(a MAP(VARCHAR, DOUBLE), b JSON)";
        assert!(not_finite("x", both).unwrap().unwrap().contains("map_entries(struct_extract(x, 'a'))"));
        assert!(not_json("x", both).unwrap().unwrap().contains("json_valid(struct_extract(x, 'b')::varchar)"));
    }
}
