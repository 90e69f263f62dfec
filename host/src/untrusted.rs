//! Text from a stranger (a driver, its spec, a server, or data), and how it is shown to people.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Untrusted text. Its `Display` is a single line in which nothing controls a terminal, reorders what follows or is
/// invisible: newlines and control characters are shown as escapes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// The raw text: for programs and further checks, not for people.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The text with its lines, each made harmless; all but the first are indented, so that none can pass for a line of
    /// Osiris's own.
    pub fn paragraph(&self) -> String {
        paragraph(&self.0)
    }
}

impl<T: Into<String>> From<T> for Untrusted {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&line(&self.0))
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", line(&self.0))
    }
}

/// One line of harmless text.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, harms, |c, out| out.extend(shown(c)))
}

/// Harmless text that keeps its lines; all but the first are indented.
pub fn paragraph(text: &str) -> String {
    lines(text.trim_end()).replace('\n', "\n    ")
}

/// Harmless text that keeps its lines unindented: for Osiris's own text that may quote untrusted text.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && harms(c), |c, out| out.extend(shown(c)))
}

/// A harmless JSON text with the same meaning and the same number of lines: harmful characters only occur inside its
/// strings, and are written as `\u` escapes there.
pub fn json(text: &str) -> Cow<'_, str> {
    let spell = |c: char, out: &mut String| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    };
    escaped(text, |c| !matches!(c, '\n' | '\t') && harms(c), spell)
}

fn escaped(text: &str, harms: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&harms) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if harms(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn shown(c: char) -> Box<dyn Iterator<Item = char>> {
    match c {
        // A tab would look like a gap in a table or a line.
        '\t' => Box::new(std::iter::once(' ')),
        '\n' | '\r' => Box::new(c.escape_default()),
        other => Box::new(other.escape_unicode()),
    }
}

/// Whether a character does more than appear in its line: control characters (C0, C1), line and paragraph separators,
/// marks that reorder text (Unicode UAX 9), and characters that are invisible and have no meaning in a line.
fn harms(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_controls_nothing_and_is_one_line() {
        for (text, expected) in [
            ("größer als 1", "größer als 1"),
            ("\u{1b}[2Jx\r\u{9b}1m", r"\u{1b}[2Jx\r\u{9b}1m"),
            ("failed\nerror: all is lost", r"failed\nerror: all is lost"),
            ("a\u{202e}b\u{2066}c\u{200f}", r"a\u{202e}b\u{2066}c\u{200f}"),
            ("a\u{2028}b\u{2029}c\u{85}d", r"a\u{2028}b\u{2029}c\u{85}d"),
            ("a\tb", "a b"),
            ("e\u{e0041}\u{feff}", r"e\u{e0041}\u{feff}"),
            ("👩\u{200d}🚀", "👩\u{200d}🚀"),
        ] {
            assert_eq!(Untrusted::from(text).to_string(), expected);
        }
        assert_eq!(format!("{:>4}|{:<4}|", Untrusted::from("a"), Untrusted::from("b")), "   a|b   |");
    }

    #[test]
    fn a_paragraph_keeps_its_lines_and_none_passes_for_another() {
        let text = Untrusted::from("failed\nerror: all is lost\r\n\u{1b}x\n\n");
        assert_eq!(text.paragraph(), "failed\n    error: all is lost\\r\n    \\u{1b}x");
        assert_eq!(text.raw().lines().count(), 4);
    }

    #[test]
    fn harmless_json_means_the_same() -> Result<(), serde_json::Error> {
        let value = serde_json::json!({"a\u{202e}": ["\u{1b}\u{85}\u{2028}\u{e0041}\n", 1]});
        for text in [value.to_string(), serde_json::to_string_pretty(&value)?] {
            let harmless = json(&text);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&harmless)?, value);
            assert!(!harmless.chars().any(|c| c != '\n' && harms(c)), "{harmless}");
        }
        Ok(())
    }
}
