//! Converts one JSON value to one type, either exactly or not at all.

use crate::declared::Type;
use crate::moment::{self, DAY, Moment};
use crate::number::{self, Loss};

/// Why a value does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is of another type.
    Kind,
    /// It is out of the type's range.
    Range,
    /// It has more digits than the type can hold.
    Digits,
    /// It has a time of day that the type cannot hold.
    Clock,
    /// It has an offset that the type cannot hold.
    Offset,
    /// It has more or fewer items than the array.
    Length,
    /// The object has a member for which there is no column.
    Unknown,
    /// The object has the member twice.
    Twice,
}

impl From<Loss> for Why {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Kind => Why::Kind,
            Loss::Range => Why::Range,
            Loss::Digits => Why::Digits,
        }
    }
}

/// Appends the little-endian bytes of a value of fixed width to `bytes`. `text` is a number or a text as in JSON.
pub fn encode(text: &str, is_text: bool, kind: &Type, bytes: &mut Vec<u8>) -> Result<(), Why> {
    macro_rules! whole {
        ($type:ty) => {
            bytes.extend_from_slice(&number::integer::<$type>(text)?.to_le_bytes())
        };
    }
    match kind {
        Type::TinyInt => whole!(i8),
        Type::SmallInt => whole!(i16),
        Type::Integer => whole!(i32),
        Type::BigInt => whole!(i64),
        Type::HugeInt => whole!(i128),
        Type::UTinyInt => whole!(u8),
        Type::USmallInt => whole!(u16),
        Type::UInteger => whole!(u32),
        Type::UBigInt => whole!(u64),
        Type::UHugeInt => bytes.extend_from_slice(&number::unsigned(text)?.to_le_bytes()),
        Type::Float => bytes.extend_from_slice(&number::float(text)?.to_le_bytes()),
        Type::Double => bytes.extend_from_slice(&number::double(text)?.to_le_bytes()),
        Type::Decimal(digits, scale) => {
            bytes.extend_from_slice(&number::decimal(text, *digits, *scale)?.to_le_bytes());
        }
        _ if !is_text => return Err(Why::Kind),
        Type::Uuid => bytes.extend_from_slice(&moment::uuid(text).ok_or(Why::Kind)?),
        Type::Date => bytes.extend_from_slice(&date(text)?.to_le_bytes()),
        Type::Time => {
            let (time, _) = moment::clock(text).ok_or(Why::Kind)?;
            bytes.extend_from_slice(&exactly(time, 1000)?.to_le_bytes());
        }
        Type::TimeNs => bytes.extend_from_slice(&moment::clock(text).ok_or(Why::Kind)?.0.to_le_bytes()),
        Type::TimeTz => bytes.extend_from_slice(&time_tz(text)?.to_le_bytes()),
        Type::TimestampS => bytes.extend_from_slice(&timestamp(text, 1, false)?.to_le_bytes()),
        Type::TimestampMs => bytes.extend_from_slice(&timestamp(text, 1000, false)?.to_le_bytes()),
        Type::Timestamp => bytes.extend_from_slice(&timestamp(text, 1_000_000, false)?.to_le_bytes()),
        Type::TimestampNs => bytes.extend_from_slice(&timestamp(text, 1_000_000_000, false)?.to_le_bytes()),
        Type::TimestampTz => bytes.extend_from_slice(&timestamp(text, 1_000_000, true)?.to_le_bytes()),
        Type::Interval => {
            let (months, days, nanoseconds) = moment::interval(text).ok_or(Why::Kind)?;
            bytes.extend_from_slice(&months.to_le_bytes());
            bytes.extend_from_slice(&days.to_le_bytes());
            bytes.extend_from_slice(&nanoseconds.to_le_bytes());
        }
        _ => return Err(Why::Kind),
    }
    Ok(())
}

/// The number of bytes of a fixed-width value; 0 for other types.
pub fn width(kind: &Type) -> usize {
    match kind {
        Type::TinyInt | Type::UTinyInt => 1,
        Type::SmallInt | Type::USmallInt => 2,
        Type::Integer | Type::UInteger | Type::Float | Type::Date => 4,
        Type::BigInt | Type::UBigInt | Type::Double | Type::Time | Type::TimeNs | Type::TimeTz => 8,
        Type::TimestampS | Type::TimestampMs | Type::Timestamp | Type::TimestampNs | Type::TimestampTz => 8,
        Type::HugeInt | Type::UHugeInt | Type::Decimal(..) | Type::Uuid | Type::Interval => 16,
        _ => 0,
    }
}

fn exactly(value: i64, unit: i64) -> Result<i64, Why> {
    if value % unit == 0 { Ok(value / unit) } else { Err(Why::Digits) }
}

fn infinity(text: &str) -> Option<bool> {
    match text {
        "infinity" => Some(true),
        "-infinity" => Some(false),
        _ => None,
    }
}

/// Days since 1970-01-01. A time of day must be midnight, without an offset.
fn date(text: &str) -> Result<i32, Why> {
    if let Some(positive) = infinity(text) {
        return Ok(if positive { i32::MAX } else { -i32::MAX });
    }
    let moment = moment::moment(text.trim()).ok_or(Why::Kind)?;
    match moment {
        Moment { offset: Some(_), .. } => Err(Why::Offset),
        Moment { nanoseconds: 1.., .. } => Err(Why::Clock),
        Moment { days, .. } => i32::try_from(days).map_err(|_| Why::Range),
    }
}

/// The number of `units` (per second) since 1970-01-01. A text with an offset is an instant, which only a TIMESTAMPTZ
/// can hold, except that `Z` is UTC, as the text shows. Under TIMESTAMPTZ, a text without an offset is interpreted as
/// UTC.
fn timestamp(text: &str, units: i64, zoned: bool) -> Result<i64, Why> {
    if let Some(positive) = infinity(text) {
        return Ok(if positive { i64::MAX } else { -i64::MAX });
    }
    let moment = moment::moment(text.trim()).ok_or(Why::Kind)?;
    let offset = moment.offset.unwrap_or(0);
    if offset != 0 && !zoned {
        return Err(Why::Offset);
    }
    let parts = exactly(moment.nanoseconds, 1_000_000_000 / units)?;
    let days = i128::from(moment.days) * 86_400 - i128::from(offset);
    i64::try_from(days * i128::from(units) + i128::from(parts)).map_err(|_| Why::Range)
}

/// DuckDB's layout: microseconds in the upper bits, and below them the distance of the offset from +15:59:59.
fn time_tz(text: &str) -> Result<u64, Why> {
    let at = text.find(['Z', 'z', '+', '-']).ok_or(Why::Kind)?;
    let (time, _) = moment::clock(&text[..at]).filter(|(time, _)| *time <= DAY).ok_or(Why::Kind)?;
    let offset = moment::offset(&text[at..]).ok_or(Why::Kind)?;
    Ok((exactly(time, 1000)? as u64) << 24 | (57_599 - offset) as u64)
}

/// A boolean in a text or number: `true`, `false`, 1, 0.
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "1" => Some(true),
        "0" => Some(false),
        word if word.eq_ignore_ascii_case("true") => Some(true),
        word if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The bytes of a blob that DuckDB wrote as ASCII and `\xAB`; `None` for text that PostgreSQL may have written, which
/// is entirely in hexadecimal digits.
pub fn blob(text: &str) -> Option<Vec<u8>> {
    if text.strip_prefix("\\x").is_some_and(|hex| hex.len() != 2 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        match first {
            b'\\' => {
                let hex = text.get(text.len() - tail.len()..).and_then(|tail| tail.strip_prefix('x'))?.get(..2)?;
                if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(hex, 16).ok()?);
                rest = &tail[3..];
            }
            0..=0x7f => {
                bytes.push(*first);
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// DuckDB's layout of bits: the number of unused bits in the first byte, which are set, followed by the bits.
pub fn bit(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'0' | b'1')) {
        return None;
    }
    let unused = (8 - text.len() % 8) % 8;
    let bits: Vec<bool> = std::iter::repeat_n(true, unused).chain(text.bytes().map(|byte| byte == b'1')).collect();
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte: u8, &bit| byte << 1 | u8::from(bit));
    Some(std::iter::once(unused as u8).chain(bits.chunks(8).map(byte)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bytes(text: &str, kind: &str) -> Result<Vec<u8>, Why> {
        let mut bytes = Vec::new();
        encode(text, true, &Type::parse(kind).unwrap(), &mut bytes).map(|()| bytes)
    }

    #[test]
    fn times_are_exact_or_refused() {
        let micros =
            |text: &str, kind: &str| bytes(text, kind).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()));
        for (text, kind, expected) in [
            ("1970-01-01T00:00:01.5", "TIMESTAMP", Ok(1_500_000)),
            ("1970-01-01T00:00:01Z", "TIMESTAMP", Ok(1_000_000)),
            ("1970-01-01T02:00:01+02:00", "TIMESTAMP", Err(Why::Offset)),
            ("1970-01-01T02:00:01+02:00", "TIMESTAMPTZ", Ok(1_000_000)),
            ("1970-01-01 00:00:01+00", "TIMESTAMPTZ", Ok(1_000_000)),
            ("1970-01-01", "TIMESTAMP", Ok(0)),
            ("1970-01-01T00:00:00.1234567", "TIMESTAMP", Err(Why::Digits)),
            ("1970-01-01T00:00:00.123456000", "TIMESTAMP", Ok(123_456)),
            ("1970-01-01T00:00:00.1234567", "TIMESTAMP_NS", Ok(123_456_700)),
            ("1970-01-01T00:00:00.5", "TIMESTAMP_S", Err(Why::Digits)),
            ("9999-01-01T00:00:00", "TIMESTAMP_NS", Err(Why::Range)),
            ("infinity", "TIMESTAMP", Ok(i64::MAX)),
            ("1970-01-01T00:00:60", "TIMESTAMP", Err(Why::Kind)),
            ("24:00:00", "TIME", Ok(86_400_000_000)),
            ("soon", "TIMESTAMP", Err(Why::Kind)),
        ] {
            assert_eq!(micros(text, kind), expected, "{text} {kind}");
        }
        let days = |text: &str| bytes(text, "DATE").map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()));
        assert_eq!(days("1970-01-02T00:00:00"), Ok(1));
        assert_eq!(days("1970-01-02T00:00:01"), Err(Why::Clock));
        assert_eq!(days("1970-01-02T00:00:00Z"), Err(Why::Offset));
        assert_eq!(days("1970-01-32"), Err(Why::Kind));
    }

    #[test]
    fn text_that_duckdb_writes_is_read_back() {
        assert_eq!(blob("a\\x00\\xFFb").unwrap(), [b'a', 0, 255, b'b']);
        assert_eq!((blob("\\x616263"), blob("\\x")), (None, None));
        assert_eq!((blob("\\x0"), blob("é"), blob("\\y00"), blob("\\")), (None, None, None, None));
        assert_eq!(bit("101").unwrap(), [5, 0b1111_1101]);
        assert_eq!(bit("101010101").unwrap(), [7, 0b1111_1111, 0b0101_0101]);
        assert_eq!((bit(""), bit("12")), (None, None));
        assert_eq!(time_tz("00:00:00+15:59:59"), Ok(0));
        assert_eq!([boolean("TRUE"), boolean("0"), boolean("2")], [Some(true), Some(false), None]);
    }
}
