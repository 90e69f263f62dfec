//! The whole table, for documentation and tests.

use crate::{IntervalPart, SourceType, TargetType, Text, Verdict, verdict};

/// A cell of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub source: SourceType,
    pub target: TargetType,
    pub verdict: Verdict,
}

/// Every DuckDB type, with several variants of each kind that has parameters.
pub fn sources() -> Vec<SourceType> {
    [
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
        "UHUGEINT",
        "BIGNUM",
        "FLOAT",
        "DOUBLE",
        "DECIMAL(10,2)",
        "DECIMAL(38,10)",
        "VARCHAR",
        "ENUM('a', 'b')",
        "BLOB",
        "BIT",
        "UUID",
        "JSON",
        "DATE",
        "TIME",
        "TIME_NS",
        "TIME WITH TIME ZONE",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP",
        "TIMESTAMP_NS",
        "TIMESTAMP WITH TIME ZONE",
        "INTERVAL",
        "INTEGER[]",
        "DOUBLE[][]",
        "VARCHAR[3]",
        "STRUCT(a INTEGER, b VARCHAR)",
        "MAP(VARCHAR, INTEGER)",
        "UNION(num INTEGER, txt VARCHAR)",
    ]
    .iter()
    .map(|text| SourceType::parse(text))
    .collect()
}

/// One target of each kind, with bounds if the kind has them.
pub fn targets() -> Vec<TargetType> {
    let timestamp = |digits, zone| TargetType::Timestamp { digits, zone, range: None, infinity: true };
    vec![
        TargetType::Boolean,
        TargetType::integer(16, true),
        TargetType::integer(32, true),
        TargetType::integer(64, true),
        TargetType::integer(64, false),
        TargetType::Float { double: false, special: true },
        TargetType::Float { double: true, special: true },
        TargetType::Decimal { bounds: Some((10, 2)), nan: true, infinity: false },
        TargetType::Decimal { bounds: None, nan: true, infinity: true },
        TargetType::text(),
        TargetType::Text(Text { max_chars: Some(3), ..Text::default() }),
        TargetType::Bytes { max: None, fixed: false },
        TargetType::Bits { length: Some(8), varying: false },
        TargetType::Date { range: None, infinity: true },
        TargetType::Time { digits: 6, span: false },
        TargetType::TimeTz { digits: 6 },
        timestamp(0, false),
        timestamp(6, false),
        timestamp(6, true),
        TargetType::Interval { smallest: IntervalPart::Second, digits: 6 },
        TargetType::Interval { smallest: IntervalPart::Day, digits: 6 },
        TargetType::Uuid,
        TargetType::Json,
        TargetType::List(Box::new(TargetType::integer(32, true))),
        TargetType::Opaque,
    ]
}

/// Every DuckDB type combined with every kind of target.
pub fn table() -> impl Iterator<Item = Row> {
    sources().into_iter().flat_map(|source| {
        targets().into_iter().map(move |target| {
            let verdict = verdict(&source, &target);
            Row { source: source.clone(), target, verdict }
        })
    })
}
