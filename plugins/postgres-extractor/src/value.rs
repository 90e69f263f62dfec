//! Converts single values from PostgreSQL's binary form to DuckDB's form in Arrow.

use std::net::{Ipv4Addr, Ipv6Addr};

use postgres_client::types::{EPOCH_DAYS, EPOCH_MICROSECONDS, Kind, LAST_OFFSET};

use crate::numeric::Numeric;
use crate::refusal::Wrong;

const DAY_MICROSECONDS: i64 = 86_400_000_000;

type Metadata = &'static [(&'static str, &'static str)];

/// The Arrow format and the extension of a type, as `osiris:driver/arrow` defines them.
pub fn format(kind: &Kind) -> (String, Metadata) {
    const NAME: &str = "ARROW:extension:name";
    const DETAILS: &str = "ARROW:extension:metadata";
    let (format, metadata): (&str, Metadata) = match kind {
        Kind::Bool => ("c", &[(NAME, "arrow.bool8")]),
        Kind::Int2 => ("s", &[]),
        Kind::Int4 => ("i", &[]),
        Kind::Int8 => ("l", &[]),
        Kind::Oid => ("I", &[]),
        Kind::Float4 => ("f", &[]),
        Kind::Float8 | Kind::NumericDouble => ("g", &[]),
        Kind::Decimal { precision, scale } => return (format!("d:{precision},{scale}"), &[]),
        Kind::Text | Kind::NumericText | Kind::Inet | Kind::Mac => ("u", &[]),
        Kind::Json | Kind::Jsonb => ("u", &[(NAME, "arrow.json")]),
        Kind::Bytes => ("z", &[]),
        Kind::Date => ("tdD", &[]),
        Kind::Time => ("ttu", &[]),
        Kind::TimeTz => {
            ("w:8", &[(NAME, "arrow.opaque"), (DETAILS, r#"{"type_name":"time_tz","vendor_name":"DuckDB"}"#)])
        }
        Kind::Timestamp => ("tsu:", &[]),
        Kind::TimestampTz => ("tsu:UTC", &[]),
        Kind::Interval => ("tin", &[]),
        Kind::Uuid => ("w:16", &[(NAME, "arrow.uuid")]),
        Kind::Bit => ("z", &[(NAME, "arrow.opaque"), (DETAILS, r#"{"type_name":"bit","vendor_name":"DuckDB"}"#)]),
        Kind::List(_) => ("+l", &[]),
    };
    (format.to_owned(), metadata)
}

/// Whether a type's values vary in length.
pub fn has_offsets(kind: &Kind) -> bool {
    width(kind) == 0
}

/// The number of bytes of a value; 0 for texts and lists.
pub fn width(kind: &Kind) -> usize {
    match kind {
        Kind::Bool => 1,
        Kind::Int2 => 2,
        Kind::Int4 | Kind::Oid | Kind::Float4 | Kind::Date => 4,
        Kind::Int8 | Kind::Float8 | Kind::NumericDouble => 8,
        Kind::Time | Kind::TimeTz | Kind::Timestamp | Kind::TimestampTz => 8,
        Kind::Decimal { .. } | Kind::Interval | Kind::Uuid => 16,
        Kind::Text | Kind::NumericText | Kind::Inet | Kind::Mac | Kind::Json | Kind::Jsonb | Kind::Bytes => 0,
        Kind::Bit | Kind::List(_) => 0,
    }
}

/// Appends the value of a field that is not null.
#[inline]
pub fn push(kind: &Kind, field: &[u8], values: &mut Vec<u8>) -> Result<(), Wrong> {
    match kind {
        Kind::Text | Kind::Json | Kind::Bytes => values.extend_from_slice(field),
        Kind::Int4 | Kind::Oid => values.extend_from_slice(&i32::from_be_bytes(exactly(field)?).to_le_bytes()),
        Kind::Int8 | Kind::Float8 => values.extend_from_slice(&i64::from_be_bytes(exactly(field)?).to_le_bytes()),
        Kind::Int2 => values.extend_from_slice(&i16::from_be_bytes(exactly(field)?).to_le_bytes()),
        Kind::Float4 => values.extend_from_slice(&i32::from_be_bytes(exactly(field)?).to_le_bytes()),
        Kind::Bool => match field {
            [byte @ 0..=1] => values.push(*byte),
            _ => return Err(Wrong::Malformed),
        },
        Kind::Timestamp | Kind::TimestampTz => {
            values.extend_from_slice(&timestamp(i64::from_be_bytes(exactly(field)?))?.to_le_bytes());
        }
        Kind::Date => values.extend_from_slice(&date(i32::from_be_bytes(exactly(field)?))?.to_le_bytes()),
        Kind::Time => match i64::from_be_bytes(exactly(field)?) {
            time @ 0..=DAY_MICROSECONDS => values.extend_from_slice(&time.to_le_bytes()),
            _ => return Err(Wrong::Malformed),
        },
        Kind::Decimal { precision, scale } => {
            let number = Numeric::parse(field).ok_or(Wrong::Malformed)?;
            let bound = 10_i128.pow(u32::from(*precision));
            let Some(scaled) = number.scaled(*scale).filter(|number| (1 - bound..bound).contains(number)) else {
                return Err(Wrong::Unrepresentable(match number {
                    Numeric::NaN => "NaN, which a DECIMAL does not have",
                    Numeric::Infinity { .. } => "an infinity, which a DECIMAL does not have",
                    Numeric::Finite { .. } => "more digits than its DECIMAL has",
                }));
            };
            values.extend_from_slice(&scaled.to_le_bytes());
        }
        Kind::Uuid => values.extend_from_slice(&exactly::<16>(field)?),
        _ => return push_rare(kind, field, values),
    }
    Ok(())
}

/// Appends a value of one of the types that are decoded more slowly.
fn push_rare(kind: &Kind, field: &[u8], values: &mut Vec<u8>) -> Result<(), Wrong> {
    match kind {
        Kind::NumericText | Kind::NumericDouble => {
            let mut text = String::new();
            Numeric::parse(field).ok_or(Wrong::Malformed)?.write(&mut text);
            if *kind == Kind::NumericText {
                values.extend_from_slice(text.as_bytes());
            } else {
                let number: f64 = text.parse().map_err(|_| Wrong::Malformed)?;
                if number.is_infinite() && !text.ends_with("Infinity") {
                    return Err(Wrong::Unrepresentable("a number too large for a DOUBLE"));
                }
                values.extend_from_slice(&number.to_le_bytes());
            }
        }
        Kind::Jsonb => match field {
            [1, json @ ..] => values.extend_from_slice(json),
            _ => return Err(Wrong::Malformed),
        },
        Kind::TimeTz => {
            let (time, west) = field.split_first_chunk::<8>().ok_or(Wrong::Malformed)?;
            let (time, east) = (i64::from_be_bytes(*time), -i64::from(i32::from_be_bytes(exactly(west)?)));
            if !(0..=DAY_MICROSECONDS).contains(&time) || !(-LAST_OFFSET..=LAST_OFFSET).contains(&east) {
                return Err(Wrong::Malformed);
            }
            values.extend_from_slice(&(time << 24 | (LAST_OFFSET - east)).to_le_bytes());
        }
        Kind::Interval => values.extend_from_slice(&interval(field)?),
        Kind::Bit => bits(field, values)?,
        Kind::Inet => values.extend_from_slice(inet(field).ok_or(Wrong::Malformed)?.as_bytes()),
        Kind::Mac => {
            let parts: Vec<String> = field.iter().map(|byte| format!("{byte:02x}")).collect();
            values.extend_from_slice(parts.join(":").as_bytes());
        }
        _ => return Err(Wrong::Malformed),
    }
    Ok(())
}

#[inline]
fn exactly<const N: usize>(field: &[u8]) -> Result<[u8; N], Wrong> {
    field.try_into().map_err(|_| Wrong::Malformed)
}

/// Days since 1970; PostgreSQL's infinities become DuckDB's.
#[inline]
fn date(days: i32) -> Result<i32, Wrong> {
    match days {
        i32::MAX => Ok(i32::MAX),
        i32::MIN => Ok(-i32::MAX),
        days => days
            .checked_add(EPOCH_DAYS)
            .filter(|days| days.unsigned_abs() < i32::MAX as u32)
            .ok_or(Wrong::Unrepresentable("a date beyond what DuckDB has")),
    }
}

/// Microseconds since 1970; PostgreSQL's infinities become DuckDB's.
#[inline]
fn timestamp(microseconds: i64) -> Result<i64, Wrong> {
    match microseconds {
        i64::MAX => Ok(i64::MAX),
        i64::MIN => Ok(-i64::MAX),
        microseconds => microseconds
            .checked_add(EPOCH_MICROSECONDS)
            .filter(|value| value.unsigned_abs() < i64::MAX as u64)
            .ok_or(Wrong::Unrepresentable("a timestamp beyond what DuckDB has")),
    }
}

/// Months, days and nanoseconds. Time beyond 64 bits of nanoseconds is carried over into days of 24 hours, which is the
/// same interval in both databases.
fn interval(field: &[u8]) -> Result<[u8; 16], Wrong> {
    let (microseconds, rest) = field.split_first_chunk::<8>().ok_or(Wrong::Malformed)?;
    let (days, months) = rest.split_first_chunk::<4>().ok_or(Wrong::Malformed)?;
    let (mut microseconds, mut days) = (i64::from_be_bytes(*microseconds), i32::from_be_bytes(*days));
    let months = i32::from_be_bytes(exactly(months)?);
    if microseconds.checked_mul(1000).is_none() {
        let whole = i32::try_from(microseconds / DAY_MICROSECONDS).map_err(|_| Wrong::Malformed)?;
        days = days.checked_add(whole).ok_or(Wrong::Unrepresentable("an interval of more days than DuckDB has"))?;
        microseconds %= DAY_MICROSECONDS;
    }
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&months.to_le_bytes());
    bytes[4..8].copy_from_slice(&days.to_le_bytes());
    bytes[8..].copy_from_slice(&(microseconds * 1000).to_le_bytes());
    Ok(bytes)
}

/// A bit string: PostgreSQL pads the last byte at its end, DuckDB the first byte at its start, with ones.
fn bits(field: &[u8], values: &mut Vec<u8>) -> Result<(), Wrong> {
    let (count, bits) = field.split_first_chunk::<4>().ok_or(Wrong::Malformed)?;
    let count = usize::try_from(i32::from_be_bytes(*count)).map_err(|_| Wrong::Malformed)?;
    if count == 0 {
        return Err(Wrong::Unrepresentable("a bit string without bits, which DuckDB does not have"));
    }
    if bits.len() != count.div_ceil(8) {
        return Err(Wrong::Malformed);
    }
    let unused = (bits.len() * 8 - count) as u32;
    values.push(unused as u8);
    let mut carried = 0xff_u8;
    for byte in bits {
        let pair = u16::from_be_bytes([carried, *byte]);
        values.push((pair >> unused) as u8);
        carried = *byte;
    }
    Ok(())
}

/// An address as PostgreSQL writes it: with the length of its network, unless that covers only the address.
fn inet(field: &[u8]) -> Option<String> {
    let [_, bits, is_cidr, _, address @ ..] = field else { return None };
    let (text, whole) = if let Ok(four) = <[u8; 4]>::try_from(address) {
        (Ipv4Addr::from(four).to_string(), 32)
    } else {
        (Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).to_string(), 128)
    };
    Some(if *is_cidr != 0 || *bits != whole { format!("{text}/{bits}") } else { text })
}

/// The parts of an array.
pub struct ArrayParts<'a> {
    /// The sizes of its dimensions.
    pub sizes: Vec<usize>,
    pub values: &'a [u8],
    /// Whether each dimension counts from 1, as lists do.
    pub counts_from_one: bool,
}

/// Splits an array into its parts.
pub fn array(field: &[u8]) -> Result<ArrayParts<'_>, Wrong> {
    let word = |place: usize| {
        let bytes = field.get(place * 4..place * 4 + 4).ok_or(Wrong::Malformed)?;
        Ok(i32::from_be_bytes(exactly(bytes)?))
    };
    let count = usize::try_from(word(0)?).ok().filter(|count| *count <= 6).ok_or(Wrong::Malformed)?;
    let sizes = (0..count).map(|dimension| {
        // An array without values has no dimensions, so every dimension has a size.
        usize::try_from(word(3 + dimension * 2)?).ok().filter(|size| *size > 0).ok_or(Wrong::Malformed)
    });
    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    let first = |dimension: usize| word(4 + dimension * 2);
    let counts_from_one = (0..count).map(first).all(|first| first == Ok(1));
    Ok(ArrayParts { sizes, values: field.get(12 + count * 8..).ok_or(Wrong::Malformed)?, counts_from_one })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pushed(kind: &Kind, field: &[u8]) -> Result<Vec<u8>, Wrong> {
        let mut values = Vec::new();
        push(kind, field, &mut values).map(|()| values)
    }

    #[test]
    fn infinite_and_out_of_range_times() {
        assert_eq!(timestamp(i64::MAX), Ok(i64::MAX));
        assert_eq!(timestamp(i64::MIN), Ok(-i64::MAX));
        assert_eq!(timestamp(0), Ok(EPOCH_MICROSECONDS));
        assert!(matches!(timestamp(i64::MAX - 1), Err(Wrong::Unrepresentable(_))));
        assert_eq!(date(i32::MIN), Ok(-i32::MAX));
        assert_eq!(date(-EPOCH_DAYS), Ok(0));
        assert!(date(i32::MAX - 5).is_err());
    }

    #[test]
    fn bit_strings_move_their_unused_bits_to_the_front() {
        let bit = |count: i32, bits: &[u8]| pushed(&Kind::Bit, &[&count.to_be_bytes()[..], bits].concat());
        assert_eq!(bit(8, &[0xa5]), Ok(vec![0, 0xa5]));
        assert_eq!(bit(3, &[0b1010_0000]), Ok(vec![5, 0b1111_1101]));
        assert_eq!(bit(10, &[0b1000_0000, 0b0100_0000]), Ok(vec![6, 0b1111_1110, 0b0000_0001]));
        assert!(matches!(bit(0, &[]), Err(Wrong::Unrepresentable(_))));
        assert_eq!(bit(9, &[0]), Err(Wrong::Malformed));
    }

    #[test]
    fn addresses_are_written_as_in_postgresql() {
        assert_eq!(inet(&[2, 32, 0, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1");
        assert_eq!(inet(&[2, 32, 1, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1/32");
        assert_eq!(inet(&[2, 24, 0, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1/24");
        let mut six = vec![3, 128, 0, 16];
        six.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        assert_eq!(inet(&six).unwrap(), "::1");
        assert!(inet(&six[..9]).is_none());
    }

    #[test]
    fn long_intervals_are_carried_over_into_days() {
        let field = |microseconds: i64, days: i32, months: i32| {
            [&microseconds.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat()
        };
        let short = interval(&field(-5, 2, 3)).unwrap();
        assert_eq!(short[8..], (-5000_i64).to_le_bytes());
        let long = interval(&field(DAY_MICROSECONDS * 200_000 + 7, 1, 0)).unwrap();
        assert_eq!(long[4..8], 200_001_i32.to_le_bytes());
        assert_eq!(long[8..], 7000_i64.to_le_bytes());
        assert!(interval(&field(0, 0, 0)[..15]).is_err());
    }

    #[test]
    fn malformed_fields_are_refused() {
        for kind in [
            Kind::Bool,
            Kind::Int2,
            Kind::Int4,
            Kind::Int8,
            Kind::Float8,
            Kind::Date,
            Kind::Time,
            Kind::TimeTz,
            Kind::Timestamp,
            Kind::Interval,
            Kind::Uuid,
            Kind::Bit,
            Kind::Inet,
            Kind::Jsonb,
            Kind::NumericText,
            Kind::Decimal { precision: 4, scale: 1 },
        ] {
            assert_eq!(pushed(&kind, &[9, 9, 9]), Err(Wrong::Malformed), "{kind:?}");
        }
    }
}
