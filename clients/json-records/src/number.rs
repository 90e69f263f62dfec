//! Numbers as they are written: which types can hold all their digits.

use serde::{Deserialize, Serialize};

/// The digits of a number and the position of its point, without leading and trailing zeros: 0.`digits` × 10^`point`.
struct Digits<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    /// The number of digits from the first to the last non-zero one.
    significant: i64,
    /// The number of zeros before the first of them.
    leading: usize,
    point: i64,
}

impl<'a> Digits<'a> {
    /// `None` for a text that is not a decimal number.
    fn of(token: &'a str) -> Option<Self> {
        let token = token.trim().as_bytes();
        let (negative, rest) = match token.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, token),
        };
        let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(place) => (&rest[..place], exponent(&rest[place + 1..])?),
            None => (rest, 0),
        };
        let point = mantissa.iter().position(|&byte| byte == b'.');
        let (whole, fraction) = point.map_or((mantissa, &[] as &[u8]), |at| (&mantissa[..at], &mantissa[at + 1..]));
        let mut digits = whole.iter().chain(fraction);
        if whole.is_empty() && fraction.is_empty() || !digits.all(u8::is_ascii_digit) {
            return None;
        }
        let mut digits = whole.iter().chain(fraction);
        let all = (whole.len() + fraction.len()) as i64;
        let Some(leading) = digits.position(|&digit| digit != b'0') else {
            return Some(Self { negative, whole, fraction, significant: 0, leading: 0, point: 0 });
        };
        let trailing =
            fraction.iter().rev().chain(whole.iter().rev()).take_while(|&&digit| digit == b'0').count() as i64;
        let point = whole.len() as i64 - leading as i64 + exponent;
        Some(Self { negative, whole, fraction, significant: all - leading as i64 - trailing, leading, point })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).skip(self.leading).take(self.significant as usize).copied()
    }

    /// The numbers of digits before and after the point.
    fn extent(&self) -> (i64, i64) {
        (self.point.max(0), (self.significant - self.point).max(0))
    }

    fn equals(&self, other: &Digits) -> bool {
        self.significant == other.significant
            && (self.significant == 0
                || self.negative == other.negative && self.point == other.point && self.digits().eq(other.digits()))
    }
}

/// An exponent; one beyond every type's range is clamped.
fn exponent(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    let sign = text.strip_prefix(['+', '-']).unwrap_or(text);
    if sign.is_empty() || !sign.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let far = if text.starts_with('-') { -1_000_000_000 } else { 1_000_000_000 };
    Some(text.parse::<i64>().map_or(far, |exponent| exponent.clamp(-1_000_000_000, 1_000_000_000)))
}

/// Why a number does not fit a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It is not a value of the type at all.
    Kind,
    /// It is out of the type's range.
    Range,
    /// It has more digits than the type can hold.
    Digits,
}

/// A decimal as an integer scaled by `scale` digits after the point, if it has at most `digits` digits.
pub fn decimal(token: &str, digits: u8, scale: u8) -> Result<i128, Loss> {
    let number = Digits::of(token).ok_or(Loss::Kind)?;
    let (whole, fraction) = number.extent();
    if fraction > i64::from(scale) {
        return Err(Loss::Digits);
    }
    if whole > i64::from(digits - scale) {
        return Err(Loss::Range);
    }
    let zeros = number.point + i64::from(scale) - number.significant;
    let zeros = std::iter::repeat_n(b'0', if number.significant == 0 { 0 } else { zeros.max(0) as usize });
    let value = number.digits().chain(zeros).fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    Ok(if number.negative { -value } else { value })
}

/// An integer, which may be written as `5`, `5.0` or `5e0`.
pub fn integer<T: TryFrom<i128>>(token: &str) -> Result<T, Loss> {
    // HUGEINT can hold more than 38 digits.
    let value = match token.trim().parse::<i128>() {
        Ok(value) => value,
        Err(_) => decimal(token, 38, 0)?,
    };
    T::try_from(value).map_err(|_| Loss::Range)
}

/// An unsigned integer of up to 128 bits.
pub fn unsigned(token: &str) -> Result<u128, Loss> {
    token.trim().parse().or_else(|_| integer(token))
}

/// The longest number that becomes a BIGNUM, in digits: the conversion takes quadratic time.
const MAX_BIGNUM_DIGITS: i64 = 20_000;

/// An integer of any length in the layout of DuckDB's BIGNUM: three bytes of length, whose first bit is set if the
/// number is not negative, followed by its digits in base 256; all bits are flipped for a negative number.
pub fn bignum(token: &str) -> Result<Vec<u8>, Loss> {
    let number = Digits::of(token).ok_or(Loss::Kind)?;
    let (whole, fraction) = number.extent();
    if fraction > 0 {
        return Err(Loss::Digits);
    }
    if whole > MAX_BIGNUM_DIGITS {
        return Err(Loss::Range);
    }
    let zeros = std::iter::repeat_n(b'0', (number.point - number.significant).max(0) as usize);
    let decimal: Vec<u8> = number.digits().chain(zeros).collect();
    // In base 2^32, least significant first.
    let mut words: Vec<u32> = Vec::new();
    for group in decimal.chunks(9) {
        let scale = 10_u64.pow(group.len() as u32);
        let mut carry = group.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        for word in &mut words {
            let value = u64::from(*word) * scale + carry;
            (*word, carry) = (value as u32, value >> 32);
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    let mut bytes: Vec<u8> = words.iter().rev().flat_map(|word| word.to_be_bytes()).collect();
    let leading = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len().saturating_sub(1));
    bytes.drain(..leading);
    if bytes.is_empty() {
        bytes.push(0);
    }
    let length = (bytes.len() as u32 | 0x0080_0000).to_be_bytes();
    let flip = if number.negative && number.significant > 0 { 0xff } else { 0 };
    Ok(length[1..].iter().chain(&bytes).map(|byte| byte ^ flip).collect())
}

/// The DOUBLE with this text, including `NaN` and the infinities.
pub fn double(token: &str) -> Result<f64, Loss> {
    let value: f64 = token.trim().parse().map_err(|_| Loss::Kind)?;
    if is_not_finite(token) || survives_as_double(token) { Ok(value) } else { Err(lost(value.is_infinite())) }
}

/// The FLOAT with this text.
pub fn float(token: &str) -> Result<f32, Loss> {
    let value: f32 = token.trim().parse().map_err(|_| Loss::Kind)?;
    if is_not_finite(token) || survives(token, &format!("{value:e}")) {
        Ok(value)
    } else {
        Err(lost(value.is_infinite()))
    }
}

fn lost(infinite: bool) -> Loss {
    if infinite { Loss::Range } else { Loss::Digits }
}

fn is_not_finite(token: &str) -> bool {
    !token.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether a number is unchanged after it was a DOUBLE and is written again with the fewest distinguishing digits.
fn survives_as_double(token: &str) -> bool {
    let Some(number) = Digits::of(token) else { return false };
    if number.significant <= 15 && (-290..=308).contains(&number.point) {
        return true;
    }
    // There may be two shortest texts that distinguish a number, equally near; which of them is written differs between
    // programs. Rounded to the same number of digits, they all agree.
    let places = number.significant.saturating_sub(1) as usize;
    token
        .parse::<f64>()
        .is_ok_and(|value| survives(token, &format!("{value:e}")) && survives(token, &format!("{value:.places$e}")))
}

fn survives(token: &str, written: &str) -> bool {
    matches!((Digits::of(token), Digits::of(written)), (Some(number), Some(written)) if number.equals(&written))
}

/// The common properties of a column's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Whether any number is written with a point or an exponent.
    fractions: bool,
    /// The most digits before and after the point.
    whole_digits: i64,
    fraction_digits: i64,
    /// Whether each fits a BIGINT, fits a HUGEINT, and is preserved by a DOUBLE.
    bigint: bool,
    hugeint: bool,
    double: bool,
    /// Whether any number is NaN, infinite or negative zero, which only a DOUBLE can hold.
    only_double: bool,
}

/// The narrowest type that preserves all numbers of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    BigInt,
    /// Integers beyond 64 bits, signed.
    HugeInt,
    /// 38 digits, with this many after the point.
    Decimal(u8),
    Double,
    /// More digits than any number type can hold.
    Text,
}

impl Numbers {
    pub fn of(token: &str) -> Self {
        if is_not_finite(token) {
            let (whole_digits, fraction_digits) = (0, 0);
            return Self {
                fractions: true,
                whole_digits,
                fraction_digits,
                bigint: false,
                hugeint: false,
                double: true,
                only_double: true,
            };
        }
        let digits = Digits::of(token);
        let only_double = digits.as_ref().is_some_and(|number| number.negative && number.significant == 0);
        let fractions = only_double || token.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
        let (whole_digits, fraction_digits) = digits.map_or((0, 0), |number| number.extent());
        let small = !fractions && whole_digits <= 15;
        Self {
            fractions,
            whole_digits,
            fraction_digits,
            bigint: small || token.parse::<i64>().is_ok(),
            hugeint: small || token.parse::<i128>().is_ok(),
            double: small || survives_as_double(token),
            only_double,
        }
    }

    /// The combined properties of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            fractions: self.fractions || other.fractions,
            whole_digits: self.whole_digits.max(other.whole_digits),
            fraction_digits: self.fraction_digits.max(other.fraction_digits),
            bigint: self.bigint && other.bigint,
            hugeint: self.hugeint && other.hugeint,
            double: self.double && other.double,
            only_double: self.only_double || other.only_double,
        }
    }

    pub fn settle(self) -> NumberType {
        if self.fractions && self.double {
            return NumberType::Double;
        }
        if !self.fractions && self.bigint {
            return NumberType::BigInt;
        }
        if !self.fractions && self.hugeint {
            return NumberType::HugeInt;
        }
        if !self.only_double && self.whole_digits + self.fraction_digits <= 38 {
            return NumberType::Decimal(self.fraction_digits as u8);
        }
        NumberType::Text
    }

    /// Whether DECIMAL(38,0) can hold all of them.
    pub fn fits_38_digits(self) -> bool {
        self.whole_digits <= 38
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(tokens: &[&str]) -> NumberType {
        let numbers = tokens.iter().map(|token| Numbers::of(token)).reduce(Numbers::and);
        numbers.map_or(NumberType::Text, Numbers::settle)
    }

    #[test]
    fn a_type_is_only_chosen_if_every_number_survives_it() {
        use NumberType::{BigInt, Decimal, Double, HugeInt, Text};
        for (tokens, expected) in [
            (&["1", "-5"] as &[&str], BigInt),
            (&["-0"], Double),
            (&["-0", "9007199254740993"], Text),
            (&["9223372036854775807", "-9223372036854775808"], BigInt),
            (&["9223372036854775808"], HugeInt),
            (&["170141183460469231731687303715884105727"], HugeInt),
            (&["170141183460469231731687303715884105728"], Text),
            (&["123456789012345678901234567890123456789012"], Text),
            (&["1", "1.5"], Double),
            (&["1.0"], Double),
            (&["1e3", "1"], Double),
            (&["0.1", "1.7976931348623157e308", "5e-324", "0.30000000000000004"], Double),
            (&["9007199254740992", "0.5"], Double),
            (&["9007199254740993", "0.5"], Decimal(1)),
            (&["1234567890123456789", "0.5"], Decimal(1)),
            (&["18446744073709551615", "0.5"], Decimal(1)),
            (&["1234567890123456.78"], Decimal(2)),
            (&["0.12345678901234567891", "1.5"], Decimal(20)),
            (&["12345678901234567890.123456789"], Decimal(9)),
            (&["1.000000000000000000000000"], Double),
            (&["123456789012345678901234567890.123456789"], Text),
            (&["1e400"], Text),
            (&["1e-400"], Text),
            (&["1e400", "1"], Text),
            (&["1e99999999999999999999"], Text),
            (&["1.2345678901234567891e10"], Decimal(9)),
            (&["1e-30", "1234567890.5"], Double),
            (&["NaN", "1.5", "-Infinity"], Double),
            (&["NaN", "9007199254740993"], Text),
        ] {
            assert_eq!(settle(tokens), expected, "{tokens:?}");
            let backwards: Vec<&str> = tokens.iter().rev().copied().collect();
            assert_eq!(settle(&backwards), expected, "{backwards:?}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, digits, scale, expected) in [
            ("12.34", 10, 2, Ok(1234)),
            ("12.340", 10, 2, Ok(1234)),
            ("-12.345", 10, 2, Err(Loss::Digits)),
            ("1e3", 10, 2, Ok(100_000)),
            ("1.5E-3", 10, 4, Ok(15)),
            ("9e-40", 38, 0, Err(Loss::Digits)),
            ("+7", 3, 0, Ok(7)),
            ("0.07", 2, 2, Ok(7)),
            ("99.99", 3, 2, Err(Loss::Range)),
            ("100", 2, 0, Err(Loss::Range)),
            ("0e999999999", 38, 0, Ok(0)),
            ("-0.000", 2, 1, Ok(0)),
            ("1e999999999999", 38, 0, Err(Loss::Range)),
            ("", 3, 0, Err(Loss::Kind)),
            (".", 3, 0, Err(Loss::Kind)),
            ("1x", 3, 0, Err(Loss::Kind)),
            ("1e", 3, 0, Err(Loss::Kind)),
            ("18446744073709551615", 38, 0, Ok(18_446_744_073_709_551_615)),
            ("1234567890123456.78", 18, 2, Ok(123_456_789_012_345_678)),
        ] {
            assert_eq!(decimal(text, digits, scale), expected, "{text}");
        }
    }

    #[test]
    fn big_integers_have_duckdbs_layout() {
        for (text, expected) in [
            ("0", Ok(vec![0x80, 0, 1, 0])),
            ("-0", Ok(vec![0x80, 0, 1, 0])),
            ("256", Ok(vec![0x80, 0, 2, 1, 0])),
            ("-1", Ok(vec![0x7f, 0xff, 0xfe, 0xfe])),
            ("1e3", Ok(vec![0x80, 0, 2, 3, 0xe8])),
            ("4294967296", Ok(vec![0x80, 0, 5, 1, 0, 0, 0, 0])),
            ("1.5", Err(Loss::Digits)),
            ("1e20001", Err(Loss::Range)),
            ("NaN", Err(Loss::Kind)),
        ] {
            assert_eq!(bignum(text), expected, "{text}");
        }
    }

    #[test]
    fn declared_numbers_never_lose_a_digit() {
        assert_eq!(integer::<i64>("5.0"), Ok(5));
        assert_eq!(integer::<i64>("5.5"), Err(Loss::Digits));
        assert_eq!(integer::<u8>("256"), Err(Loss::Range));
        assert_eq!(integer::<i64>("9223372036854775808"), Err(Loss::Range));
        assert_eq!(integer::<i128>("-170141183460469231731687303715884105728"), Ok(i128::MIN));
        assert_eq!([unsigned("340282366920938463463374607431768211455"), unsigned("5.0")], [Ok(u128::MAX), Ok(5)]);
        assert_eq!((unsigned("-1"), unsigned("0.5")), (Err(Loss::Range), Err(Loss::Digits)));
        assert_eq!(double("0.1"), Ok(0.1));
        assert_eq!(double("9007199254740993"), Err(Loss::Digits));
        // Halfway between .62 and .63, which programs round differently.
        assert_eq!(double("87520270869663.63"), Err(Loss::Digits));
        assert_eq!(double("1e400"), Err(Loss::Range));
        assert_eq!(float("0.1"), Ok(0.1_f32));
        assert_eq!(float("16777217"), Err(Loss::Digits));
        assert!(double("NaN").is_ok_and(f64::is_nan));
        assert_eq!(double("x"), Err(Loss::Kind));
    }
}
