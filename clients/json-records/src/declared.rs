//! The types of columns, declared or inferred, by DuckDB's names for them.

use std::collections::HashSet;

use duckdb_text::{DuckdbType, quote_name};

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
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
    /// The total number of digits, and the number of digits after the point.
    Decimal(u8, u8),
    Varchar,
    Json,
    Blob,
    Bit,
    Uuid,
    Date,
    Time,
    TimeNs,
    TimeTz,
    TimestampS,
    TimestampMs,
    Timestamp,
    TimestampNs,
    TimestampTz,
    Interval,
    List(Box<Type>),
    /// Lists of equal length.
    Array(Box<Type>, u32),
    Struct(Vec<(String, Type)>),
    Map(Box<Type>, Box<Type>),
}

const KNOWN: &str = "BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, HUGEINT, UTINYINT, USMALLINT, UINTEGER, UBIGINT, UHUGEINT, BIGNUM, FLOAT, \
                     DOUBLE, DECIMAL(p,s), VARCHAR, JSON, BLOB, BIT, UUID, DATE, TIME, TIME_NS, TIMETZ, TIMESTAMP, TIMESTAMP_S, \
                     TIMESTAMP_MS, TIMESTAMP_NS, TIMESTAMPTZ, INTERVAL, lists, arrays, STRUCT and MAP of them; in place of an \
                     ENUM declare VARCHAR, in place of a UNION the STRUCT of its members, and cast it in SQL";

/// The longest array: each null of the column needs as much space as a value.
const MAX_LENGTH: u32 = 10_000;

/// A name that is not a type's, or a type's that no column can be declared as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownType(String);

impl std::fmt::Display for UnknownType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is not a type that a column can be declared as; there are: {KNOWN}", self.0)
    }
}

impl std::error::Error for UnknownType {}

#[cfg(feature = "driver")]
impl From<UnknownType> for osiris_sdk::Error {
    fn from(unknown: UnknownType) -> Self {
        Self::config(unknown.to_string())
    }
}

impl Type {
    /// Parses a type's name as DuckDB writes it.
    ///
    /// # Errors
    /// If there is no such type, or a column cannot have it; names the types that exist.
    pub fn parse(name: &str) -> Result<Self, UnknownType> {
        let unknown = || UnknownType(name.to_owned());
        DuckdbType::parse(name).ok().and_then(|kind| Self::of(&kind)).ok_or_else(unknown)
    }

    fn of(kind: &DuckdbType) -> Option<Self> {
        match kind {
            DuckdbType::Scalar { name, arguments } => Self::of_scalar(name, arguments),
            DuckdbType::List { item, length: None } => Some(Self::List(Box::new(Self::of(item)?))),
            DuckdbType::List { item, length: Some(length @ 1..=MAX_LENGTH) } => {
                Some(Self::Array(Box::new(Self::of(item)?), *length))
            }
            DuckdbType::Struct(members) => {
                let member = |(name, kind): &(String, DuckdbType)| Some((name.clone(), Self::of(kind)?));
                let members: Vec<(String, Type)> = members.iter().map(member).collect::<Option<_>>()?;
                let mut names = HashSet::new();
                let are_names = members.iter().all(|(name, _)| !name.is_empty() && names.insert(name.to_lowercase()));
                are_names.then_some(Self::Struct(members))
            }
            DuckdbType::Map(key, value) => {
                let key = Self::of(key)?;
                let nested = matches!(key, Self::List(_) | Self::Array(..) | Self::Struct(_) | Self::Map(..));
                if nested { None } else { Some(Self::Map(Box::new(key), Box::new(Self::of(value)?))) }
            }
            DuckdbType::List { .. } | DuckdbType::Union(_) => None,
        }
    }

    fn of_scalar(name: &str, arguments: &str) -> Option<Self> {
        if matches!(name, "DECIMAL" | "NUMERIC" | "DEC") {
            let arguments = if arguments.is_empty() { "18,3" } else { arguments };
            let (digits, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
            let (digits, scale) = (digits.trim().parse().ok()?, scale.trim().parse().ok()?);
            return ((1..=38).contains(&digits) && scale <= digits).then_some(Self::Decimal(digits, scale));
        }
        if !arguments.is_empty() {
            return None;
        }
        Some(match name {
            "BOOLEAN" | "BOOL" | "LOGICAL" => Self::Boolean,
            "TINYINT" | "INT1" => Self::TinyInt,
            "SMALLINT" | "INT2" | "SHORT" => Self::SmallInt,
            "INTEGER" | "INT" | "INT4" | "SIGNED" => Self::Integer,
            "BIGINT" | "INT8" | "LONG" => Self::BigInt,
            "HUGEINT" | "INT128" => Self::HugeInt,
            "UTINYINT" => Self::UTinyInt,
            "USMALLINT" => Self::USmallInt,
            "UINTEGER" => Self::UInteger,
            "UBIGINT" => Self::UBigInt,
            "UHUGEINT" | "UINT128" => Self::UHugeInt,
            "BIGNUM" => Self::BigNum,
            "FLOAT" | "FLOAT4" | "REAL" => Self::Float,
            "DOUBLE" | "FLOAT8" => Self::Double,
            "VARCHAR" | "TEXT" | "STRING" | "CHAR" | "BPCHAR" => Self::Varchar,
            "JSON" => Self::Json,
            "BLOB" | "BYTEA" | "BINARY" | "VARBINARY" => Self::Blob,
            "BIT" | "BITSTRING" => Self::Bit,
            "UUID" => Self::Uuid,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "TIME_NS" => Self::TimeNs,
            "TIMETZ" | "TIME WITH TIME ZONE" => Self::TimeTz,
            "TIMESTAMP" | "DATETIME" | "TIMESTAMP_US" => Self::Timestamp,
            "TIMESTAMP_S" => Self::TimestampS,
            "TIMESTAMP_MS" => Self::TimestampMs,
            "TIMESTAMP_NS" => Self::TimestampNs,
            "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Self::TimestampTz,
            "INTERVAL" => Self::Interval,
            _ => return None,
        })
    }

    /// The type's name, as DuckDB reads it.
    pub fn name(&self) -> String {
        match self {
            Self::Decimal(digits, scale) => format!("DECIMAL({digits},{scale})"),
            Self::List(item) => format!("{}[]", item.name()),
            Self::Struct(members) => {
                let member = |(name, kind): &(String, Type)| format!("{} {}", quote_name(name), kind.name());
                format!("STRUCT({})", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
            Self::Map(key, value) => format!("MAP({}, {})", key.name(), value.name()),
            Self::Array(item, length) => format!("{}[{length}]", item.name()),
            Self::TimeNs => "TIME_NS".to_owned(),
            Self::TimestampS => "TIMESTAMP_S".to_owned(),
            Self::TimestampMs => "TIMESTAMP_MS".to_owned(),
            Self::TimestampNs => "TIMESTAMP_NS".to_owned(),
            other => format!("{other:?}").to_ascii_uppercase(),
        }
    }

    /// Arrow's format of the type, and the metadata that names DuckDB's own type if Arrow has none.
    pub fn format(&self) -> (String, Vec<(String, String)>) {
        let extension = |name: &str| ("ARROW:extension:name".to_owned(), name.to_owned());
        let own = |name: &str| {
            let details = format!(r#"{{"type_name":"{name}","vendor_name":"DuckDB"}}"#);
            vec![extension("arrow.opaque"), ("ARROW:extension:metadata".to_owned(), details)]
        };
        let (format, metadata) = match self {
            Self::Boolean => ("b", Vec::new()),
            Self::TinyInt => ("c", Vec::new()),
            Self::SmallInt => ("s", Vec::new()),
            Self::Integer => ("i", Vec::new()),
            Self::BigInt => ("l", Vec::new()),
            Self::UTinyInt => ("C", Vec::new()),
            Self::USmallInt => ("S", Vec::new()),
            Self::UInteger => ("I", Vec::new()),
            Self::UBigInt => ("L", Vec::new()),
            Self::HugeInt => ("w:16", own("hugeint")),
            Self::UHugeInt => ("w:16", own("uhugeint")),
            Self::BigNum => ("z", own("bignum")),
            Self::Float => ("f", Vec::new()),
            Self::Double => ("g", Vec::new()),
            Self::Decimal(digits, scale) => return (format!("d:{digits},{scale}"), Vec::new()),
            Self::Varchar => ("u", Vec::new()),
            Self::Json => ("u", vec![extension("arrow.json")]),
            Self::Blob => ("z", Vec::new()),
            Self::Bit => ("z", own("bit")),
            Self::Uuid => ("w:16", vec![extension("arrow.uuid")]),
            Self::Date => ("tdD", Vec::new()),
            Self::Time => ("ttu", Vec::new()),
            Self::TimeNs => ("ttn", Vec::new()),
            Self::TimeTz => ("w:8", own("time_tz")),
            Self::TimestampS => ("tss:", Vec::new()),
            Self::TimestampMs => ("tsm:", Vec::new()),
            Self::Timestamp => ("tsu:", Vec::new()),
            Self::TimestampNs => ("tsn:", Vec::new()),
            Self::TimestampTz => ("tsu:UTC", Vec::new()),
            Self::Interval => ("tin", Vec::new()),
            Self::List(_) => ("+l", Vec::new()),
            Self::Array(_, length) => return (format!("+w:{length}"), Vec::new()),
            Self::Struct(_) => ("+s", Vec::new()),
            Self::Map(..) => ("+m", Vec::new()),
        };
        (format.to_owned(), metadata)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_types_are_parsed() {
        for (name, expected) in [
            ("bigint", "BIGINT"),
            ("Decimal(10, 2)", "DECIMAL(10,2)"),
            ("NUMERIC(5)", "DECIMAL(5,0)"),
            ("decimal", "DECIMAL(18,3)"),
            ("timestamp with time zone", "TIMESTAMPTZ"),
            ("STRUCT(a INT, \"b c\" MAP(DATE, JSON[]))[]", "STRUCT(\"a\" INTEGER, \"b c\" MAP(DATE, JSON[]))[]"),
            ("timestamp_ns", "TIMESTAMP_NS"),
            ("TIME_NS[2][]", "TIME_NS[2][]"),
            ("MAP(BIGNUM, FLOAT[3])", "MAP(BIGNUM, FLOAT[3])"),
        ] {
            assert_eq!(Type::parse(name).unwrap().name(), expected, "{name}");
        }
        for name in [
            "",
            "NUMBRE",
            "DECIMAL(39,0)",
            "DECIMAL(2,3)",
            "DECIMAL(",
            "DECIMAL(x)",
            "ENUM('a')",
            "UNION(a INT)",
            "INT[0]",
            "INT[1000000]",
            "INT') --",
        ] {
            assert!(Type::parse(name).unwrap_err().to_string().contains("there are: BOOLEAN"), "{name}");
        }
    }
}
