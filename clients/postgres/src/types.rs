//! Maps PostgreSQL's types to DuckDB's.

use std::collections::BTreeMap;

use osiris_sdk::{Error, Result};

use crate::{Client, Stream};

/// The days from 1970-01-01, DuckDB's epoch, to 2000-01-01, PostgreSQL's.
pub const EPOCH_DAYS: i32 = 10_957;
pub const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// The largest offset from UTC in seconds, from which DuckDB counts down in a TIMETZ.
pub const LAST_OFFSET: i64 = 57_599;

/// How a value is encoded in a binary COPY, and the DuckDB type that it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// A numeric with bounds that a DECIMAL can have.
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// A numeric without bounds, as its digits or as the nearest DOUBLE.
    NumericText,
    NumericDouble,
    Text,
    Json,
    /// JSON preceded by a version.
    Jsonb,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Bit,
    /// An inet or cidr, as text.
    Inet,
    /// A macaddr or macaddr8, as text.
    Mac,
    List(Box<Kind>),
}

/// How a column is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub kind: Kind,
    /// The type to cast to in the SELECT, if the server's own binary form is not sufficient.
    pub cast: Option<&'static str>,
    /// The server's name for the type.
    pub source: String,
}

/// How numerics without bounds are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numeric {
    #[default]
    Text,
    Double,
}

impl Kind {
    /// The DuckDB type as SQL writes it.
    pub fn duckdb(&self) -> String {
        match self {
            Kind::Bool => "BOOLEAN",
            Kind::Int2 => "SMALLINT",
            Kind::Int4 => "INTEGER",
            Kind::Int8 => "BIGINT",
            Kind::Oid => "UINTEGER",
            Kind::Float4 => "FLOAT",
            Kind::Float8 | Kind::NumericDouble => "DOUBLE",
            Kind::Decimal { precision, scale } => return format!("DECIMAL({precision},{scale})"),
            Kind::NumericText | Kind::Text | Kind::Inet | Kind::Mac => "VARCHAR",
            Kind::Json | Kind::Jsonb => "JSON",
            Kind::Bytes => "BLOB",
            Kind::Date => "DATE",
            Kind::Time => "TIME",
            Kind::TimeTz => "TIME WITH TIME ZONE",
            Kind::Timestamp => "TIMESTAMP",
            Kind::TimestampTz => "TIMESTAMP WITH TIME ZONE",
            Kind::Interval => "INTERVAL",
            Kind::Uuid => "UUID",
            Kind::Bit => "BIT",
            Kind::List(item) => return format!("{}[]", item.duckdb()),
        }
        .to_owned()
    }
}

/// A row of `pg_type`, as far as it is needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `b`ase, `c`omposite, `d`omain, `e`num, `p`seudo, `r`ange, `m`ultirange.
    pub kind: String,
    /// The type of an array's elements; 0 if it is not an array.
    pub element: u32,
    pub base: u32,
    pub base_modifier: i32,
    pub name: String,
    /// Whether it is not built into PostgreSQL (OIDs from 16384 on), so that only its name identifies it.
    pub extension: bool,
}

/// The types of a query's columns, read from the server's catalog.
#[derive(Debug, Default)]
pub struct Types(pub(crate) BTreeMap<u32, Entry>);

impl Types {
    /// Reads the types with these OIDs and everything that they are made of.
    ///
    /// # Errors
    /// The server's error.
    pub fn read<S: Stream>(client: &mut Client<S>, oids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut known = BTreeMap::new();
        let mut wanted: Vec<u32> = oids.into_iter().collect();
        while !wanted.is_empty() {
            wanted.sort_unstable();
            wanted.dedup();
            let list = wanted.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let rows = client.query(&format!(
                "select oid, typtype, case when typcategory = 'A' and typlen = -1 then typelem else 0 end, typbasetype, \
                 typtypmod, pg_catalog.format_type(oid, null), oid >= 16384 from pg_catalog.pg_type where oid in ({list})"
            ))?;
            wanted.clear();
            for row in rows {
                let [Some(oid), Some(kind), Some(element), Some(base), Some(modifier), Some(name), Some(extension)] =
                    row.as_slice()
                else {
                    return Err(Error::internal("the server's pg_type has nulls where there are none"));
                };
                let number = |text: &str| text.parse().unwrap_or(0_u32);
                let entry = Entry {
                    kind: kind.clone(),
                    element: number(element),
                    base: number(base),
                    base_modifier: modifier.parse().unwrap_or(-1),
                    name: name.clone(),
                    extension: extension == "t",
                };
                wanted.extend([entry.element, entry.base].iter().filter(|oid| **oid != 0));
                known.insert(number(oid), entry);
            }
            wanted.retain(|oid| !known.contains_key(oid));
        }
        Ok(Self(known))
    }

    /// How a column of this type is read. `dimensions` is the depth of an array; arrays of another depth are data that
    /// does not fit.
    pub fn mapping(&self, oid: u32, modifier: i32, dimensions: usize, numeric: Numeric) -> Mapping {
        let source = self.0.get(&oid).map_or_else(|| format!("type {oid}"), |entry| entry.name.clone());
        let (oid, modifier) = self.base(oid, modifier);
        let element = self.0.get(&oid).map_or(0, |entry| entry.element);
        if element == 0 {
            let (kind, cast) = self.scalar(oid, modifier, numeric);
            return Mapping { kind, cast: cast.map(|(scalar, _)| scalar), source };
        }
        let (element, modifier) = self.base(element, modifier);
        let (kind, cast) = self.scalar(element, modifier, numeric);
        let kind = (0..dimensions.max(1)).fold(kind, |inner, _| Kind::List(Box::new(inner)));
        Mapping { kind, cast: cast.map(|(_, array)| array), source }
    }

    /// The base type of a domain.
    pub(crate) fn base(&self, mut oid: u32, mut modifier: i32) -> (u32, i32) {
        // Chains of domains end; the loop is bounded in case a server claims otherwise.
        for _ in 0..32 {
            match self.0.get(&oid) {
                Some(entry) if entry.kind == "d" => {
                    if entry.base_modifier != -1 {
                        modifier = entry.base_modifier;
                    }
                    oid = entry.base;
                }
                _ => break,
            }
        }
        (oid, modifier)
    }

    fn scalar(&self, oid: u32, modifier: i32, numeric: Numeric) -> (Kind, Option<(&'static str, &'static str)>) {
        let text = Some(("text", "text[]"));
        let entry = self.0.get(&oid);
        match entry {
            Some(entry) if entry.kind == "e" => return (Kind::Text, None),
            Some(entry) if entry.extension && entry.kind == "b" && entry.name.ends_with("citext") => {
                return (Kind::Text, None);
            }
            _ => {}
        }
        let kind = match oid {
            16 => Kind::Bool,
            17 => Kind::Bytes,
            20 => Kind::Int8,
            21 => Kind::Int2,
            23 => Kind::Int4,
            19 | 25 | 1042 | 1043 => Kind::Text,
            26 => Kind::Oid,
            114 => Kind::Json,
            3802 => Kind::Jsonb,
            700 => Kind::Float4,
            701 => Kind::Float8,
            // Its text has a currency that depends on the server; it has at most 19 digits of the smallest unit.
            790 => return (Kind::Decimal { precision: 21, scale: 2 }, Some(("numeric", "numeric[]"))),
            650 | 869 => Kind::Inet,
            774 | 829 => Kind::Mac,
            1082 => Kind::Date,
            1083 => Kind::Time,
            1266 => Kind::TimeTz,
            1114 => Kind::Timestamp,
            1184 => Kind::TimestampTz,
            1186 => Kind::Interval,
            1560 => Kind::Bit,
            1700 => decimal(modifier).unwrap_or(match numeric {
                Numeric::Text => Kind::NumericText,
                Numeric::Double => Kind::NumericDouble,
            }),
            2950 => Kind::Uuid,
            _ => return (Kind::Text, text),
        };
        (kind, None)
    }
}

/// The DECIMAL for a numeric's modifier; `None` if it has no bounds, or wider ones than DuckDB supports.
fn decimal(modifier: i32) -> Option<Kind> {
    let bounds = modifier.checked_sub(4).filter(|bounds| *bounds >= 0)?;
    let precision = bounds >> 16 & 0xffff;
    // Eleven bits, signed, since PostgreSQL 15.
    let scale = ((bounds & 0x7ff) ^ 0x400) - 0x400;
    let (precision, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    let (precision, scale) = (u8::try_from(precision).ok()?, u8::try_from(scale).ok()?);
    (precision <= 38).then_some(Kind::Decimal { precision, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_become_decimals_that_can_hold_them() {
        let of = |precision: i32, scale: i32| decimal((precision << 16 | scale & 0x7ff) + 4);
        assert_eq!(of(10, 2), Some(Kind::Decimal { precision: 10, scale: 2 }));
        assert_eq!(of(38, 0), Some(Kind::Decimal { precision: 38, scale: 0 }));
        assert_eq!(of(3, -2), Some(Kind::Decimal { precision: 5, scale: 0 }));
        assert_eq!(of(3, 5), Some(Kind::Decimal { precision: 5, scale: 5 }));
        assert_eq!(of(39, 2), None);
        assert_eq!(of(37, -2), None);
        assert_eq!(decimal(-1), None);
    }
}
