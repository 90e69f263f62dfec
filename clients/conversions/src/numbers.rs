//! Conversions into integers, floating-point numbers and decimals.

use crate::check::X;
use crate::verdict::{round_trip, unlike};
use crate::{Check, SourceType, Verdict};

/// Ten to the power of `exponent`, as digits.
fn power(exponent: u32) -> String {
    format!("1{}", "0".repeat(exponent as usize))
}

fn beyond(min: impl std::fmt::Display, max: impl std::fmt::Display) -> String {
    format!("the number itself, which is outside {min} to {max}")
}

pub(crate) fn into_integer(source: &SourceType, min: i128, max: i128) -> Verdict {
    if let Some((first, last)) = source.integer_range() {
        let low = (first < min).then(|| format!("{X} >= {min}"));
        let high = (last > max as u128).then(|| format!("{X} <= {max}"));
        let bounds: Vec<String> = low.into_iter().chain(high).collect();
        return Verdict::all([(!bounds.is_empty()).then(|| Check::new(bounds.join(" and "), beyond(min, max)))]);
    }
    match source {
        SourceType::Boolean => Verdict::Lossless,
        SourceType::BigNum => {
            let number = format!("try_cast({X}::varchar as hugeint)");
            Verdict::Checked(Check::new(format!("{number} between {min} and {max}"), beyond(min, max)))
        }
        SourceType::Decimal { precision, scale } => {
            let whole = (*scale > 0)
                .then(|| Check::new(format!("{X} = trunc({X})"), "fractions").rounded_by(format!("round({X}, 0)")));
            let kind = format!("decimal({},0)", precision - scale);
            let widest = 10_i128.checked_pow((precision - scale).into()).map_or(i128::MAX, |power| power - 1);
            let low = (-widest < min).then(|| format!("trunc({X}) >= {min}::{kind}"));
            let high = (widest > max).then(|| format!("trunc({X}) <= {max}::{kind}"));
            let bounds: Vec<String> = low.into_iter().chain(high).collect();
            let range = (!bounds.is_empty()).then(|| Check::new(bounds.join(" and "), beyond(min, max)));
            Verdict::all([whole, range])
        }
        SourceType::Float | SourceType::Double => {
            // The bounds are exact as doubles: `min` and `max + 1` have at most 53 bits or are powers of two.
            let range = format!("{X} >= {min}::double and {X} < {}::double", max.saturating_add(1));
            Verdict::Checked(
                Check::new(format!("not isfinite({X}) or {X} = trunc({X})"), "fractions")
                    .rounded_by(format!("round({X}, 0)"))
                    .and(Check::new(range, beyond(min, max))),
            )
        }
        text if text.is_text() => Verdict::Checked(Check::new(
            format!(
                "try_cast({X} as hugeint)::varchar = {X}::varchar and try_cast({X} as hugeint) between {min} and {max}"
            ),
            "how the number is written, or the number itself",
        )),
        other => unlike(other, "a whole number"),
    }
}

pub(crate) fn into_year(source: &SourceType) -> Verdict {
    let lost = "the year itself, which is neither 0 nor 1901 to 2155";
    match source {
        SourceType::Boolean => unlike(source, "a year"),
        text if text.is_text() => Verdict::Checked(Check::new(
            format!(
                "try_cast({X} as integer)::varchar = {X}::varchar and try_cast({X} as integer) between 1901 and 2155"
            ),
            lost,
        )),
        source => into_integer(source, 0, 2155)
            .and(source_is_number(source).then(|| Check::new(format!("{X} = 0 or {X} >= 1901"), lost))),
    }
}

fn source_is_number(source: &SourceType) -> bool {
    source.integer_range().is_some()
        || matches!(source, SourceType::Decimal { .. } | SourceType::Float | SourceType::Double)
}

pub(crate) fn into_float(source: &SourceType, double: bool, special: bool) -> Verdict {
    let (kind, bits, digits) = if double { ("double", 53, 15) } else { ("float", 24, 6) };
    let finite = (!special).then(|| Check::new(format!("isfinite({X})"), "NaN and the infinities"));
    if let Some((first, last)) = source.integer_range() {
        let exact = 1_u128 << bits;
        let lost = format!("digits beyond the {bits} bits of its precision");
        let rounded = format!("try_cast({X}::{kind} as {source})");
        return Verdict::all([(last > exact || first.unsigned_abs() > exact)
            .then(|| Check::new(round_trip(kind, source), lost).rounded_by(rounded))]);
    }
    match source {
        SourceType::Boolean => Verdict::Lossless,
        SourceType::Double if double => Verdict::all([finite]),
        SourceType::Float => Verdict::all([finite]),
        SourceType::Double => Verdict::all([
            finite,
            Some(
                Check::new(round_trip("float", source), "digits beyond the 24 bits of its precision")
                    .rounded_by(format!("try_cast({X} as float)::double")),
            ),
        ]),
        SourceType::Decimal { precision, .. } if *precision <= digits => Verdict::Lossless,
        SourceType::Decimal { .. } | SourceType::BigNum => {
            // Via text, because DuckDB's own cast of a DECIMAL to DOUBLE is not always the nearest.
            let shortest = format!("try_cast({X}::varchar as {kind})::varchar");
            let (survives, rounded) = if *source == SourceType::BigNum {
                (format!("try_cast({shortest} as bignum) = {X}"), None)
            } else {
                (format!("try_cast({shortest} as {source}) = {X}"), Some(format!("try_cast({shortest} as {source})")))
            };
            let check = Check::new(survives, format!("digits beyond the {bits} bits of its precision"));
            Verdict::Checked(match rounded {
                Some(rounded) => check.rounded_by(rounded),
                None => check,
            })
        }
        text if text.is_text() => {
            let plain = |text: &str| {
                format!("case when contains({text}, '.') then rtrim(rtrim({text}, '0'), '.') else {text} end")
            };
            let (written, number) = (format!("{X}::varchar"), format!("try_cast({X} as {kind})::varchar"));
            let named =
                if special { format!("{written} in ('NaN', 'Infinity', '-Infinity') or ") } else { String::new() };
            Verdict::Checked(Check::new(
                format!("{named}{} = {}", plain(&written), plain(&number)),
                "how the number is written, or digits beyond its precision",
            ))
        }
        other => unlike(other, "a floating-point number"),
    }
}

pub(crate) fn into_decimal(source: &SourceType, bounds: Option<(u32, i32)>, nan: bool, infinity: bool) -> Verdict {
    let special = match (nan, infinity) {
        (true, true) => None,
        (true, false) => Some(Check::new(format!("not isinf({X})"), "the infinities")),
        _ => Some(Check::new(format!("isfinite({X})"), "NaN and the infinities")),
    };
    let floats = matches!(source, SourceType::Float | SourceType::Double);
    let Some((precision, scale)) = bounds else {
        return match source {
            _ if floats => Verdict::all([special]),
            SourceType::BigNum => Verdict::Lossless,
            text if text.is_text() => Verdict::Checked(decimal_text("", "*", "*", nan, infinity)),
            other => into_decimal(other, Some((10_000, 5_000)), nan, infinity),
        };
    };
    // The number of digits before the point; negative if the first digits after it must be zero too.
    let whole = precision as i32 - scale;
    let beyond = || {
        let digits = if whole > 0 { format!("{whole} digits before the point") } else { "its bounds".to_owned() };
        format!("the number itself, which has more than {digits}")
    };
    let decimals = || match scale {
        0 => "fractions".to_owned(),
        scale if scale < 0 => format!("the last {} digits", -scale),
        scale => format!("digits beyond {scale} decimals"),
    };
    if let Some(range) = source.integer_range() {
        return Verdict::all([coarse(scale, &decimals()), integer_range(range, whole, beyond())]);
    }
    match source {
        SourceType::Boolean => Verdict::Lossless,
        SourceType::BigNum => Verdict::all([
            (scale < 0)
                .then(|| Check::new(format!("{X}::varchar like '%{}'", "0".repeat(-scale as usize)), decimals())),
            Some(Check::new(format!("length(ltrim({X}::varchar, '-')) <= {}", whole.max(0)), beyond())),
        ]),
        SourceType::Decimal { precision: digits, scale: places } => {
            let (digits, places) = (i32::from(*digits), i32::from(*places));
            let cut = (scale >= 0 && places > scale).then(|| {
                Check::new(format!("{X} = round({X}, {scale})"), decimals()).rounded_by(format!("round({X}, {scale})"))
            });
            let range = (digits - places > whole).then(|| decimal_range(source, whole, beyond()));
            Verdict::all([cut, coarse(scale, &decimals()), range])
        }
        SourceType::Float | SourceType::Double => {
            Verdict::all([special]).and(Some(float_digits(source, scale, whole, &decimals(), beyond())))
        }
        text if text.is_text() => Verdict::Checked(bounded_text(precision, scale, nan, infinity)),
        other => unlike(other, "a decimal"),
    }
}

/// A check that an integer has at most `whole` digits, if its type can have more.
fn integer_range((first, last): (i128, u128), whole: i32, beyond: String) -> Option<Check> {
    let widest = last.max(first.unsigned_abs());
    let bound = u32::try_from(whole.max(0)).ok().and_then(|whole| 10_u128.checked_pow(whole));
    bound.filter(|bound| widest >= *bound).map(|bound| {
        let lower = if first < 0 { format!("{X} > -{bound} and ") } else { String::new() };
        Check::new(format!("{lower}{X} < {bound}"), beyond)
    })
}

/// A check that a decimal has at most `whole` digits before the point.
fn decimal_range(source: &SourceType, whole: i32, beyond: String) -> Check {
    let bound = if whole >= 0 { power(whole as u32) } else { format!("0.{}1", "0".repeat((-whole - 1) as usize)) };
    Check::new(format!("abs({X}) < {bound}::{source}"), beyond)
}

/// A check of a float's digits after the point and of its range: `whole` is the number of digits before the point.
fn float_digits(source: &SourceType, scale: i32, whole: i32, lost: &str, beyond: String) -> Check {
    let kept = scale.clamp(0, 38);
    let exact = format!("try_cast({X}::varchar as decimal(38,{kept}))");
    // Doubles that are too large for DuckDB's widest decimal have no fraction.
    let survives = format!(
        "not isfinite({X}) or coalesce({exact}::varchar::{source} = {X}, abs({X}) >= 1e{} and {X} = trunc({X}))",
        38 - kept
    );
    let cut = Check::new(survives, lost).rounded_by(format!("round({X}, {scale})"));
    let range = Check::new(format!("not isfinite({X}) or abs({X}) < 1e{whole}"), beyond);
    let checks = [Some(cut), coarse(scale, lost), Some(range)].into_iter().flatten();
    checks.reduce(Check::and).unwrap_or_else(|| Check::new("true", lost))
}

/// A check that a text is a decimal with at most this many digits.
fn bounded_text(precision: u32, scale: i32, nan: bool, infinity: bool) -> Check {
    let whole = precision as i32 - scale;
    let places = scale.max(0).to_string();
    let (zeros, whole) = match whole {
        whole @ 1.. => (String::new(), format!("{{0,{}}}", (whole - 1).min(999))),
        whole => (format!("0{{{}}}", -whole), String::new()),
    };
    let places = if zeros.is_empty() {
        format!("{{0,{}}}", places.parse::<u32>().unwrap_or(0).min(999))
    } else {
        format!("{{0,{precision}}}")
    };
    decimal_text(&zeros, &whole, &places, nan, infinity)
}

/// A check for a negative scale: the last digits before the point must be zeros.
fn coarse(scale: i32, lost: &str) -> Option<Check> {
    let step = power(u32::try_from(-scale).ok().filter(|digits| *digits > 0)?);
    Some(Check::new(format!("{X} % {step} = 0"), lost).rounded_by(format!("round({X}, {scale})")))
}

/// A check that a text is a decimal in canonical form: `zeros` after the point, then digits; `whole` and `places` are
/// the repetitions of a digit before and after the point.
fn decimal_text(zeros: &str, whole: &str, places: &str, nan: bool, infinity: bool) -> Check {
    let before = if whole.is_empty() { "0".to_owned() } else { format!("(0|[1-9][0-9]{whole})") };
    let mut names = Vec::new();
    names.extend(nan.then_some("'NaN'"));
    names.extend(infinity.then_some("'Infinity', '-Infinity'"));
    let named = if names.is_empty() { String::new() } else { format!("{X}::varchar in ({}) or ", names.join(", ")) };
    Check::new(
        format!("{named}regexp_full_match({X}::varchar, '-?{before}([.]{zeros}[0-9]{places}0*)?')"),
        "how the number is written, or digits of it",
    )
}
