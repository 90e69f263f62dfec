//! PostgreSQL's binary numeric: base-10000 digits, the weight of the first, a sign, and a display scale.

use std::fmt::Write;

/// A numeric in its encoding in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numeric<'a> {
    Finite {
        negative: bool,
        /// The exponent of the first digit, in base 10000.
        weight: i16,
        /// Decimal digits after the point.
        scale: u16,
        /// Two bytes per digit.
        digits: &'a [u8],
    },
    NaN,
    Infinity {
        negative: bool,
    },
}

impl<'a> Numeric<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, digits) = bytes.split_at_checked(8)?;
        let word = |place: usize| u16::from_be_bytes([head[place], head[place + 1]]);
        let well_formed = digits.len() == usize::from(word(0)) * 2
            && digits.chunks_exact(2).all(|digit| u16::from_be_bytes([digit[0], digit[1]]) < 10_000);
        match word(4) {
            0xc000 => Some(Numeric::NaN),
            0xd000 => Some(Numeric::Infinity { negative: false }),
            0xf000 => Some(Numeric::Infinity { negative: true }),
            sign @ (0 | 0x4000) if well_formed => {
                Some(Numeric::Finite { negative: sign != 0, weight: word(2) as i16, scale: word(6), digits })
            }
            _ => None,
        }
    }

    /// The number times ten to the `scale`; `None` if that is not an integer, is too large, or is not a number.
    pub fn scaled(self, scale: u8) -> Option<i128> {
        let Numeric::Finite { negative, weight, digits, .. } = self else { return None };
        let Some(last) = (digits.len() / 2).checked_sub(1) else { return Some(0) };
        // The decimal exponent of the last digit once scaled: if it is negative, the digit must end in that many zeros.
        let exponent = (i32::from(weight) - last as i32) * 4 + i32::from(scale);
        if let Some(number) = small(digits, exponent) {
            return Some(i128::from(if negative { -number } else { number }));
        }
        let mut number = 0_i128;
        for (place, digit) in digits.chunks_exact(2).enumerate() {
            let digit = i128::from(u16::from_be_bytes([digit[0], digit[1]]));
            let (shift, digit) = if place < last || exponent >= 0 {
                (10_000, digit)
            } else {
                let cut = 10_i128.checked_pow(exponent.unsigned_abs()).filter(|cut| *cut <= 1_000)?;
                if digit % cut != 0 {
                    return None;
                }
                (10_000 / cut, digit / cut)
            };
            number = number.checked_mul(shift)?.checked_add(digit)?;
        }
        if exponent > 0 {
            number = number.checked_mul(10_i128.checked_pow(exponent.unsigned_abs())?)?;
        }
        Some(if negative { -number } else { number })
    }

    /// Appends the number as PostgreSQL writes it.
    pub fn write(self, text: &mut String) {
        let (negative, weight, scale, digits) = match self {
            Numeric::NaN => return text.push_str("NaN"),
            Numeric::Infinity { negative } => return text.push_str(if negative { "-Infinity" } else { "Infinity" }),
            Numeric::Finite { negative, weight, scale, digits } => (negative, i32::from(weight), scale, digits),
        };
        let digit = |place: i32| {
            let at = usize::try_from(place).ok().map(|place| place * 2);
            at.and_then(|at| digits.get(at..at + 2)).map_or(0, |digit| u16::from_be_bytes([digit[0], digit[1]]))
        };
        if negative {
            text.push('-');
        }
        // Writing to a String cannot fail.
        if weight < 0 {
            text.push('0');
        } else {
            let _ = write!(text, "{}", digit(0));
            (1..=weight).for_each(|place| {
                let _ = write!(text, "{:04}", digit(place));
            });
        }
        if scale > 0 {
            text.push('.');
            let end = text.len() + usize::from(scale);
            let mut place = weight + 1;
            while text.len() < end {
                let _ = write!(text, "{:04}", digit(place));
                place += 1;
            }
            text.truncate(end);
        }
    }
}

/// Up to 16 digits times ten to the `exponent`, if that is an integer. This suffices for most numbers: WebAssembly has
/// no 128-bit arithmetic.
fn small(digits: &[u8], exponent: i32) -> Option<i64> {
    if digits.len() > 8 || !(-3..=2).contains(&exponent) {
        return None;
    }
    let digits = digits.chunks_exact(2).map(|digit| i64::from(u16::from_be_bytes([digit[0], digit[1]])));
    let number = digits.fold(0, |number, digit| number * 10_000 + digit);
    let power = 10_i64.pow(exponent.unsigned_abs());
    if exponent >= 0 { Some(number * power) } else { (number % power == 0).then_some(number / power) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn numeric(sign: u16, weight: i16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let head = [digits.len() as u16, weight as u16, sign, scale];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    fn told(bytes: &[u8], scale: u8) -> (Option<i128>, String) {
        let number = Numeric::parse(bytes).unwrap();
        let mut text = String::new();
        number.write(&mut text);
        (number.scaled(scale), text)
    }

    #[test]
    fn numbers_are_read_exactly() {
        assert_eq!(told(&numeric(0, 0, 0, &[]), 2), (Some(0), "0".to_owned()));
        assert_eq!(told(&numeric(0, 0, 2, &[12, 3400]), 2), (Some(1234), "12.34".to_owned()));
        assert_eq!(told(&numeric(0x4000, 1, 0, &[1]), 3), (Some(-10_000_000), "-10000".to_owned()));
        assert_eq!(told(&numeric(0, -2, 8, &[5]), 8), (Some(5), "0.00000005".to_owned()));
        assert_eq!(told(&numeric(0, -1, 3, &[1230]), 3), (Some(123), "0.123".to_owned()));
        assert_eq!(told(&numeric(0, -1, 4, &[1234]), 3).0, None);
        assert_eq!(told(&numeric(0, -1, 0, &[]), 0).1, "0");
        assert_eq!(told(&numeric(0x4000, 3, 0, &[9999; 4]), 2).0, Some(-999_999_999_999_999_900));
        assert_eq!(told(&numeric(0, 3, 0, &[9999; 4]), 3).0, Some(9_999_999_999_999_999_000));
        assert_eq!(told(&numeric(0, 4, 0, &[9999; 5]), 2).0, Some(9_999_999_999_999_999_999_900));
        let nines = [&[99_u16][..], &[9999; 8], &[9900]].concat();
        assert_eq!(told(&numeric(0, 8, 4, &nines), 2).0, Some(10_i128.pow(36) - 1));
    }

    #[test]
    fn special_values_have_no_scaled_number() {
        assert_eq!(told(&numeric(0xc000, 0, 0, &[]), 0), (None, "NaN".to_owned()));
        assert_eq!(told(&numeric(0xf000, 0, 0, &[]), 0), (None, "-Infinity".to_owned()));
        assert_eq!(told(&numeric(0, 20, 0, &[1]), 0).0, None);
        assert!(Numeric::parse(&[0; 7]).is_none());
        assert!(Numeric::parse(&numeric(0, 0, 0, &[10_000])).is_none());
        assert!(Numeric::parse(&numeric(1, 0, 0, &[1])).is_none());
    }
}
