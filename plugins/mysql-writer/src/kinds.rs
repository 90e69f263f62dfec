//! Maps MySQL's types to targets of conversions, and chooses the types of new columns.

use conversions::{Blanks, Characters, Range, SourceType, TargetType, Text};

use crate::table::TableColumn;

/// A parsed column type: `decimal(10,2) unsigned` is `decimal`, 10 and 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    pub base: String,
    pub unsigned: bool,
    numbers: Vec<u64>,
    /// The members of an ENUM or SET.
    pub labels: Vec<String>,
}

impl Kind {
    /// Parses a `column_type` from the catalog.
    pub fn parse(text: &str) -> Self {
        let end = text.find(['(', ' ']).unwrap_or(text.len());
        let base = text[..end].to_lowercase();
        let inside = text[end..].strip_prefix('(').unwrap_or_default();
        if base == "enum" || base == "set" {
            return Self { base, unsigned: false, numbers: Vec::new(), labels: labels(inside) };
        }
        let numbers = inside.split(')').next().unwrap_or_default();
        let numbers = numbers.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        Self { base, unsigned: text.to_lowercase().contains(" unsigned"), numbers, labels: Vec::new() }
    }

    fn number(&self, place: usize) -> Option<u64> {
        self.numbers.get(place).copied()
    }

    pub fn is_geometry(&self) -> bool {
        matches!(
            self.base.as_str(),
            "geometry"
                | "point"
                | "linestring"
                | "polygon"
                | "multipoint"
                | "multilinestring"
                | "multipolygon"
                | "geometrycollection"
                | "geomcollection"
        )
    }

    pub fn is_integer(&self) -> bool {
        matches!(self.base.as_str(), "tinyint" | "smallint" | "mediumint" | "int" | "bigint")
    }

    pub fn is_text(&self) -> bool {
        matches!(
            self.base.as_str(),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "json" | "enum" | "set"
        )
    }

    pub fn is_binary(&self) -> bool {
        matches!(self.base.as_str(), "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "bit")
            || self.is_geometry()
    }

    /// The bounds of an integer type.
    fn integer(&self) -> Option<TargetType> {
        let bits = match self.base.as_str() {
            "tinyint" => 8,
            "smallint" => 16,
            "mediumint" => 24,
            "int" => 32,
            "bigint" => 64,
            _ => return None,
        };
        Some(TargetType::integer(bits, !self.unsigned))
    }
}

/// The members of `'a','it''s')`.
fn labels(text: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut characters = text.chars().peekable();
    while characters.next() == Some('\'') {
        let mut label = String::new();
        while let Some(character) = characters.next() {
            match character {
                '\'' if characters.peek() == Some(&'\'') => {
                    characters.next();
                    label.push('\'');
                }
                '\'' => break,
                other => label.push(other),
            }
        }
        labels.push(label);
        if characters.next() != Some(',') {
            break;
        }
    }
    labels
}

/// What a column can hold, for values of `source`. `last_timestamp` is the last second of the server's `timestamp`.
pub fn target_type(column: &TableColumn, source: &SourceType, last_timestamp: &str) -> TargetType {
    let kind = Kind::parse(&column.kind);
    let digits = kind.number(0).unwrap_or(0).try_into().unwrap_or(6);
    if let Some(integer) = kind.integer() {
        return integer;
    }
    match kind.base.as_str() {
        // MariaDB's JSON is a text with a check constraint.
        _ if column.json => TargetType::Json,
        "bit" if *source == SourceType::Boolean && kind.number(0) == Some(1) => TargetType::Boolean,
        "bit" => TargetType::Bits { length: Some(kind.number(0).unwrap_or(1)), varying: false },
        "decimal" => decimal(kind.number(0).unwrap_or(10), kind.number(1).unwrap_or(0)),
        // With a scale they round like decimals, and can hold no more digits than a decimal that is always preserved.
        "float" => match (kind.number(0), kind.number(1)) {
            (Some(digits), Some(scale)) => decimal(digits.min(6), scale),
            _ => TargetType::Float { double: false, special: false },
        },
        "double" => match (kind.number(0), kind.number(1)) {
            (Some(digits), Some(scale)) => decimal(digits.min(15), scale),
            _ => TargetType::Float { double: true, special: false },
        },
        "year" => TargetType::Year,
        "date" => TargetType::Date { range: years(source), infinity: false },
        "time" => TargetType::Time { digits, span: true },
        // A `datetime` stores an instant in UTC, as the README says.
        "datetime" => TargetType::Timestamp {
            digits,
            zone: *source == SourceType::TimestampTz,
            range: years(source),
            infinity: false,
        },
        "timestamp" => TargetType::Timestamp {
            digits,
            zone: true,
            range: Some(Range::new("1970-01-01 00:00:01", last_timestamp)),
            infinity: false,
        },
        "uuid" => TargetType::Uuid,
        "json" => TargetType::Json,
        "enum" => TargetType::Enum(kind.labels),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => TargetType::Text(text(column, &kind)),
        "binary" => TargetType::Bytes { max: Some(kind.number(0).unwrap_or(1)), fixed: true },
        "varbinary" => TargetType::Bytes { max: kind.number(0), fixed: false },
        "tinyblob" | "blob" | "mediumblob" | "longblob" => TargetType::Bytes { max: bytes(&kind.base), fixed: false },
        // A SET, whose members are checked separately; a geometry or an inet6, which the server parses.
        _ => TargetType::Opaque,
    }
}

fn decimal(precision: u64, scale: u64) -> TargetType {
    TargetType::decimal(precision.try_into().unwrap_or(65), scale.try_into().unwrap_or(30))
}

/// The years of a date; a timestamp in nanoseconds reaches neither bound.
fn years(source: &SourceType) -> Option<Range> {
    (*source != SourceType::TimestampNs).then(|| Range::new("0001-01-01", "9999-12-31 23:59:59.999999"))
}

/// The most bytes of a text or blob type.
fn bytes(base: &str) -> Option<u64> {
    match base {
        "tinytext" | "tinyblob" => Some(255),
        "text" | "blob" => Some(65_535),
        "mediumtext" | "mediumblob" => Some(16_777_215),
        "longtext" | "longblob" => Some(4_294_967_295),
        _ => None,
    }
}

fn text(column: &TableColumn, kind: &Kind) -> Text {
    let characters = match column.charset.as_deref() {
        Some("utf8" | "utf8mb3" | "ucs2") => Characters::BasicPlane,
        Some("latin1") => Characters::Windows1252,
        Some("ascii") => Characters::Ascii,
        // The server itself refuses characters that other character sets lack.
        _ => Characters::Unicode,
    };
    let limit = bytes(&kind.base);
    let (max_chars, max_bytes) = match column.charset.as_deref() {
        _ if limit.is_none() => (kind.number(0), None),
        Some("utf8mb4" | "utf8" | "utf8mb3") => (None, limit),
        Some("latin1" | "ascii") => (limit, None),
        // The server counts the bytes of other character sets.
        _ => (None, None),
    };
    let blanks = if kind.base == "char" { Blanks::Stripped } else { Blanks::Kept };
    Text { max_chars, max_bytes, blanks, characters }
}

/// The type of a new column that is not part of a key.
pub fn new_type(source: &SourceType) -> String {
    use SourceType as S;
    match source {
        S::Boolean => "tinyint(1)",
        S::TinyInt => "tinyint",
        S::SmallInt => "smallint",
        S::Integer => "int",
        S::BigInt => "bigint",
        S::UTinyInt => "tinyint unsigned",
        S::USmallInt => "smallint unsigned",
        S::UInteger => "int unsigned",
        S::UBigInt => "bigint unsigned",
        S::HugeInt | S::UHugeInt => "decimal(39,0)",
        S::Decimal { precision, scale } => return format!("decimal({precision},{scale})"),
        S::Float => "float",
        S::Double => "double",
        S::Date => "date",
        S::Time => "time(6)",
        S::Uuid => "char(36) character set ascii",
        S::Timestamp | S::TimestampS | S::TimestampMs | S::TimestampNs | S::TimestampTz => "datetime(6)",
        S::Blob => "longblob",
        S::Json => "json",
        nested if nested.is_nested() || nested.item().is_some() => "json",
        _ => "longtext",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: &str, charset: Option<&str>) -> TableColumn {
        TableColumn { kind: kind.to_owned(), charset: charset.map(str::to_owned), ..TableColumn::default() }
    }

    #[test]
    fn duckdb_types_get_columns_that_can_hold_them() {
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
            ("TIME_NS", "longtext"),
            ("BLOB", "longblob"),
        ] {
            assert_eq!(new_type(&SourceType::parse(kind)), expected, "{kind}");
        }
    }

    #[test]
    fn every_type_of_the_server_is_mapped_to_what_it_can_hold() {
        let is = |kind: &str, charset: Option<&str>| {
            target_type(&column(kind, charset), &SourceType::Varchar, "2038-01-19 03:14:07.999999")
        };
        assert_eq!(is("int(10) unsigned zerofill", None), TargetType::Integer { min: 0, max: 4_294_967_295 });
        assert_eq!(is("mediumint(9)", None), TargetType::Integer { min: -8_388_608, max: 8_388_607 });
        assert_eq!(is("decimal(10,2) unsigned", None), TargetType::decimal(10, 2));
        assert_eq!(is("double", None), TargetType::Float { double: true, special: false });
        assert_eq!(is("float(9,2)", None), TargetType::decimal(6, 2));
        assert_eq!(is("bit(7)", None), TargetType::Bits { length: Some(7), varying: false });
        assert_eq!(
            is("enum('a','it''s','x,y')", None),
            TargetType::Enum(vec!["a".into(), "it's".into(), "x,y".into()])
        );
        assert_eq!(is("binary(4)", None), TargetType::Bytes { max: Some(4), fixed: true });
        assert_eq!(is("blob", None), TargetType::Bytes { max: Some(65_535), fixed: false });
        assert_eq!(is("time(3)", None), TargetType::Time { digits: 3, span: true });
        assert_eq!(is("set('a','b')", None), TargetType::Opaque);
        let text = |kind: &str, charset: &str| match is(kind, Some(charset)) {
            TargetType::Text(text) => text,
            other => panic!("{other:?}"),
        };
        let chars = text("char(5)", "latin1");
        assert_eq!(
            (chars.max_chars, chars.blanks, chars.characters),
            (Some(5), Blanks::Stripped, Characters::Windows1252)
        );
        assert_eq!(text("tinytext", "utf8mb4").max_bytes, Some(255));
        assert_eq!(text("tinytext", "latin1").max_chars, Some(255));
        assert_eq!(text("varchar(9)", "utf8mb3").characters, Characters::BasicPlane);
    }

    #[test]
    fn an_instant_has_a_zone_in_a_datetime_and_a_boolean_is_a_bit() {
        let datetime = column("datetime(3)", None);
        for (source, expected) in [(SourceType::TimestampTz, true), (SourceType::Timestamp, false)] {
            let found = target_type(&datetime, &source, "");
            assert!(matches!(found, TargetType::Timestamp { digits: 3, zone, .. } if zone == expected), "{found:?}");
        }
        assert_eq!(target_type(&column("bit(1)", None), &SourceType::Boolean, ""), TargetType::Boolean);
    }
}
