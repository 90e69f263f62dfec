//! Where the parts of a YAML file are: the line and column of each key and value, and of what is inside a text. No I/O.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// A place in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    pub line: usize,
    /// In characters.
    pub column: usize,
}

/// The places of all keys and items of a document, by their paths: `steps`, `0`, `config`, `path`.
#[derive(Debug, Default)]
pub struct Places {
    /// Of each key, and of each item of a list.
    keys: BTreeMap<Vec<String>, Spot>,
    /// Of each text that is a value.
    texts: BTreeMap<Vec<String>, Text>,
}

/// A text that is a value.
#[derive(Debug)]
struct Text {
    start: Spot,
    /// As it is written, with quotes or the head of a block.
    written: String,
    style: ScalarStyle,
}

/// A mapping or list that is being read.
enum Open {
    Mapping { key: Option<String> },
    List { next: usize },
}

impl Places {
    /// The places in a text. Text that cannot be parsed has none; the parser of the document reports it.
    pub fn of(text: &str) -> Self {
        let mut places = Self::default();
        let (mut path, mut open): (Vec<String>, Vec<Open>) = (Vec::new(), Vec::new());
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            match event {
                Event::Scalar(word, style, ..) => {
                    if let Some(Open::Mapping { key: key @ None }) = open.last_mut() {
                        *key = Some(word.to_string());
                        path.push(word.into_owned());
                        places.keys.insert(path.clone(), spot(&span));
                        continue;
                    }
                    places.begin_item(&mut path, &open, &span);
                    let bytes = span.start.byte_offset().zip(span.end.byte_offset());
                    if let Some(written) = bytes.and_then(|(start, end)| text.get(start..end)) {
                        let written = Text { start: spot(&span), written: written.to_owned(), style };
                        places.texts.insert(path.clone(), written);
                    }
                    end_value(&mut path, &mut open);
                }
                Event::Alias(_) => {
                    places.begin_item(&mut path, &open, &span);
                    end_value(&mut path, &mut open);
                }
                Event::MappingStart(..) => {
                    places.begin_item(&mut path, &open, &span);
                    open.push(Open::Mapping { key: None });
                }
                Event::SequenceStart(..) => {
                    places.begin_item(&mut path, &open, &span);
                    open.push(Open::List { next: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    open.pop();
                    end_value(&mut path, &mut open);
                }
                _ => {}
            }
        }
        places
    }

    /// Notes a value of a list, whose number is its key.
    fn begin_item(&mut self, path: &mut Vec<String>, open: &[Open], span: &Span) {
        if let Some(Open::List { next }) = open.last() {
            path.push(next.to_string());
            self.keys.insert(path.clone(), spot(span));
        }
    }

    /// The place of the part at `path`, or of the nearest one around it that the document has.
    pub fn find(&self, path: &[String]) -> Option<Spot> {
        (1..=path.len()).rev().find_map(|length| self.keys.get(&path[..length])).copied()
    }

    /// The first place of a line.
    pub fn on_line(&self, line: u64) -> Option<Spot> {
        self.keys.values().filter(|spot| spot.line as u64 == line).min().copied()
    }

    /// The place of a character of the text at `path`, `offset` bytes from its beginning; if it cannot be told, that of the text.
    pub fn inside(&self, path: &[String], offset: usize) -> Option<Spot> {
        let Some(text) = self.texts.get(path) else { return self.find(path) };
        Some(text.spot(offset).unwrap_or(text.start))
    }
}

impl Text {
    /// The place of what is `offset` bytes from the beginning of the value.
    fn spot(&self, offset: usize) -> Option<Spot> {
        match self.style {
            // What is escaped or folded is not counted.
            ScalarStyle::Plain if !self.written.contains('\n') => self.forward(0, offset),
            ScalarStyle::SingleQuoted
                if !self.written.contains('\n') && !self.written[1..].trim_end_matches('\'').contains('\'') =>
            {
                self.forward(1, offset)
            }
            ScalarStyle::DoubleQuoted if !self.written.contains(['\n', '\\']) => self.forward(1, offset),
            ScalarStyle::Literal => self.in_block(offset),
            _ => None,
        }
    }

    /// The place of what is `offset` bytes behind the first `before` bytes of what is written, on its first line.
    fn forward(&self, before: usize, offset: usize) -> Option<Spot> {
        let column = self.written.get(..before + offset)?.chars().count();
        Some(Spot { line: self.start.line, column: self.start.column + column })
    }

    /// The place in a literal block, whose lines are indented.
    fn in_block(&self, offset: usize) -> Option<Spot> {
        let mut lines = self.written.split('\n').enumerate().skip(usize::from(self.written.starts_with('|')));
        let mut left = offset;
        let indent = self.written.split('\n').skip(1).filter(|line| !line.trim().is_empty());
        let indent = indent.map(|line| line.len() - line.trim_start_matches(' ').len()).min()?;
        lines.find_map(|(number, line)| {
            // The first line of the text may begin behind its indentation.
            let own = if number == 0 { line } else { line.get(indent..).unwrap_or_default() };
            if left <= own.len() {
                let column = own.get(..left)?.chars().count();
                let before = if number == 0 { self.start.column } else { indent + 1 };
                return Some(Spot { line: self.start.line + number, column: before + column });
            }
            left -= own.len() + 1;
            None
        })
    }
}

fn spot(span: &Span) -> Spot {
    Spot { line: span.start.line(), column: span.start.col() + 1 }
}

/// Leaves the key or number of a value that has ended.
fn end_value(path: &mut Vec<String>, open: &mut [Open]) {
    match open.last_mut() {
        None => return,
        Some(Open::Mapping { key }) => *key = None,
        Some(Open::List { next }) => *next += 1,
    }
    path.pop();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "name: x\nsteps:\n  - id: a\n    config: {path: p, \"ü\": 'q r'}\n  - id: b\n    config:\n      query: |\n        select ü,\n          nme\n        from t\n";

    fn path(path: &str) -> Vec<String> {
        path.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn keys_and_items_have_places() {
        let places = Places::of(TEXT);
        for (at, line, column) in [
            ("name", 1, 1),
            ("steps.0", 3, 5),
            ("steps.0.config.path", 4, 14),
            ("steps.0.config.ü", 4, 23),
            ("steps.1.config.query", 7, 7),
            // The nearest part that is there.
            ("steps.1.config.missing.deep", 6, 5),
        ] {
            assert_eq!(places.find(&path(at)), Some(Spot { line, column }), "{at}");
        }
        assert_eq!(places.find(&path("nowhere")), None);
        assert!(Places::of("a: [").find(&path("b")).is_none());
    }

    #[test]
    fn a_character_of_a_text_has_a_place() {
        let places = Places::of(TEXT);
        let inside = |at: &str, offset| places.inside(&path(at), offset).map(|spot| (spot.line, spot.column));
        assert_eq!(inside("steps.0.config.ü", 2), Some((4, 31)));
        let sql = "select ü,\n  nme\nfrom t\n";
        assert_eq!(inside("steps.1.config.query", sql.find("nme").unwrap()), Some((9, 11)));
        assert_eq!(inside("steps.1.config.query", sql.find("from").unwrap()), Some((10, 9)));
        // An escape: the text as a whole.
        let places = Places::of("a: \"x\\ny\"");
        assert_eq!(places.inside(&path("a"), 2), Some(Spot { line: 1, column: 4 }));
    }
}
