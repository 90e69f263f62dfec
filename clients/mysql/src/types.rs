//! Maps MySQL's types to DuckDB's.

use osiris_sdk::Result;
use serde::Deserialize;

use crate::wire::Fields;

/// A column as the server defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    /// The table that it comes from; empty for a computed column.
    pub table: String,
    charset: u16,
    length: u32,
    type_code: u8,
    flags: u16,
    decimals: u8,
    /// The type or format that MariaDB names if the protocol lacks it: `uuid`, `json`.
    extended: String,
}

/// The character set of binary data.
const BINARY: u16 = 63;

const UNSIGNED: u16 = 0x20;

impl Definition {
    pub(crate) fn parse(message: &[u8], extended_metadata: bool) -> Result<Self> {
        let mut fields = Fields(message);
        let text = |fields: &mut Fields<'_>| fields.run().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        fields.run()?;
        fields.run()?;
        let table = text(&mut fields)?;
        fields.run()?;
        let name = text(&mut fields)?;
        fields.run()?;
        let mut extended = String::new();
        if extended_metadata {
            let mut parts = Fields(fields.run()?);
            while !parts.0.is_empty() {
                parts.byte()?;
                extended = text(&mut parts)?;
            }
        }
        fields.length()?;
        let (charset, length, type_code) = (fields.u16()?, fields.u32()?, fields.byte()?);
        let (flags, decimals) = (fields.u16()?, fields.byte()?);
        Ok(Self { name, table, charset, length, type_code, flags, decimals, extended })
    }

    /// What determines the binary form of a value.
    pub(crate) fn shape(&self) -> (u8, bool, u16) {
        (self.type_code, self.flags & UNSIGNED != 0, self.charset)
    }

    /// The kind as which the column is read.
    pub fn kind(&self, reading: Reading) -> Kind {
        let unsigned = self.flags & UNSIGNED != 0;
        match self.type_code {
            0x01 if self.length == 1 && reading.tinyint1 == Tinyint1::Boolean => Kind::Bool,
            0x01 if unsigned => Kind::U8,
            0x01 => Kind::I8,
            0x02 if unsigned => Kind::U16,
            0x02 => Kind::I16,
            0x03 | 0x09 if unsigned => Kind::U32,
            0x03 | 0x09 => Kind::I32,
            0x08 if unsigned => Kind::U64,
            0x08 => Kind::I64,
            0x0d => Kind::Year,
            0x04 => Kind::F32,
            0x05 => Kind::F64,
            0x00 | 0xf6 => {
                let point = u32::from(self.decimals > 0);
                let precision = self.length.saturating_sub(point + u32::from(!unsigned));
                Kind::decimal(precision, self.decimals.into())
            }
            0x06 => Kind::Null,
            0x07 => Kind::Timestamp,
            0x0a | 0x0e => Kind::Date,
            0x0b if reading.time == TimeAs::Interval => Kind::Interval,
            0x0b => Kind::Time,
            0x0c => Kind::DateTime,
            0x10 => Kind::Bit(self.length.clamp(1, 64) as u8),
            0xf5 => Kind::Json,
            0xff => Kind::Geometry,
            _ if self.extended == "json" => Kind::Json,
            _ if self.extended == "uuid" => Kind::Uuid,
            _ if self.charset == BINARY && !matches!(self.extended.as_str(), "inet4" | "inet6") => Kind::Bytes,
            _ => Kind::Text,
        }
    }
}

/// The kinds of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Year,
    /// This many bits.
    Bit(u8),
    Text,
    Json,
    Uuid,
    Bytes,
    Geometry,
    Date,
    DateTime,
    Timestamp,
    Time,
    Interval,
}

impl Kind {
    /// DECIMAL if DuckDB supports this precision, else text.
    pub fn decimal(precision: u32, scale: u32) -> Self {
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => Kind::Decimal { precision, scale },
            _ => Kind::Text,
        }
    }

    /// DuckDB's name for the type.
    pub fn duckdb(self) -> String {
        match self {
            Kind::Null | Kind::I32 => "INTEGER",
            Kind::Bool => "BOOLEAN",
            Kind::I8 => "TINYINT",
            Kind::U8 => "UTINYINT",
            Kind::I16 | Kind::Year => "SMALLINT",
            Kind::U16 => "USMALLINT",
            Kind::U32 => "UINTEGER",
            Kind::I64 => "BIGINT",
            Kind::U64 => "UBIGINT",
            Kind::F32 => "FLOAT",
            Kind::F64 => "DOUBLE",
            Kind::Decimal { precision, scale } => return format!("DECIMAL({precision},{scale})"),
            Kind::Bit(_) => "BIT",
            Kind::Text => "VARCHAR",
            Kind::Json => "JSON",
            Kind::Uuid => "UUID",
            Kind::Bytes | Kind::Geometry => "BLOB",
            Kind::Date => "DATE",
            Kind::DateTime => "TIMESTAMP",
            Kind::Timestamp => "TIMESTAMP WITH TIME ZONE",
            Kind::Time => "TIME",
            Kind::Interval => "INTERVAL",
        }
        .to_owned()
    }

    /// The kind of a column that the catalog describes: `column_type` such as `int(10) unsigned`.
    pub fn of_catalog(column_type: &str, precision: Option<u32>, scale: Option<u32>) -> Self {
        let whole = column_type.to_lowercase();
        let base = whole.split(['(', ' ']).next().unwrap_or_default();
        let unsigned = whole.contains(" unsigned");
        match base {
            "tinyint" if whole.starts_with("tinyint(1)") => Kind::Bool,
            "tinyint" if unsigned => Kind::U8,
            "tinyint" => Kind::I8,
            "smallint" if unsigned => Kind::U16,
            "smallint" => Kind::I16,
            "mediumint" | "int" if unsigned => Kind::U32,
            "mediumint" | "int" => Kind::I32,
            "bigint" if unsigned => Kind::U64,
            "bigint" => Kind::I64,
            "year" => Kind::Year,
            "float" => Kind::F32,
            "double" => Kind::F64,
            "decimal" => Kind::decimal(precision.unwrap_or(10), scale.unwrap_or(0)),
            "bit" => Kind::Bit(precision.unwrap_or(1).clamp(1, 64) as u8),
            "json" => Kind::Json,
            "uuid" => Kind::Uuid,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Bytes,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Kind::Geometry,
            "date" => Kind::Date,
            "datetime" => Kind::DateTime,
            "timestamp" => Kind::Timestamp,
            "time" => Kind::Time,
            _ => Kind::Text,
        }
    }
}

/// The config's choices for types that can be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    pub tinyint1: Tinyint1,
    pub time: TimeAs,
}

/// How a `tinyint(1)` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tinyint1 {
    #[default]
    Boolean,
    Integer,
}

/// How a `time` is read: as a time of day, or as a span of up to 838 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeAs {
    #[default]
    Time,
    Interval,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogs_types_become_duckdb_types() {
        for (column_type, precision, scale, expected) in [
            ("tinyint(1)", Some(3), Some(0), "BOOLEAN"),
            ("tinyint(4)", Some(3), Some(0), "TINYINT"),
            ("int(10) unsigned zerofill", Some(10), Some(0), "UINTEGER"),
            ("bigint unsigned", Some(20), Some(0), "UBIGINT"),
            ("decimal(38,2)", Some(38), Some(2), "DECIMAL(38,2)"),
            ("decimal(65,2)", Some(65), Some(2), "VARCHAR"),
            ("bit(7)", Some(7), None, "BIT"),
            ("enum('int','a')", None, None, "VARCHAR"),
            ("datetime(6)", None, None, "TIMESTAMP"),
            ("timestamp", None, None, "TIMESTAMP WITH TIME ZONE"),
            ("year(4)", None, None, "SMALLINT"),
        ] {
            assert_eq!(Kind::of_catalog(column_type, precision, scale).duckdb(), expected, "{column_type}");
        }
    }
}
