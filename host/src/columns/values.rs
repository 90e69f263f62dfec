//! Checks of single values that Arrow leaves open and DuckDB does not make.

use duckdb::arrow::array::{ArrayData, AsArray, make_array};
use duckdb::arrow::datatypes::{DataType, TimeUnit};
use serde_json::Value;

use super::{Field, Refused, refused};

/// Checks what the Arrow format leaves to readers and DuckDB does not check: that decimals have no more digits than
/// their type, times are within a day, and dates and timestamps exist.
pub(super) fn check_values(array: &ArrayData) -> Result<(), Refused> {
    use DataType::{Date32, Date64, Decimal128, Time32, Time64, Timestamp};
    const DAY_SECONDS: i64 = 86_400;
    let per_second = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let data_type = array.data_type();
    let fits = match data_type {
        Decimal128(precision, _) => {
            let bound = 10_i128.pow(u32::from(*precision)) - 1;
            all::<16>(array, |bytes| (-bound..=bound).contains(&i128::from_le_bytes(bytes)))
        }
        Time32(unit) => {
            all::<4>(array, |bytes| (0..=DAY_SECONDS * per_second(unit)).contains(&i32::from_le_bytes(bytes).into()))
        }
        Time64(unit) => {
            all::<8>(array, |bytes| (0..=DAY_SECONDS * per_second(unit)).contains(&i64::from_le_bytes(bytes)))
        }
        Date32 => all::<4>(array, |bytes| i32::from_le_bytes(bytes) != i32::MIN),
        Date64 => all::<8>(array, |bytes| {
            let days = i64::from_le_bytes(bytes).div_euclid(DAY_SECONDS * 1_000);
            (i64::from(-i32::MAX)..=i64::from(i32::MAX)).contains(&days)
        }),
        // Neither a map's keys nor its entries may be null.
        DataType::Map(..) => array
            .child_data()
            .iter()
            .all(|entries| entries.null_count() == 0 && entries.child_data()[0].null_count() == 0),
        Timestamp(..) => all::<8>(array, |bytes| i64::from_le_bytes(bytes) != i64::MIN),
        _ => true,
    };
    if fits { Ok(()) } else { Err(refused(format!("a value that does not fit its type, {data_type}"))) }
}

/// Whether every non-null value of `WIDTH` bytes passes a check.
fn all<const WIDTH: usize>(array: &ArrayData, fits: impl Fn([u8; WIDTH]) -> bool) -> bool {
    let (values, _) = array.buffers()[0].as_slice().as_chunks::<WIDTH>();
    let mut values = values.iter().take(array.len()).enumerate();
    values.all(|(place, value)| fits(*value) || array.is_null(place))
}

/// An Arrow extension type that DuckDB produces and accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    /// A byte, 0 or 1.
    Bool8,
    Uuid,
    Json,
    HugeInt,
    /// Microseconds of the day and an offset, in 64 bits.
    TimeTz,
    /// One byte with the number of unused bits in the next byte, which are set, followed by the bits.
    Bit,
    /// Three bytes with sign and length, followed by the digits in base 256.
    BigNum,
    /// A geometry in well-known binary.
    Wkb,
}

/// The extension type that a field's metadata names.
///
/// # Errors
/// If DuckDB has no such type, or stores it in another format.
pub(super) fn extension(field: &Field) -> Result<Option<Extension>, Refused> {
    let entry = |key: &str| field.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let Some(name) = entry("ARROW:extension:name") else { return Ok(None) };
    let details: Value =
        entry("ARROW:extension:metadata").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let own = details["type_name"].as_str().filter(|_| details["vendor_name"] == "DuckDB").unwrap_or_default();
    let (extension, formats): (_, &[&str]) = match (name, own) {
        ("arrow.bool8", _) => (Extension::Bool8, &["c"]),
        ("arrow.uuid", _) => (Extension::Uuid, &["w:16"]),
        ("arrow.json", _) => (Extension::Json, &["u", "U"]),
        ("geoarrow.wkb", _) => (Extension::Wkb, &["z", "Z"]),
        ("arrow.opaque", "hugeint" | "uhugeint") => (Extension::HugeInt, &["w:16"]),
        ("arrow.opaque", "time_tz") => (Extension::TimeTz, &["w:8"]),
        ("arrow.opaque", "bit") => (Extension::Bit, &["z", "Z"]),
        ("arrow.opaque", "bignum") => (Extension::BigNum, &["z", "Z"]),
        _ => {
            return Err(refused(format!(
                "field `{}` names the extension type `{}`, which does not cross",
                field.name,
                format!("{name} {own}").trim_end()
            )));
        }
    };
    if formats.contains(&field.format.as_str()) {
        return Ok(Some(extension));
    }
    Err(refused(format!(
        "field `{}` of extension type `{name}` has format `{}`, but must have `{}`",
        field.name, field.format, formats[0]
    )))
}

/// Checks the values of extension types in a batch of `fields`, which are in pre-order.
///
/// # Errors
/// Names the field.
pub fn check_extensions(fields: &[Field], batch: &ArrayData) -> Result<(), Refused> {
    let mut fields = fields.iter();
    batch.child_data().iter().try_for_each(|column| check_field(&mut fields, column))
}

fn check_field<'a>(fields: &mut impl Iterator<Item = &'a Field>, array: &ArrayData) -> Result<(), Refused> {
    let Some(field) = fields.next() else { return Ok(()) };
    let fits = match extension(field)? {
        None | Some(Extension::Uuid | Extension::HugeInt) => true,
        Some(Extension::Bool8) => all::<1>(array, |[byte]| byte <= 1),
        Some(Extension::TimeTz) => all::<8>(array, |bytes| is_time_tz(u64::from_le_bytes(bytes))),
        Some(Extension::Json) => {
            texts(array, |text| serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok())
        }
        Some(Extension::Bit) => texts(array, is_bit),
        Some(Extension::BigNum) => texts(array, is_bignum),
        Some(Extension::Wkb) => texts(array, super::wkb::is_wkb),
    };
    if !fits {
        return Err(refused(format!("field `{}` has a value that its extension type does not allow", field.name)));
    }
    array.child_data().iter().try_for_each(|child| check_field(fields, child))
}

/// Whether every non-null text or blob passes a check.
fn texts(array: &ArrayData, fits: impl Fn(&[u8]) -> bool) -> bool {
    let values = make_array(array.clone());
    match array.data_type() {
        DataType::Utf8 => values.as_string::<i32>().iter().flatten().all(|text| fits(text.as_bytes())),
        DataType::LargeUtf8 => values.as_string::<i64>().iter().flatten().all(|text| fits(text.as_bytes())),
        DataType::Binary => values.as_binary::<i32>().iter().flatten().all(fits),
        DataType::LargeBinary => values.as_binary::<i64>().iter().flatten().all(fits),
        _ => false,
    }
}

/// DuckDB's `dtime_tz_t`: 40 bits of microseconds, then 24 bits of an offset in seconds, counted down from 15:59:59.
fn is_time_tz(bits: u64) -> bool {
    bits >> 24 <= 86_400_000_000 && bits & 0x00ff_ffff <= 2 * 57_599
}

fn is_bit(bytes: &[u8]) -> bool {
    match bytes {
        [unused @ 0..=7, first, ..] => {
            let mask = !(0xff_u16 >> unused) as u8;
            first & mask == mask
        }
        _ => false,
    }
}

fn is_bignum(bytes: &[u8]) -> bool {
    let [a, b, c, digits @ ..] = bytes else { return false };
    let flip = if a & 0x80 == 0 { 0xff } else { 0 };
    let size = usize::from((a ^ flip) & 0x7f) << 16 | usize::from(b ^ flip) << 8 | usize::from(c ^ flip);
    let leading_zero = digits.len() > 1 && digits[0] ^ flip == 0;
    let negative_zero = flip != 0 && digits == [0xff];
    !digits.is_empty() && size == digits.len() && !leading_zero && !negative_zero
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_unknown_extension_type_is_named_without_a_gap() {
        let metadata = vec![("ARROW:extension:name".to_owned(), "my.own".to_owned())];
        let field = Field { name: "a".to_owned(), format: "l".to_owned(), nullable: true, children: 0, metadata };
        let refused = extension(&field).unwrap_err().0;
        assert_eq!(refused, "field `a` names the extension type `my.own`, which does not cross");
    }

    #[test]
    fn invalid_bits_and_big_numbers_are_recognised() {
        for (bytes, bit) in [
            (&[0, 0xaa][..], true),
            (&[3, 0xe1], true),
            (&[3, 0x01], false),
            (&[8, 0xff], false),
            (&[0], false),
            (&[], false),
        ] {
            assert_eq!(is_bit(bytes), bit, "{bytes:?}");
        }
        for (bytes, bignum) in [
            (&[0x80, 0, 1, 0][..], true),
            (&[0x80, 0, 2, 1, 0], true),
            (&[0x7f, 0xff, 0xfe, 0xfe], true),
            (&[0x80, 0, 2, 0, 1], false),
            (&[0x80, 0, 9, 1], false),
            (&[0x7f, 0xff, 0xfe, 0xff], false),
            (&[0x80, 0, 0], false),
        ] {
            assert_eq!(is_bignum(bytes), bignum, "{bytes:?}");
        }
    }
}
