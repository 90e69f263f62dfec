//! Legal values at the edges of each type.

use duckdb_text::{quote_name, quote_text};

/// A column for each type of DuckDB whose values cross to a driver.
pub const TYPES: [&str; 27] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL(4,1)",
    "DECIMAL(18,6)",
    "DECIMAL(38,10)",
    "VARCHAR",
    "BLOB",
    "UUID",
    "JSON",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TIMESTAMP_NS",
    "INTERVAL",
    "VARCHAR[]",
    "STRUCT(a INTEGER, b VARCHAR)",
];

/// A SELECT of rows in which each column has the hostile values of its type, in turn.
pub fn select(columns: &[(String, String)]) -> String {
    let values: Vec<Vec<Option<String>>> = columns.iter().map(|(_, duckdb_type)| values(duckdb_type)).collect();
    let rows = values.iter().map(Vec::len).max().unwrap_or(1);
    let column = |((name, duckdb_type), values): (&(String, String), &Vec<Option<String>>)| {
        let texts: Vec<String> =
            values.iter().map(|value| value.as_deref().map_or_else(|| "NULL".to_owned(), quote_text)).collect();
        let place = format!("1 + row % {}", values.len());
        format!("CAST(CAST([{}] AS VARCHAR[])[{place}] AS {duckdb_type}) AS {}", texts.join(", "), quote_name(name))
    };
    let columns: Vec<String> = columns.iter().zip(&values).map(column).collect();
    format!("SELECT {} FROM range({rows}) AS rows(row)", columns.join(", "))
}

/// The texts from which DuckDB makes the values; `None` is null.
fn values(duckdb_type: &str) -> Vec<Option<String>> {
    let texts: Vec<String> = match duckdb_type {
        "VARCHAR" => {
            let long = "0123456789".repeat(500);
            [
                "",
                " ",
                "NULL",
                "0",
                "a,b;c\t\"d\"",
                "two\nlines\r\n",
                "it's \\ 100%",
                "ž\u{1F600}\u{200d}e\u{301}",
                &long,
            ]
            .map(str::to_owned)
            .to_vec()
        }
        _ => texts(duckdb_type),
    };
    texts.into_iter().map(Some).chain([None]).collect()
}

fn texts(duckdb_type: &str) -> Vec<String> {
    let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match duckdb_type {
        "BOOLEAN" => all(&["true", "false"]),
        "TINYINT" => all(&["-128", "127", "0"]),
        "SMALLINT" => all(&["-32768", "32767", "0"]),
        "INTEGER" => all(&["-2147483648", "2147483647", "0"]),
        "BIGINT" => all(&["-9223372036854775808", "9223372036854775807", "9007199254740993", "0"]),
        "HUGEINT" => all(&["-99999999999999999999999999999999999999", "99999999999999999999999999999999999999", "0"]),
        "UTINYINT" => all(&["255", "0"]),
        "USMALLINT" => all(&["65535", "0"]),
        "UINTEGER" => all(&["4294967295", "0"]),
        "UBIGINT" => all(&["18446744073709551615", "9007199254740993", "0"]),
        "FLOAT" => all(&["3.4028235e38", "-1e-45", "0.1", "-0.0"]),
        "DOUBLE" => all(&["1.7976931348623157e308", "-5e-324", "0.1", "0.30000000000000004", "-0.0"]),
        "BLOB" => all(&[r"\x00\xFF", "", "text"]),
        "UUID" => all(&["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
        "JSON" => all(&[r#"{"a": [1, null, "x"]}"#, "null", "12345678901234567890.5"]),
        "DATE" => all(&["0001-01-01", "9999-12-31", "1970-01-01", "1969-12-31"]),
        "TIME" => all(&["00:00:00", "23:59:59.999999"]),
        "TIMESTAMP" => all(&["0001-01-01 00:00:00.000001", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.5"]),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => {
            all(&["1900-01-01 00:00:00.000001+00", "2100-12-31 23:59:59.999999+00"])
        }
        "TIMESTAMP_NS" => all(&["1970-01-01 00:00:00.000000001", "2200-01-01 00:00:00"]),
        "INTERVAL" => all(&["1 month -2 days 3 microseconds", "0 days"]),
        "VARCHAR[]" => all(&["[]", "[NULL]", "[a, 'b c', NULL]"]),
        "STRUCT(a INTEGER, b VARCHAR)" => all(&["{'a': NULL, 'b': NULL}", "{'a': 1, 'b': x}"]),
        decimal if decimal.starts_with("DECIMAL(") => decimals(decimal).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The largest and the smallest values of a decimal.
fn decimals(duckdb_type: &str) -> Option<Vec<String>> {
    let (precision, scale) = duckdb_type.strip_prefix("DECIMAL(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale): (usize, usize) = (precision.parse().ok()?, scale.trim().parse().ok()?);
    let nines = format!("{}.{}", "9".repeat(precision - scale), "9".repeat(scale));
    let smallest = if scale == 0 { "1".to_owned() } else { format!("0.{}1", "0".repeat(scale - 1)) };
    Some(vec![format!("-{nines}"), nines, smallest, "0".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_values() {
        for duckdb_type in TYPES {
            assert!(values(duckdb_type).len() > 2, "{duckdb_type}");
        }
        assert_eq!(decimals("DECIMAL(4,1)").unwrap_or_default(), ["-999.9", "999.9", "0.1", "0"]);
        assert_eq!(values("MAP(INTEGER, INTEGER)"), [None], "at least a null");
    }
}
