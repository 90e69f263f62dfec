//! Values in the file's encoding: decimals of any length, timestamps of 96 bits, nanoseconds.

use osiris_sdk::calendar;

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;
/// The Julian day number of 1970-01-01, from which INT96 counts.
const EPOCH: i64 = 2_440_588;
/// How many days before or after 1970-01-01 a TIMESTAMP in microseconds can hold.
const MOST_DAYS: i64 = 106_751_990;

/// An integer in big-endian two's complement: whether it is negative, and its magnitude without leading zeros.
fn magnitude(bytes: &[u8]) -> (bool, Vec<u8>) {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (flipped, overflow) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (flipped, overflow);
        }
    }
    let start = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len());
    (negative, magnitude.split_off(start))
}

/// Whether a decimal has at most 38 digits.
pub fn is_narrow(bytes: &[u8]) -> bool {
    let (_, magnitude) = magnitude(bytes);
    magnitude.len() <= 16
        && magnitude.iter().fold(0_u128, |value, byte| value << 8 | u128::from(*byte)) < 10_u128.pow(38)
}

/// A decimal with `scale` digits after its point.
pub fn decimal_text(bytes: &[u8], scale: u32) -> String {
    let (negative, mut rest) = magnitude(bytes);
    let mut groups = Vec::new();
    while !rest.is_empty() {
        let mut remainder = 0_u64;
        for byte in &mut rest {
            let value = remainder << 8 | u64::from(*byte);
            *byte = (value / 1_000_000_000) as u8;
            remainder = value % 1_000_000_000;
        }
        let start = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        rest.drain(..start);
        groups.push(format!("{remainder:09}"));
    }
    let digits: String = groups.iter().rev().map(String::as_str).collect();
    let scale = scale as usize;
    let digits = format!("{:0>width$}", digits.trim_start_matches('0'), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let (sign, point) = (if negative { "-" } else { "" }, if scale > 0 { "." } else { "" });
    format!("{sign}{whole}{point}{fraction}")
}

/// The days since 1970-01-01 and the nanoseconds of the day from the 12 bytes of an INT96.
pub fn int96(bytes: &[u8]) -> Option<(i64, i64)> {
    let nanoseconds = i64::from_le_bytes(*bytes.first_chunk()?);
    let day = i32::from_le_bytes(*bytes.get(8..12)?.first_chunk()?);
    Some((i64::from(day) - EPOCH, nanoseconds))
}

/// Whether a TIMESTAMP can hold this day and time of day.
pub fn in_range(days: i64, nanoseconds: i64) -> bool {
    (-MOST_DAYS..=MOST_DAYS).contains(&days) && (-DAY..=DAY).contains(&nanoseconds)
}

/// The nanoseconds since 1970, if 64 bits can hold them.
pub fn nanoseconds(days: i64, nanoseconds: i64) -> Option<i64> {
    i64::try_from(i128::from(days) * i128::from(DAY) + i128::from(nanoseconds)).ok()
}

/// A timestamp for people, from days since 1970 and nanoseconds of the day.
pub fn timestamp_text(days: i64, nanoseconds: i64) -> String {
    let (days, nanoseconds) = (days + nanoseconds.div_euclid(DAY), nanoseconds.rem_euclid(DAY));
    let (year, month, day) = calendar::date(days);
    format!("{year:04}-{month:02}-{day:02} {}", time_text(nanoseconds))
}

/// A time of day for people.
pub fn time_text(nanoseconds: i64) -> String {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:09}", seconds % 60, nanoseconds.rem_euclid(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_length_are_exact() {
        for (value, scale, text) in [
            (150_i128, 2, "1.50"),
            (-225, 2, "-2.25"),
            (-1, 2, "-0.01"),
            (0, 2, "0.00"),
            (0, 0, "0"),
            (7, 0, "7"),
            (i128::MIN, 3, "-170141183460469231731687303715884105.728"),
            (1_000_000_000, 0, "1000000000"),
            (123, 45, "0.000000000000000000000000000000000000000000123"),
        ] {
            let mut bytes = vec![if value < 0 { 0xff } else { 0 }; 5];
            bytes.extend_from_slice(&value.to_be_bytes());
            assert_eq!(decimal_text(&bytes, scale), text);
        }
        let mut widest = vec![0x7f];
        widest.extend([0xff; 31]);
        assert_eq!(
            decimal_text(&widest, 0),
            "57896044618658097711785492504343953926634992332820282019728792003956564819967"
        );
        assert_eq!(decimal_text(&[0x80, 0], 1), "-3276.8");
        assert_eq!(decimal_text(&[], 0), "0");
    }

    #[test]
    fn thirty_eight_digits_are_narrow_and_one_more_is_not() {
        let most = 10_i128.pow(38);
        assert!(is_narrow(&(most - 1).to_be_bytes()) && is_narrow(&(1 - most).to_be_bytes()));
        assert!(
            !is_narrow(&most.to_be_bytes())
                && !is_narrow(&(-most).to_be_bytes())
                && !is_narrow(&i128::MIN.to_be_bytes())
        );
        let mut wide = vec![1];
        wide.extend([0; 20]);
        assert!(!is_narrow(&wide) && is_narrow(&[0; 32]) && is_narrow(&[0xff; 32]));
    }

    #[test]
    fn moments_are_shown_in_a_form_for_people() {
        assert_eq!(timestamp_text(0, -1), "1969-12-31 23:59:59.999999999");
        assert_eq!(timestamp_text(19_675, 80_000_123_456_789), "2023-11-14 22:13:20.123456789");
        assert_eq!(timestamp_text(11_016, 0), "2000-02-29 00:00:00.000000000");
        let mut bytes = 5_i64.to_le_bytes().to_vec();
        bytes.extend_from_slice(&2_440_589_i32.to_le_bytes());
        assert_eq!(int96(&bytes), Some((1, 5)));
        assert_eq!(int96(&bytes[..11]), None);
        assert_eq!((nanoseconds(1, 5), nanoseconds(1_000_000, 0)), (Some(DAY + 5), None));
        assert!(in_range(1, 5) && !in_range(200_000_000, 0) && !in_range(0, i64::MAX));
    }
}
