//! One column on its way from DuckDB to MySQL: its type there, and how its values are spelt.

use osiris_sdk::sql::quote_name;

/// What DuckDB's type is to MySQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Its text as DuckDB writes it has nothing to escape.
    Plain,
    Boolean,
    Text,
    /// Written as JSON.
    Nested,
    Bytes,
    Timestamp,
    TimestampTz,
    Interval,
    Bit,
}

/// A column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// DuckDB's type.
    kind: String,
    /// The type of the table's column, in lower case; set once the table is known.
    pub target: String,
}

impl Column {
    pub fn new(name: &str, kind: &str) -> Self {
        Self { name: name.to_owned(), kind: kind.to_owned(), target: String::new() }
    }

    fn group(&self) -> Group {
        if self.kind.ends_with(']') {
            return Group::Nested;
        }
        match self.kind.split('(').next().unwrap_or_default() {
            "BOOLEAN" => Group::Boolean,
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT" | "UINTEGER"
            | "UBIGINT" | "UHUGEINT" | "DECIMAL" | "FLOAT" | "DOUBLE" | "DATE" | "TIME" | "UUID" | "BIGNUM" => {
                Group::Plain
            }
            "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" => Group::Timestamp,
            "TIMESTAMP WITH TIME ZONE" => Group::TimestampTz,
            "INTERVAL" => Group::Interval,
            "BLOB" => Group::Bytes,
            "BIT" => Group::Bit,
            "STRUCT" | "MAP" | "UNION" | "VARIANT" => Group::Nested,
            _ => Group::Text,
        }
    }

    /// The type that a new column gets. A key must be of bounded length.
    pub fn new_type(&self, is_key: bool) -> String {
        let text = if is_key { "varchar(255)" } else { "longtext" };
        if self.kind.ends_with(']') {
            return "json".to_owned();
        }
        let simple = match self.kind.split('(').next().unwrap_or_default() {
            "BOOLEAN" => "tinyint(1)",
            "TINYINT" => "tinyint",
            "SMALLINT" => "smallint",
            "INTEGER" => "int",
            "BIGINT" => "bigint",
            "UTINYINT" => "tinyint unsigned",
            "USMALLINT" => "smallint unsigned",
            "UINTEGER" => "int unsigned",
            "UBIGINT" => "bigint unsigned",
            "HUGEINT" | "UHUGEINT" => "decimal(39,0)",
            "DECIMAL" => return self.kind.to_lowercase(),
            "FLOAT" => "float",
            "DOUBLE" => "double",
            "DATE" => "date",
            "TIME" => "time(6)",
            "UUID" => "char(36) character set ascii",
            "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" | "TIMESTAMP WITH TIME ZONE" => "datetime(6)",
            "BLOB" if is_key => "varbinary(255)",
            "BLOB" => "longblob",
            "JSON" | "STRUCT" | "MAP" | "UNION" | "VARIANT" => "json",
            _ => text,
        };
        simple.to_owned()
    }

    fn target_is(&self, base: &str) -> bool {
        self.target.split(['(', ' ']).next() == Some(base)
    }

    /// The value as text, in DuckDB's SQL, and whether it can hold characters to escape.
    fn text(&self) -> (String, bool) {
        let name = quote_name(&self.name);
        match self.group() {
            // Digits that suffice for a float may lie beyond the largest one, to a server that reads them as a double.
            Group::Plain if self.kind == "FLOAT" && (self.target_is("float") || self.target_is("double")) => {
                (format!("cast(cast({name} as double) as varchar)"), false)
            }
            Group::Plain => (format!("cast({name} as varchar)"), false),
            Group::Boolean => (format!("cast(cast({name} as integer) as varchar)"), false),
            Group::Text => (format!("cast({name} as varchar)"), true),
            Group::Nested => (format!("cast(to_json({name}) as varchar)"), true),
            Group::Bytes => (format!("hex({name})"), false),
            Group::Timestamp => (format!("cast(cast({name} as timestamp) as varchar)"), false),
            Group::TimestampTz => (
                format!(
                    "case when isfinite({name}) then cast(make_timestamp(epoch_us({name})) as varchar) \
                     else cast({name} as varchar) end"
                ),
                false,
            ),
            Group::Interval if self.target_is("time") => {
                let (all, span) = (format!("epoch_us({name})"), format!("abs(epoch_us({name}))"));
                (
                    format!(
                        "case when {all} < 0 then '-' else '' end || ({span} // 3600000000) || ':' || \
                         lpad(cast({span} // 60000000 % 60 as varchar), 2, '0') || ':' || \
                         lpad(cast({span} // 1000000 % 60 as varchar), 2, '0') || '.' || \
                         lpad(cast({span} % 1000000 as varchar), 6, '0')"
                    ),
                    false,
                )
            }
            Group::Interval | Group::Bit => (format!("cast({name} as varchar)"), false),
        }
    }

    /// The field of LOAD DATA, in DuckDB's SQL.
    pub fn load_field(&self) -> String {
        let (text, escape) = self.text();
        let text = if escape {
            format!(
                "replace(replace(replace(replace({text}, '\\', '\\\\'), chr(9), '\\t'), chr(10), '\\n'), chr(0), '\\0')"
            )
        } else {
            text
        };
        format!("coalesce({text}, '\\N')")
    }

    /// The value of INSERT, in DuckDB's SQL: text as its bytes in hex, which every `sql_mode` reads alike.
    pub fn insert_value(&self, place: usize) -> String {
        let (text, escape) = self.text();
        let literal = match self.convert(&format!("@{place}")) {
            _ if self.group() == Group::Bytes && self.is_geometry() => {
                format!("'st_geomfromwkb(x''' || {text} || ''')'")
            }
            _ if self.group() == Group::Bytes => format!("'x''' || {text} || ''''"),
            Some(_) if self.group() == Group::Bit => format!("'b''' || {text} || ''''"),
            _ if self.is_year() => text,
            _ if escape => format!("'_utf8mb4 x''' || hex({text}) || ''''"),
            _ => format!("'''' || {text} || ''''"),
        };
        format!("coalesce({literal}, 'null')")
    }

    /// What LOAD DATA makes of the field that it read into `variable`, where that is not what it is.
    pub fn convert(&self, variable: &str) -> Option<String> {
        match self.group() {
            Group::Bytes if self.is_geometry() => Some(format!("st_geomfromwkb(unhex({variable}))")),
            Group::Bytes => Some(format!("unhex({variable})")),
            // As a text, year 0 would be 2000.
            Group::Plain if self.is_year() => Some(format!("cast({variable} as unsigned)")),
            Group::Bit if self.target_is("bit") => Some(format!("cast(conv({variable}, 2, 10) as unsigned)")),
            _ => None,
        }
    }

    /// A whole number on its way into a year.
    fn is_year(&self) -> bool {
        self.target_is("year") && (self.kind.ends_with("INT") || self.kind == "INTEGER")
    }

    fn is_geometry(&self) -> bool {
        [
            "geometry",
            "point",
            "linestring",
            "polygon",
            "multipoint",
            "multilinestring",
            "multipolygon",
            "geometrycollection",
            "geomcollection",
        ]
        .iter()
        .any(|base| self.target_is(base))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn duckdbs_types_get_columns_that_hold_them() {
        for (kind, expected) in [
            ("UBIGINT", "bigint unsigned"),
            ("HUGEINT", "decimal(39,0)"),
            ("DECIMAL(10,2)", "decimal(10,2)"),
            ("TIMESTAMP WITH TIME ZONE", "datetime(6)"),
            ("INTEGER[]", "json"),
            ("DECIMAL(4,1)[3]", "json"),
            ("STRUCT(a INTEGER)", "json"),
            ("ENUM('a', 'b')", "longtext"),
            ("INTERVAL", "longtext"),
            ("BLOB", "longblob"),
        ] {
            assert_eq!(Column::new("c", kind).new_type(false), expected, "{kind}");
        }
        assert_eq!(Column::new("c", "VARCHAR").new_type(true), "varchar(255)");
    }

    #[test]
    fn bits_and_bytes_are_converted_for_the_column_that_takes_them() {
        let mut bit = Column::new("c", "BIT");
        assert_eq!(bit.convert("@c0"), None);
        bit.target = "bit(7)".to_owned();
        assert_eq!(bit.convert("@c0").unwrap(), "cast(conv(@c0, 2, 10) as unsigned)");
        let mut blob = Column::new("c", "BLOB");
        assert_eq!(blob.convert("@c0").unwrap(), "unhex(@c0)");
        blob.target = "point".to_owned();
        assert_eq!(blob.convert("@c0").unwrap(), "st_geomfromwkb(unhex(@c0))");
    }
}
