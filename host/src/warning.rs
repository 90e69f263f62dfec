//! What a step ignored, dropped or changed, as people and programs read it. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One warning of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub message: String,
    /// Names and counts, such as `column` and `rows`.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

impl Warning {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), fields: BTreeMap::new() }
    }
}

/// The sentence, with the fields in parentheses: `columns were left out (columns: a, b; rows: 12)`.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.fields.is_empty() {
            return Ok(());
        }
        let fields: Vec<String> = self.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        write!(f, " ({})", fields.join("; "))
    }
}

/// The most warnings in a step's record.
const MAX_COUNT: usize = 100;

/// Their largest total size, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// A step's warnings up to a bound; the first ones are kept.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    kept: Vec<Warning>,
    bytes: usize,
    /// How many warnings came after the bound was reached.
    beyond: u64,
}

impl Warnings {
    pub fn push(&mut self, warning: Warning) {
        let size = warning.to_string().len();
        if self.beyond > 0 || self.kept.len() >= MAX_COUNT || self.bytes + size > MAX_BYTES {
            self.beyond += 1;
            return;
        }
        self.bytes += size;
        self.kept.push(warning);
    }

    /// The warnings; if there were more than fit, the last one says how many more.
    pub fn list(&self) -> Vec<Warning> {
        let more = (self.beyond > 0).then(|| Warning {
            message: "further warnings are in the session's `logs/events.jsonl` only".to_owned(),
            fields: BTreeMap::from([("count".to_owned(), self.beyond.to_string())]),
        });
        self.kept.iter().cloned().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_shows_its_fields_in_parentheses() {
        let fields = [("rows", "12"), ("columns", "a, b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let warning = Warning { message: "columns were left out".to_owned(), fields: fields.into() };
        assert_eq!(warning.to_string(), "columns were left out (columns: a, b; rows: 12)");
        assert_eq!(Warning::new("nothing more").to_string(), "nothing more");
    }

    #[test]
    fn warnings_are_bounded_in_number_and_size_and_the_rest_is_counted() {
        for (size, expected) in [(10, MAX_COUNT), (MAX_BYTES / 4, 4), (MAX_BYTES + 1, 0)] {
            let mut warnings = Warnings::default();
            for _ in 0..MAX_COUNT + 7 {
                warnings.push(Warning::new("x".repeat(size)));
            }
            let listed = warnings.list();
            assert_eq!(listed.len(), expected + 1);
            let beyond = (MAX_COUNT + 7 - expected).to_string();
            assert_eq!(listed.last().and_then(|last| last.fields.get("count")), Some(&beyond));
        }
    }
}
