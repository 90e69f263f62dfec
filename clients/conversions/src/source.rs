//! DuckDB's types, parsed from the text that `typeof` and `describe` give.

use std::fmt;

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
    /// An integer without bounds.
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
    /// A type that this table does not know: `VARIANT`, `GEOMETRY`, or one of an extension.
    Other(String),
}

impl SourceType {
    /// Parses a type as DuckDB prints it. Text that is no type becomes [`SourceType::Other`].
    pub fn parse(text: &str) -> Self {
        let mut parser = Parser { rest: text.trim() };
        match parser.whole() {
            Some(found) if parser.rest.is_empty() => found,
            _ => Self::Other(text.trim().to_owned()),
        }
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

    /// Whether writers without records write it as JSON: a STRUCT, MAP, UNION or VARIANT, or a list of them.
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
        let fields = |f: &mut fmt::Formatter<'_>, name: &str, fields: &[(String, SourceType)]| {
            let fields: Vec<String> =
                fields.iter().map(|(name, kind)| format!("{} {kind}", quote_name(name))).collect();
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

/// The types without parameters, by the names that DuckDB prints; where it has several, the first is the one.
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

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn skip(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A type with the brackets behind it.
    fn whole(&mut self) -> Option<SourceType> {
        let mut found = self.simple()?;
        while self.skip("[") {
            let length = self.number();
            found = match length {
                Some(length) => SourceType::Array(Box::new(found), length),
                None => SourceType::List(Box::new(found)),
            };
            self.skip("]").then_some(())?;
        }
        Some(found)
    }

    fn simple(&mut self) -> Option<SourceType> {
        if self.skip("DECIMAL(") {
            let precision = self.number()?.try_into().ok()?;
            let scale = if self.skip(",") { self.number()?.try_into().ok()? } else { 0 };
            return self.skip(")").then_some(SourceType::Decimal { precision, scale });
        }
        if self.skip("ENUM(") {
            let mut labels = vec![self.quoted('\'')?];
            while self.skip(",") {
                labels.push(self.quoted('\'')?);
            }
            return self.skip(")").then_some(SourceType::Enum(labels));
        }
        if self.skip("STRUCT(") {
            return self.members().map(SourceType::Struct);
        }
        if self.skip("UNION(") {
            return self.members().map(SourceType::Union);
        }
        if self.skip("MAP(") {
            let key = self.whole()?;
            let value = self.skip(",").then(|| self.whole())??;
            return self.skip(")").then(|| SourceType::Map(Box::new(key), Box::new(value)));
        }
        if let Some((_, kind)) = SIMPLE.iter().find(|(name, _)| self.is_word(name) && self.skip(name)) {
            return Some(kind.clone());
        }
        // The name of a type that is not known here.
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        self.rest = rest;
        (!name.is_empty()).then(|| SourceType::Other(name.to_owned()))
    }

    /// Whether the next word is `name`, and not a longer one.
    fn is_word(&self, name: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    }

    fn number(&mut self) -> Option<usize> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        self.rest = rest;
        digits.parse().ok()
    }

    /// A text in quotes, which are doubled inside.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut characters = self.rest.trim_start().strip_prefix(quote)?.chars();
        let mut text = String::new();
        loop {
            match characters.next()? {
                c if c == quote => {
                    let after = characters.as_str();
                    match after.strip_prefix(quote) {
                        Some(rest) => characters = rest.chars(),
                        None => {
                            self.rest = after;
                            return Some(text);
                        }
                    }
                    text.push(quote);
                }
                c => text.push(c),
            }
        }
    }

    /// The members of a STRUCT or UNION, and the bracket behind them.
    fn members(&mut self) -> Option<Vec<(String, SourceType)>> {
        let mut members = Vec::new();
        loop {
            let name = match self.quoted('"') {
                Some(name) => name,
                None => {
                    let text = self.rest.trim_start();
                    let (name, rest) = text.split_at(text.find(' ')?);
                    self.rest = rest;
                    // The members of a row have no names, only types.
                    name.chars().all(|c| c.is_alphanumeric() || c == '_').then(|| name.to_owned())?
                }
            };
            members.push((name, self.whole()?));
            if !self.skip(",") {
                return self.skip(")").then_some(members);
            }
        }
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
    fn a_list_is_nested_where_its_items_are() {
        assert!(SourceType::parse("STRUCT(a INTEGER)[][]").is_nested());
        assert!(!SourceType::parse("INTEGER[][2]").is_nested());
        assert_eq!(SourceType::parse("INTEGER[][2]").innermost(), (2, &SourceType::Integer));
    }
}
