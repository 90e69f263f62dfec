//! How DuckDB's types are stored in Parquet files.
//!
//! Parquet has no equivalent for some of them. Their values are stored in a type that holds them exactly, and the
//! file's metadata records the original type, so that the extractor can restore it.

use conversions::SourceType;

/// The key of the file's metadata under which the types of columns are recorded: a JSON object `{column: type}`.
pub const METADATA_KEY: &str = "osiris.duckdb_types";

/// The type in which a column's values are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// In the same type.
    Same,
    /// In another type, which holds every value exactly.
    Exactly(SourceType),
    /// In another type, which holds most values, so each has to be checked.
    Checked(SourceType),
    /// Top-level intervals, which Parquet stores unsigned and in milliseconds, so each has to be checked.
    Interval,
    /// Not at all: the name of the type that Parquet cannot store.
    Nowhere(String),
}

/// How a column of a type is stored.
pub fn stored(column: &SourceType) -> Stored {
    if *column == SourceType::Interval {
        return Stored::Interval;
    }
    let mut outcome = Outcome::default();
    let target = convert(column, false, &mut outcome);
    match outcome {
        Outcome { refused: Some(name), .. } => Stored::Nowhere(name),
        Outcome { changed: false, .. } => Stored::Same,
        Outcome { checked: true, .. } => Stored::Checked(target),
        _ => Stored::Exactly(target),
    }
}

/// The type that stores values as text wherever [`stored`] would have to check them.
pub fn stored_as_text(column: &SourceType) -> SourceType {
    convert(column, true, &mut Outcome::default())
}

/// The type in which a column is restored: ENUMs inside other types are restored as text, because no SELECT that the
/// host accepts can name them there.
pub fn restored(column: &SourceType) -> SourceType {
    let inside = |kind: &SourceType| match kind {
        SourceType::Enum(_) => SourceType::Varchar,
        other => restored(other),
    };
    let members = |members: &[(String, SourceType)]| {
        members.iter().map(|(name, member)| (name.clone(), inside(member))).collect()
    };
    match column {
        SourceType::List(item) => SourceType::List(Box::new(inside(item))),
        SourceType::Array(item, length) => SourceType::Array(Box::new(inside(item)), *length),
        SourceType::Map(key, value) => SourceType::Map(Box::new(inside(key)), Box::new(inside(value))),
        SourceType::Struct(parts) => SourceType::Struct(members(parts)),
        other => other.clone(),
    }
}

#[derive(Default)]
struct Outcome {
    changed: bool,
    checked: bool,
    refused: Option<String>,
}

fn convert(from: &SourceType, as_text: bool, outcome: &mut Outcome) -> SourceType {
    let target = match from {
        // Members of a Parquet group are distinguished by name.
        SourceType::Struct(members) if members.iter().any(|(name, _)| name.is_empty()) => {
            outcome.refused = Some(from.to_string());
            return from.clone();
        }
        SourceType::Struct(members) => {
            let member = |(name, member): &(String, SourceType)| (name.clone(), convert(member, as_text, outcome));
            return SourceType::Struct(members.iter().map(member).collect());
        }
        SourceType::Map(key, value) => {
            let key = convert(key, as_text, outcome);
            return SourceType::Map(Box::new(key), Box::new(convert(value, as_text, outcome)));
        }
        SourceType::List(item) => return SourceType::List(Box::new(convert(item, as_text, outcome))),
        SourceType::Array(item, _) => SourceType::List(Box::new(convert(item, as_text, outcome))),
        SourceType::HugeInt | SourceType::UHugeInt if !as_text => {
            outcome.checked = true;
            SourceType::Decimal { precision: 38, scale: 0 }
        }
        // An interval inside other values cannot be checked individually, so it is stored as text.
        SourceType::HugeInt | SourceType::UHugeInt | SourceType::Interval => {
            outcome.checked = true;
            SourceType::Varchar
        }
        SourceType::TimestampS | SourceType::TimestampMs if !as_text => {
            outcome.checked = true;
            SourceType::Timestamp
        }
        SourceType::TimestampS | SourceType::TimestampMs => SourceType::Varchar,
        SourceType::Bit | SourceType::BigNum | SourceType::TimeTz | SourceType::Enum(_) => SourceType::Varchar,
        SourceType::Null => SourceType::Integer,
        SourceType::Union(_) => {
            outcome.refused = Some("UNION".to_owned());
            return from.clone();
        }
        SourceType::Other(name) if name != "VARIANT" && !name.starts_with("GEOMETRY") => {
            outcome.refused = Some(name.clone());
            return from.clone();
        }
        _ => return from.clone(),
    };
    outcome.changed = true;
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_stored_exactly_checked_or_refused() {
        for (from, expected) in [
            ("INTEGER", "same"),
            ("STRUCT(a INTEGER, b VARCHAR[])", "same"),
            ("UUID", "same"),
            ("VARIANT", "same"),
            ("HUGEINT", "checked DECIMAL(38,0)"),
            ("STRUCT(a UHUGEINT[], \"b c\" ENUM('x', 'y'))", "checked STRUCT(\"a\" DECIMAL(38,0)[], \"b c\" VARCHAR)"),
            ("MAP(BIT, INTEGER[3])", "exactly MAP(VARCHAR, INTEGER[])"),
            ("TIME WITH TIME ZONE", "exactly VARCHAR"),
            ("INTERVAL", "interval"),
            ("INTERVAL[]", "checked VARCHAR[]"),
            ("TIMESTAMP_S", "checked TIMESTAMP"),
            ("UNION(a INTEGER, b VARCHAR)[]", "nowhere UNION"),
            ("STRUCT(INTEGER, HUGEINT)", "nowhere STRUCT(INTEGER, HUGEINT)"),
        ] {
            let found = match stored(&SourceType::parse(from)) {
                Stored::Same => "same".to_owned(),
                Stored::Exactly(target) => format!("exactly {target}"),
                Stored::Checked(target) => format!("checked {target}"),
                Stored::Interval => "interval".to_owned(),
                Stored::Nowhere(name) => format!("nowhere {name}"),
            };
            assert_eq!(found, expected, "{from}");
        }
        let nested = SourceType::parse("STRUCT(\"e\" ENUM('a')[], \"h\" HUGEINT)");
        assert_eq!(restored(&nested).to_string(), "STRUCT(\"e\" VARCHAR[], \"h\" HUGEINT)");
        assert_eq!(stored_as_text(&SourceType::parse("HUGEINT[]")).to_string(), "VARCHAR[]");
    }
}
