//! Conversions into text, bytes, bits, booleans, UUIDs and enums.

use osiris_sdk::sql::{not_finite, not_json, quote_text};

use crate::check::X;
use crate::verdict::unlike;
use crate::{Blanks, Characters, Check, SourceType, TargetType, Text, Verdict};

pub(crate) fn boolean(source: &SourceType) -> Verdict {
    match source {
        SourceType::Boolean => Verdict::Lossless,
        number if number.integer_range().is_some() => {
            Verdict::Checked(Check::new(format!("{X} between 0 and 1"), "the number itself, which is neither 0 nor 1"))
        }
        text if text.is_text() => Verdict::Checked(Check::new(
            format!("lower({X}::varchar) in ('true', 'false', 't', 'f')"),
            "how the value is written: only true, false, t and f are booleans",
        )),
        other => unlike(other, "a boolean"),
    }
}

/// The checks of a text of limited length; `text` prints the value.
fn limits(limits: &Text, text: &str) -> Vec<Option<Check>> {
    let cut = |name: &str, max: u64| Check::new(format!("{name}({text}) <= {max}"), lost_beyond(name, max));
    let without_nul = limits.characters == Characters::WithoutNul;
    let stripped = limits.blanks == Blanks::Stripped;
    // The nearest text satisfies all limits at once; the first check provides it for all of them.
    let mut nearest = X.to_string();
    if without_nul {
        nearest = format!("replace({nearest}, chr(0), '')");
    }
    if let Some(max) = limits.max_chars {
        nearest = format!("left({nearest}, {max})");
    }
    if stripped {
        nearest = format!("rtrim({nearest}, ' ')");
    }
    let has_nearest = without_nul || limits.max_chars.is_some() || stripped;
    let mut checks = vec![
        characters(limits.characters, text),
        limits.max_chars.map(|max| cut("length", max)),
        limits.max_bytes.map(|max| cut("strlen", max)),
        stripped.then(|| Check::new(format!("not ends_with({text}, ' ')"), "blanks at the end")),
    ];
    if let Some(first) = checks.iter_mut().flatten().next().filter(|_| has_nearest) {
        *first = first.clone().rounded_by(nearest);
    }
    checks
}

fn lost_beyond(name: &str, max: u64) -> String {
    format!("{} beyond {max}", if name == "length" { "characters" } else { "bytes" })
}

fn characters(characters: Characters, text: &str) -> Option<Check> {
    let matching =
        |set: &str, lost: &str| Some(Check::new(format!("regexp_full_match({text}, '[{set}]*', 's')"), lost));
    match characters {
        Characters::Unicode => None,
        Characters::WithoutNul => Some(Check::new(format!("not contains({text}, chr(0))"), "NUL characters")),
        Characters::BasicPlane => matching("\\x{0}-\\x{ffff}", "characters outside the basic plane"),
        Characters::Latin1 => matching("\\x{0}-\\x{ff}", "characters that latin1 does not have"),
        Characters::Windows1252 => {
            matching("\\x{0}-\\x{ff}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ", "characters that latin1 does not have")
        }
        Characters::Ascii => {
            Some(Check::new(format!("strlen({text}) = length({text})"), "characters that ascii does not have"))
        }
    }
}

pub(crate) fn into_text(source: &SourceType, text: &Text) -> Verdict {
    match source {
        SourceType::Blob => {
            Verdict::refused("its meaning: bytes are not text; cast them in SQL, for example with decode() or hex()")
        }
        source if source.is_text() => Verdict::all(limits(text, &format!("{X}::varchar"))),
        // Other values print predictably; only their length can exceed the limit.
        _ => Verdict::all([text
            .max_chars
            .map(|max| Check::new(format!("length({X}::varchar) <= {max}"), lost_beyond("length", max)))]),
    }
}

/// A text as JSON. DuckDB's JSON type admits more than the standard does.
pub(crate) fn json() -> Verdict {
    Verdict::all([standard_json("JSON")])
}

/// A check that all JSON in a value of this type is standard JSON.
fn standard_json(kind: &str) -> Option<Check> {
    let condition = not_json(&X.to_string(), kind).ok().flatten();
    condition.map(|condition| Check::new(format!("not {condition}"), "the value itself, which is not JSON"))
}

/// Values other than text as JSON; lists and records also as text.
pub(crate) fn printed(source: &SourceType, target: &TargetType) -> Verdict {
    // JSON has neither NaN nor the infinities.
    let finite = not_finite(&X.to_string(), &source.to_string()).ok().flatten();
    let finite = finite
        .map(|condition| Check::new(format!("not {condition}"), "NaN and the infinities, which JSON does not have"));
    let json = (*target == TargetType::Json).then(|| standard_json(&source.to_string())).flatten();
    let short = match target {
        TargetType::Text(Text { max_chars: Some(max), .. }) => {
            Some(Check::new(format!("length({X}::varchar) <= {max}"), lost_beyond("length", *max)))
        }
        _ => None,
    };
    Verdict::all([finite, json, short])
}

pub(crate) fn into_bytes(source: &SourceType, max: Option<u64>, fixed: bool) -> Verdict {
    match source {
        SourceType::Blob | SourceType::Varchar | SourceType::Enum(_) | SourceType::Json => {
            let length = if *source == SourceType::Blob { "octet_length" } else { "strlen" };
            let value = if *source == SourceType::Blob { format!("{X}") } else { format!("{X}::varchar") };
            Verdict::all([max.map(|max| {
                if fixed {
                    Check::new(format!("{length}({value}) = {max}"), format!("its length, which is not {max} bytes"))
                } else {
                    Check::new(format!("{length}({value}) <= {max}"), format!("bytes beyond {max}"))
                }
            })])
        }
        other => unlike(other, "bytes"),
    }
}

pub(crate) fn into_bits(source: &SourceType, length: Option<u64>, varying: bool) -> Verdict {
    let compare = if varying { "<=" } else { "=" };
    let lost =
        |max: u64| if varying { format!("bits beyond {max}") } else { format!("its length, which is not {max} bits") };
    match source {
        SourceType::Bit => {
            Verdict::all([length.map(|max| Check::new(format!("bit_length({X}) {compare} {max}"), lost(max)))])
        }
        number if number.integer_range().is_some() => match length {
            Some(length) if length < 127 => crate::numbers::into_integer(number, 0, (1 << length) - 1),
            _ => Verdict::Lossless,
        },
        text if text.is_text() => Verdict::Checked(
            Check::new(format!("regexp_full_match({X}::varchar, '[01]*')"), "how it is written: bits are 0 and 1").and(
                match length {
                    Some(max) => Check::new(format!("length({X}::varchar) {compare} {max}"), lost(max)),
                    None => Check::new("true", "bits"),
                },
            ),
        ),
        other => unlike(other, "bits"),
    }
}

pub(crate) fn into_uuid(source: &SourceType) -> Verdict {
    match source {
        SourceType::Uuid => Verdict::Lossless,
        text if text.is_text() => Verdict::Checked(Check::new(
            format!("try_cast({X} as uuid)::varchar = lower({X}::varchar)"),
            "how it is written: it is not a UUID in its usual form",
        )),
        other => unlike(other, "a UUID"),
    }
}

pub(crate) fn into_enum(source: &SourceType, labels: &[String]) -> Verdict {
    match source {
        SourceType::Enum(own) if own.iter().all(|label| labels.contains(label)) => Verdict::Lossless,
        text if text.is_text() => {
            let list: Vec<String> = labels.iter().map(|label| quote_text(label)).collect();
            let shown: Vec<String> = labels.iter().take(20).map(|label| format!("`{label}`")).collect();
            Verdict::Checked(Check::new(
                format!("{X}::varchar in ({})", if list.is_empty() { "null".to_owned() } else { list.join(", ") }),
                format!("the value itself, which is none of {}", shown.join(", ")),
            ))
        }
        other => unlike(other, "an enum"),
    }
}
