//! Finds the records and values of a CSV text by the rules of DuckDB's strict reader, but with any mix of line ends.

use std::borrow::Cow;
use std::ops::Range;

/// How values and lines are separated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    pub delimiter: Vec<u8>,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    pub comment: Option<u8>,
}

/// A value's position in the text: without its quotes, but with its escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub place: Range<usize>,
    pub quoted: bool,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Lf,
    CrLf,
    Cr,
    /// The text ends with this line.
    None,
}

/// An error in a record's quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A quoted value never ends.
    Unterminated,
    /// Something other than a delimiter follows a quoted value.
    AfterQuote,
}

/// One record, by its position in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record without its comment and line end.
    pub content: Range<usize>,
    /// Where the next record starts.
    pub next: usize,
    pub end: End,
    /// The number of lines in the record.
    pub lines: u64,
    pub fault: Option<Fault>,
}

impl Record {
    pub fn is_blank(&self) -> bool {
        self.content.is_empty()
    }
}

impl Dialect {
    /// The record that starts at `start`, with its values in `values`; `None` if it continues beyond the text, unless
    /// the text `ended`.
    pub fn record(&self, text: &[u8], start: usize, ended: bool, values: &mut Vec<Value>) -> Option<Record> {
        values.clear();
        let (mut at, mut lines, mut fault) = (start, 1, None);
        loop {
            let begin = at;
            while text.get(at) == Some(&b' ') && self.delimiter != b" " {
                at += 1;
            }
            let quoted = self.quote.is_some() && text.get(at).copied() == self.quote;
            if quoted {
                let (end, after) = self.quoted(text, at + 1, &mut lines);
                match end {
                    Some(end) => values.push(Value { place: at + 1..end, quoted: true }),
                    None if !ended => return None,
                    None => fault = fault.or(Some(Fault::Unterminated)),
                }
                let behind = self.unquoted(text, after);
                if text[after..behind].iter().any(|byte| *byte != b' ') {
                    fault = fault.or(Some(Fault::AfterQuote));
                }
                at = behind;
            } else {
                at = self.unquoted(text, at);
                values.push(Value { place: begin..at, quoted: false });
            }
            if at + self.delimiter.len().max(2) > text.len() && !ended {
                return None;
            }
            if !text[at..].starts_with(&self.delimiter) {
                break;
            }
            at += self.delimiter.len();
        }
        self.line_end(text, start, at, ended, lines, fault)
    }

    fn line_end(
        &self,
        text: &[u8],
        start: usize,
        content_end: usize,
        ended: bool,
        lines: u64,
        fault: Option<Fault>,
    ) -> Option<Record> {
        let mut at = content_end;
        if self.comment.is_some() && text.get(at).copied() == self.comment {
            at += text[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len() - at);
        }
        let returns = text[at..].iter().take_while(|byte| **byte == b'\r').count();
        let end = match text.get(at + returns) {
            Some(b'\n') if returns == 0 => (End::Lf, 1),
            // `\r\r\n` is one line end too: it results from converting `\n` to `\r\n` twice.
            Some(b'\n') => (End::CrLf, returns + 1),
            Some(_) if returns > 0 => (End::Cr, 1),
            Some(_) => (End::None, 0),
            None if !ended => return None,
            None if returns > 0 => (End::Cr, 1),
            None => (End::None, 0),
        };
        Some(Record { content: start..content_end, next: at + end.1, end: end.0, lines, fault })
    }

    /// Where a quoted value ends, and where the text continues after its quote.
    fn quoted(&self, text: &[u8], start: usize, lines: &mut u64) -> (Option<usize>, usize) {
        let mut at = start;
        while let Some(byte) = text.get(at).copied() {
            let next = text.get(at + 1).copied();
            if Some(byte) == self.escape && (self.escape != self.quote || next == self.quote) && next.is_some() {
                at += 2;
            } else if Some(byte) == self.quote {
                // At the very end of a chunk, a second quote may follow.
                return (Some(at), at + 1);
            } else {
                *lines += u64::from(byte == b'\n' || (byte == b'\r' && next != Some(b'\n')));
                at += 1;
            }
        }
        (None, text.len())
    }

    /// Where an unquoted value ends.
    fn unquoted(&self, text: &[u8], start: usize) -> usize {
        let first = self.delimiter.first().copied().unwrap_or(b',');
        let ends = |at: &usize| {
            let byte = text[*at];
            matches!(byte, b'\n' | b'\r')
                || (byte == first && text[*at..].starts_with(&self.delimiter))
                || Some(byte) == self.comment
        };
        (start.min(text.len())..text.len()).find(ends).unwrap_or(text.len())
    }

    /// A value as text.
    pub fn text<'t>(&self, text: &'t [u8], value: &Value) -> Cow<'t, str> {
        let raw = &text[value.place.clone()];
        match self.escape {
            Some(escape) if value.quoted && raw.contains(&escape) => {
                let mut plain = Vec::with_capacity(raw.len());
                let mut bytes = raw.iter().copied();
                while let Some(byte) = bytes.next() {
                    plain.push(if byte == escape { bytes.next().unwrap_or(byte) } else { byte });
                }
                Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
            }
            _ => String::from_utf8_lossy(raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comma() -> Dialect {
        Dialect { delimiter: b",".to_vec(), quote: Some(b'"'), escape: Some(b'"'), comment: None }
    }

    fn all(dialect: &Dialect, text: &str) -> Vec<(Vec<String>, End, Option<Fault>)> {
        let (mut at, mut records, mut values) = (0, Vec::new(), Vec::new());
        while at < text.len() {
            let record = dialect.record(text.as_bytes(), at, true, &mut values).into_iter().next();
            let Some(record) = record else { break };
            let texts = values.iter().map(|value| dialect.text(text.as_bytes(), value).into_owned()).collect();
            records.push((texts, record.end, record.fault));
            at = record.next;
        }
        records
    }

    fn words(records: &[(Vec<String>, End, Option<Fault>)]) -> Vec<String> {
        records
            .iter()
            .map(|(values, end, fault)| {
                format!("{} {end:?}{}", values.join("|"), if fault.is_some() { "!" } else { "" })
            })
            .collect()
    }

    #[test]
    fn every_line_end_ends_a_line_anywhere() {
        let text = "a,b\n1,\"x\r\ny\"\r\n2,z\r3,w\r\r\n4,v";
        assert_eq!(words(&all(&comma(), text)), ["a|b Lf", "1|x\r\ny CrLf", "2|z Cr", "3|w CrLf", "4|v None"]);
    }

    #[test]
    fn quotes_escapes_and_their_faults_are_found() {
        let text = "\"a\"\"b\",c\"d\n \"e,f\" ,\"\"\n\"g\"h,i\nj,\"k\n";
        assert_eq!(words(&all(&comma(), text)), ["a\"b|c\"d Lf", "e,f| Lf", "g|i Lf!", "j None!"]);
        let other = Dialect { delimiter: b"||".to_vec(), quote: Some(b'\''), escape: Some(b'\\'), comment: Some(b'#') };
        assert_eq!(words(&all(&other, "'a\\'b'||c|d # e\n#f\ng||'#'")), ["a'b|c|d  Lf", " Lf", "g|# None"]);
    }

    #[test]
    fn a_record_cut_off_by_a_chunk_is_incomplete() {
        let text = b"1,\"x\"\"y\",z\r\n";
        let mut values = Vec::new();
        for cut in 0..text.len() {
            assert_eq!(comma().record(&text[..cut], 0, false, &mut values), None, "{cut}");
        }
        assert!(comma().record(text, 0, false, &mut values).is_some());
    }
}
