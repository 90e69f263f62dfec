//! Why a value cannot be read.

use std::fmt;

/// Why a value cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It does not have the type's binary form.
    Malformed,
    /// The DuckDB type cannot hold the value.
    Unrepresentable(&'static str),
    /// An array of another depth than the column's.
    Depth {
        found: usize,
        expected: usize,
    },
    TooLarge,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Malformed => f.write_str("the server sent a value that is malformed"),
            Wrong::Unrepresentable(what) => {
                write!(f, "{what}; `unrepresentable: null` reads it as null, and a cast to text in a `query` keeps it")
            }
            Wrong::Depth { found, expected } => write!(
                f,
                "an array of {found} dimensions, where the column has {expected}; say so under `array_dimensions`, or \
                 use to_json in a `query` where rows differ"
            ),
            Wrong::TooLarge => f.write_str("more than a batch can hold"),
        }
    }
}
