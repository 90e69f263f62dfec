//! The option `on_loss`: how to handle values that the target cannot hold.

use std::collections::BTreeMap;

use osiris_sdk::{Error, Result};
use serde::Deserialize;

/// How to handle a value that would lose something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Nothing is written.
    #[default]
    Error,
    /// The nearest value that the target can hold is written; if no such value exists, nothing is written.
    Round,
    /// Null is written instead.
    Null,
}

/// The option `on_loss`: one word for all columns, or a word for each, with `default` for the others. Writers of
/// formats that support other words than [`OnLoss`] define their own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum LossPolicy<Word = OnLoss> {
    All(Word),
    Columns(BTreeMap<String, Word>),
}

impl<Word: Default> Default for LossPolicy<Word> {
    fn default() -> Self {
        Self::All(Word::default())
    }
}

/// The entry of an `on_loss` object for all columns that it does not name.
const DEFAULT: &str = "default";

impl<Word: Copy + Default> LossPolicy<Word> {
    /// The policy for a column.
    pub fn of(&self, column: &str) -> Word {
        match self {
            Self::All(on_loss) => *on_loss,
            Self::Columns(columns) => columns.get(column).or_else(|| columns.get(DEFAULT)).copied().unwrap_or_default(),
        }
    }

    /// Refuses columns that the input does not have, because a misspelt name would protect nothing.
    ///
    /// # Errors
    /// `config`, with the names that exist.
    pub fn check<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let Self::Columns(named) = self else { return Ok(()) };
        let known: Vec<&str> = columns.into_iter().collect();
        match named.keys().find(|name| *name != DEFAULT && !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                Err(Error::config(format!(
                    "`on_loss` names column `{unknown}`, which the input does not have; it has: {}",
                    known.join(", ")
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_word_or_a_word_for_each_column() {
        let parse = |text: &str| serde_json::from_str::<LossPolicy>(text).unwrap();
        assert_eq!(LossPolicy::<OnLoss>::default().of("a"), OnLoss::Error);
        assert_eq!(parse("\"null\"").of("a"), OnLoss::Null);
        let columns = parse(r#"{"a": "round", "default": "null"}"#);
        assert_eq!((columns.of("a"), columns.of("b")), (OnLoss::Round, OnLoss::Null));
        assert!(columns.check(["a", "b"]).is_ok());
        assert!(columns.check(["b"]).unwrap_err().message.contains("`a`"));
        assert_eq!(parse(r#"{"a": "round"}"#).of("b"), OnLoss::Error);
    }
}
