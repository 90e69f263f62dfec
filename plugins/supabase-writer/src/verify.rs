//! Compares what was written with what was sent, for types whose digits PostgREST's description omits.

/// Whether the texts of two values are the same value.
///
/// Numbers are compared by their digits, regardless of notation; timestamps by the digits of their seconds, since the
/// server shows time zones in its own way; lists item by item.
pub fn is_same(sent: Option<&str>, written: Option<&str>, format: &str) -> bool {
    match (sent, written) {
        (None, None) => true,
        (Some(sent), Some(written)) => {
            let (sent, written) = (items(sent), items(written));
            let one = |(sent, written): (&String, &String)| is_same_item(sent, written, format);
            sent.len() == written.len() && sent.iter().zip(&written).all(one)
        }
        _ => false,
    }
}

/// The items of a list in DuckDB's notation (`[1, NULL]`) or PostgreSQL's (`{1,NULL}`), or the value itself.
fn items(text: &str) -> Vec<String> {
    if !text.starts_with(['[', '{']) {
        return vec![text.to_owned()];
    }
    let parts = text.split(['[', ']', '{', '}', ',', '"', '\'']).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(|part| part.to_lowercase()).collect()
}

fn is_same_item(sent: &str, written: &str, format: &str) -> bool {
    let item = format.trim_end_matches("[]");
    if item == "numeric" {
        return match (Number::parse(sent), Number::parse(written)) {
            (Some(sent), Some(written)) => sent == written,
            // NaN and the infinities, in both notations.
            _ => special(sent) == special(written),
        };
    }
    if item.starts_with("time") || item == "interval" {
        return fraction(sent) == fraction(written);
    }
    sent == written.trim_end() || sent.trim_end() == written.trim_end() && item == "character"
}

fn special(text: &str) -> String {
    text.to_lowercase().replace("infinity", "inf")
}

/// The digits after the seconds, without trailing zeros.
fn fraction(text: &str) -> &str {
    let behind = text.split_once('.').map_or("", |(_, behind)| behind);
    let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    behind[..end].trim_end_matches('0')
}

/// A decimal number: its sign, its digits without surrounding zeros, and the power of ten of the last one.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let trimmed = digits.trim_end_matches('0');
        let exponent = exponent - fraction.len() as i64 + (digits.len() - trimmed.len()) as i64;
        let digits = trimmed.trim_start_matches('0').to_owned();
        // Zero has neither a sign nor an exponent.
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_in_every_notation() {
        for (sent, written, format) in [
            ("1.50", "1.5", "numeric"),
            ("1e+20", "100000000000000000000", "numeric"),
            ("-0.0", "0", "numeric"),
            ("2.5e-7", "0.00000025", "numeric"),
            ("inf", "Infinity", "numeric"),
            ("nan", "NaN", "numeric"),
            ("2024-01-01 10:00:00.5+00", "2024-01-01 12:00:00.50+02", "timestamp with time zone"),
            ("[1.50, NULL]", "{1.5,NULL}", "numeric[]"),
            ("[[2024-01-01 00:00:00]]", "{{\"2024-01-01 00:00:00\"}}", "timestamp without time zone[]"),
            ("a", "a ", "character[]"),
        ] {
            assert!(is_same(Some(sent), Some(written), format), "{sent} {written}");
        }
        assert!(is_same(None, None, "numeric"));
    }

    #[test]
    fn a_different_value_is_detected() {
        for (sent, written, format) in [
            ("1.239", "1.24", "numeric"),
            ("1234", "1200", "numeric"),
            ("2024-01-01 00:00:00.6", "2024-01-01 00:00:01", "timestamp without time zone"),
            ("04:05:06.789", "04:05:07", "interval"),
            ("[1.239]", "{1.24}", "numeric[]"),
            ("[1, 2]", "{1}", "numeric[]"),
            ("ab", "a", "character varying[]"),
        ] {
            assert!(!is_same(Some(sent), Some(written), format), "{sent} {written}");
        }
        assert!(!is_same(Some("1"), None, "numeric"));
    }
}
