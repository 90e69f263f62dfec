//! PostgreSQL's types, by their names in PostgREST's description, as targets of conversions.

use conversions::{Blanks, Characters, IntervalPart, Range, TargetType, Text};

use crate::Column;

/// What a column can hold, as far as the description shows. It contains the length of texts and the labels of enums,
/// but not the digits of `numeric(10,2)` or `timestamp(0)`: see [`Column::hides_digits`].
pub fn target_type(column: &Column) -> TargetType {
    if !column.labels.is_empty() {
        return TargetType::Enum(column.labels.clone());
    }
    named(&column.format, column.max_length)
}

fn named(format: &str, length: Option<u64>) -> TargetType {
    if let Some(item) = format.strip_suffix("[]") {
        return TargetType::List(Box::new(named(item, None)));
    }
    let text = |max_chars, blanks| Text { max_chars, max_bytes: None, blanks, characters: Characters::WithoutNul };
    let timestamp = |zone| {
        let range = Some(Range::postgres_timestamp());
        TargetType::Timestamp { digits: 6, zone, range, infinity: true }
    };
    match format {
        "smallint" => TargetType::integer(16, true),
        "integer" => TargetType::integer(32, true),
        "bigint" => TargetType::integer(64, true),
        "real" => TargetType::Float { double: false, special: true },
        "double precision" => TargetType::Float { double: true, special: true },
        "numeric" => TargetType::Decimal { bounds: None, nan: true, infinity: true },
        "money" => TargetType::decimal(17, 2),
        "boolean" => TargetType::Boolean,
        "text" => TargetType::Text(text(None, Blanks::Kept)),
        "character varying" => TargetType::Text(text(length, Blanks::Kept)),
        "character" => TargetType::Text(text(Some(length.unwrap_or(1)), Blanks::Padded)),
        "name" => TargetType::Text(Text { max_bytes: Some(63), ..text(None, Blanks::Kept) }),
        "\"char\"" => TargetType::Text(Text { max_bytes: Some(1), ..text(None, Blanks::Kept) }),
        "uuid" => TargetType::Uuid,
        "json" | "jsonb" => TargetType::Json,
        "bytea" => TargetType::Bytes { max: None, fixed: false },
        "date" => TargetType::Date { range: Some(Range::postgres_date()), infinity: true },
        "time without time zone" => TargetType::Time { digits: 6, span: false },
        "time with time zone" => TargetType::TimeTz { digits: 6 },
        "timestamp without time zone" => timestamp(false),
        "timestamp with time zone" => timestamp(true),
        "interval" => TargetType::Interval { smallest: IntervalPart::Second, digits: 6 },
        "bit" => TargetType::Bits { length: length.or(Some(1)), varying: false },
        "bit varying" => TargetType::Bits { length, varying: true },
        _ if is_citext(format) => TargetType::Text(text(None, Blanks::Kept)),
        _ => TargetType::Opaque,
    }
}

/// Whether a type is citext, in any schema.
pub(crate) fn is_citext(format: &str) -> bool {
    format.rsplit('.').next() == Some("citext")
}

impl Column {
    /// Whether the description omits how many digits the type has, so that only written rows can show it.
    pub fn hides_digits(&self) -> bool {
        let item = self.format.trim_end_matches("[]");
        let listed = item != self.format;
        let digits = ["numeric", "interval"].contains(&item) || item.starts_with("time");
        // For arrays it omits the length of texts too.
        digits || listed && ["character", "character varying", "bit", "bit varying"].contains(&item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(format: &str, max_length: Option<u64>) -> Column {
        Column {
            name: "a".into(),
            format: format.into(),
            max_length,
            labels: Vec::new(),
            is_key: false,
            is_required: false,
            refers_to: None,
        }
    }

    #[test]
    fn formats_become_targets() {
        let of = |format: &str, length| target_type(&column(format, length));
        assert_eq!(of("integer", None), TargetType::integer(32, true));
        assert_eq!(of("integer[]", None), TargetType::List(Box::new(TargetType::integer(32, true))));
        assert!(matches!(
            of("character", Some(5)),
            TargetType::Text(Text { max_chars: Some(5), blanks: Blanks::Padded, .. })
        ));
        assert!(matches!(of("extensions.citext", None), TargetType::Text(_)));
        assert_eq!(of("public.point3d", None), TargetType::Opaque);
        let mood = Column { labels: vec!["sad".into()], ..column("public.mood", None) };
        assert_eq!(target_type(&mood), TargetType::Enum(vec!["sad".into()]));
        for (format, hides) in [
            ("numeric", true),
            ("timestamp with time zone[]", true),
            ("time without time zone", true),
            ("character[]", true),
            ("character", false),
            ("date", false),
        ] {
            assert_eq!(column(format, None).hides_digits(), hides, "{format}");
        }
    }
}
