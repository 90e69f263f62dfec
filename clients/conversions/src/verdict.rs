//! The table: how each DuckDB type converts to each type of a target.

use crate::check::X;
use crate::{Check, SourceType, TargetType, moments, numbers, texts};

/// How the values of one type convert to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every value survives.
    Lossless,
    /// It depends on the value.
    Checked(Check),
    /// No value can be written, for this reason.
    Refused(String),
}

impl Verdict {
    pub(crate) fn refused(lost: impl Into<String>) -> Self {
        Self::Refused(lost.into())
    }

    /// Adds a check.
    pub(crate) fn and(self, check: Option<Check>) -> Self {
        match (self, check) {
            (verdict, None) => verdict,
            (Self::Lossless, Some(check)) => Self::Checked(check),
            (Self::Checked(first), Some(second)) => Self::Checked(first.and(second)),
            (refused, _) => refused,
        }
    }

    /// The combined verdict of several checks; without any check it is lossless.
    pub(crate) fn all(checks: impl IntoIterator<Item = Option<Check>>) -> Self {
        checks.into_iter().fold(Self::Lossless, Self::and)
    }
}

/// How the values of `source` convert to `target`.
pub fn verdict(source: &SourceType, target: &TargetType) -> Verdict {
    use SourceType as S;
    use TargetType as T;
    if matches!(source, S::Null) {
        return Verdict::Lossless;
    }
    if source.is_nested() {
        return match target {
            T::Json | T::Text(_) => texts::printed(source, target),
            _ => Verdict::refused("its members: only JSON and text hold records"),
        };
    }
    if let Some(item) = source.item() {
        return match target {
            // Arrays of any depth are one type in PostgreSQL; elsewhere the items of a list of lists are lists.
            T::List(inner) => match (item.item(), inner.as_ref()) {
                (Some(_), T::List(_)) | (None, _) => of_items(source, verdict(item, inner)),
                (Some(_), _) => of_items(source, verdict(item, target)),
            },
            T::Json | T::Text(_) => texts::printed(source, target),
            T::Opaque => Verdict::Lossless,
            _ => Verdict::refused("its items: the target is not a list"),
        };
    }
    match scalar(source, target) {
        Verdict::Checked(check) => Verdict::Checked(check.typed(source)),
        other => other,
    }
}

fn scalar(source: &SourceType, target: &TargetType) -> Verdict {
    use SourceType as S;
    use TargetType as T;
    match target {
        T::Opaque => Verdict::Lossless,
        T::List(inner) if source.is_text() => list_text(inner),
        T::List(_) => Verdict::refused("its meaning: a single value is not a list"),
        T::Boolean => texts::boolean(source),
        T::Integer { min, max } => numbers::into_integer(source, *min, *max),
        T::Float { double, special } => numbers::into_float(source, *double, *special),
        T::Decimal { bounds, nan, infinity } => numbers::into_decimal(source, *bounds, *nan, *infinity),
        T::Year => numbers::into_year(source),
        T::Text(text) => texts::into_text(source, text),
        T::Bytes { max, fixed } => texts::into_bytes(source, *max, *fixed),
        T::Bits { length, varying } => texts::into_bits(source, *length, *varying),
        T::Uuid => texts::into_uuid(source),
        T::Json => match source {
            S::Other(name) => Verdict::refused(format!("its values: nothing is known of the type {name}")),
            S::Blob => {
                Verdict::refused("its meaning: bytes are not JSON; encode them in SQL, for example with base64()")
            }
            text if text.is_text() => texts::json(),
            _ => texts::printed(source, target),
        },
        T::Enum(labels) => texts::into_enum(source, labels),
        T::Date { range, infinity } => moments::into_date(source, range.as_ref(), *infinity),
        T::Time { digits, span } => moments::into_time(source, *digits, *span),
        T::TimeTz { digits } => moments::into_time_tz(source, *digits),
        T::Timestamp { digits, zone, range, infinity } => {
            moments::into_timestamp(source, *digits, *zone, range.as_ref(), *infinity)
        }
        T::Interval { smallest, digits } => moments::into_interval(source, *smallest, *digits),
    }
}

fn of_items(list: &SourceType, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Checked(check) => Verdict::Checked(check.of_items(list)),
        other => other,
    }
}

/// The text of a whole array, which the server parses: it refuses text that is not of the item's type, but rounds to
/// bounds.
fn list_text(item: &TargetType) -> Verdict {
    use TargetType as T;
    match item {
        T::Boolean | T::Integer { .. } | T::Uuid | T::Enum(_) | T::Json | T::Opaque | T::Bytes { .. } => {
            Verdict::Lossless
        }
        T::Decimal { bounds: None, .. } | T::Text(crate::Text { max_chars: None, max_bytes: None, .. }) => {
            Verdict::Lossless
        }
        T::List(item) => list_text(item),
        _ => Verdict::refused("parts of its items, which are rounded as they are read; make it a list in SQL"),
    }
}

/// The refusal for types that have nothing in common.
pub(crate) fn unlike(source: &SourceType, target: &str) -> Verdict {
    Verdict::refused(format!("its meaning: {source} and {target} have nothing in common"))
}

/// A predicate that is true if casting to `there` and back gives the same value.
pub(crate) fn round_trip(there: &str, back: &SourceType) -> String {
    format!("try_cast(try_cast({X} as {there}) as {back}) = {X}")
}
