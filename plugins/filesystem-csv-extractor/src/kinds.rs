//! The rule that decides a column's type: the narrowest type in which every value of the file survives.
//!
//! Each value survives in a set of kinds. A column's type follows from the kinds in which all of its values survive and
//! from the most digits, so it depends neither on the order of rows nor on how many were examined first.

use std::borrow::Cow;

use osiris_sdk::calendar;

/// A type, as far as a single value can show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    BigInt,
    HugeInt,
    Double,
    Decimal,
    Date,
    Timestamp,
    TimestampTz,
    Time,
    FormattedDate,
    FormattedTimestamp,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Boolean,
        Self::BigInt,
        Self::HugeInt,
        Self::Double,
        Self::Decimal,
        Self::Date,
        Self::Timestamp,
        Self::TimestampTz,
        Self::Time,
        Self::FormattedDate,
        Self::FormattedTimestamp,
    ];

    fn is_date(self) -> bool {
        self as u8 >= Self::Date as u8
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    pub const EVERY: Self = Self((1 << Kind::ALL.len()) - 1);

    pub fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub fn with(self, kind: Kind, holds: bool) -> Self {
        if holds { Self(self.0 | 1 << kind as u8) } else { self }
    }

    fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What is known about a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Whether there is any value.
    pub any: bool,
    /// The kinds in which all values survive.
    pub kinds: Kinds,
    /// Whether any value is a number written in digits, rather than `inf` or `nan`.
    pub digits: bool,
    /// The most digits before and after a decimal point.
    pub whole: u64,
    pub fraction: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { any: false, kinds: Kinds::EVERY, digits: false, whole: 1, fraction: 0 }
    }
}

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// No values: text.
    Nothing,
    /// Only `inf`, `-inf` and `nan`: text, unless there are numbers too.
    NotFinite,
    Of(Kind),
    Decimal {
        scale: u64,
    },
    Text,
}

/// The most digits of a DECIMAL.
pub const MAX_DIGITS: u64 = 38;

/// The most significant digits that every DOUBLE preserves.
pub const DOUBLE_DIGITS: usize = 15;

impl Evidence {
    /// Adds one value: as text, and as a number with a decimal point.
    pub fn add(&mut self, text: &str, number: Option<&str>, booleans: &Booleans) {
        let number = number.map(Number::of).unwrap_or_default();
        let mut kinds = Kinds::default()
            .with(Kind::Boolean, booleans.has(text))
            .with(Kind::BigInt, number.integer.is_some_and(|integer| i64::try_from(integer).is_ok()))
            .with(Kind::HugeInt, number.integer.is_some())
            .with(Kind::Double, number.double)
            .with(Kind::Decimal, number.decimal);
        let moment = Moment::of(text);
        kinds = kinds
            .with(Kind::Date, moment == Some(Moment::Date))
            .with(Kind::Timestamp, matches!(moment, Some(Moment::Date | Moment::Local)))
            .with(Kind::TimestampTz, moment == Some(Moment::Instant))
            .with(Kind::Time, moment == Some(Moment::Time));
        self.any = true;
        self.digits |= number.double && text.bytes().any(|byte| byte.is_ascii_digit());
        self.kinds = self.kinds.both(kinds);
        self.whole = self.whole.max(number.whole);
        self.fraction = self.fraction.max(number.fraction);
    }

    /// What is known about these values and those of `other` together.
    pub fn and(self, other: Self) -> Self {
        Self {
            any: self.any || other.any,
            kinds: self.kinds.both(other.kinds),
            digits: self.digits || other.digits,
            whole: self.whole.max(other.whole),
            fraction: self.fraction.max(other.fraction),
        }
    }

    /// The column's type; a type of dates only if `dates` is set.
    pub fn decide(&self, dates: bool) -> Type {
        if !self.any {
            return Type::Nothing;
        }
        let survives = |kind: &Kind| self.kinds.has(*kind) && (dates || !kind.is_date());
        match Kind::ALL.into_iter().find(survives) {
            Some(Kind::Double) if !self.digits => Type::NotFinite,
            Some(Kind::Decimal) if self.whole + self.fraction > MAX_DIGITS => Type::Text,
            Some(Kind::Decimal) => Type::Decimal { scale: self.fraction },
            Some(kind) => Type::Of(kind),
            None => Type::Text,
        }
    }
}

/// Which texts mean true and false.
#[derive(Debug, Clone)]
pub struct Booleans {
    pub truths: Vec<String>,
    pub falsehoods: Vec<String>,
}

impl Default for Booleans {
    fn default() -> Self {
        let list = |words: [&str; 3]| words.map(str::to_owned).to_vec();
        Self { truths: list(["true", "True", "TRUE"]), falsehoods: list(["false", "False", "FALSE"]) }
    }
}

impl Booleans {
    fn has(&self, text: &str) -> bool {
        self.truths.iter().chain(&self.falsehoods).any(|word| word == text)
    }
}

/// How numbers are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberFormat {
    pub decimal: char,
    pub thousands: Option<char>,
}

impl NumberFormat {
    pub fn is_plain(self) -> bool {
        self.decimal == '.' && self.thousands.is_none()
    }

    /// A number with a point and without thousands separators; `None` for a text that is not a number in this format.
    pub fn plain(self, text: &str) -> Option<Cow<'_, str>> {
        if self.is_plain() {
            return Some(Cow::Borrowed(text));
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) =
            digits.split_once(self.decimal).map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let grouped = |separator| {
            let mut groups = whole.split(separator);
            groups.next().is_some_and(|first| all_digits(first) && first.len() <= 3)
                && groups.all(|group| all_digits(group) && group.len() == 3)
        };
        let fits = all_digits(whole) || self.thousands.is_some_and(grouped);
        if !fits || !fraction.is_none_or(all_digits) {
            return None;
        }
        let kept = text.chars().filter(|character| Some(*character) != self.thousands);
        Some(kept.map(|character| if character == self.decimal { '.' } else { character }).collect::<String>().into())
    }
}

/// A text interpreted as a number.
#[derive(Debug, Default)]
struct Number {
    integer: Option<i128>,
    double: bool,
    decimal: bool,
    whole: u64,
    fraction: u64,
}

impl Number {
    fn of(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) =
            digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let plain = all_digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(all_digits);
        if !plain {
            return Self { double: prints_back(text), ..Self::default() };
        }
        let negative_zero = text.starts_with('-') && digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        let count = whole.len() + fraction.unwrap_or_default().len();
        let integer = (fraction.is_none() && !negative_zero).then(|| text.parse().ok()).flatten();
        Self {
            // The smallest HUGEINT is one more than the smallest i128.
            integer: integer.filter(|integer| *integer > i128::MIN),
            double: count <= DOUBLE_DIGITS || prints_back(text),
            decimal: !negative_zero,
            whole: if negative_zero { 0 } else { whole.len() as u64 },
            fraction: if negative_zero { 0 } else { fraction.unwrap_or_default().len() as u64 },
        }
    }
}

/// Whether a text is how DuckDB prints the DOUBLE in it: its shortest digits, with an exponent below 0.0001 and from
/// 1e16 on.
fn prints_back(text: &str) -> bool {
    if matches!(text, "inf" | "-inf" | "nan") {
        return true;
    }
    let Ok(double) = text.parse::<f64>() else { return false };
    if !double.is_finite() || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let shortest = format!("{double:e}");
    let places = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count() - 1;
    // As many digits as the shortest text has. Of two such texts that are equally near, DuckDB prints the even one, as
    // this does; Rust's shortest text is the other.
    let nearest = format!("{double:.places$e}");
    let Some((own, power)) = nearest.split_once('e') else { return false };
    let with_exponent = double != 0.0 && !(1e-4..1e16).contains(&double.abs());
    match text.split_once('e') {
        // `1.5e+16`, `1e-07`: two digits of exponent, and a sign.
        Some((mantissa, exponent)) => {
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
            with_exponent && mantissa == own && exponent == format!("{sign}{power:0>2}")
        }
        None => {
            let power: i32 = power.parse().unwrap_or_default();
            let decimals = usize::try_from(places as i32 - power).unwrap_or_default().max(1);
            !with_exponent && text == format!("{double:.decimals$}")
        }
    }
}

/// A text interpreted as a date or a time in ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Date,
    Time,
    /// A date and a time without an offset.
    Local,
    /// A date and a time with an offset.
    Instant,
}

impl Moment {
    fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if let Some(rest) = date(bytes) {
            return match rest {
                [] => Some(Self::Date),
                [b'T' | b' ', time @ ..] => match clock(time)? {
                    (_, []) => Some(Self::Local),
                    (seconds, offset) => (seconds && is_offset(offset)).then_some(Self::Instant),
                },
                _ => None,
            };
        }
        clock(bytes).filter(|(seconds, rest)| *seconds && rest.is_empty()).map(|_| Self::Time)
    }
}

fn number(bytes: &[u8], length: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(length)?;
    let value =
        digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))?;
    Some((value, rest))
}

fn after(bytes: &[u8], expected: u8) -> Option<&[u8]> {
    bytes.split_first().filter(|(first, _)| **first == expected).map(|(_, rest)| rest)
}

/// The rest after a date.
fn date(bytes: &[u8]) -> Option<&[u8]> {
    let (year, rest) = number(bytes, 4)?;
    let (month, rest) = number(after(rest, b'-')?, 2)?;
    let (day, rest) = number(after(rest, b'-')?, 2)?;
    let days = calendar::days_of_month(year.into(), month.into());
    (year > 0 && (1..=days).contains(&day.into())).then_some(rest)
}

/// Whether a time of day has seconds, and the rest after it. Seconds may only be omitted in a date without an offset.
fn clock(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let (hour, rest) = number(bytes, 2)?;
    let (minute, rest) = number(after(rest, b':')?, 2)?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let Some(seconds) = after(rest, b':') else { return Some((false, rest)) };
    let (second, rest) = number(seconds, 2)?;
    let fraction =
        after(rest, b'.').map(|digits| (digits.iter().take_while(|byte| byte.is_ascii_digit()).count(), digits));
    match fraction {
        _ if second > 59 => None,
        Some((count @ 1..=6, digits)) => Some((true, &digits[count..])),
        Some(_) => None,
        None => Some((true, rest)),
    }
}

fn is_offset(bytes: &[u8]) -> bool {
    let [b'+' | b'-', offset @ ..] = bytes else { return bytes == b"Z" };
    match number(offset, 2) {
        Some((0..=15, [])) => true,
        Some((0..=15, rest)) => {
            number(after(rest, b':').unwrap_or(rest), 2).is_some_and(|(minutes, rest)| minutes < 60 && rest.is_empty())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(values: &[&str]) -> Type {
        let mut evidence = Evidence::default();
        values.iter().for_each(|value| evidence.add(value, Some(value), &Booleans::default()));
        evidence.decide(true)
    }

    #[test]
    fn the_type_is_the_narrowest_in_which_all_values_survive() {
        use Kind::{BigInt, Boolean, Date, Double, HugeInt, Time, Timestamp, TimestampTz};
        for (values, expected) in [
            (&["1", "-5", "0", "9223372036854775807"][..], Type::Of(BigInt)),
            (&["9223372036854775808", "1"], Type::Of(HugeInt)),
            (&["1", "2.75", "-0", "1.50"], Type::Of(Double)),
            (&["0.1", "1e-07", "1.5e+16", "0.30000000000000004", "inf"], Type::Of(Double)),
            (&["1234567890123456.8", "0.5"], Type::Of(Double)),
            (&["9007199254740993", "0.5"], Type::Decimal { scale: 1 }),
            // Halfway between two texts of one length.
            (&["-1107448688449337.2", "1107448688449337.8"], Type::Of(Double)),
            (&["-1107448688449337.3"], Type::Decimal { scale: 1 }),
            (&["12345678901234567.89"], Type::Decimal { scale: 2 }),
            (&["true", "False", "TRUE"], Type::Of(Boolean)),
            (&["2024-01-31", "2024-02-29"], Type::Of(Date)),
            (&["2024-01-31", "2024-02-01T10:00", "2024-02-01 10:00:00.5"], Type::Of(Timestamp)),
            (
                &["2024-02-01T10:00:00Z", "2024-02-01 10:00:00.5+02:00", "2024-02-01 10:00:00-0530"],
                Type::Of(TimestampTz),
            ),
            (&["10:00:00", "23:59:59.999999"], Type::Of(Time)),
            (&["inf", "nan"], Type::NotFinite),
            (&[], Type::Nothing),
        ] {
            assert_eq!(decided(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_column_with_a_value_that_would_not_survive_stays_text() {
        for value in [
            "007",
            "+1",
            " 1",
            "1 ",
            "1_000",
            "1E5",
            "1e5",
            "12E345",
            "0x1F",
            "1.",
            ".5",
            "1,5",
            "t",
            "y",
            "no",
            "Yes",
            "--1",
            "1e400",
            "31/01/24",
            "2024-1-5",
            "24-01-05",
            "2023-02-29",
            "2024-01-01T24:00:00",
            "2024-01-01 10:00:00.1234567",
            "10:30",
            "0000-01-01",
            "2024-01-01T10:00:00 +02:00",
            "2024-01-01T10:00Z",
            "2024-01-01T10:00+02:00",
            "12345-01-01",
            "infinity",
            "1234567890123456789012345678901234567890",
            "é",
        ] {
            assert_eq!(decided(&[value]), Type::Text, "{value}");
            assert_eq!(decided(&["1", value]), Type::Text, "{value}");
        }
        assert_eq!(decided(&["2024-02-01T10:00:00Z", "2024-02-01T10:00:00"]), Type::Text);
        assert_eq!(decided(&["9007199254740993", "-0.0"]), Type::Text);
    }

    #[test]
    fn numbers_in_another_format_follow_its_rules() {
        let german = NumberFormat { decimal: ',', thousands: Some('.') };
        for (text, plain) in [
            ("1.234.567,50", Some("1234567.50")),
            ("-12,5", Some("-12.5")),
            ("1234", Some("1234")),
            ("12.34", None),
            ("1.5", None),
            ("1.2345", None),
            (",5", None),
            ("1.234,", None),
        ] {
            assert_eq!(german.plain(text).as_deref(), plain, "{text}");
        }
        assert_eq!(NumberFormat { decimal: ',', thousands: None }.plain("1.234"), None);
    }
}
