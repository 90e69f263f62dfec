//! Reads JSON text value by value without building a tree, so that numbers keep their written digits.
//!
//! The grammar is strictly that of RFC 8259, plus `NaN`, `Infinity` and `-Infinity`, which Python writes.

use std::borrow::Cow;
use std::fmt;

/// The start of a value: a scalar, or the opening of a list or an object whose content follows.
#[derive(Debug, PartialEq)]
pub enum Token<'a> {
    Null,
    Boolean(bool),
    /// A number as it is written.
    Number(&'a str),
    Text(Cow<'a, str>),
    List,
    Object,
}

/// Why a text is not JSON, and the position in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    pub at: usize,
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.why, self.at + 1)
    }
}

/// A position in a JSON text.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not blank.
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Reads a scalar, or the bracket that opens a list or an object.
    pub fn token(&mut self) -> Result<Token<'a>, Broken> {
        match self.peek() {
            Some(b'"') => self.quoted().map(Token::Text),
            Some(b'{') => {
                self.at += 1;
                Ok(Token::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Token::List)
            }
            Some(b't') => self.word("true", Token::Boolean(true)),
            Some(b'f') => self.word("false", Token::Boolean(false)),
            Some(b'n') => self.word("null", Token::Null),
            Some(b'N') => self.word("NaN", Token::Number("NaN")),
            Some(b'I') => self.word("Infinity", Token::Number("Infinity")),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.broken(format!("unexpected {}", self.shown()))),
            None => Err(self.broken("the text ends where a value should be")),
        }
    }

    /// Whether a list has another item, which is read next. `first` is true directly after the opening bracket.
    pub fn item(&mut self, first: bool) -> Result<bool, Broken> {
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(self.broken(format!("expected `,` or `]` but found {}", self.shown()))),
            None => Err(self.broken("a list is cut off")),
        }
    }

    /// The name of an object's next member, whose value is read next. `first` is true directly after the opening
    /// bracket.
    pub fn member(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, Broken> {
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(_) if first => {}
            Some(b',') => self.at += 1,
            Some(_) => return Err(self.broken(format!("expected `,` or `}}` but found {}", self.shown()))),
            None => return Err(self.broken("an object is cut off")),
        }
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.broken(format!("expected a name in quotes but found {}", self.shown()))),
            None => return Err(self.broken("an object is cut off")),
        }
        let name = self.quoted()?;
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(Some(name))
            }
            Some(_) => Err(self.broken(format!("expected `:` but found {}", self.shown()))),
            None => Err(self.broken("an object is cut off")),
        }
    }

    /// Reads a whole value and returns its text.
    pub fn raw(&mut self) -> Result<&'a str, Broken> {
        self.peek();
        let start = self.at;
        // For each open bracket, whether it belongs to an object.
        let mut open: Vec<bool> = Vec::new();
        loop {
            let is_open = match self.token()? {
                Token::List if self.item(true)? => Some(false),
                Token::Object if self.member(true)?.is_some() => Some(true),
                _ => None,
            };
            if let Some(object) = is_open {
                open.push(object);
                continue;
            }
            loop {
                let more = match open.last() {
                    None => return Ok(&self.text[start..self.at]),
                    Some(true) => self.member(false)?.is_some(),
                    Some(false) => self.item(false)?,
                };
                if more {
                    break;
                }
                open.pop();
            }
        }
    }

    /// The text between this position and a later one.
    pub fn until(&self, later: &Self) -> &'a str {
        self.text.get(self.at..later.at).unwrap_or_default()
    }

    /// Checks that only blanks follow.
    pub fn end(&mut self) -> Result<(), Broken> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.broken(format!("unexpected {} behind the value", self.shown()))),
        }
    }

    pub fn broken(&self, why: impl Into<String>) -> Broken {
        Broken { at: self.at, why: why.into() }
    }

    /// The next character, for a message.
    fn shown(&self) -> String {
        let next = self.text[self.at..].chars().next();
        next.map_or_else(String::new, |next| format!("`{}`", next.escape_debug()))
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, Broken> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.broken(format!("unexpected {}", self.shown())));
        }
        self.at += word.len();
        Ok(token)
    }

    fn number(&mut self) -> Result<Token<'a>, Broken> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start + usize::from(bytes[start] == b'-');
        if self.text[at..].starts_with("Infinity") {
            self.at = at + "Infinity".len();
            return Ok(Token::Number(&self.text[start..self.at]));
        }
        let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(at);
        let leading_zero = whole > 1 && bytes[at] == b'0';
        at += whole;
        let mut complete = whole > 0 && !leading_zero;
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            complete &= fraction > 0;
            at += 1 + fraction;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let exponent = digits(at);
            complete &= exponent > 0;
            at += exponent;
        }
        if !complete {
            return Err(self.broken("a number is not written as JSON has it"));
        }
        self.at = at;
        Ok(Token::Number(&self.text[start..at]))
    }

    /// Reads a quoted text.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Broken> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Borrowed(&self.text[start..at]));
                }
                Some(b'\\') => break,
                Some(0..=0x1f) => return Err(Broken { at, why: "a text holds a bare control character".to_owned() }),
                Some(_) => at += 1,
                None => return Err(self.broken("a text is cut off")),
            }
        }
        let mut text = self.text[start..at].to_owned();
        loop {
            let plain = bytes[at..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            text.push_str(&self.text[at..at + plain]);
            at += plain;
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape(&mut at)?),
                Some(_) => return Err(Broken { at, why: "a text holds a bare control character".to_owned() }),
                None => return Err(self.broken("a text is cut off")),
            }
        }
    }

    /// The character of the escape at `at`, which is moved past it.
    fn escape(&self, at: &mut usize) -> Result<char, Broken> {
        let bytes = self.text.as_bytes();
        let broken = |at: usize| Broken { at, why: "a text holds an escape that is not one".to_owned() };
        let four = |from: usize| {
            let hex = self.text.get(from..from + 4).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            u32::from_str_radix(hex, 16).ok()
        };
        let start = *at;
        *at += 2;
        Ok(match bytes.get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = four(*at).ok_or_else(|| broken(start))?;
                *at += 4;
                if !(0xd800..0xe000).contains(&high) {
                    return char::from_u32(high).ok_or_else(|| broken(start));
                }
                let low = (bytes.get(*at..*at + 2) == Some(b"\\u")).then(|| four(*at + 2)).flatten();
                let low = low.filter(|low| (0xdc00..0xe000).contains(low) && high < 0xdc00);
                let half = || Broken { at: start, why: "a text holds half a character (a lone surrogate)".to_owned() };
                *at += 6;
                low.and_then(|low| char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)))
                    .ok_or_else(half)?
            }
            _ => return Err(broken(start)),
        })
    }
}

/// The text of a value without the blanks between its parts.
pub fn compact(raw: &str) -> Cow<'_, str> {
    let blank = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    if !raw.bytes().any(blank) {
        return Cow::Borrowed(raw);
    }
    let (mut compact, mut quoted, mut escaped) = (String::with_capacity(raw.len()), false, false);
    for character in raw.chars() {
        if quoted {
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character.is_ascii() && blank(character as u8) {
            continue;
        } else {
            quoted = character == '"';
        }
        compact.push(character);
    }
    Cow::Owned(compact)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn raw(text: &str) -> Result<&str, Broken> {
        let mut reader = Reader::new(text);
        let value = reader.raw()?;
        reader.end().map(|()| value)
    }

    #[test]
    fn values_are_read_completely_and_unchanged() {
        for text in [
            "null",
            "-0",
            "1.10",
            "1e400",
            "-12.5E-3",
            "123456789012345678901234567890",
            "NaN",
            "-Infinity",
            r#""a\"b\\\u00fc\ud83e\udd80""#,
            "[]",
            "{}",
            r#"[1, [2,{"a" : [{}]}], "x]"]"#,
            r#"{"a":1,"b":{"c":[]}}"#,
        ] {
            assert_eq!(raw(&format!(" {text}\n")).unwrap(), text);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(raw(&deep).unwrap(), deep);
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in [
            "",
            "nul",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\n\"",
            "[1,]",
            "[1 2]",
            "[,1]",
            "[1",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1",
            "1 2",
            "tru",
            "\"\\u12\"",
            "{\"a\":}",
            "]",
            "nan",
        ] {
            assert!(raw(text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_are_decoded() {
        let mut reader = Reader::new(r#""é\n\u0000\ud83e\udd80\/""#);
        assert_eq!(reader.token().unwrap(), Token::Text("é\n\0🦀/".into()));
        assert_eq!(compact(" {\"a b\\\" \" : [ 1 ,\n2 ] }"), "{\"a b\\\" \":[1,2]}");
    }
}
