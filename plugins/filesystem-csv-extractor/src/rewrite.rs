//! Rewrites a file's rows for DuckDB, if it cannot read them unchanged: without header, comments and bad lines, and
//! with one kind of line end. Any error in a line is found here, with the line's number.

use input_files::InputFile;
use osiris_sdk::{Error, Result, context, files};

use crate::layout::Layout;
use crate::options::{Config, OnBadLines};
use crate::records::{Fault, Record, Value};

/// How many bytes are collected before they are written.
const WRITE_BYTES: usize = 4 << 20;

/// How many lines a warning names.
const NAMED_LINES: usize = 5;

/// The rows of a file in a form that DuckDB's strict reader accepts.
pub struct Rewritten {
    temporary: files::Temporary,
    /// The longest row.
    pub longest: u64,
}

impl Rewritten {
    pub fn literal(&self) -> String {
        self.temporary.sql_literal()
    }
}

struct Rewriting<'a> {
    config: &'a Config,
    layout: &'a Layout,
    file: &'a str,
    temporary: files::Temporary,
    gathered: Vec<u8>,
    line: u64,
    longest: u64,
    written: u64,
    skipped: u64,
    skipped_lines: Vec<u64>,
}

/// Rewrites the rows of `file`.
///
/// # Errors
/// `data` for the first line that is not a row, unless such lines are skipped, and for bytes that cannot be decoded.
pub fn rewrite(config: &Config, layout: &Layout, file: &InputFile) -> Result<Rewritten> {
    let mut rewriting = Rewriting {
        config,
        layout,
        file: file.name(),
        temporary: files::create_temporary()?,
        gathered: Vec::new(),
        line: layout.body_line,
        longest: 0,
        written: 0,
        skipped: 0,
        skipped_lines: Vec::new(),
    };
    let mut text = file.text()?;
    let (mut buffer, mut before, mut wanted) = (Vec::new(), layout.body, 0);
    loop {
        let ended = match text.next_chunk()? {
            Some(chunk) => {
                let skipped = chunk.len().min(before);
                before -= skipped;
                buffer.extend_from_slice(&chunk[skipped..]);
                false
            }
            None => true,
        };
        if buffer.len() < wanted && !ended {
            continue;
        }
        let used = rewriting.rows(&buffer, ended)?;
        if rewriting.has_enough() {
            return rewriting.finish();
        }
        buffer.drain(..used);
        rewriting.check_length(buffer.len() as u64)?;
        // An incomplete row is only examined again once the buffer has doubled.
        wanted = buffer.len() * 2;
        if ended {
            return rewriting.finish();
        }
    }
}

impl Rewriting<'_> {
    /// Rewrites the complete rows of a text; returns their length.
    fn rows(&mut self, text: &[u8], ended: bool) -> Result<usize> {
        let (mut at, mut values) = (0, Vec::new());
        while at < text.len() && !self.has_enough() {
            let Some(record) = self.layout.dialect.record(text, at, ended, &mut values) else { break };
            self.row(text, at, &record, &values)?;
            self.line += record.lines;
            at = record.next;
        }
        Ok(at)
    }

    fn row(&mut self, text: &[u8], start: usize, record: &Record, values: &[Value]) -> Result<()> {
        let content = &text[record.content.clone()];
        let one_column = self.layout.names.len() == 1;
        if content.is_empty() {
            let comment =
                self.layout.dialect.comment.is_some() && text.get(start).copied() == self.layout.dialect.comment;
            if !one_column || comment || self.config.skip_blank_lines == Some(true) {
                return Ok(());
            }
        }
        self.check_length(content.len() as u64)?;
        if !self.layout.fits(record, values) {
            return self.bad(content, record, values);
        }
        self.longest = self.longest.max(content.len() as u64);
        self.written += 1;
        self.gathered.extend_from_slice(content);
        self.gathered.push(b'\n');
        if self.gathered.len() >= WRITE_BYTES {
            self.temporary.write(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }

    /// Whether there are as many rows as the config requests; anything after them is not examined.
    fn has_enough(&self) -> bool {
        self.config.files.limit.is_some_and(|limit| self.written >= limit)
    }

    fn check_length(&self, length: u64) -> Result<()> {
        let most = self.config.max_line_bytes;
        if length <= most {
            return Ok(());
        }
        Err(self
            .error(format!("is longer than {most} bytes: raise `max_line_bytes`, or look for a quote that never ends")))
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::data(format!("line {} of `{}` {what}", self.line + 1, self.file))
    }

    fn bad(&mut self, content: &[u8], record: &Record, values: &[Value]) -> Result<()> {
        if record.fault == Some(Fault::Unterminated) {
            return Err(self.error(format_args!(
                "has a quoted value that never ends: {}; see `quote` and `escape`",
                shown(content)
            )));
        }
        if self.config.on_bad_lines == OnBadLines::Skip {
            self.skipped += 1;
            if self.skipped_lines.len() < NAMED_LINES {
                self.skipped_lines.push(self.line + 1);
            }
            return Ok(());
        }
        let remedy = "`on_bad_lines: skip` leaves such lines out, and counts them";
        Err(match record.fault {
            Some(_) => self.error(format_args!(
                "has something behind the quote that ends a value: {}; see `quote` and `escape`, or {remedy}",
                shown(content)
            )),
            None => self.error(format_args!(
                "has {}, where the first line has {}: {}; see `delimiter` and `quote`, or {remedy}",
                counted(values.len()),
                self.layout.names.len(),
                shown(content)
            )),
        })
    }

    fn finish(self) -> Result<Rewritten> {
        self.temporary.write(&self.gathered)?;
        if self.skipped > 0 {
            let lines: Vec<String> = self.skipped_lines.iter().map(u64::to_string).collect();
            let more = if self.skipped > lines.len() as u64 { ", …" } else { "" };
            let lines = format!("{}{more}", lines.join(", "));
            let message = format!(
                "{} of `{}` {} left out by `on_bad_lines: skip`, since they are no rows: {lines}",
                plural(self.skipped, "line"),
                self.file,
                were(self.skipped),
            );
            context::warn(&message, &[("count", &self.skipped), ("lines", &lines)]);
        }
        context::metric("lines_skipped", self.skipped as f64);
        Ok(Rewritten { temporary: self.temporary, longest: self.longest })
    }
}

fn counted(values: usize) -> String {
    plural(values as u64, "value")
}

/// The verb form for a number of things.
pub fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// A number and what it counts.
pub fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The first characters of a text.
pub fn shown(text: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * MOST)]);
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{}`", shown.replace(['\n', '\r'], " "))
}
