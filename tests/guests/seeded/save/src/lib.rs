//! Writes its input to a file of JSON lines. Its spec says which bug it has.

use std::time::{SystemTime, UNIX_EPOCH};

use osiris_sdk::{Inputs, Result, Writer, files};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    bug: Bug,
    #[serde(alias = "file")]
    path: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Bug {
    None,
    /// The last digits of long numbers are zeros in the file.
    RoundsNumbers,
    /// Each run writes something else.
    WritesTheTime,
}

struct Save;

impl Writer for Save {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let target = files::create(&config.path)?;
        for records in inputs.only()?.read_json(&[])? {
            let mut records = records?;
            if config.bug == Bug::RoundsNumbers {
                records = rounded(&records);
            }
            if config.bug == Bug::WritesTheTime {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                records = records.replace("}\n", &format!(",\"written_at\":{now}}}\n"));
            }
            target.write(records.as_bytes())?;
        }
        Ok(())
    }
}

/// The text with each digit after the fifteenth of a number as a zero.
fn rounded(text: &str) -> String {
    let mut digits = 0;
    let round = |c: char| {
        digits = if c.is_ascii_digit() {
            digits + 1
        } else if c == '.' {
            digits
        } else {
            0
        };
        if digits > 15 && c.is_ascii_digit() { '0' } else { c }
    };
    text.chars().map(round).collect()
}

osiris_sdk::export!(Save: writer);
