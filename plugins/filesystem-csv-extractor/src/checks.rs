//! The SQL that casts a column's text, and finds values that would not survive the cast.

use osiris_sdk::sql::quote_text;

use crate::kinds::{Booleans, DOUBLE_DIGITS, Kind, MAX_DIGITS, NumberFormat, Type};

/// A number in digits, without superfluous leading zeros.
const NUMBER: &str = "-?(0|[1-9][0-9]*)([.][0-9]+)?";
const DAY: &str = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
const CLOCK: &str = "([01][0-9]|2[0-3]):[0-5][0-9]";
const OFFSET: &str = "(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)";

/// A type that the author declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The type in SQL.
    pub sql: String,
    pub rule: Rule,
    /// The format of the text, if it is not ISO 8601.
    pub format: Option<String>,
}

/// What a declared type must not lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    Text,
    Boolean,
    Integer,
    Decimal {
        scale: u64,
    },
    Double,
    Date,
    /// With this many digits of a second.
    Timestamp {
        digits: u8,
    },
    TimestampTz,
    Time,
    /// Other types that truncate a second after this many digits.
    Seconds {
        digits: u8,
    },
    /// Nested values, whose parts could be rounded.
    Nested,
    /// Types that refuse whatever they cannot hold.
    Other,
}

/// The type that a column gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Inferred(Type),
    Declared(Declared),
}

/// One column in SQL: `c` is its text, `n` the same text with a decimal point if it is a number.
#[derive(Debug)]
pub struct Column<'a> {
    pub place: usize,
    pub target: &'a Target,
    pub booleans: &'a Booleans,
    pub numbers: NumberFormat,
    pub date_format: Option<&'a str>,
    pub timestamp_format: Option<&'a str>,
}

fn matches(text: &str, pattern: &str) -> String {
    format!("regexp_full_match({text}, {})", quote_text(pattern))
}

fn list(words: &[String]) -> String {
    words.iter().map(|word| quote_text(word)).collect::<Vec<_>>().join(", ")
}

impl Column<'_> {
    fn text(&self) -> String {
        format!("c{}", self.place)
    }

    /// The text as a number: the column itself, unless the file has its own number format.
    fn number(&self) -> String {
        if self.numbers.is_plain() { self.text() } else { format!("n{}", self.place) }
    }

    fn value(&self) -> String {
        format!("t{}", self.place)
    }

    /// The expression for `n`, if it is needed.
    pub fn number_column(&self) -> Option<String> {
        if self.numbers.is_plain() || !self.needs_number() {
            return None;
        }
        let c = self.text();
        let point = format!("\\x{{{:x}}}", u32::from(self.numbers.decimal));
        let plain = "[0-9]+".to_owned();
        let (whole, bare) = match self.numbers.thousands {
            None => (plain, c.clone()),
            Some(separator) => (
                format!("[0-9]+|[0-9]{{1,3}}(\\x{{{:x}}}[0-9]{{3}})+", u32::from(separator)),
                format!("replace({c}, {}, '')", quote_text(&separator.to_string())),
            ),
        };
        let shape = matches(&c, &format!("-?({whole})({point}[0-9]+)?"));
        let plain = format!("replace({bare}, {}, '.')", quote_text(&self.numbers.decimal.to_string()));
        // A text that is not a number in this format must not be taken for one in another.
        Some(format!("case when {shape} then {plain} else 'x' || {c} end as n{}", self.place))
    }

    fn needs_number(&self) -> bool {
        match self.target {
            Target::Declared(declared) => matches!(declared.rule, Rule::Integer | Rule::Decimal { .. } | Rule::Double),
            Target::Inferred(Type::Text | Type::Nothing) => false,
            Target::Inferred(_) => true,
        }
    }

    fn has_own_booleans(&self) -> bool {
        let default = Booleans::default();
        self.booleans.truths != default.truths || self.booleans.falsehoods != default.falsehoods
    }

    fn boolean(&self) -> String {
        let (c, truths, falsehoods) = (self.text(), list(&self.booleans.truths), list(&self.booleans.falsehoods));
        format!("case when {c} in ({truths}) then true when {c} in ({falsehoods}) then false end")
    }

    /// The cast; `None` for text. `try_` makes a value that cannot be cast null instead of an error.
    pub fn cast(&self, try_: &str) -> Option<String> {
        let (c, n) = (self.text(), self.number());
        let cast = |text: &str, kind: &str| Some(format!("{try_}cast({text} as {kind})"));
        let parse =
            |format: &str, kind: &str| Some(format!("cast({try_}strptime({c}, {}) as {kind})", quote_text(format)));
        match self.target {
            Target::Inferred(kind) => match kind {
                Type::Text | Type::Nothing | Type::NotFinite => None,
                Type::Decimal { scale } => cast(&n, &format!("decimal({MAX_DIGITS}, {scale})")),
                Type::Of(Kind::Boolean) => Some(self.boolean()),
                Type::Of(Kind::BigInt) => Some(format!("exact_bigint({n})")),
                Type::Of(Kind::FormattedDate) => parse(self.date_format.unwrap_or_default(), "date"),
                Type::Of(Kind::FormattedTimestamp) => parse(self.timestamp_format.unwrap_or_default(), "timestamp"),
                Type::Of(kind) => {
                    cast(if matches!(kind, Kind::HugeInt | Kind::Double) { &n } else { &c }, sql_name(*kind))
                }
            },
            Target::Declared(declared) => match (&declared.rule, &declared.format) {
                (Rule::Text, _) => None,
                (Rule::Boolean, _) if self.has_own_booleans() => Some(self.boolean()),
                (Rule::Boolean, _) => Some(format!(
                    "case lower(trim({c})) when 'true' then true when '1' then true when 'false' then false when '0' then false end"
                )),
                (Rule::Date | Rule::Timestamp { .. } | Rule::TimestampTz | Rule::Time, Some(format)) => {
                    parse(format, &declared.sql)
                }
                (Rule::Integer | Rule::Decimal { .. } | Rule::Double, _) => cast(&n, &declared.sql),
                _ => cast(&c, &declared.sql),
            },
        }
    }

    /// The column's output expression, without an alias.
    pub fn output(&self) -> String {
        if self.cast("").is_none() { self.text() } else { self.value() }
    }

    /// True if a value of `c`, cast to `t`, does not survive or, for a declared type, could not be cast. Null if `c` is
    /// null.
    pub fn lost(&self) -> Option<String> {
        let (c, n, t) = (self.text(), self.number(), self.value());
        let differs = format!("{t}::varchar <> {n}");
        match self.target {
            Target::Inferred(kind) => match kind {
                Type::Text => None,
                Type::Nothing => Some(format!("{c} is not null")),
                Type::NotFinite => Some(format!("{c} not in ('inf', '-inf', 'nan')")),
                Type::Decimal { scale } => {
                    let shape = matches(
                        &n,
                        &format!("-?(0|[1-9][0-9]{{0,{}}})([.][0-9]{{1,{scale}}})?", MAX_DIGITS - scale - 1),
                    );
                    Some(format!("({differs} and not ({shape} and ({t} <> 0 or not starts_with({n}, '-'))))"))
                }
                Type::Of(Kind::Boolean | Kind::BigInt) => Some(format!("({c} is not null and {t} is null)")),
                Type::Of(Kind::HugeInt) => Some(differs),
                Type::Of(Kind::Double) => Some(format!("({differs} and not ({}))", short_number(&n))),
                Type::Of(Kind::Date) => Some(format!("({t}::varchar <> {c} or strlen({c}) <> 10)")),
                Type::Of(Kind::Timestamp) => Some(format!(
                    "(({t}::varchar <> {c} or strlen({c}) <> 19) and not ({}))",
                    moment(&c, Kind::Timestamp)
                )),
                Type::Of(Kind::TimestampTz) => {
                    Some(format!("({} and not ({}))", not_plain_utc(&c), moment(&c, Kind::TimestampTz)))
                }
                Type::Of(Kind::Time) => Some(format!("not ({})", moment(&c, Kind::Time))),
                Type::Of(Kind::FormattedDate) => Some(self.prints_otherwise(self.date_format.unwrap_or_default())),
                Type::Of(Kind::FormattedTimestamp) => {
                    Some(self.prints_otherwise(self.timestamp_format.unwrap_or_default()))
                }
                Type::Of(Kind::Decimal) => None,
            },
            Target::Declared(declared) => self.lost_by(declared),
        }
    }

    fn prints_otherwise(&self, format: &str) -> String {
        format!("strftime({}, {}) <> {}", self.value(), quote_text(format), self.text())
    }

    fn lost_by(&self, declared: &Declared) -> Option<String> {
        let (c, n, t) = (self.text(), self.number(), self.value());
        let dated = matches!(declared.rule, Rule::Date | Rule::Timestamp { .. } | Rule::TimestampTz | Rule::Time);
        if let (Some(format), true) = (&declared.format, dated) {
            return Some(self.prints_otherwise(format));
        }
        let midnight = "([T ]00:00(:00([.]0+)?)?)?";
        match &declared.rule {
            Rule::Text | Rule::Other => None,
            Rule::Boolean => Some(format!("({c} is not null and {t} is null)")),
            Rule::Integer => Some(format!("({t}::varchar <> {n} and not {})", matches(&n, " *[+-]?[0-9]+([.]0*)? *"))),
            Rule::Decimal { scale } => Some(format!(
                "({t}::varchar <> {n} and not {})",
                matches(&n, &format!(" *[+-]?[0-9]*([.][0-9]{{0,{scale}}}0*)? *"))
            )),
            Rule::Double => Some(changed_float(&n, &t)),
            Rule::Date => Some(format!("({t}::varchar <> {c} and not {})", matches(&c, &format!("{DAY}{midnight}")))),
            Rule::Timestamp { digits } => {
                let pattern = format!("{DAY}([T ]{CLOCK}(:[0-5][0-9]([.][0-9]{{0,{digits}}}0*)?)?)?");
                Some(format!("({t}::varchar <> {c} and not {})", matches(&c, &pattern)))
            }
            Rule::TimestampTz => {
                let pattern = format!("{DAY}([T ]{CLOCK}(:[0-5][0-9]([.][0-9]{{0,6}}0*)?)?{OFFSET}?)?");
                // DuckDB itself prints the last instants a millisecond late.
                let printed = format!(
                    "case when isfinite({t}) then make_timestamp(epoch_us({t}))::varchar || '+00' else {t}::varchar end"
                );
                Some(format!("({printed} <> {c} and not {})", matches(&c, &pattern)))
            }
            Rule::Time => {
                let pattern = format!("{CLOCK}(:[0-5][0-9]([.][0-9]{{0,6}}0*)?)?");
                Some(format!("({t}::varchar <> {c} and not {})", matches(&c, &pattern)))
            }
            Rule::Seconds { digits } => {
                Some(format!("regexp_matches({c}, {})", quote_text(&format!("[.][0-9]{{{digits}}}[0-9]*[1-9]"))))
            }
            Rule::Nested => {
                let bare = |text: &str| format!("regexp_replace(lower({text}), {}, '', 'g')", quote_text("[ \"']"));
                // DuckDB joins adjacent quoted texts, so a doubled quote inside one would vanish.
                let doubled = quote_text(r#"([^\[\s,:{(=\\]'')|([^\[\s,:{(=\\]"")"#);
                Some(format!("({} <> {} or regexp_matches({c}, {doubled}))", bare(&format!("{t}::varchar")), bare(&c)))
            }
        }
    }
}

/// Whether formatting the moment that a format reads from a column's text gives the same text.
pub fn prints_back(place: usize, format: &str) -> String {
    let format = quote_text(format);
    format!("coalesce(strftime(try_strptime(c{place}, {format}), {format}) = c{place}, c{place} is null)")
}

fn sql_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::BigInt => "bigint",
        Kind::HugeInt => "hugeint",
        Kind::Double => "double",
        Kind::Decimal => "decimal(38, 0)",
        Kind::Date | Kind::FormattedDate => "date",
        Kind::Timestamp | Kind::FormattedTimestamp => "timestamp",
        Kind::TimestampTz => "timestamptz",
        Kind::Time => "time",
    }
}

/// A number whose digits every DOUBLE preserves.
fn short_number(n: &str) -> String {
    let digits = format!("strlen(replace(replace({n}, '-', ''), '.', ''))");
    format!("{digits} <= {DOUBLE_DIGITS} and {}", matches(n, NUMBER))
}

/// True if a text does not have the form `2024-01-31T10:00:00Z`. Its complement is a subset of what [`moment`] accepts;
/// a glob takes a third of the time of a pattern.
fn not_plain_utc(c: &str) -> String {
    const D: &str = "[0-9]";
    let glob = |hour: &str| quote_text(&format!("{D}{D}{D}{D}-{D}{D}-{D}{D}T{hour}:{D}{D}:{D}{D}Z"));
    let (most, late) = (glob("[01][0-9]"), glob("2[0-3]"));
    format!("((not ({c} glob {most}) and not ({c} glob {late})) or {c} < '0001')")
}

/// True if the FLOAT or DOUBLE `t` is not the number in the text. `t` is the nearest value of the type, so it is the
/// same number if it is printed with the same digits.
fn changed_float(n: &str, t: &str) -> String {
    let digits = |text: &str| format!("trim(regexp_replace({text}, '(?i)e.*|[\\s.+-]', '', 'g'), '0')");
    let word = matches(n, "(?i)\\s*[+-]?(inf(inity)?|nan)\\s*");
    format!("({t}::varchar <> {n} and {} <> {} and not {word})", digits(&format!("{t}::varchar")), digits(n))
}

/// The form of a moment in ISO 8601; whether the day exists is left to the cast.
fn moment(c: &str, kind: Kind) -> String {
    let fraction = "([.][0-9]{1,6})?";
    match kind {
        Kind::Timestamp => {
            format!(
                "{} and not starts_with({c}, '0000')",
                matches(c, &format!("{DAY}([T ]{CLOCK}(:[0-5][0-9]{fraction})?)?"))
            )
        }
        Kind::TimestampTz => {
            format!(
                "{} and not starts_with({c}, '0000')",
                matches(c, &format!("{DAY}[T ]{CLOCK}:[0-5][0-9]{fraction}{OFFSET}"))
            )
        }
        _ => matches(c, &format!("{CLOCK}:[0-5][0-9]{fraction}")),
    }
}
