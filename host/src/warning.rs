//! What a step ignored, dropped or changed, as people and programs read it. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secrets::scrubber::{Scrub, Scrubber};
use crate::untrusted::Untrusted;

/// One warning of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub message: Untrusted,
    /// Names and counts, such as `column` and `rows`.
    #[serde(default)]
    pub fields: BTreeMap<Untrusted, Untrusted>,
}

impl Warning {
    pub fn new(message: impl Into<Untrusted>) -> Self {
        Self { message: message.into(), fields: BTreeMap::new() }
    }

    /// The sentence, as in [`Untrusted::paragraph`].
    pub fn paragraph(&self) -> String {
        self.sentence().paragraph()
    }

    /// The sentence, with the fields in parentheses: `columns were left out (columns: a, b; rows: 12)`.
    fn sentence(&self) -> Untrusted {
        let message = self.message.raw();
        if self.fields.is_empty() {
            return message.into();
        }
        let fields: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{}: {}", name.raw(), value.raw())).collect();
        format!("{message} ({})", fields.join("; ")).into()
    }
}

impl Scrub for Warning {
    fn without_secrets(&self, scrubber: &Scrubber) -> Self {
        let scrub = |text: &Untrusted| text.without_secrets(scrubber);
        let fields = self.fields.iter().map(|(name, value)| (scrub(name), scrub(value))).collect();
        Self { message: scrub(&self.message), fields }
    }
}

/// The sentence and the fields on one line.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence().fmt(f)
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
        let size = warning.sentence().raw().len();
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
            message: "further warnings are in the session's `logs/events.jsonl` only".into(),
            fields: BTreeMap::from([("count".into(), self.beyond.to_string().into())]),
        });
        self.kept.iter().cloned().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_shows_its_fields_in_parentheses() {
        let fields = [("rows", "12"), ("columns", "a, b")].map(|(name, value)| (name.into(), value.into()));
        let warning = Warning { message: "columns were left out".into(), fields: fields.into() };
        assert_eq!(warning.to_string(), "columns were left out (columns: a, b; rows: 12)");
        assert_eq!(Warning::new("nothing more").to_string(), "nothing more");
    }

    #[test]
    fn an_untrusted_warning_does_not_control_the_terminal() {
        let fields = [("a\u{1b}[2J".into(), "b\nerror: all is lost".into())];
        let warning = Warning { message: "\u{202e}x".into(), fields: fields.into() };
        assert_eq!(warning.to_string(), r"\u{202e}x (a\u{1b}[2J: b\nerror: all is lost)");
        assert_eq!(warning.paragraph(), "\\u{202e}x (a\\u{1b}[2J: b\n    error: all is lost)");
        assert_eq!(
            serde_json::to_value(&warning).ok(),
            Some(serde_json::json!({"message": "\u{202e}x", "fields": {"a\u{1b}[2J": "b\nerror: all is lost"}}))
        );
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
            let beyond = (MAX_COUNT + 7 - expected).to_string().into();
            assert_eq!(listed.last().and_then(|last| last.fields.values().next()), Some(&beyond));
        }
    }
}
