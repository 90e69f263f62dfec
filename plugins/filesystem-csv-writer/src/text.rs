//! Lines of CSV as text: quoting as in RFC 4180, line ends, encodings.

use osiris_sdk::Error;
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
pub enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "utf-8-sig")]
    Utf8Signed,
    /// Little-endian, with a byte-order mark.
    #[serde(rename = "utf-16")]
    Utf16,
    #[serde(rename = "utf-16le")]
    Utf16Le,
    #[serde(rename = "utf-16be")]
    Utf16Be,
    #[serde(rename = "latin-1", alias = "iso-8859-1")]
    Latin1,
    #[serde(rename = "windows-1252", alias = "cp1252")]
    Windows1252,
    #[serde(rename = "ascii")]
    Ascii,
}

/// The characters of windows-1252 at 0x80 to 0x9f (WHATWG encoding standard); NUL for undefined bytes.
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“', '”', '•',
    '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

/// How lines are written.
pub struct Dialect<'a> {
    pub delimiter: &'a str,
    pub quote: &'a str,
    pub escape: &'a str,
    pub newline: &'a str,
    /// The text for null.
    pub null: &'a str,
    pub encoding: Encoding,
}

/// A value in a line.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    pub text: Option<&'a str>,
    /// Whether it is quoted even if it does not have to be.
    pub quoted: bool,
}

/// A character that the encoding lacks.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    /// The value's position in its line.
    pub place: usize,
    character: char,
    encoding: Encoding,
}

impl Missing {
    pub fn explain(&self, whose: &str, row: Option<u64>) -> Error {
        let encoding = match self.encoding {
            Encoding::Latin1 => "latin-1",
            Encoding::Windows1252 => "windows-1252",
            _ => "ascii",
        };
        let row = row.map_or_else(String::new, |row| format!(" in row {row}"));
        Error::data(format!(
            "{whose} has the character `{}` (U+{:04X}){row}, which {encoding} lacks; write `encoding: utf-8` or `utf-16`, or replace \
             the character in SQL",
            self.character,
            u32::from(self.character)
        ))
    }
}

impl Dialect<'_> {
    /// The bytes before the first line: a byte-order mark, if the encoding requires one.
    pub fn start(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Utf8Signed => vec![0xef, 0xbb, 0xbf],
            Encoding::Utf16 => vec![0xff, 0xfe],
            _ => Vec::new(),
        }
    }

    /// Appends one line; a null is never quoted.
    ///
    /// # Errors
    /// For a character that the encoding does not have. The line is then incomplete.
    pub fn line<'v>(&self, values: impl Iterator<Item = Value<'v>>, bytes: &mut Vec<u8>) -> Result<(), Missing> {
        let mut written = String::new();
        for (place, value) in values.enumerate() {
            written.clear();
            if place > 0 {
                written.push_str(self.delimiter);
            }
            match value.text {
                Some(text) => self.value(text, value.quoted, &mut written),
                None => written.push_str(self.null),
            }
            self.encode(&written, bytes).map_err(|character| Missing { place, character, encoding: self.encoding })?;
        }
        self.encode(self.newline, bytes).map_err(|character| Missing { place: 0, character, encoding: self.encoding })
    }

    fn value(&self, value: &str, quoted: bool, line: &mut String) {
        let quoted = quoted
            || value.is_empty()
            || value == self.null
            || value.contains(['\n', '\r'])
            || value.contains(self.quote)
            || value.contains(self.escape)
            || value.contains(self.delimiter);
        if !quoted {
            line.push_str(value);
            return;
        }
        line.push_str(self.quote);
        for character in value.chars() {
            let mut buffer = [0; 4];
            let text = &*character.encode_utf8(&mut buffer);
            if text == self.quote || text == self.escape {
                line.push_str(self.escape);
            }
            line.push(character);
        }
        line.push_str(self.quote);
    }

    /// Appends a text; the error is a character that the encoding lacks.
    fn encode(&self, text: &str, bytes: &mut Vec<u8>) -> Result<(), char> {
        let mut single = |byte: &dyn Fn(char) -> Option<u8>| {
            text.chars().try_for_each(|character| {
                bytes.push(byte(character).ok_or(character)?);
                Ok(())
            })
        };
        match self.encoding {
            Encoding::Utf8 | Encoding::Utf8Signed => bytes.extend_from_slice(text.as_bytes()),
            Encoding::Utf16 | Encoding::Utf16Le => {
                text.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes()))
            }
            Encoding::Utf16Be => text.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_be_bytes())),
            // Readers interpret its control characters as letters of windows-1252.
            Encoding::Latin1 => {
                return single(&|character| {
                    u8::try_from(u32::from(character)).ok().filter(|byte| !(0x80..0xa0).contains(byte))
                });
            }
            Encoding::Ascii => return single(&|character| character.is_ascii().then_some(character as u8)),
            Encoding::Windows1252 => {
                return single(&|character| {
                    let special = WINDOWS_1252.iter().position(|own| *own == character && *own != '\0');
                    match special {
                        Some(place) => u8::try_from(0x80 + place).ok(),
                        None => u8::try_from(u32::from(character)).ok().filter(|byte| !(0x80..0xa0).contains(byte)),
                    }
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn dialect(encoding: Encoding) -> Dialect<'static> {
        Dialect { delimiter: ";", quote: "\"", escape: "\"", newline: "\r\n", null: "", encoding }
    }

    fn line(encoding: Encoding, quoted: bool, values: &[Option<&str>]) -> Result<Vec<u8>, Missing> {
        let mut bytes = dialect(encoding).start();
        dialect(encoding).line(values.iter().map(|text| Value { text: *text, quoted }), &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn values_are_quoted_if_necessary() {
        let values = [Some("a"), None, Some(""), Some("x;y"), Some("say \"hi\""), Some("two\nlines")];
        let text = String::from_utf8(line(Encoding::Utf8, false, &values).unwrap()).unwrap();
        assert_eq!(text, "a;;\"\";\"x;y\";\"say \"\"hi\"\"\";\"two\nlines\"\r\n");
        assert_eq!(line(Encoding::Utf8, true, &[Some("a"), None]).unwrap(), b"\"a\";\r\n");
        let other = Dialect { quote: "'", escape: "\\", null: "NULL", ..dialect(Encoding::Utf8) };
        let mut bytes = Vec::new();
        let values = [Some("it's"), Some("a\\b"), Some("a\\'"), None, Some("NULL")];
        other.line(values.iter().map(|text| Value { text: *text, quoted: false }), &mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "'it\\'s';'a\\\\b';'a\\\\\\'';NULL;'NULL'\r\n");
    }

    #[test]
    fn encodings_have_their_bytes_and_their_limits() {
        assert_eq!(line(Encoding::Latin1, false, &[Some("é")]).unwrap(), b"\xe9\r\n");
        assert_eq!(line(Encoding::Windows1252, false, &[Some("é€–")]).unwrap(), b"\xe9\x80\x96\r\n");
        assert_eq!(line(Encoding::Utf16, false, &[Some("a")]).unwrap(), b"\xff\xfea\0\r\0\n\0");
        assert_eq!(line(Encoding::Utf16Be, false, &[Some("𝄞")]).unwrap(), b"\xd8\x34\xdd\x1e\0\r\0\n");
        for (encoding, text) in [
            (Encoding::Latin1, "€"),
            (Encoding::Latin1, "\u{80}"),
            (Encoding::Windows1252, "\u{81}"),
            (Encoding::Windows1252, "ł"),
            (Encoding::Ascii, "é"),
        ] {
            let missing = line(encoding, false, &[Some("x"), Some(text)]).unwrap_err();
            assert_eq!(missing.place, 1);
            let message = missing.explain("column `a`", Some(7)).message;
            assert!(
                message.contains("column `a`") && message.contains("row 7") && message.contains("utf-8"),
                "{message}"
            );
        }
    }
}
