//! The types that `dtype` and `parse_dates` declare.

use osiris_sdk::{Error, ErrorKind, Result, sql};

use crate::checks::{Declared, Rule};

/// Names of pandas types, which Python Osiris accepts, and the corresponding DuckDB types.
const PANDAS: &[(&str, &str)] = &[
    ("str", "VARCHAR"),
    ("string", "VARCHAR"),
    ("object", "VARCHAR"),
    ("category", "VARCHAR"),
    ("int16", "SMALLINT"),
    ("int32", "INTEGER"),
    ("int64", "BIGINT"),
    ("uint8", "UTINYINT"),
    ("uint16", "USMALLINT"),
    ("uint32", "UINTEGER"),
    ("uint64", "UBIGINT"),
    ("float", "DOUBLE"),
    ("float16", "FLOAT"),
    ("float32", "FLOAT"),
    ("float64", "DOUBLE"),
    ("boolean", "BOOLEAN"),
    ("datetime64", "TIMESTAMP"),
    ("datetime64[ns]", "TIMESTAMP"),
];

impl Declared {
    /// Parses a type's name from the config. Whether DuckDB knows it is left to [`Self::check`].
    ///
    /// # Errors
    /// `config` for a text that cannot be the name of a type.
    pub fn parse(column: &str, name: &str) -> Result<Self> {
        let trimmed = name.trim();
        let known = PANDAS.iter().find(|(pandas, _)| trimmed.eq_ignore_ascii_case(pandas));
        // `FLOAT` has four bytes in DuckDB, but eight in Python, which writes it in lower case.
        let known = known.filter(|(pandas, _)| *pandas != "float" || trimmed == "float");
        let sql = known.map_or(trimmed, |(_, sql)| sql).to_owned();
        let mut depth = 0_i32;
        for character in sql.chars() {
            depth += match character {
                '(' | '[' => 1,
                ')' | ']' => -1,
                _ => 0,
            };
            if depth < 0 || character == ';' || character.is_control() {
                return Err(unknown(column, name, "it is no type"));
            }
        }
        if depth != 0 || sql.is_empty() || sql.contains("--") || sql.contains("/*") {
            return Err(unknown(column, name, "it is no type"));
        }
        let rule = rule(&sql);
        Ok(Self { sql, rule, format: None })
    }

    /// Asks DuckDB whether there is such a type.
    ///
    /// # Errors
    /// `config`, if there is no such type; as DuckDB says if it cannot answer.
    pub fn check(&self, column: &str) -> Result<()> {
        match sql::query(&format!("select cast(null as {}) as t", self.sql)) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind, ErrorKind::Config | ErrorKind::NotFound | ErrorKind::Data) => {
                let reason = error.message.lines().next().unwrap_or_default();
                Err(unknown(column, &self.sql, reason))
            }
            Err(error) => Err(error),
        }
    }

    /// The form of a valid value, and other possible types of the column, for an error.
    pub fn remedy(&self, column: &str) -> String {
        let wider = match self.rule {
            Rule::Integer => "declare a wider type, such as HUGEINT, or DOUBLE or DECIMAL for fractions",
            Rule::Decimal { .. } => "declare a DECIMAL with more digits",
            Rule::Date => "declare TIMESTAMP, or give the `date_format` that it is written in",
            Rule::Timestamp { .. } => {
                "declare TIMESTAMPTZ for values with an offset, TIMESTAMP_NS for nine digits, or give the `timestamp_format`"
            }
            Rule::TimestampTz | Rule::Time => "give the `timestamp_format` that it is written in",
            Rule::Boolean => "list its words in `true_values` and `false_values`",
            Rule::Double => "declare a DECIMAL for more digits, or VARCHAR to round it in SQL",
            _ => "declare another type",
        };
        format!("{wider}, or omit `{column}` from `dtype`, or list the text in `na_values`")
    }
}

fn unknown(column: &str, name: &str, reason: &str) -> Error {
    Error::config(format!(
        "`dtype` of column `{column}` is `{name}`, which is not a type of DuckDB: {reason} \
         Usual ones are BIGINT, INTEGER, DOUBLE, DECIMAL(18, 2), VARCHAR, BOOLEAN, DATE, TIMESTAMP and TIMESTAMPTZ"
    ))
}

fn rule(sql: &str) -> Rule {
    let upper = sql.to_uppercase();
    if upper.ends_with(']') {
        return Rule::Nested;
    }
    let (base, arguments) = upper.split_once('(').map_or((upper.as_str(), None), |(base, rest)| (base, Some(rest)));
    match base.trim() {
        "STRUCT" | "ROW" | "MAP" | "UNION" | "LIST" => Rule::Nested,
        "VARCHAR" | "TEXT" | "STRING" | "CHAR" | "BPCHAR" | "NVARCHAR" => Rule::Text,
        "BOOLEAN" | "BOOL" | "LOGICAL" => Rule::Boolean,
        "DOUBLE" | "FLOAT8" | "FLOAT" | "FLOAT4" | "REAL" => Rule::Double,
        "DECIMAL" | "NUMERIC" | "DEC" => {
            // DuckDB's default is DECIMAL(18, 3); a width without a scale has no fraction.
            let scale = arguments.map_or(Some(3), |rest| {
                rest.trim_end_matches(')').split_once(',').map_or(Some(0), |(_, scale)| scale.trim().parse().ok())
            });
            Rule::Decimal { scale: scale.unwrap_or(0) }
        }
        "DATE" => Rule::Date,
        "TIMESTAMP_S" => Rule::Timestamp { digits: 0 },
        "TIMESTAMP_MS" => Rule::Timestamp { digits: 3 },
        "TIMESTAMP_NS" => Rule::Timestamp { digits: 9 },
        "TIMESTAMP" | "TIMESTAMP_US" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => Rule::Timestamp { digits: 6 },
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Rule::TimestampTz,
        "TIME" | "TIME WITHOUT TIME ZONE" => Rule::Time,
        "TIMETZ" | "TIME WITH TIME ZONE" | "INTERVAL" => Rule::Seconds { digits: 6 },
        "TIME_NS" => Rule::Seconds { digits: 9 },
        name if is_integer(name) => Rule::Integer,
        _ => Rule::Other,
    }
}

fn is_integer(name: &str) -> bool {
    let signed = name.strip_prefix('U').unwrap_or(name);
    matches!(
        signed,
        "TINYINT"
            | "SMALLINT"
            | "INTEGER"
            | "BIGINT"
            | "HUGEINT"
            | "BIGNUM"
            | "INT"
            | "INT1"
            | "INT2"
            | "INT4"
            | "INT8"
            | "INT128"
            | "SHORT"
            | "LONG"
            | "SIGNED"
            | "OID"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn types_are_parsed_by_name() {
        for (name, sql, rule) in [
            ("int64", "BIGINT", Rule::Integer),
            ("DECIMAL(10,2)", "DECIMAL(10,2)", Rule::Decimal { scale: 2 }),
            ("decimal(5)", "decimal(5)", Rule::Decimal { scale: 0 }),
            ("numeric", "numeric", Rule::Decimal { scale: 3 }),
            ("UHUGEINT", "UHUGEINT", Rule::Integer),
            ("BIGNUM", "BIGNUM", Rule::Integer),
            ("timetz", "timetz", Rule::Seconds { digits: 6 }),
            ("float", "DOUBLE", Rule::Double),
            ("FLOAT", "FLOAT", Rule::Double),
            ("timestamp", "timestamp", Rule::Timestamp { digits: 6 }),
            ("STRUCT(a INTEGER)", "STRUCT(a INTEGER)", Rule::Nested),
            ("INTEGER[]", "INTEGER[]", Rule::Nested),
            ("ENUM('a;b')", "", Rule::Other),
            ("INT) from read_text('x') --", "", Rule::Other),
        ] {
            match Declared::parse("a", name) {
                Ok(declared) => assert_eq!((declared.sql.as_str(), declared.rule), (sql, rule), "{name}"),
                Err(error) => assert!(sql.is_empty() && error.message.contains("`a`"), "{name}: {error}"),
            }
        }
    }
}
