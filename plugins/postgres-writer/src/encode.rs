//! Encodes columns of a batch as the fields of a binary COPY.

use osiris_sdk::{Column, Error, Result};
use postgres_client::types::{EPOCH_DAYS, EPOCH_MICROSECONDS, LAST_OFFSET};

use crate::numeric;

/// How the values of a column are sent. Named after the column's layout, in which a FLOAT has 32 bits too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encode {
    Bool,
    Bool8,
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    HugeInt,
    UHugeInt,
    Decimal(u8),
    Text,
    /// JSON text for `jsonb`, which drops repeated keys.
    Jsonb,
    Bytes,
    Bit,
    /// Sent as text, to which the SELECT converts it.
    BigNumber,
    Date,
    Time {
        divisor: i64,
    },
    TimeTz,
    Timestamp {
        factor: i64,
        divisor: i64,
    },
    Interval,
    Uuid,
    /// `length` if every list has the same one; `oid` is the innermost items' type.
    List {
        item: Box<Encode>,
        length: Option<usize>,
        oid: u32,
    },
}

impl Encode {
    /// The same encoding, for texts that are written to `jsonb`.
    pub fn for_jsonb(self) -> Self {
        match self {
            Encode::Text => Encode::Jsonb,
            Encode::List { item, length, oid } => Encode::List { item: Box::new(item.for_jsonb()), length, oid },
            other => other,
        }
    }
}

/// Why a value cannot be sent.
type Wrong = String;

/// A column of a batch, ready to be read row by row.
pub struct View<'a> {
    name: &'a str,
    encode: &'a Encode,
    validity: Option<&'a [u8]>,
    /// 32-bit ends after an initial start, for texts and lists.
    offsets: &'a [u8],
    values: &'a [u8],
    item: Option<Box<View<'a>>>,
}

impl<'a> View<'a> {
    /// # Errors
    /// `internal` for a column whose layout does not match its type; `data`, naming the column, for text that
    /// PostgreSQL cannot store.
    pub fn new(name: &'a str, encode: &'a Encode, column: Column<'a>) -> Result<Self> {
        let malformed = || Error::internal(format!("column `{name}` came without its buffers"));
        let (_, nodes) = column.parts();
        let node = nodes.first().ok_or_else(malformed)?;
        let buffer = |place: usize| node.buffers.get(place).map(Vec::as_slice).ok_or_else(malformed);
        let validity = Some(buffer(0)?).filter(|bits| !bits.is_empty());
        let (offsets, values, item): (&[u8], &[u8], _) = match encode {
            Encode::List { item, length, .. } => {
                let child = column.children().next().ok_or_else(malformed)?;
                let offsets = if length.is_none() { buffer(1)? } else { &[] };
                (offsets, &[], Some(Box::new(View::new(name, item, child)?)))
            }
            Encode::Text | Encode::Jsonb | Encode::Bytes | Encode::Bit | Encode::BigNumber => {
                (buffer(1)?, buffer(2)?, None)
            }
            _ => (&[], buffer(1)?, None),
        };
        if *encode == Encode::Text && values.contains(&0) {
            return Err(Error::data(format!(
                "column `{name}` has text with a NUL character in it, which PostgreSQL cannot hold; take it out in \
                 SQL: replace(\"{name}\", chr(0), '')"
            )));
        }
        Ok(Self { name, encode, validity, offsets, values, item })
    }

    /// Appends the field of a row of the batch, which is row `number` of the input: its length and its bytes.
    ///
    /// # Errors
    /// `data`, naming the column, for a value that PostgreSQL cannot store.
    #[inline]
    pub fn write(&self, row: usize, number: u64, body: &mut Vec<u8>) -> Result<()> {
        self.field(row, body).map_err(|wrong| Error::data(format!("column `{}`, row {number}: {wrong}", self.name)))
    }

    fn is_null(&self, row: usize) -> bool {
        self.validity.is_some_and(|bits| bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 0))
    }

    #[inline]
    fn fixed<const N: usize>(&self, row: usize) -> Result<[u8; N], Wrong> {
        let bytes = self.values.get(row * N..row * N + N).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| "a batch ends before its rows do".to_owned())
    }

    /// The position of a text's bytes or a list's items.
    #[inline]
    fn range(&self, row: usize) -> Result<std::ops::Range<usize>, Wrong> {
        if let Encode::List { length: Some(length), .. } = self.encode {
            return Ok(row * length..(row + 1) * length);
        }
        let at = |place: usize| {
            let bytes = self.offsets.get(place * 4..place * 4 + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
        };
        at(row)
            .zip(at(row + 1))
            .map(|(start, end)| start..end)
            .ok_or_else(|| "a batch ends before its rows do".to_owned())
    }

    #[inline]
    fn text(&self, row: usize) -> Result<&'a [u8], Wrong> {
        self.values.get(self.range(row)?).ok_or_else(|| "a batch ends before its rows do".to_owned())
    }

    #[inline]
    fn field(&self, row: usize, body: &mut Vec<u8>) -> Result<(), Wrong> {
        if self.is_null(row) {
            body.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        match self.encode {
            Encode::Int32 => put(body, i32::from_le_bytes(self.fixed(row)?).to_be_bytes()),
            Encode::Int64 => put(body, i64::from_le_bytes(self.fixed(row)?).to_be_bytes()),
            Encode::Text | Encode::Jsonb | Encode::Bytes | Encode::BigNumber => {
                let text = self.text(row)?;
                if let Some(loss) = (*self.encode == Encode::Jsonb).then(|| conversions::jsonb_loss(text)).flatten() {
                    return Err(loss);
                }
                let length = i32::try_from(text.len()).map_err(|_| "a value of more than 1 GiB".to_owned())?;
                body.extend_from_slice(&length.to_be_bytes());
                body.extend_from_slice(text);
            }
            Encode::Int16 => put(body, i16::from_le_bytes(self.fixed(row)?).to_be_bytes()),
            Encode::Int8 => put(body, i16::from(i8::from_le_bytes(self.fixed(row)?)).to_be_bytes()),
            Encode::UInt8 => put(body, i16::from(u8::from_le_bytes(self.fixed(row)?)).to_be_bytes()),
            Encode::UInt16 => put(body, i32::from(u16::from_le_bytes(self.fixed(row)?)).to_be_bytes()),
            Encode::UInt32 => put(body, i64::from(u32::from_le_bytes(self.fixed(row)?)).to_be_bytes()),
            Encode::UInt64 => numeric::write(false, u64::from_le_bytes(self.fixed(row)?).into(), 0, body),
            Encode::HugeInt => signed(i128::from_le_bytes(self.fixed(row)?), 0, body),
            Encode::UHugeInt => numeric::write(false, u128::from_le_bytes(self.fixed(row)?), 0, body),
            Encode::Decimal(scale) => signed(i128::from_le_bytes(self.fixed(row)?), *scale, body),
            Encode::Bool8 => put(body, [u8::from(self.fixed::<1>(row)? != [0])]),
            Encode::Bool => {
                let byte = self.values.get(row / 8).ok_or_else(|| "a batch ends before its rows do".to_owned())?;
                put(body, [byte >> (row % 8) & 1]);
            }
            Encode::Date => put(body, date(i32::from_le_bytes(self.fixed(row)?))?.to_be_bytes()),
            Encode::Time { divisor } => put(body, (i64::from_le_bytes(self.fixed(row)?) / divisor).to_be_bytes()),
            Encode::Timestamp { factor, divisor } => {
                put(body, timestamp(i64::from_le_bytes(self.fixed(row)?), *factor, *divisor)?.to_be_bytes());
            }
            Encode::Uuid => put(body, self.fixed::<16>(row)?),
            Encode::TimeTz => {
                let bits = u64::from_le_bytes(self.fixed(row)?);
                let east = LAST_OFFSET - (bits & 0x00ff_ffff) as i64;
                body.extend_from_slice(&12_i32.to_be_bytes());
                body.extend_from_slice(&((bits >> 24) as i64).to_be_bytes());
                body.extend_from_slice(&(-east as i32).to_be_bytes());
            }
            Encode::Interval => {
                let [months, days] = [0, 4].map(|at| at..at + 4).map(|range| {
                    let bytes = self.values.get(row * 16..row * 16 + 16).and_then(|value| value.get(range));
                    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_le_bytes)
                });
                let nanoseconds = (i128::from_le_bytes(self.fixed(row)?) >> 64) as i64;
                body.extend_from_slice(&16_i32.to_be_bytes());
                body.extend_from_slice(&(nanoseconds / 1000).to_be_bytes());
                body.extend_from_slice(&days.to_be_bytes());
                body.extend_from_slice(&months.to_be_bytes());
            }
            Encode::Bit => bits(self.text(row)?, body)?,
            Encode::List { oid, .. } => return self.list(row, *oid, body),
        }
        Ok(())
    }

    /// Appends an array: its dimensions, and the innermost items one after another.
    fn list(&self, row: usize, oid: u32, body: &mut Vec<u8>) -> Result<(), Wrong> {
        let start = body.len();
        body.extend_from_slice(&[0; 4]);
        let mut sizes = Vec::new();
        self.sizes(row, &mut sizes)?;
        let empty = sizes.contains(&0);
        if empty && sizes.iter().any(|size| *size > 0) {
            return Err(RAGGED.to_owned());
        }
        let dimensions = if empty { 0 } else { sizes.len() };
        let oid = self.innermost_oid(oid);
        for word in [dimensions as u32, 1, oid] {
            body.extend_from_slice(&word.to_be_bytes());
        }
        for size in sizes.iter().take(dimensions) {
            let size = i32::try_from(*size).map_err(|_| "a list of too many items".to_owned())?;
            body.extend_from_slice(&size.to_be_bytes());
            body.extend_from_slice(&1_i32.to_be_bytes());
        }
        if dimensions > 0 {
            self.items(row, &sizes, body)?;
        }
        let length = i32::try_from(body.len() - start - 4).map_err(|_| "a list of more than 1 GiB".to_owned())?;
        body[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn innermost_oid(&self, oid: u32) -> u32 {
        match self.item.as_deref() {
            Some(item) => match item.encode {
                Encode::List { oid, .. } => item.innermost_oid(*oid),
                _ => oid,
            },
            None => oid,
        }
    }

    /// The sizes of an array's dimensions, judged by its first items.
    fn sizes(&self, row: usize, sizes: &mut Vec<usize>) -> Result<(), Wrong> {
        let range = self.range(row)?;
        sizes.push(range.len());
        match self.item.as_deref() {
            Some(item) if item.item.is_some() => {
                if range.is_empty() {
                    Ok(())
                } else if item.is_null(range.start) {
                    Err(RAGGED.to_owned())
                } else {
                    item.sizes(range.start, sizes)
                }
            }
            _ => Ok(()),
        }
    }

    /// Appends the items of a list whose lists must all have the same sizes.
    fn items(&self, row: usize, sizes: &[usize], body: &mut Vec<u8>) -> Result<(), Wrong> {
        let range = self.range(row)?;
        let Some((item, (size, inner))) = self.item.as_deref().zip(sizes.split_first()) else { return Ok(()) };
        if range.len() != *size {
            return Err(RAGGED.to_owned());
        }
        for place in range {
            match inner {
                [] => item.field(place, body)?,
                _ if item.is_null(place) => return Err(RAGGED.to_owned()),
                _ => item.items(place, inner, body)?,
            }
        }
        Ok(())
    }
}

const RAGGED: &str = "lists in a list that differ in length or are null, which PostgreSQL's arrays do not have; select \
                      to_json() of it, which is written as jsonb";

/// Appends a field of known width.
#[inline]
fn put<const N: usize>(body: &mut Vec<u8>, bytes: [u8; N]) {
    body.extend_from_slice(&(N as u32).to_be_bytes());
    body.extend_from_slice(&bytes);
}

fn signed(number: i128, scale: u8, body: &mut Vec<u8>) {
    numeric::write(number < 0, number.unsigned_abs(), scale, body);
}

/// Days since 2000; DuckDB's infinities become PostgreSQL's.
fn date(days: i32) -> Result<i32, Wrong> {
    match days {
        i32::MAX => Ok(i32::MAX),
        days if days == -i32::MAX => Ok(i32::MIN),
        days => days.checked_sub(EPOCH_DAYS).ok_or_else(|| "a date before those that PostgreSQL has".to_owned()),
    }
}

/// Microseconds since 2000; DuckDB's infinities become PostgreSQL's. Nanoseconds are truncated.
fn timestamp(value: i64, factor: i64, divisor: i64) -> Result<i64, Wrong> {
    match value {
        i64::MAX => return Ok(i64::MAX),
        value if value == -i64::MAX => return Ok(i64::MIN),
        _ => {}
    }
    value
        .checked_mul(factor)
        .and_then(|value| value.div_euclid(divisor).checked_sub(EPOCH_MICROSECONDS))
        .filter(|value| *value != i64::MAX && *value != i64::MIN)
        .ok_or_else(|| "a timestamp beyond those that PostgreSQL has".to_owned())
}

/// A bit string: DuckDB pads the first byte at its start, PostgreSQL the last byte at its end.
fn bits(value: &[u8], body: &mut Vec<u8>) -> Result<(), Wrong> {
    let Some((unused, bytes)) = value.split_first().filter(|(unused, bytes)| **unused < 8 && !bytes.is_empty()) else {
        return Err("a malformed bit string".to_owned());
    };
    let count = bytes.len() * 8 - usize::from(*unused);
    let length = i32::try_from(bytes.len() + 4).map_err(|_| "a bit string that is too long".to_owned())?;
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&(count as u32).to_be_bytes());
    for (place, byte) in bytes.iter().enumerate() {
        let next = bytes.get(place + 1).copied().unwrap_or(0);
        body.push((u16::from_be_bytes([*byte, next]) << unused >> 8) as u8);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use osiris_sdk::{Array, Batch, ListBuilder};

    use super::*;

    fn fields(array: Array, encode: &Encode) -> Result<Vec<u8>> {
        let rows = array.len();
        let batch = Batch::from_columns(vec![("x", array)]).unwrap();
        let column = batch.column("x").unwrap();
        let view = View::new("x", encode, column)?;
        let mut body = Vec::new();
        (0..rows).try_for_each(|row| view.write(row, row as u64 + 1, &mut body)).map(|()| body)
    }

    #[test]
    fn values_and_nulls_are_fields() {
        let body = fields(Array::from(vec![Some(7_i64), None]), &Encode::Int64).unwrap();
        assert_eq!(body, [&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0xff; 4]].concat());
        let body = fields(Array::from(["ü", ""].as_slice()), &Encode::Text).unwrap();
        assert_eq!(body, [0, 0, 0, 2, 0xc3, 0xbc, 0, 0, 0, 0]);
    }

    #[test]
    fn text_with_a_nul_is_refused_with_its_columns_name() {
        let error = fields(Array::from(["a\0b"].as_slice()), &Encode::Text).unwrap_err();
        assert!(error.message.contains("`x`") && error.message.contains("NUL"));
    }

    #[test]
    fn lists_become_arrays() {
        let mut lists = ListBuilder::<i64>::new();
        lists.values.push(5);
        lists.values.push(None);
        lists.end_list(true);
        lists.end_list(true);
        lists.end_list(false);
        let encode = Encode::List { item: Box::new(Encode::Int64), length: None, oid: 20 };
        let body = fields(lists.finish(), &encode).unwrap();
        let words: Vec<u32> = body.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        let first = [36, 1, 1, 20, 2, 1, 8, 0, 5, u32::MAX];
        assert_eq!(words, [&first[..], &[12, 0, 1, 20], &[u32::MAX]].concat());
    }

    #[test]
    fn infinities_and_the_distant_past() {
        assert_eq!(timestamp(i64::MAX, 1_000_000, 1), Ok(i64::MAX));
        assert_eq!(timestamp(-i64::MAX, 1, 1000), Ok(i64::MIN));
        assert_eq!(timestamp(-1, 1, 1000), Ok(-EPOCH_MICROSECONDS - 1));
        assert!(timestamp(i64::MAX / 2, 1_000_000, 1).is_err());
        assert_eq!(date(-i32::MAX), Ok(i32::MIN));
        assert!(date(-i32::MAX + 1).is_err());
    }

    #[test]
    fn bit_strings_move_their_unused_bits_to_the_end() {
        for (value, expected) in [
            (&[0, 0xa5][..], &[0, 0, 0, 5, 0, 0, 0, 8, 0xa5][..]),
            (&[5, 0b1111_1101], &[0, 0, 0, 5, 0, 0, 0, 3, 0b1010_0000]),
            (&[6, 0b1111_1110, 0b0000_0001], &[0, 0, 0, 6, 0, 0, 0, 10, 0b1000_0000, 0b0100_0000]),
        ] {
            let mut body = Vec::new();
            bits(value, &mut body).unwrap();
            assert_eq!(body, expected);
        }
        assert!(bits(&[9, 1], &mut Vec::new()).is_err());
    }
}
