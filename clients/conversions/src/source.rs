//! DuckDB's types, parsed from the text that `typeof` and `describe` return.

use std::fmt;

use osiris_sdk::DuckdbType;
use osiris_sdk::sql::{quote_name, quote_text};

/// A type of DuckDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceType {
    /// The type of a bare NULL.
    Null,
    Boolean,
    TinyInt,
    SmallInt,
    Integer,
    BigInt,
    HugeInt,
    UTinyInt,
    USmallInt,
    UInteger,
    UBigInt,
    UHugeInt,
    /// An integer of any length.
    BigNum,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Varchar,
    Enum(Vec<String>),
    Blob,
    Bit,
    Uuid,
    Json,
    Date,
    Time,
    TimeNs,
    TimeTz,
    Timestamp,
    TimestampS,
    TimestampMs,
    TimestampNs,
    TimestampTz,
    Interval,
    List(Box<SourceType>),
    Array(Box<SourceType>, usize),
    Struct(Vec<(String, SourceType)>),
    Map(Box<SourceType>, Box<SourceType>),
    Union(Vec<(String, SourceType)>),
    /// A type that this table does not know: `VARIANT`, `GEOMETRY`, or one from an extension.
    Other(String),
}

impl SourceType {
    /// Parses a type as DuckDB prints it. A text that is not a type becomes [`SourceType::Other`].
    pub fn parse(text: &str) -> Self {
        let parsed = DuckdbType::parse(text).ok().and_then(|kind| of(&kind));
        parsed.unwrap_or_else(|| Self::Other(text.trim().to_owned()))
    }

    /// The smallest and the largest value of an integer type.
    pub fn integer_range(&self) -> Option<(i128, u128)> {
        Some(match self {
            Self::TinyInt => (i8::MIN.into(), i8::MAX as u128),
            Self::SmallInt => (i16::MIN.into(), i16::MAX as u128),
            Self::Integer => (i32::MIN.into(), i32::MAX as u128),
            Self::BigInt => (i64::MIN.into(), i64::MAX as u128),
            Self::HugeInt => (i128::MIN, i128::MAX as u128),
            Self::UTinyInt => (0, u8::MAX.into()),
            Self::USmallInt => (0, u16::MAX.into()),
            Self::UInteger => (0, u32::MAX.into()),
            Self::UBigInt => (0, u64::MAX.into()),
            Self::UHugeInt => (0, u128::MAX),
            _ => return None,
        })
    }

    /// Whether the values are texts: VARCHAR, JSON, ENUM.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Varchar | Self::Json | Self::Enum(_))
    }

    /// The type of a list's items.
    pub fn item(&self) -> Option<&SourceType> {
        match self {
            Self::List(item) | Self::Array(item, _) => Some(item),
            _ => None,
        }
    }

    /// Whether writers for systems without records write it as JSON: a STRUCT, MAP, UNION or VARIANT, or a list of
    /// them.
    pub fn is_nested(&self) -> bool {
        match self {
            Self::Struct(_) | Self::Map(..) | Self::Union(_) => true,
            Self::Other(name) => name == "VARIANT",
            Self::List(item) | Self::Array(item, _) => item.is_nested(),
            _ => false,
        }
    }

    /// How many levels of lists are around the innermost item, and that item.
    pub fn innermost(&self) -> (usize, &SourceType) {
        self.item().map_or((0, self), |item| {
            let (depth, innermost) = item.innermost();
            (depth + 1, innermost)
        })
    }
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = |name: &str, kind: &SourceType| match name {
            // The members of a row type have no names.
            "" => kind.to_string(),
            name => format!("{} {kind}", quote_name(name)),
        };
        let fields = |f: &mut fmt::Formatter<'_>, name: &str, fields: &[(String, SourceType)]| {
            let fields: Vec<String> = fields.iter().map(|(name, kind)| member(name, kind)).collect();
            write!(f, "{name}({})", fields.join(", "))
        };
        f.write_str(match self {
            Self::Decimal { precision, scale } => return write!(f, "DECIMAL({precision},{scale})"),
            Self::Enum(labels) => {
                let labels: Vec<String> = labels.iter().map(|label| quote_text(label)).collect();
                return write!(f, "ENUM({})", labels.join(", "));
            }
            Self::List(item) => return write!(f, "{item}[]"),
            Self::Array(item, length) => return write!(f, "{item}[{length}]"),
            Self::Struct(members) => return fields(f, "STRUCT", members),
            Self::Union(members) => return fields(f, "UNION", members),
            Self::Map(key, value) => return write!(f, "MAP({key}, {value})"),
            Self::Other(name) => name,
            simple => SIMPLE.iter().find(|(_, kind)| kind == simple).map_or("", |(name, _)| name),
        })
    }
}

/// The types without parameters, by the names that DuckDB prints; if a type has several, the first one is canonical.
const SIMPLE: &[(&str, SourceType)] = &[
    ("\"NULL\"", SourceType::Null),
    ("NULL", SourceType::Null),
    ("BOOLEAN", SourceType::Boolean),
    ("TINYINT", SourceType::TinyInt),
    ("SMALLINT", SourceType::SmallInt),
    ("INTEGER", SourceType::Integer),
    ("BIGINT", SourceType::BigInt),
    ("HUGEINT", SourceType::HugeInt),
    ("UTINYINT", SourceType::UTinyInt),
    ("USMALLINT", SourceType::USmallInt),
    ("UINTEGER", SourceType::UInteger),
    ("UBIGINT", SourceType::UBigInt),
    ("UHUGEINT", SourceType::UHugeInt),
    ("BIGNUM", SourceType::BigNum),
    ("FLOAT", SourceType::Float),
    ("DOUBLE", SourceType::Double),
    ("VARCHAR", SourceType::Varchar),
    ("BLOB", SourceType::Blob),
    ("BIT", SourceType::Bit),
    ("UUID", SourceType::Uuid),
    ("JSON", SourceType::Json),
    ("DATE", SourceType::Date),
    ("TIME WITH TIME ZONE", SourceType::TimeTz),
    ("TIME_NS", SourceType::TimeNs),
    ("TIME", SourceType::Time),
    ("TIMESTAMP WITH TIME ZONE", SourceType::TimestampTz),
    ("TIMESTAMP_S", SourceType::TimestampS),
    ("TIMESTAMP_MS", SourceType::TimestampMs),
    ("TIMESTAMP_NS", SourceType::TimestampNs),
    ("TIMESTAMP", SourceType::Timestamp),
    ("INTERVAL", SourceType::Interval),
];

/// Converts a parsed type; `None` if its parts are not those of a type in DuckDB.
fn of(kind: &DuckdbType) -> Option<SourceType> {
    let members = |members: &[(String, DuckdbType)]| {
        members.iter().map(|(name, kind)| Some((name.clone(), of(kind)?))).collect::<Option<Vec<_>>>()
    };
    Some(match kind {
        DuckdbType::List { item, length: None } => SourceType::List(Box::new(of(item)?)),
        DuckdbType::List { item, length: Some(length) } => {
            SourceType::Array(Box::new(of(item)?), usize::try_from(*length).ok()?)
        }
        DuckdbType::Struct(all) => SourceType::Struct(members(all)?),
        DuckdbType::Union(all) => SourceType::Union(members(all)?),
        DuckdbType::Map(key, value) => SourceType::Map(Box::new(of(key)?), Box::new(of(value)?)),
        DuckdbType::Scalar { name, arguments } => match name.as_str() {
            "DECIMAL" if !arguments.is_empty() => {
                let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
                SourceType::Decimal { precision: precision.trim().parse().ok()?, scale: scale.trim().parse().ok()? }
            }
            "ENUM" if !arguments.is_empty() => SourceType::Enum(labels(arguments)?),
            _ => match SIMPLE.iter().find(|(simple, _)| simple == name) {
                Some((_, simple)) if arguments.is_empty() => simple.clone(),
                _ => SourceType::Other(name.clone()),
            },
        },
    })
}

/// The labels of an ENUM, in quotes; quotes inside are doubled.
fn labels(mut text: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    loop {
        let mut label = String::new();
        text = text.trim_start().strip_prefix('\'')?;
        loop {
            let (part, rest) = text.split_once('\'')?;
            label.push_str(part);
            match rest.strip_prefix('\'') {
                Some(after) => {
                    label.push('\'');
                    text = after;
                }
                None => {
                    text = rest.trim_start();
                    break;
                }
            }
        }
        labels.push(label);
        if text.is_empty() {
            return Some(labels);
        }
        text = text.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_parsed_as_duckdb_prints_it() {
        for (text, expected) in [
            ("INTEGER", SourceType::Integer),
            ("TIME", SourceType::Time),
            ("TIME_NS", SourceType::TimeNs),
            ("TIME WITH TIME ZONE", SourceType::TimeTz),
            ("TIMESTAMP_NS", SourceType::TimestampNs),
            ("TIMESTAMP WITH TIME ZONE", SourceType::TimestampTz),
            ("\"NULL\"", SourceType::Null),
            ("DECIMAL(18,3)", SourceType::Decimal { precision: 18, scale: 3 }),
            ("ENUM('a', 'it''s, ok')", SourceType::Enum(vec!["a".to_owned(), "it's, ok".to_owned()])),
            ("VARCHAR[][3]", SourceType::Array(Box::new(SourceType::List(Box::new(SourceType::Varchar))), 3)),
            (
                "STRUCT(a INTEGER, \"b \"\"c\" DECIMAL(4,1)[])",
                SourceType::Struct(vec![
                    ("a".to_owned(), SourceType::Integer),
                    ("b \"c".to_owned(), SourceType::List(Box::new(SourceType::Decimal { precision: 4, scale: 1 }))),
                ]),
            ),
            ("MAP(VARCHAR, INTEGER)", SourceType::Map(Box::new(SourceType::Varchar), Box::new(SourceType::Integer))),
            (
                "ENUM('a, (b', '\"]', ' ''''c')",
                SourceType::Enum(vec!["a, (b".to_owned(), "\"]".to_owned(), " ''c".to_owned()]),
            ),
            (
                "STRUCT(\"x, y)\" TIME WITH TIME ZONE, e ENUM('q)'))",
                SourceType::Struct(vec![
                    ("x, y)".to_owned(), SourceType::TimeTz),
                    ("e".to_owned(), SourceType::Enum(vec!["q)".to_owned()])),
                ]),
            ),
            ("STRUCT(INTEGER)", SourceType::Struct(vec![(String::new(), SourceType::Integer)])),
            ("UNION(num INTEGER)", SourceType::Union(vec![("num".to_owned(), SourceType::Integer)])),
            ("VARIANT", SourceType::Other("VARIANT".to_owned())),
            ("GEOMETRY[]", SourceType::List(Box::new(SourceType::Other("GEOMETRY".to_owned())))),
            ("STRUCT(a", SourceType::Other("STRUCT(a".to_owned())),
            ("", SourceType::Other(String::new())),
        ] {
            assert_eq!(SourceType::parse(text), expected, "{text}");
            assert_eq!(SourceType::parse(&expected.to_string()), expected, "{expected}");
        }
    }

    #[test]
    fn a_list_is_nested_if_its_items_are() {
        assert!(SourceType::parse("STRUCT(a INTEGER)[][]").is_nested());
        assert!(!SourceType::parse("INTEGER[][2]").is_nested());
        assert_eq!(SourceType::parse("INTEGER[][2]").innermost(), (2, &SourceType::Integer));
    }
}
