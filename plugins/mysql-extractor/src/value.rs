//! Converts single values from the binary form of MySQL's protocol to DuckDB's form in Arrow.

use mysql_client::Fields;
use mysql_client::types::Kind;
use osiris_sdk::Error;

const DAY_MICROSECONDS: i64 = 86_400_000_000;

type Metadata = &'static [(&'static str, &'static str)];

/// Why a value cannot be taken.
#[derive(Debug)]
pub enum Wrong {
    /// A date that does not exist, such as `0000-00-00` or the 31st of February: year, month and day.
    ZeroDate(i32, i32, i32),
    /// A value that the DuckDB type cannot hold, and the remedy.
    Unrepresentable(String),
    Malformed(Error),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Wrong::Malformed(error)
    }
}

/// The Arrow format and the extension of a type, as `osiris:driver/arrow` defines them.
pub fn format(kind: Kind) -> (String, Metadata) {
    const NAME: &str = "ARROW:extension:name";
    const DETAILS: &str = "ARROW:extension:metadata";
    let (format, metadata): (&str, Metadata) = match kind {
        Kind::Null | Kind::I32 => ("i", &[]),
        Kind::Bool => ("c", &[(NAME, "arrow.bool8")]),
        Kind::I8 => ("c", &[]),
        Kind::U8 => ("C", &[]),
        Kind::I16 | Kind::Year => ("s", &[]),
        Kind::U16 => ("S", &[]),
        Kind::U32 => ("I", &[]),
        Kind::I64 => ("l", &[]),
        Kind::U64 => ("L", &[]),
        Kind::F32 => ("f", &[]),
        Kind::F64 => ("g", &[]),
        Kind::Decimal { precision, scale } => return (format!("d:{precision},{scale}"), &[]),
        Kind::Bit(_) => ("z", &[(NAME, "arrow.opaque"), (DETAILS, r#"{"type_name":"bit","vendor_name":"DuckDB"}"#)]),
        Kind::Text => ("u", &[]),
        Kind::Json => ("u", &[(NAME, "arrow.json")]),
        Kind::Uuid => ("w:16", &[(NAME, "arrow.uuid")]),
        Kind::Bytes | Kind::Geometry => ("z", &[]),
        Kind::Date => ("tdD", &[]),
        Kind::DateTime => ("tsu:", &[]),
        Kind::Timestamp => ("tsu:UTC", &[]),
        Kind::Time => ("ttu", &[]),
        Kind::Interval => ("tin", &[]),
    };
    (format.to_owned(), metadata)
}

/// The number of bytes of a value in Arrow; 0 for texts.
pub fn width(kind: Kind) -> usize {
    match kind {
        Kind::Bool | Kind::I8 | Kind::U8 => 1,
        Kind::I16 | Kind::U16 | Kind::Year => 2,
        Kind::Null | Kind::I32 | Kind::U32 | Kind::F32 | Kind::Date => 4,
        Kind::I64 | Kind::U64 | Kind::F64 | Kind::DateTime | Kind::Timestamp | Kind::Time => 8,
        Kind::Decimal { .. } | Kind::Uuid | Kind::Interval => 16,
        Kind::Bit(_) | Kind::Text | Kind::Json | Kind::Bytes | Kind::Geometry => 0,
    }
}

/// Takes the value at the start of `row` and appends it.
#[inline]
pub fn take(kind: Kind, row: &mut Fields<'_>, values: &mut Vec<u8>) -> Result<(), Wrong> {
    match kind {
        // The protocol's numbers are little-endian, like Arrow's.
        Kind::I8 | Kind::U8 => values.push(row.byte()?),
        Kind::I16 | Kind::U16 | Kind::Year => values.extend_from_slice(&row.array::<2>()?),
        Kind::I32 | Kind::U32 | Kind::F32 => values.extend_from_slice(&row.array::<4>()?),
        Kind::I64 | Kind::U64 | Kind::F64 => values.extend_from_slice(&row.array::<8>()?),
        Kind::Bool => match row.byte()? {
            byte @ 0..=1 => values.push(byte),
            byte => {
                return Err(Wrong::Unrepresentable(format!(
                    "the number {} in a tinyint(1), which is neither 0 nor 1; `tinyint1: integer` reads such columns as \
                     numbers",
                    byte as i8
                )));
            }
        },
        Kind::Null => return Err(malformed("a value in a column of nulls")),
        Kind::Text | Kind::Json | Kind::Bytes => values.extend_from_slice(row.run()?),
        Kind::Decimal { scale, .. } => {
            let digits = decimal(row.run()?, scale).ok_or_else(|| malformed("an invalid decimal"))?;
            values.extend_from_slice(&digits.to_le_bytes());
        }
        Kind::Bit(count) => bits(row.run()?, count, values)?,
        Kind::Uuid => values.extend_from_slice(&uuid(row.run()?)?),
        Kind::Geometry => {
            // MySQL puts the spatial reference ID before the geometry in well-known binary.
            let (_, geometry) = row.run()?.split_at_checked(4).ok_or_else(|| malformed("an invalid geometry"))?;
            values.extend_from_slice(geometry);
        }
        Kind::Date => values.extend_from_slice(&date(row.run()?)?.to_le_bytes()),
        Kind::DateTime | Kind::Timestamp => {
            let run = row.run()?;
            let days = i64::from(date(run)?);
            values
                .extend_from_slice(&(days * DAY_MICROSECONDS + clock(run.get(4..).unwrap_or_default())?).to_le_bytes());
        }
        Kind::Time => {
            let microseconds = span(row.run()?)?;
            // DuckDB's last time of day is 24:00:00.
            if !(0..=DAY_MICROSECONDS).contains(&microseconds) {
                return Err(Wrong::Unrepresentable(format!(
                    "the time {}, which is not a time of day; `time: interval` reads such columns as INTERVAL",
                    hours(microseconds)
                )));
            }
            values.extend_from_slice(&microseconds.to_le_bytes());
        }
        Kind::Interval => {
            let microseconds = span(row.run()?)?;
            values.extend_from_slice(&[0; 8]);
            values.extend_from_slice(&(microseconds * 1000).to_le_bytes());
        }
    }
    Ok(())
}

/// The value's bytes as they are in the row, without decoding, to identify rows.
pub fn skip<'a>(kind: Kind, row: &mut Fields<'a>) -> Result<&'a [u8], Error> {
    match kind {
        Kind::Null => Ok(&[]),
        Kind::Decimal { .. }
        | Kind::Uuid
        | Kind::Date
        | Kind::DateTime
        | Kind::Timestamp
        | Kind::Time
        | Kind::Interval => row.run(),
        kind => match width(kind) {
            0 => row.run(),
            width => row.bytes(width),
        },
    }
}

fn malformed(what: &str) -> Wrong {
    Wrong::Malformed(Error::internal(format!("the server sent {what}")))
}

/// A decimal in text form, as an integer scaled by ten to the `scale`.
fn decimal(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if let Some(number) = small_decimal(digits, scale) {
        return Some(i128::from(if negative { -number } else { number }));
    }
    let mut number = 0_i128;
    let mut after_point: Option<u8> = None;
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                after_point = after_point.map(|count| count.saturating_add(1));
            }
            b'.' if after_point.is_none() => after_point = Some(0),
            _ => return None,
        }
    }
    let missing = scale.checked_sub(after_point.unwrap_or(0))?;
    let number = number.checked_mul(10_i128.checked_pow(missing.into())?)?;
    (!digits.is_empty()).then_some(if negative { -number } else { number })
}

/// The same for up to 18 digits, `scale` of them after the point, which suffices for most numbers: WebAssembly has no
/// 128-bit arithmetic.
fn small_decimal(text: &[u8], scale: u8) -> Option<i64> {
    let (whole, point_and_part) = text.split_at_checked(text.len().checked_sub(usize::from(scale) + 1)?)?;
    let part = point_and_part.strip_prefix(b".")?;
    if whole.is_empty() || text.len() > 19 {
        return None;
    }
    let mut number = 0_i64;
    for byte in whole.iter().chain(part) {
        number = number * 10 + i64::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
    }
    Some(number)
}

/// MySQL pads the first byte with zeros; DuckDB stores how many of its bits are unused, and sets them.
fn bits(bytes: &[u8], count: u8, values: &mut Vec<u8>) -> Result<(), Wrong> {
    let size = usize::from(count).div_ceil(8);
    if bytes.is_empty() || bytes.len() > size {
        return Err(malformed("a bit string of another length than its column"));
    }
    let unused = (size * 8) as u8 - count;
    values.push(unused);
    let start = values.len();
    values.resize(start + size - bytes.len(), 0);
    values.extend_from_slice(bytes);
    values[start] |= !(0xff_u16 >> unused) as u8;
    Ok(())
}

fn uuid(text: &[u8]) -> Result<[u8; 16], Wrong> {
    let digits: Vec<u8> = text
        .iter()
        .filter(|byte| **byte != b'-')
        .map(|byte| (*byte as char).to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .ok_or_else(|| malformed("an invalid uuid"))?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or_default()).collect();
    bytes.try_into().map_err(|_| malformed("an invalid uuid"))
}

/// Days since 1970.
fn date(bytes: &[u8]) -> Result<i32, Wrong> {
    let (year, month, day) = match bytes {
        [] => return Err(Wrong::ZeroDate(0, 0, 0)),
        [a, b, month, day, ..] => (i32::from(u16::from_le_bytes([*a, *b])), i32::from(*month), i32::from(*day)),
        _ => return Err(malformed("an invalid date")),
    };
    let days = osiris_sdk::calendar::days(year.into(), month.into(), day.into());
    days.and_then(|days| i32::try_from(days).ok()).ok_or(Wrong::ZeroDate(year, month, day))
}

/// A span as MySQL writes it: `-838:59:59.5`.
fn hours(microseconds: i64) -> String {
    let (sign, span) = (if microseconds < 0 { "-" } else { "" }, microseconds.unsigned_abs());
    let seconds = span / 1_000_000;
    let fraction = format!(".{:06}", span % 1_000_000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Microseconds of the day.
fn clock(bytes: &[u8]) -> Result<i64, Wrong> {
    let (clock, fraction) = match bytes {
        [] => return Ok(0),
        [hours, minutes, seconds] => ([hours, minutes, seconds], 0),
        [hours, minutes, seconds, a, b, c, d] => ([hours, minutes, seconds], u32::from_le_bytes([*a, *b, *c, *d])),
        _ => return Err(malformed("an invalid time")),
    };
    let [hours, minutes, seconds] = clock.map(|part| i64::from(*part));
    if hours > 23 || minutes > 59 || seconds > 59 || fraction > 999_999 {
        return Err(malformed("an invalid time"));
    }
    Ok(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + i64::from(fraction))
}

/// Microseconds of a span with its sign.
fn span(bytes: &[u8]) -> Result<i64, Wrong> {
    match bytes {
        [] => Ok(0),
        [negative, a, b, c, d, rest @ ..] => {
            let days = i64::from(u32::from_le_bytes([*a, *b, *c, *d]));
            // The server's own bound is 838 hours; this one keeps the numbers small.
            if days > 10_000 {
                return Err(malformed("an invalid time"));
            }
            let microseconds = days * DAY_MICROSECONDS + clock(rest)?;
            Ok(if *negative == 0 { microseconds } else { -microseconds })
        }
        _ => Err(malformed("an invalid time")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dates_count_from_1970_and_nonexistent_ones_are_reported() {
        let days = |year: u16, month: u8, day: u8| {
            let [a, b] = year.to_le_bytes();
            date(&[a, b, month, day])
        };
        assert_eq!(days(1970, 1, 1).unwrap(), 0);
        assert_eq!(days(2000, 2, 29).unwrap(), 11_016);
        assert_eq!(days(9999, 12, 31).unwrap(), 2_932_896);
        assert_eq!(days(1, 1, 1).unwrap(), -719_162);
        for (year, month, day) in [(0, 0, 0), (2024, 0, 1), (2024, 1, 0), (2023, 2, 29), (1900, 2, 29), (2024, 13, 1)] {
            assert!(matches!(days(year, month, day), Err(Wrong::ZeroDate(..))), "{year}-{month}-{day}");
        }
        assert!(matches!(date(&[]), Err(Wrong::ZeroDate(..))));
        assert!(matches!(date(&[1]), Err(Wrong::Malformed(_))));
    }

    #[test]
    fn decimals_are_read_exactly() {
        assert_eq!(decimal(b"12.34", 2), Some(1234));
        assert_eq!(decimal(b"-0.05", 3), Some(-50));
        assert_eq!(decimal(b"7", 2), Some(700));
        assert_eq!(decimal(b"-9999999999999999.99", 2), Some(-999_999_999_999_999_999));
        assert_eq!(decimal(b"99999999999999999.99", 2), Some(9_999_999_999_999_999_999));
        assert_eq!(decimal("9".repeat(38).as_bytes(), 0), Some(10_i128.pow(38) - 1));
        for wrong in ["", "-", "1.234", "1e5", "1.2.3", "NaN"] {
            assert_eq!(decimal(wrong.as_bytes(), 2), None, "{wrong}");
        }
    }

    #[test]
    fn bits_and_uuids_have_duckdbs_layout() {
        let laid = |bytes: &[u8], count: u8| {
            let mut values = Vec::new();
            bits(bytes, count, &mut values).map(|()| values)
        };
        assert_eq!(laid(&[0b101], 3).unwrap(), [5, 0b1111_1101]);
        assert_eq!(laid(&[0x02, 0x01], 10).unwrap(), [6, 0xfe, 0x01]);
        assert_eq!(laid(&[0xff; 8], 64).unwrap(), [&[0_u8][..], &[0xff; 8]].concat());
        assert!(laid(&[], 3).is_err() && laid(&[0, 0], 3).is_err());
        assert_eq!(uuid(b"00112233-4455-6677-8899-aabbccddeeff").unwrap()[15], 0xff);
        assert!(uuid(b"0011").is_err() && uuid(b"zz112233-4455-6677-8899-aabbccddeeff").is_err());
    }

    #[test]
    fn spans_are_shown_as_mysql_writes_them() {
        assert_eq!(hours(-3_020_399_500_000), "-838:59:59.5");
        assert_eq!(hours(86_400_000_001), "24:00:00.000001");
        assert_eq!(hours(90_000_000_000), "25:00:00");
    }

    #[test]
    fn spans_have_a_sign_and_days() {
        assert_eq!(span(&[]).unwrap(), 0);
        assert_eq!(span(&[1, 34, 0, 0, 0, 22, 59, 59]).unwrap(), -(838 * 3600 + 59 * 60 + 59) * 1_000_000);
        assert_eq!(span(&[0, 0, 0, 0, 0, 0, 0, 1, 64, 66, 15, 0][..8]).unwrap(), 1_000_000);
        assert!(span(&[0, 0, 0]).is_err());
    }
}
