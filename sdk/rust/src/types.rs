//! Values that Rust's standard library has no type for: dates, times, decimals, UUIDs and bytes. They are read from columns,
//! written to columns, and are texts or numbers in JSON, as DuckDB writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Column, Error, FromCell, Result, Value, calendar};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// A DATE, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// A TIME, as microseconds since midnight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A TIMESTAMP without a zone, as microseconds since 1970-01-01 00:00.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A TIMESTAMPTZ, as microseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

/// A DECIMAL(P,S), as a whole number of its last digit: `Decimal::<18, 2>(150)` is 1.50.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<const P: u8, const S: u8>(pub i128);

/// A UUID.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// A BLOB.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Vec<u8>);

fn wrong(text: &str, kind: &str) -> Error {
    Error::data(format!("`{}` is not a {kind}", text.chars().take(80).collect::<String>()))
}

/// Digits only, so that no sign or space is taken for a part of a date.
fn digits(text: &str, length: usize) -> Option<i64> {
    let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn days(text: &str) -> Option<i64> {
    let (rest, day) = text.rsplit_once('-')?;
    let (year, month) = rest.rsplit_once('-')?;
    let (sign, year) = year.strip_prefix('-').map_or((1, year), |year| (-1, year));
    calendar::days(sign * digits(year, year.len().max(4))?, digits(month, 2)?, digits(day, 2)?)
}

fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':').map(|part| digits(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || hour > 24 || minute > 59 || second > 59 {
        return None;
    }
    // What is finer than a microsecond must be zeros.
    let (kept, lost) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    let fraction = digits(&format!("{kept:0<6}"), 6).filter(|_| lost.bytes().all(|byte| byte == b'0'))?;
    let sum = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
    (sum <= DAY).then_some(sum)
}

/// A date and a time, and the offset from UTC behind them in microseconds, if there is one.
fn moment(text: &str) -> Option<(i64, Option<i64>)> {
    let (date, rest) = text.split_once(['T', ' ', 't']).unwrap_or((text, "00:00"));
    let zone = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let offset = match rest[zone..].trim_end() {
        "" => None,
        "Z" | "z" => Some(0),
        offset => {
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            let numbers = offset[1..].replace(':', "");
            let (hours, minutes) = numbers.split_at_checked(2)?;
            let minutes = if minutes.is_empty() { 0 } else { digits(minutes, 2)? };
            Some(sign * (digits(hours, 2)? * 60 + minutes) * 60_000_000)
        }
    };
    let time = micros(rest[..zone].trim_end())?;
    Some((days(date)?.checked_mul(DAY)?.checked_add(time)?, offset))
}

impl FromStr for Date {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        days(text).and_then(|days| i32::try_from(days).ok()).map(Self).ok_or_else(|| wrong(text, "date"))
    }
}

impl FromStr for Time {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        micros(text).map(Self).ok_or_else(|| wrong(text, "time"))
    }
}

impl FromStr for Timestamp {
    type Err = Error;
    /// A text with an offset is refused, because a TIMESTAMP has none.
    fn from_str(text: &str) -> Result<Self> {
        let local = moment(text).filter(|(_, offset)| offset.is_none());
        local.map(|(micros, _)| Self(micros)).ok_or_else(|| wrong(text, "timestamp without an offset"))
    }
}

impl FromStr for Instant {
    type Err = Error;
    /// A text without an offset is refused, because it is no instant.
    fn from_str(text: &str) -> Result<Self> {
        let utc = moment(text).and_then(|(micros, offset)| micros.checked_sub(offset?));
        utc.map(Self).ok_or_else(|| wrong(text, "timestamp with an offset"))
    }
}

impl<const P: u8, const S: u8> FromStr for Decimal<P, S> {
    type Err = Error;
    /// A number with more digits than the type has is refused.
    fn from_str(text: &str) -> Result<Self> {
        let unscaled = unscaled(text, S).filter(|value| value.unsigned_abs() < 10_u128.pow(P.min(38).into()));
        unscaled.map(Self).ok_or_else(|| wrong(text, &format!("DECIMAL({P},{S})")))
    }
}

/// A number as a whole number of its digit at `scale`, if it has none behind that.
pub(crate) fn unscaled(text: &str, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or((1, mantissa), |rest| (-1, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let shift = i32::try_from(fraction.len()).ok()?.checked_neg()?.checked_add(exponent)?.checked_add(scale.into())?;
    let significant = all.trim_start_matches('0');
    let moved = if significant.is_empty() {
        "0".to_owned()
    } else if let Ok(zeros) = usize::try_from(shift) {
        format!("{significant}{}", "0".repeat(zeros.min(40)))
    } else {
        let (kept, lost) = significant.split_at(significant.len().saturating_sub(shift.unsigned_abs() as usize));
        if !lost.bytes().all(|byte| byte == b'0') {
            return None;
        }
        format!("0{kept}")
    };
    Some(sign * moved.parse::<i128>().ok()?)
}

impl FromStr for Uuid {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let hex = text.replace('-', "");
        let bytes = u128::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == 32 && !hex.starts_with('+'));
        bytes.map(|bytes| Self(bytes.to_be_bytes())).ok_or_else(|| wrong(text, "UUID"))
    }
}

impl FromStr for Blob {
    type Err = Error;
    /// The form of DuckDB: `\x` and two hexadecimal digits for a byte, or an ASCII character.
    fn from_str(text: &str) -> Result<Self> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, behind @ ..] = rest {
            rest = behind;
            let byte = match (first, behind) {
                (b'\\', [b'x', high, low, after @ ..]) => {
                    rest = after;
                    let hex = [*high, *low];
                    std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
                }
                (b'\\', _) => None,
                (byte, _) => byte.is_ascii().then_some(*byte),
            };
            bytes.push(byte.ok_or_else(|| wrong(text, "BLOB"))?);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = calendar::date(self.0.into());
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, fraction) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if fraction == 0 { Ok(()) } else { write!(f, ".{}", format!("{fraction:06}").trim_end_matches('0')) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The days of 64-bit microseconds fit into 32 bits.
        let date = Date(i32::try_from(self.0.div_euclid(DAY)).unwrap_or(i32::MAX));
        write!(f, "{date} {}", Time(self.0.rem_euclid(DAY)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+00", Timestamp(self.0))
    }
}

impl<const P: u8, const S: u8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal_text(self.0, S))
    }
}

pub(crate) fn decimal_text(unscaled: i128, scale: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", u128::from_be_bytes(self.0));
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'\\' | b'\'' | b'"' | 0..32 | 127.. => write!(f, "\\x{byte:02X}"),
            _ => write!(f, "{}", char::from(byte)),
        })
    }
}

/// JSON as text, and the schema of that text, whose format names the DuckDB type.
macro_rules! text_in_json {
    ($($kind:ident: $format:literal;)*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $kind {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($kind).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "format": $format})
            }
        }
    )*};
}

text_in_json! { Date: "date"; Time: "time"; Timestamp: "timestamp"; Instant: "date-time"; Uuid: "uuid"; Blob: "blob"; }

impl<const P: u8, const S: u8> Serialize for Decimal<P, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        self.to_string().parse::<serde_json::Number>().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de, const P: u8, const S: u8> Deserialize<'de> for Decimal<P, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.parse(),
            serde_json::Value::Number(number) => number.to_string().parse(),
            other => Err(wrong(&other.to_string(), "number")),
        }
        .map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl<const P: u8, const S: u8> schemars::JsonSchema for Decimal<P, S> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Decimal_{P}_{S}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "number", "format": format!("decimal({P},{S})")})
    }
}

/// Columns of these types, by the numbers that they consist of.
macro_rules! number_in_column {
    ($($kind:ident($number:ty): $format:literal;)*) => {$(
        impl Value for $kind {
            type Buffer = Vec<$number>;

            fn store(buffer: &mut Vec<$number>, value: Option<Self>) {
                buffer.push(value.unwrap_or_default().0);
            }

            fn finish(buffer: Vec<$number>) -> (String, Vec<Vec<u8>>) {
                ($format.to_owned(), vec![bytemuck::cast_slice(&buffer).to_vec()])
            }
        }

        impl<'a> FromCell<'a> for $kind {
            fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
                let format = column.field().format.as_str();
                if format != $format {
                    return Err(column.wrong(concat!("`", $format, "`")));
                }
                column.value_at::<$number>(row).map(Self)
            }
        }
    )*};
}

number_in_column! { Date(i32): "tdD"; Time(i64): "ttu"; Timestamp(i64): "tsu:"; Instant(i64): "tsu:UTC"; }

impl<const P: u8, const S: u8> Value for Decimal<P, S> {
    type Buffer = Vec<i128>;

    fn store(buffer: &mut Vec<i128>, value: Option<Self>) {
        buffer.push(value.unwrap_or_default().0);
    }

    fn finish(buffer: Vec<i128>) -> (String, Vec<Vec<u8>>) {
        (format!("d:{P},{S}"), vec![bytemuck::cast_slice(&buffer).to_vec()])
    }
}

impl<'a, const P: u8, const S: u8> FromCell<'a> for Decimal<P, S> {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        let format = &column.field().format;
        let scale = format.strip_prefix("d:").and_then(|rest| rest.split(',').nth(1)?.parse().ok());
        let scale: u8 = scale.ok_or_else(|| column.wrong("a decimal"))?;
        decimal_text(column.value_at::<i128>(row)?, scale).parse()
    }
}

impl Value for Uuid {
    type Buffer = Vec<u8>;

    fn store(buffer: &mut Vec<u8>, value: Option<Self>) {
        buffer.extend_from_slice(&value.unwrap_or_default().0);
    }

    fn finish(buffer: Vec<u8>) -> (String, Vec<Vec<u8>>) {
        ("w:16".to_owned(), vec![buffer])
    }

    fn metadata() -> Vec<(String, String)> {
        vec![("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())]
    }
}

impl<'a> FromCell<'a> for Uuid {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        if column.field().format != "w:16" {
            return Err(column.wrong("a UUID"));
        }
        let bytes = column.part(1)?.get(row * 16..row * 16 + 16).filter(|_| !column.is_null(row));
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| column.null())?;
        Ok(Self(bytes))
    }
}

impl Value for Blob {
    type Buffer = crate::array::Texts;

    fn store(buffer: &mut Self::Buffer, value: Option<Self>) {
        buffer.push(&value.unwrap_or_default().0);
    }

    fn finish(buffer: Self::Buffer) -> (String, Vec<Vec<u8>>) {
        ("z".to_owned(), buffer.finish())
    }
}

impl<'a> FromCell<'a> for Blob {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        column.bytes(row)?.map(|bytes| Self(bytes.to_vec())).ok_or_else(|| column.null())
    }
}
