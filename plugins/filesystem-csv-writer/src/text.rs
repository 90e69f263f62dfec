//! Lines of CSV as text: quoting as RFC 4180 has it, line ends, encodings.

use osiris_sdk::{Error, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
pub enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "utf-8-sig")]
    Utf8Signed,
    #[serde(rename = "utf-16")]
    Utf16,
    #[serde(rename = "latin-1")]
    Latin1,
}

/// How lines are written.
pub struct Dialect<'a> {
    pub delimiter: &'a str,
    pub newline: &'a str,
    pub quote_all: bool,
    pub encoding: Encoding,
}

impl Dialect<'_> {
    /// What stands before the first line: a byte order mark, where the encoding wants one.
    pub fn start(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Utf8Signed => vec![0xef, 0xbb, 0xbf],
            Encoding::Utf16 => vec![0xff, 0xfe],
            Encoding::Utf8 | Encoding::Latin1 => Vec::new(),
        }
    }

    /// Appends one line; a null is an empty value without quotes.
    ///
    /// # Errors
    /// `data`, for a character that the encoding does not have.
    pub fn line<'v>(&self, values: impl Iterator<Item = Option<&'v str>>, bytes: &mut Vec<u8>) -> Result<()> {
        let mut line = String::new();
        for (place, value) in values.enumerate() {
            if place > 0 {
                line.push_str(self.delimiter);
            }
            if let Some(value) = value {
                self.value(value, &mut line);
            }
        }
        line.push_str(self.newline);
        self.encode(&line, bytes)
    }

    fn value(&self, value: &str, line: &mut String) {
        let quoted =
            self.quote_all || value.is_empty() || value.contains(['"', '\n', '\r']) || value.contains(self.delimiter);
        if quoted {
            line.push('"');
            line.push_str(&value.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(value);
        }
    }

    fn encode(&self, line: &str, bytes: &mut Vec<u8>) -> Result<()> {
        match self.encoding {
            Encoding::Utf8 | Encoding::Utf8Signed => bytes.extend_from_slice(line.as_bytes()),
            Encoding::Utf16 => line.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes())),
            Encoding::Latin1 => {
                for character in line.chars() {
                    let byte = u8::try_from(u32::from(character)).map_err(|_| {
                        Error::data(format!(
                            "the character `{character}` does not exist in latin-1; write `encoding: utf-8`"
                        ))
                    })?;
                    bytes.push(byte);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(encoding: Encoding, quote_all: bool, values: &[Option<&str>]) -> Result<Vec<u8>> {
        let dialect = Dialect { delimiter: ";", newline: "\r\n", quote_all, encoding };
        let mut bytes = dialect.start();
        dialect.line(values.iter().copied(), &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let values = [Some("a"), None, Some(""), Some("x;y"), Some("say \"hi\""), Some("two\nlines")];
        let text = String::from_utf8(line(Encoding::Utf8, false, &values).unwrap()).unwrap();
        assert_eq!(text, "a;;\"\";\"x;y\";\"say \"\"hi\"\"\";\"two\nlines\"\r\n");
        assert_eq!(line(Encoding::Utf8, true, &[Some("a"), None]).unwrap(), b"\"a\";\r\n");
    }

    #[test]
    fn encodings_have_their_bytes_and_their_limits() {
        assert_eq!(line(Encoding::Latin1, false, &[Some("é")]).unwrap(), b"\xe9\r\n");
        assert_eq!(line(Encoding::Utf16, false, &[Some("a")]).unwrap(), b"\xff\xfea\0\r\0\n\0");
        assert!(line(Encoding::Latin1, false, &[Some("€")]).unwrap_err().message.contains("latin-1"));
    }
}
