//! The types of other systems, described by the values they can hold. Each writer maps its server's types to these.

use crate::SourceType;

/// How trailing blanks of a text are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blanks {
    #[default]
    Kept,
    /// Trailing blanks are insignificant and texts are padded, as in PostgreSQL's `char(n)`.
    Padded,
    /// Trailing blanks are removed when the text is read, as in MySQL's `char(n)`.
    Stripped,
}

/// The characters that a text can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Characters {
    #[default]
    Unicode,
    /// Unicode without NUL.
    WithoutNul,
    /// Characters of at most three bytes in UTF-8: MySQL's `utf8mb3`.
    BasicPlane,
    /// ISO 8859-1.
    Latin1,
    /// The union of windows-1252 and ISO 8859-1, as in MySQL's `latin1`.
    Windows1252,
    Ascii,
}

/// The smallest part of an interval that a type keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalPart {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// The first and the last value, as texts that DuckDB casts to the source's type: `4714-11-24 (BC)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub first: String,
    pub last: String,
}

impl Range {
    pub fn new(first: &str, last: &str) -> Self {
        Self { first: first.to_owned(), last: last.to_owned() }
    }

    /// PostgreSQL's dates.
    pub fn postgres_date() -> Self {
        Self::new("4714-11-24 (BC)", "5874897-12-31")
    }

    /// PostgreSQL's timestamps; the last one is beyond DuckDB's range.
    pub fn postgres_timestamp() -> Self {
        Self::new("4714-11-24 (BC) 00:00:00", "294247-01-10 04:00:54")
    }
}

/// A text of limited length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Text {
    pub max_chars: Option<u64>,
    pub max_bytes: Option<u64>,
    pub blanks: Blanks,
    pub characters: Characters,
}

/// A type of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetType {
    Boolean,
    Integer {
        min: i128,
        max: i128,
    },
    /// A binary floating-point number of 24 or 53 bits; `special` if it has NaN and the infinities.
    Float {
        double: bool,
        special: bool,
    },
    /// A decimal. `bounds` are the number of digits and how many of them are after the point (which may be negative, or
    /// more than the number of digits: PostgreSQL's `numeric(3,-2)`, `numeric(3,5)`); without them it holds any number
    /// of digits.
    Decimal {
        bounds: Option<(u32, i32)>,
        nan: bool,
        infinity: bool,
    },
    Text(Text),
    /// Bytes; `fixed` if shorter values are padded with zeros.
    Bytes {
        max: Option<u64>,
        fixed: bool,
    },
    /// A bit string; `varying` if it may be shorter than `length`.
    Bits {
        length: Option<u64>,
        varying: bool,
    },
    Date {
        range: Option<Range>,
        infinity: bool,
    },
    /// A time of day with this many digits of a second; `span` if it can hold any number of hours, as in MySQL.
    Time {
        digits: u8,
        span: bool,
    },
    TimeTz {
        digits: u8,
    },
    /// A point in time (`zone`) or a date with a time, with this many digits of a second.
    Timestamp {
        digits: u8,
        zone: bool,
        range: Option<Range>,
        infinity: bool,
    },
    Interval {
        smallest: IntervalPart,
        digits: u8,
    },
    Uuid,
    Json,
    Enum(Vec<String>),
    /// MySQL's YEAR: 0, and 1901 to 2155.
    Year,
    /// An array or list.
    List(Box<TargetType>),
    /// A type whose own text input decides: an inet, a range, a composite type.
    Opaque,
}

impl TargetType {
    /// An integer of `bits` bits.
    pub fn integer(bits: u32, signed: bool) -> Self {
        let (low, high) = if signed { (bits - 1, bits - 1) } else { (0, bits) };
        let min = if signed { -(1_i128 << low) } else { 0 };
        Self::Integer { min, max: (1_i128 << high) - 1 }
    }

    /// A text of any length in all of Unicode.
    pub fn text() -> Self {
        Self::Text(Text::default())
    }

    /// A decimal of `precision` digits, `scale` of which are after the point, without NaN.
    pub fn decimal(precision: u32, scale: i32) -> Self {
        Self::Decimal { bounds: Some((precision, scale)), nan: false, infinity: false }
    }

    /// The type that holds exactly the values of DuckDB's type, for a column that a writer creates; `None` for a type
    /// without an equivalent elsewhere. If the target's own type holds less, use that type instead.
    pub fn like(source: &SourceType) -> Option<Self> {
        if let Some((min, max)) = source.integer_range() {
            return Some(i128::try_from(max).map_or(
                Self::Decimal { bounds: Some((39, 0)), nan: false, infinity: false },
                |max| Self::Integer { min, max },
            ));
        }
        let timestamp = |digits, zone| Self::Timestamp { digits, zone, range: None, infinity: true };
        Some(match source {
            SourceType::Boolean => Self::Boolean,
            SourceType::Float | SourceType::Double => {
                Self::Float { double: *source == SourceType::Double, special: true }
            }
            SourceType::Decimal { precision, scale } => Self::decimal((*precision).into(), (*scale).into()),
            SourceType::BigNum => Self::Decimal { bounds: None, nan: false, infinity: false },
            SourceType::Varchar | SourceType::Enum(_) | SourceType::Null => Self::text(),
            SourceType::Json => Self::Json,
            SourceType::Blob => Self::Bytes { max: None, fixed: false },
            SourceType::Bit => Self::Bits { length: None, varying: true },
            SourceType::Uuid => Self::Uuid,
            SourceType::Date => Self::Date { range: None, infinity: true },
            SourceType::Time => Self::Time { digits: 6, span: false },
            SourceType::TimeNs => Self::Time { digits: 9, span: false },
            SourceType::TimeTz => Self::TimeTz { digits: 6 },
            SourceType::Timestamp | SourceType::TimestampS | SourceType::TimestampMs => timestamp(6, false),
            SourceType::TimestampNs => timestamp(9, false),
            SourceType::TimestampTz => timestamp(6, true),
            SourceType::Interval => Self::Interval { smallest: IntervalPart::Second, digits: 6 },
            SourceType::List(item) | SourceType::Array(item, _) => Self::List(Box::new(Self::like(item)?)),
            SourceType::Struct(_) | SourceType::Map(..) | SourceType::Union(_) => Self::Json,
            _ => return None,
        })
    }

    /// Its description in a list of types.
    pub fn words(&self) -> String {
        let digits = |name: &str, digits: u8| format!("{name} with {digits} digits of a second");
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::Integer { min, max } => format!("whole numbers from {min} to {max}"),
            Self::Float { double: true, .. } => "double precision".to_owned(),
            Self::Float { .. } => "single precision".to_owned(),
            Self::Decimal { bounds: Some((precision, scale)), .. } => format!("decimal({precision},{scale})"),
            Self::Decimal { bounds: None, .. } => "decimal without bounds".to_owned(),
            Self::Text(Text { max_chars: Some(max), .. }) => format!("text of at most {max} characters"),
            Self::Text(Text { max_bytes: Some(max), .. }) => format!("text of at most {max} bytes"),
            Self::Text(_) => "text".to_owned(),
            Self::Bytes { max: Some(max), .. } => format!("at most {max} bytes"),
            Self::Bytes { .. } => "bytes".to_owned(),
            Self::Bits { length: Some(length), .. } => format!("{length} bits"),
            Self::Bits { .. } => "bits".to_owned(),
            Self::Date { .. } => "date".to_owned(),
            Self::Time { digits: count, .. } => digits("time", *count),
            Self::TimeTz { digits: count } => digits("time with time zone", *count),
            Self::Timestamp { digits: count, zone: true, .. } => digits("timestamp with time zone", *count),
            Self::Timestamp { digits: count, .. } => digits("timestamp", *count),
            Self::Interval { .. } => "interval".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Json => "JSON".to_owned(),
            Self::Enum(_) => "enum".to_owned(),
            Self::Year => "year".to_owned(),
            Self::List(item) => format!("list of {}", item.words()),
            Self::Opaque => "another type, by its text".to_owned(),
        }
    }
}
