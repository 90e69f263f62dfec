//! `filesystem.json_extractor`: reads JSON files twice: first for the common types of all records, then for the rows.

mod options;
mod paths;
mod records;
mod shape;
mod stream;

use input_files::{Encoding, InputFile, PathColumns, Selection};
use json_records::{Fault, Kind, Reader, Rows, Table, explain};
use osiris_sdk::{Error, Extractor, Output, Result, context};

use options::{Config, OnBadLines};
use paths::{Keys, Prefix};
use records::Records;
use shape::{Shape, WHOLE, shape};
use stream::{Chunks, SKIP_ADVICE, Stream};

struct JsonExtractor;

impl Extractor for JsonExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        config.check()?;
        let selection = Selection::new(&config.files.selection())?;
        if selection.is_empty() {
            return selection.write_nothing(&output);
        }
        let mut files = Vec::new();
        for name in &selection.names {
            files.extend(InputFile::open_all(name, config.compression, config.encoding)?);
        }
        let names: Vec<String> = files.iter().map(|file| file.name().to_owned()).collect();
        let paths = PathColumns::new(&names, &config.files.path_columns())?;
        let columns = extract(&config, &files, &paths, output)?;
        selection.remember(|| Ok(columns))
    }
}

/// The error with the name of the file.
fn named(file: &str, error: Error) -> Error {
    let message = match error.message.strip_prefix(&format!("`{file}` ")) {
        Some(_) => error.message,
        None => format!("cannot read `{file}`: {}", error.message),
    };
    Error { message, ..error }
}

/// Reads the files into the table `main`; returns its columns, by name and type.
fn extract(config: &Config, files: &[InputFile], paths: &PathColumns, output: Output) -> Result<Vec<(String, String)>> {
    let whole = config.files.path.to_string();
    let Seen { kind, records, skipped } = see_all(config, files)?;
    let Shape { members, objects } = shape(config, &kind, records, paths).map_err(|error| named(&whole, error))?;
    let columns = members.columns().iter().map(|column| (column.name.clone(), column.kind.name())).collect();
    let mut table = Table::new(output, "main");
    let mut rows = Rows::create(members, &mut table)?;
    let limit = config.files.limit.unwrap_or(u64::MAX);
    let (skip, mut misfits, mut count) = (config.on_bad_lines == OnBadLines::Skip, 0, 0);
    for (number, file) in files.iter().enumerate().filter(|_| records > 0) {
        let mut prefix = Prefix::new(paths, number);
        if count >= limit {
            break;
        }
        let read = each(config, file, |record| {
            let Some(text) = record.read(skip)? else { return Ok(Next::Skipped) };
            let pushed = if objects {
                rows.push(prefix.before(text), &mut table)?
            } else {
                rows.push(prefix.before(&format!("{{\"{WHOLE}\":{text}}}")), &mut table)?
            };
            if let Err(fault) = pushed {
                return if skip { Ok(Next::Skipped) } else { Err(record.error(config, &fault)) };
            }
            count += 1;
            if count % 100_000 == 0 {
                context::progress(count, Some(records.min(limit)));
            }
            Ok(if count >= limit { Next::End } else { Next::Taken })
        });
        misfits += read.map_err(|error| named(file.name(), error))?.1;
    }
    if records == 0 {
        misfits = skipped;
    }
    rows.finish(&mut table)?;
    if skip && config.files.limit.is_none() {
        context::metric("lines_skipped", misfits as f64);
        if misfits > 0 {
            context::warn(
                "lines were left out that are no JSON object or do not fit their types",
                &[("lines", &misfits)],
            );
        }
    }
    Ok(columns)
}

/// What all records show.
struct Seen {
    kind: Kind,
    records: u64,
    skipped: u64,
}

/// Reads the records of all files for their common type.
fn see_all(config: &Config, files: &[InputFile]) -> Result<Seen> {
    let skip = config.on_bad_lines == OnBadLines::Skip;
    let mut seen = Seen { kind: Kind::Null, records: 0, skipped: 0 };
    let mut keys = Keys::new(config.files.union_by_name || files.len() == 1);
    for file in files {
        keys.begin(&seen.kind);
        let (records, skipped) = each(config, file, |record| match record.read(skip)? {
            Some(text) => match see(&mut seen.kind, text, config) {
                Ok(()) => Ok(Next::Taken),
                Err(_) if skip => Ok(Next::Skipped),
                Err(fault) => Err(record.error(config, &fault)),
            },
            None => Ok(Next::Skipped),
        })
        .map_err(|error| named(file.name(), error))?;
        keys.end(file.name(), &seen.kind, records)?;
        (seen.records, seen.skipped) = (seen.records + records, seen.skipped + skipped);
    }
    Ok(seen)
}

/// Widens the kind of all records so that it can hold one more. A null is a record without values.
fn see(kind: &mut Kind, text: &str, config: &Config) -> Result<(), Fault> {
    let mut reader = Reader::new(text);
    kind.see(&mut reader, config.depth())?;
    Ok(reader.end()?)
}

/// One record of the file.
struct Record<'a> {
    number: u64,
    line: u64,
    bytes: &'a [u8],
    /// Whether each line is a record.
    in_lines: bool,
}

impl Record<'_> {
    /// The record's text; `None` for a record to be skipped because it is not a JSON object.
    fn read(&self, skip: bool) -> Result<Option<&str>> {
        let text = std::str::from_utf8(self.bytes);
        if !skip {
            let wrong = |error: std::str::Utf8Error| {
                Error::data(format!("{} is not valid UTF-8 from byte {} on", self.name(), error.valid_up_to() + 1))
            };
            return text.map(Some).map_err(wrong);
        }
        let Ok(text) = text else { return Ok(None) };
        let mut reader = Reader::new(text);
        let good = reader.peek() == Some(b'{') && reader.raw().is_ok() && reader.end().is_ok();
        Ok(good.then_some(text))
    }

    fn name(&self) -> String {
        format!("record {} (line {})", self.number, self.line)
    }

    fn error(&self, config: &Config, fault: &Fault) -> Error {
        let error = explain(fault, &self.name());
        match fault {
            Fault::Broken(_) if self.in_lines && config.may_skip() => {
                Error { message: format!("{}{SKIP_ADVICE}", error.message), ..error }
            }
            _ => error,
        }
    }
}

/// The outcome of a record.
enum Next {
    Taken,
    Skipped,
    /// No more records are wanted.
    End,
}

/// Passes each record of the file to `take`; returns how many were taken and how many skipped.
fn each(config: &Config, file: &InputFile, mut take: impl FnMut(Record<'_>) -> Result<Next>) -> Result<(u64, u64)> {
    let (mut taken, mut skipped) = (0, 0);
    let mut count = |next: Next| {
        match next {
            Next::Taken => taken += 1,
            Next::Skipped => skipped += 1,
            Next::End => return false,
        }
        true
    };
    if config.on_bad_lines == OnBadLines::Skip {
        let mut lines = Stream::new(lines_of(config, file)?, config.record_bytes());
        let mut number = 0;
        loop {
            let line = lines.line;
            let Some(bytes) = lines.line()?.map(stream::without_separators) else { break };
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            number += 1;
            if !count(take(Record { number, line, bytes, in_lines: true })?) {
                break;
            }
        }
        return Ok((taken, skipped));
    }
    let stream = Stream::new(file.text()?, config.record_bytes());
    let mut records = Records::new(stream, config.format, &config.records);
    let mut number = 0;
    // The lines of an array are not separate records, so they cannot be skipped.
    let in_lines = !records.begin()?;
    if in_lines && config.may_skip() {
        records.advise_skipping();
    }
    while let Some((line, bytes)) = records.next_record()? {
        number += 1;
        if !count(take(Record { number, line, bytes, in_lines })?) {
            break;
        }
    }
    Ok((taken, skipped))
}

/// The file for reading line by line. UTF-8 is not decoded, so that an invalid line can be skipped.
fn lines_of(config: &Config, file: &InputFile) -> Result<Box<dyn Chunks>> {
    Ok(match config.encoding {
        Encoding::Utf8 => Box::new(file.content()?),
        _ => Box::new(file.text()?),
    })
}

osiris_sdk::export!(JsonExtractor: extractor);
