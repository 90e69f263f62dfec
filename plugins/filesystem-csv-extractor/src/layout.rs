//! A file's layout, from its first bytes: the delimiter, the header, and the first rows.

use osiris_sdk::{Error, Names, Result, context};

use crate::kinds::Evidence;
use crate::options::{Config, Header, OnBadLines};
use crate::records::{Dialect, End, Fault, Record, Value};

/// A file's layout.
#[derive(Debug)]
pub struct Layout {
    pub dialect: Dialect,
    /// The columns' names, which are unique.
    pub names: Vec<String>,
    /// Whether DuckDB can read the file unchanged, and if so whether its first line is a header.
    pub direct: Option<bool>,
    /// The bytes and lines before the first row.
    pub body: usize,
    pub body_line: u64,
    /// What the first rows show about each column.
    pub sample: Vec<Evidence>,
}

impl Layout {
    /// Examines the first bytes of the text of `file`, which are all of it if it `ended`.
    ///
    /// # Errors
    /// `data` for a text without a header, or whose header does not end.
    pub fn of(config: &Config, file: &str, head: &[u8], ended: bool) -> Result<Self> {
        let (mut start, mut line) = skip_lines(head, config.skip_rows);
        let hint = delimiter_hint(config, &head[start..]);
        if let Some((_, length)) = hint {
            (start, line) = (start + length, line + 1);
        }
        let mut dialect = Dialect {
            delimiter: Vec::new(),
            quote: config.quote.bytes().next(),
            escape: config.escape.as_deref().map_or(config.quote.bytes().next(), |escape| escape.bytes().next()),
            comment: config.comment.as_ref().and_then(|comment| comment.bytes().next()),
        };
        dialect.delimiter = match hint {
            Some((delimiter, _)) => vec![delimiter],
            None => delimiter(config, file, &dialect, (head, ended), start).into_bytes(),
        };
        let has_header = has_header(config);
        let first = first_line(config, file, &dialect, (head, ended), (start, line))?;
        if let (true, Some(fault)) = (has_header, first.record.fault) {
            return Err(broken_header(file, first.line + 1, fault));
        }
        let count = first.values.len();
        let names = if has_header {
            let header: Vec<String> = first.values.iter().map(|value| dialect.text(head, value).into_owned()).collect();
            unique(file, &header)
        } else {
            (0..count).map(|place| numbered(place, count)).collect()
        };
        let (body, body_line) = match has_header {
            true => (first.record.next, first.line + first.record.lines),
            false => (first.at, first.line),
        };
        let plain = (first.at, first.line, dialect.comment) == (0, 0, None)
            && first.record.lines == 1
            && first.record.fault.is_none()
            && config.on_bad_lines == OnBadLines::Error
            && !(config.skip_blank_lines == Some(true) && count == 1);
        let mut layout =
            Self { dialect, names, direct: plain.then_some(has_header), body, body_line, sample: Vec::new() };
        layout.look(config, head, ended, first.record.end);
        Ok(layout)
    }

    /// Examines the first rows as a sample, and determines whether all their lines end in the same way.
    fn look(&mut self, config: &Config, head: &[u8], ended: bool, end: End) {
        let booleans = config.booleans();
        let numbers = config.numbers();
        self.sample = vec![Evidence::default(); self.names.len()];
        let rows = u64::try_from(config.infer_rows).unwrap_or(0).min(config.files.limit.unwrap_or(u64::MAX));
        let (mut at, mut row, mut values) = (self.body, 0, Vec::new());
        while at < head.len() {
            let Some(record) = self.dialect.record(head, at, ended, &mut values) else { break };
            if record.end != end && record.end != End::None {
                self.direct = None;
            }
            at = record.next;
            let whole = record.fault.is_none() && (values.len() == self.names.len());
            if !whole || row >= rows {
                // DuckDB's own error is used for such a line.
                if row >= rows && self.direct.is_none() {
                    break;
                }
                continue;
            }
            row += 1;
            for (evidence, value) in self.sample.iter_mut().zip(&values) {
                let text = self.dialect.text(head, value);
                if !is_null(config, value, &text) {
                    evidence.add(&text, numbers.plain(&text).as_deref(), &booleans);
                }
            }
        }
    }

    /// Whether a record is a row with this many values.
    pub fn fits(&self, record: &Record, values: &[Value]) -> bool {
        // One extra empty value is a delimiter at the line's end.
        let spare = values.len() == self.names.len() + 1
            && values.last().is_some_and(|value| value.place.is_empty() && !value.quoted);
        record.fault.is_none() && (values.len() == self.names.len() || spare)
    }
}

fn has_header(config: &Config) -> bool {
    !matches!(config.header, None | Some(Header::There(false)))
}

/// The header, or the first row of a file without one.
struct FirstLine {
    record: Record,
    values: Vec<Value>,
    /// The bytes and lines before it.
    at: usize,
    line: u64,
}

/// Finds the header, or the first row, starting at a number of bytes and lines.
///
/// # Errors
/// `data` for a text without a header, or whose header does not end.
fn first_line(
    config: &Config,
    file: &str,
    dialect: &Dialect,
    (head, ended): (&[u8], bool),
    (mut at, mut line): (usize, u64),
) -> Result<FirstLine> {
    let mut values = Vec::new();
    let mut left = match config.header {
        Some(Header::At(place)) => place,
        _ => 0,
    };
    loop {
        let record = dialect.record(head, at, ended, &mut values).ok_or_else(|| {
            Error::data(format!(
                "the first line of `{file}` does not end within {} bytes; see `quote` and `delimiter`",
                head.len()
            ))
        })?;
        let commented = record.is_blank() && dialect.comment.is_some();
        let empty = record.is_blank() && (has_header(config) || record.next < head.len());
        if !commented && !empty {
            if left == 0 {
                return Ok(FirstLine { record, values, at, line });
            }
            left -= 1;
        }
        if record.next >= head.len() {
            return Err(Error::data(format!("`{file}` has no header: it is empty, but for blank lines")));
        }
        line += record.lines;
        at = record.next;
    }
}

fn is_null(config: &Config, value: &Value, text: &str) -> bool {
    (config.quoted_na || !value.quoted) && config.na_values.iter().any(|null| null == text)
}

fn broken_header(file: &str, line: u64, fault: Fault) -> Error {
    let what = match fault {
        Fault::Unterminated => "has a quoted name that never ends",
        Fault::AfterQuote => "has something behind the quote that ends a name",
    };
    Error::data(format!("line {line} of `{file}` {what}; see `delimiter`, `quote` and `escape`"))
}

/// The position in the text after this many lines.
fn skip_lines(head: &[u8], count: u64) -> (usize, u64) {
    let (mut at, mut lines) = (0, 0);
    while lines < count && at < head.len() {
        match head[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(end) => {
                at += end + 1;
                at += usize::from(head[at - 1] == b'\r' && head.get(at) == Some(&b'\n'));
            }
            None => at = head.len(),
        }
        lines += 1;
    }
    (at, lines)
}

/// The delimiter that a first line such as `sep=;` names, which Excel reads and writes, and that line's length; `None`
/// if the config requires another delimiter.
fn delimiter_hint(config: &Config, head: &[u8]) -> Option<(u8, usize)> {
    let end = head.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let line = &head[..end];
    let bare = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let (name, [delimiter]) = bare.split_at_checked(4)? else { return None };
    let wanted = config.wanted_delimiter();
    if !name.eq_ignore_ascii_case(b"sep=") || wanted.is_some_and(|wanted| wanted.as_bytes() != [*delimiter]) {
        return None;
    }
    let crlf = head[end] == b'\r' && head.get(end + 1) == Some(&b'\n');
    Some((*delimiter, end + 1 + usize::from(crlf)))
}

/// The delimiter: the config's, or that of the first line that is neither blank nor a comment.
fn delimiter(config: &Config, file: &str, dialect: &Dialect, (head, ended): (&[u8], bool), start: usize) -> String {
    if let Some(wanted) = config.wanted_delimiter() {
        return wanted;
    }
    let decimal = config.decimal.as_str();
    let counted = |delimiter: &str| {
        let dialect = Dialect { delimiter: delimiter.as_bytes().to_vec(), ..dialect.clone() };
        let (mut at, mut values) = (start, Vec::new());
        loop {
            let Some(record) = dialect.record(head, at, ended, &mut values) else { return 0 };
            if !record.is_blank() || record.next >= head.len() {
                // A misplaced quote suggests that it is part of a value, and that the delimiter is a different one.
                return if record.fault.is_some() { 0 } else { values.len() - 1 };
            }
            at = record.next;
        }
    };
    if decimal != "," && counted(",") > 0 {
        return ",".to_owned();
    }
    let found = [";", "\t", "|"].map(|delimiter| (counted(delimiter), delimiter));
    let Some((_, delimiter)) = found.into_iter().filter(|(count, _)| *count > 0).rev().max_by_key(|(count, _)| *count)
    else {
        return ",".to_owned();
    };
    let shown = if delimiter == "\t" { "\\t" } else { delimiter };
    context::info(
        "the first line has no comma: its values are delimited by another character",
        &[("delimiter", &shown), ("file", &file)],
    );
    delimiter.to_owned()
}

/// A name for a column without one, numbered like DuckDB's.
fn numbered(place: usize, count: usize) -> String {
    let width = (count - 1).to_string().len();
    format!("column{place:0width$}")
}

/// The header's names, made unique: DuckDB's tables ignore the case of names.
fn unique(file: &str, header: &[String]) -> Vec<String> {
    let mut free = Names::new(1);
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    let mut renamed = Vec::new();
    for (place, name) in header.iter().enumerate() {
        let given = free.free(name, &numbered(place, header.len()));
        if given != *name {
            renamed.push(format!("column {} `{name}` is `{given}`", place + 1));
        }
        names.push(given);
    }
    if !renamed.is_empty() {
        let count = renamed.len();
        renamed.truncate(5);
        let message =
            format!("`{file}` has names in its header that are empty or stand there twice: {}", renamed.join(", "));
        context::warn(&message, &[("count", &count)]);
    }
    names
}
