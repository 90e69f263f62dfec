//! A file's own schema, and which parts of it DuckDB's reader would not read exactly.

use std::ops::Range;

use osiris_sdk::{Error, Result, sql};

/// A leaf of the schema whose values DuckDB's reader may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// A decimal of more than 38 digits, which DuckDB reads as DOUBLE.
    Decimal { precision: u32, scale: u32 },
    /// A timestamp in UTC with nanoseconds, which TIMESTAMPTZ truncates.
    Instant,
    /// A time of day in UTC with nanoseconds, which TIMETZ truncates.
    TimeOfDay,
    /// A timestamp of 96 bits, whose nanoseconds TIMESTAMP truncates and whose range it lacks.
    Int96,
}

impl Risk {
    /// The type in the terms of the file's author.
    pub fn described(self) -> String {
        match self {
            Risk::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Risk::Instant => "timestamp(ns, UTC)".to_owned(),
            Risk::TimeOfDay => "time(ns, UTC)".to_owned(),
            Risk::Int96 => "timestamp(INT96)".to_owned(),
        }
    }
}

/// A column of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name in the file.
    pub own_name: String,
    /// DuckDB's name for it: names that differ only in case get a number.
    pub name: String,
    /// The DuckDB type in which it is read.
    pub kind: String,
    /// The range of its leaves among those of the schema.
    pub leaves: Range<usize>,
    /// Whether the file declares that it has no values, as pandas does for a column of nulls.
    pub only_nulls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub columns: Vec<Column>,
    pub leaves: Vec<Option<Risk>>,
}

/// An element of a Parquet schema, which lists them in pre-order.
#[derive(Debug, Clone, Default)]
struct Element {
    name: String,
    physical: String,
    children: u64,
    converted: String,
    precision: u32,
    scale: u32,
    logical: String,
}

impl Element {
    fn risk(&self) -> Option<Risk> {
        let is_nanoseconds = self.logical.contains("isAdjustedToUTC=1") && self.logical.contains("NANOS=NanoSeconds");
        if self.physical == "INT96" {
            Some(Risk::Int96)
        } else if self.converted == "DECIMAL" || self.logical.starts_with("DecimalType") {
            let (precision, scale) = (self.precision, self.scale);
            (precision > 38).then_some(Risk::Decimal { precision, scale })
        } else if is_nanoseconds && self.logical.starts_with("TimestampType") {
            Some(Risk::Instant)
        } else if is_nanoseconds && self.logical.starts_with("TimeType") {
            Some(Risk::TimeOfDay)
        } else {
            None
        }
    }
}

impl Schema {
    /// The schema of the file whose SQL literal is `literal`, read by `reader`.
    ///
    /// # Errors
    /// `data` for a file that DuckDB cannot read or that is encrypted.
    pub fn read(literal: &str, reader: &str) -> Result<Self> {
        let described = format!("select column_name, column_type from (describe select * from {reader})");
        let mut read = Vec::new();
        for batch in sql::query(&described)? {
            let batch = batch?;
            let (names, kinds) = (batch.column_at(0).strings()?, batch.column_at(1).strings()?);
            read.extend(names.iter().flatten().map(str::to_owned).zip(kinds.iter().flatten().map(str::to_owned)));
        }
        Self::new(&elements(literal)?, read)
    }

    fn new(elements: &[Element], read: Vec<(String, String)>) -> Result<Self> {
        let odd = || Error::data("the file's schema and the columns that DuckDB finds in it do not agree");
        let (mut columns, mut leaves) = (Vec::new(), Vec::new());
        let mut elements = elements.iter();
        let top = elements.next().ok_or_else(odd)?.children;
        for _ in 0..top {
            let first = leaves.len();
            let column = elements.next().ok_or_else(odd)?;
            let mut pending = 1_u64;
            let mut element = column;
            loop {
                pending = pending - 1 + element.children;
                if element.children == 0 {
                    leaves.push(element.risk());
                }
                if pending == 0 {
                    break;
                }
                element = elements.next().ok_or_else(odd)?;
            }
            columns.push((column, first..leaves.len()));
        }
        if columns.len() != read.len() {
            return Err(odd());
        }
        let columns = columns.into_iter().zip(read);
        let columns = columns.map(|((column, leaves), (name, kind))| {
            let only_nulls = column.logical.starts_with("NullType");
            Column { own_name: column.name.clone(), name, kind, leaves, only_nulls }
        });
        Ok(Self { columns: columns.collect(), leaves })
    }
}

fn elements(literal: &str) -> Result<Vec<Element>> {
    let select = format!(
        "select name, coalesce(type, '') as physical, coalesce(num_children, 0)::bigint as children, \
         coalesce(converted_type, '') as converted, coalesce(precision, 0)::bigint as precision, \
         coalesce(scale, 0)::bigint as scale, coalesce(logical_type, '') as logical from parquet_schema({literal})"
    );
    let mut elements = Vec::new();
    for batch in sql::query(&select)? {
        let batch = batch?;
        for row in batch.each_row() {
            let number = |name: &str| row.get::<i64>(name).map(|number| u32::try_from(number).unwrap_or_default());
            elements.push(Element {
                name: row.get("name")?,
                physical: row.get("physical")?,
                children: u64::from(number("children")?),
                converted: row.get("converted")?,
                precision: number("precision")?,
                scale: number("scale")?,
                logical: row.get("logical")?,
            });
        }
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn element(name: &str, children: u64) -> Element {
        Element { name: name.to_owned(), children, ..Element::default() }
    }

    #[test]
    fn leaves_belong_to_their_columns() {
        let wide = Element { converted: "DECIMAL".into(), precision: 50, scale: 2, ..element("element", 0) };
        let old = Element { physical: "INT96".into(), ..element("at", 0) };
        let elements = [element("schema", 3), element("id", 0), element("l", 1), element("list", 1), wide, old];
        let read = ["id", "l", "at"].map(|name| (name.to_owned(), "INTEGER".to_owned())).to_vec();
        let schema = Schema::new(&elements, read.clone()).unwrap();
        let decimal = Some(Risk::Decimal { precision: 50, scale: 2 });
        assert_eq!(schema.leaves, [None, decimal, Some(Risk::Int96)]);
        assert_eq!(schema.columns.iter().map(|column| column.leaves.clone()).collect::<Vec<_>>(), [0..1, 1..2, 2..3]);
        assert!(Schema::new(&elements[..3], read.clone()).is_err());
        assert!(Schema::new(&elements, read[..2].to_vec()).is_err());
    }

    #[test]
    fn only_nanoseconds_in_utc_are_at_risk() {
        let risk = |logical: &str| Element { logical: logical.into(), ..element("a", 0) }.risk();
        let nanos = "unit=TimeUnit(MILLIS=<null>, MICROS=<null>, NANOS=NanoSeconds()))";
        let micros = "unit=TimeUnit(MILLIS=<null>, MICROS=MicroSeconds(), NANOS=<null>))";
        assert_eq!(risk(&format!("TimestampType(isAdjustedToUTC=1, {nanos}")), Some(Risk::Instant));
        assert_eq!(risk(&format!("TimeType(isAdjustedToUTC=1, {nanos}")), Some(Risk::TimeOfDay));
        assert_eq!(risk(&format!("TimestampType(isAdjustedToUTC=0, {nanos}")), None);
        assert_eq!(risk(&format!("TimestampType(isAdjustedToUTC=1, {micros}")), None);
    }
}
