//! Refuses an array that was cut off behind a comma, which DuckDB takes for whole.

use osiris_sdk::files::Source;
use osiris_sdk::{Error, Result};

/// How much of either end is looked at.
const END_BYTES: u32 = 4096;

/// Looks at the file's first and last sign. A compressed file's are not seen here; its own checksum tells.
///
/// # Errors
/// `data`, for an array without an end.
pub fn check(source: &Source) -> Result<()> {
    let first = source.read(0, END_BYTES)?;
    let last = source.read(source.size().saturating_sub(u64::from(END_BYTES)), END_BYTES)?;
    if is_cut_off(&first, &last) {
        return Err(Error::data("Malformed JSON: the array ends behind a comma, so the file was cut off"));
    }
    Ok(())
}

fn is_cut_off(first: &[u8], last: &[u8]) -> bool {
    let blank = |byte: &&u8| byte.is_ascii_whitespace();
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    first.iter().find(|byte| !blank(byte)) == Some(&b'[') && last.iter().rev().find(|byte| !blank(byte)) == Some(&b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_ends_behind_a_comma_is_cut_off() {
        for (text, cut) in [
            ("[1,\n", true),
            ("\u{feff} [1,", true),
            ("[1,2]", false),
            ("{\"a\":1},", false),
            ("", false),
            (" ", false),
        ] {
            assert_eq!(is_cut_off(text.as_bytes(), text.as_bytes()), cut, "{text}");
        }
    }
}
