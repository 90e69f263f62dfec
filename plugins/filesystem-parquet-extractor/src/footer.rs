//! A Parquet file's footer (<https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>),
//! rewritten so that DuckDB reads some columns in another type than the footer declares.

use osiris_sdk::files::{self, Source, Temporary};
use osiris_sdk::{Error, Result};

use crate::thrift::{Value, Width};

/// The type in which a leaf of the schema is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A decimal as the bytes that encode it.
    Bytes,
    /// A decimal of at most 38 digits, whatever precision was declared.
    Narrow,
    /// A time or timestamp in UTC as one without a time zone, which preserves its nanoseconds.
    Local,
    /// The 12 bytes of an INT96.
    TwelveBytes,
}

/// The first and the last bytes of a Parquet file.
const MAGIC: &[u8] = b"PAR1";
/// The last bytes of a file with an encrypted footer.
const ENCRYPTED: &[u8] = b"PARE";
/// The size of the footer's length and the magic after it.
const TAIL: u64 = 8;
/// The physical type FIXED_LEN_BYTE_ARRAY.
const FIXED: i64 = 7;

/// The field numbers of Parquet's Thrift definition.
mod field {
    pub const FILE_SCHEMA: i16 = 2;
    pub const FILE_ROW_GROUPS: i16 = 4;
    pub const FILE_ENCRYPTION: i16 = 8;
    pub const GROUP_COLUMNS: i16 = 1;
    pub const CHUNK_METADATA: i16 = 3;
    pub const METADATA_TYPE: i16 = 1;
    pub const METADATA_STATISTICS: i16 = 12;
    pub const ELEMENT_TYPE: i16 = 1;
    pub const ELEMENT_LENGTH: i16 = 2;
    pub const ELEMENT_CHILDREN: i16 = 5;
    pub const ELEMENT_CONVERTED: i16 = 6;
    pub const ELEMENT_SCALE: i16 = 7;
    pub const ELEMENT_PRECISION: i16 = 8;
    pub const ELEMENT_LOGICAL: i16 = 10;
    pub const LOGICAL_DECIMAL: i16 = 5;
    pub const LOGICAL_TIME: i16 = 7;
    pub const LOGICAL_TIMESTAMP: i16 = 8;
    pub const DECIMAL_PRECISION: i16 = 2;
    pub const TIME_IN_UTC: i16 = 1;
}

/// The position of the footer.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    start: u64,
    length: u64,
}

/// Locates the footer.
///
/// # Errors
/// `data` for a file that is not Parquet, is truncated or is encrypted.
pub fn find(source: &Source, path: &str) -> Result<Place> {
    let size = source.size();
    if size == 0 {
        return Err(Error::data(format!("`{path}` is empty, so it is not a Parquet file")));
    }
    let head = read(source, 0, 4.min(size))?;
    let tail = read(source, size.saturating_sub(TAIL), TAIL.min(size))?;
    if head == ENCRYPTED || tail.ends_with(ENCRYPTED) {
        return Err(Error::data(format!(
            "`{path}` is an encrypted Parquet file, which this driver does not read; decrypt it first"
        )));
    }
    if !tail.ends_with(MAGIC) {
        let why = if head == MAGIC {
            "is cut off: it begins as a Parquet file and does not end as one"
        } else {
            "is not a Parquet file: it neither begins nor ends as one"
        };
        return Err(Error::data(format!("`{path}` {why}")));
    }
    let length = tail.first_chunk().map_or(0, |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes)));
    match size.checked_sub(TAIL + length + 4) {
        Some(_) => Ok(Place { start: size - TAIL - length, length }),
        None => Err(Error::data(format!("`{path}` is cut off: its footer should have {length} bytes"))),
    }
}

/// Refuses a file whose footer is plain text while some of its columns are encrypted. A footer that cannot be parsed is
/// left to DuckDB.
///
/// # Errors
/// `data` for such a file.
pub fn check_encryption(source: &Source, place: Place) -> Result<()> {
    let footer = Value::read(&read(source, place.start, place.length)?);
    if footer.is_ok_and(|mut footer| footer.field(field::FILE_ENCRYPTION).is_some()) {
        return Err(Error::data(
            "some of its columns are encrypted, which this driver does not read; decrypt the file first",
        ));
    }
    Ok(())
}

fn read(source: &Source, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let left = (length - bytes.len() as u64).min(8 << 20) as u32;
        let more = source.read(offset + bytes.len() as u64, left)?;
        if more.is_empty() {
            return Err(Error::data("the file became shorter while it was read"));
        }
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}

/// A temporary copy of the file with another footer. `readings` has an entry for each leaf of the schema, in order.
///
/// # Errors
/// `data` for a footer that cannot be parsed.
pub fn copy(source: &Source, place: Place, path: &str, readings: &[Option<Reading>]) -> Result<Temporary> {
    let malformed = || Error::data(format!("`{path}` has a footer that cannot be understood"));
    let mut footer = Value::read(&read(source, place.start, place.length)?).map_err(|_| malformed())?;
    rewrite(&mut footer, readings).ok_or_else(malformed)?;
    let copy = files::create_temporary()?;
    let mut offset = 0;
    while offset < place.start {
        let bytes = read(source, offset, (place.start - offset).min(8 << 20))?;
        offset += bytes.len() as u64;
        copy.write(&bytes)?;
    }
    let mut tail = footer.to_bytes();
    let length = u32::try_from(tail.len()).map_err(|_| malformed())?;
    tail.extend_from_slice(&length.to_le_bytes());
    tail.extend_from_slice(MAGIC);
    copy.write(&tail)?;
    Ok(copy)
}

fn rewrite(footer: &mut Value, readings: &[Option<Reading>]) -> Option<()> {
    let mut leaf = 0;
    for element in footer.field(field::FILE_SCHEMA)?.items() {
        if element.field(field::ELEMENT_CHILDREN).is_some_and(|children| children.integer() != Some(0)) {
            continue;
        }
        if let Some(reading) = readings.get(leaf)? {
            rewrite_element(element, *reading)?;
        }
        leaf += 1;
    }
    if leaf != readings.len() {
        return None;
    }
    for group in footer.field(field::FILE_ROW_GROUPS)?.items() {
        let chunks = group.field(field::GROUP_COLUMNS)?.items();
        if chunks.len() != readings.len() {
            return None;
        }
        for (chunk, reading) in chunks.iter_mut().zip(readings) {
            let (Some(reading), Some(metadata)) = (reading, chunk.field(field::CHUNK_METADATA)) else { continue };
            // The minimum and maximum are values of the declared type.
            metadata.remove(field::METADATA_STATISTICS);
            if *reading == Reading::TwelveBytes {
                metadata.set(field::METADATA_TYPE, Value::Integer(Width::Four, FIXED));
            }
        }
    }
    Some(())
}

fn rewrite_element(element: &mut Value, reading: Reading) -> Option<()> {
    let number = |value| Value::Integer(Width::Four, value);
    match reading {
        Reading::Bytes => {
            let declared =
                [field::ELEMENT_CONVERTED, field::ELEMENT_SCALE, field::ELEMENT_PRECISION, field::ELEMENT_LOGICAL];
            declared.into_iter().for_each(|id| element.remove(id));
        }
        Reading::Narrow => {
            element.set(field::ELEMENT_PRECISION, number(38));
            if let Some(decimal) =
                element.field(field::ELEMENT_LOGICAL).and_then(|logical| logical.field(field::LOGICAL_DECIMAL))
            {
                decimal.set(field::DECIMAL_PRECISION, number(38));
            }
        }
        Reading::Local => {
            element.remove(field::ELEMENT_CONVERTED);
            let logical = element.field(field::ELEMENT_LOGICAL)?;
            let id = if logical.field(field::LOGICAL_TIMESTAMP).is_some() {
                field::LOGICAL_TIMESTAMP
            } else {
                field::LOGICAL_TIME
            };
            logical.field(id)?.set(field::TIME_IN_UTC, Value::Bool(false));
        }
        Reading::TwelveBytes => {
            element.set(field::ELEMENT_TYPE, number(FIXED));
            element.set(field::ELEMENT_LENGTH, number(12));
            [field::ELEMENT_CONVERTED, field::ELEMENT_LOGICAL].into_iter().for_each(|id| element.remove(id));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn element(fields: Vec<(i16, Value)>) -> Value {
        Value::Struct(fields)
    }

    fn number(value: i64) -> Value {
        Value::Integer(Width::Four, value)
    }

    fn footer() -> Value {
        let decimal = Value::Struct(vec![(1, number(2)), (2, number(50))]);
        let instant =
            Value::Struct(vec![(1, Value::Bool(true)), (2, Value::Struct(vec![(3, Value::Struct(Vec::new()))]))]);
        let schema = vec![
            element(vec![(4, Value::Binary(b"schema".to_vec())), (5, number(3))]),
            element(vec![
                (1, number(7)),
                (2, number(21)),
                (6, number(5)),
                (7, number(2)),
                (8, number(50)),
                (10, Value::Struct(vec![(5, decimal)])),
            ]),
            element(vec![(1, number(2)), (10, Value::Struct(vec![(8, instant)]))]),
            element(vec![(1, number(3))]),
        ];
        let chunk =
            |kind| Value::Struct(vec![(3, Value::Struct(vec![(1, number(kind)), (12, Value::Struct(Vec::new()))]))]);
        let group = Value::Struct(vec![(1, Value::List(12, vec![chunk(7), chunk(2), chunk(3)]))]);
        Value::Struct(vec![(2, Value::List(12, schema)), (4, Value::List(12, vec![group]))])
    }

    #[test]
    fn only_the_requested_leaves_are_declared_differently() {
        let mut same = footer();
        rewrite(&mut same, &[None, None, None]).unwrap();
        assert_eq!(same, footer());
        let mut changed = footer();
        rewrite(&mut changed, &[Some(Reading::Narrow), Some(Reading::Local), Some(Reading::TwelveBytes)]).unwrap();
        let schema = changed.field(2).unwrap().items();
        assert_eq!(schema[1].field(8).cloned(), Some(number(38)));
        assert_eq!(schema[1].field(10).unwrap().field(5).unwrap().field(2).cloned(), Some(number(38)));
        assert_eq!(schema[2].field(10).unwrap().field(8).unwrap().field(1).cloned(), Some(Value::Bool(false)));
        assert_eq!((schema[3].field(1).cloned(), schema[3].field(2).cloned()), (Some(number(7)), Some(number(12))));
        let chunks = changed.field(4).unwrap().items()[0].field(1).unwrap().items();
        assert!(chunks.iter_mut().all(|chunk| chunk.field(3).unwrap().field(12).is_none()));
        assert_eq!(chunks[2].field(3).unwrap().field(1).cloned(), Some(number(7)));
        let mut bytes = footer();
        rewrite(&mut bytes, &[Some(Reading::Bytes), None, None]).unwrap();
        assert!(bytes.field(2).unwrap().items()[1].field(10).is_none());
        assert!(rewrite(&mut footer(), &[None, None]).is_none());
    }
}
