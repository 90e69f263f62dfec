//! Reads exactly what DuckDB's reader would change: examines the values first, then decides for each leaf.

use std::rc::Rc;

use osiris_sdk::sql::{self, quote_name};
use osiris_sdk::{Batch, Error, Field, Output, RawBatch, Result, Schema, TableWriter, context};

use crate::footer::Reading;
use crate::schema::{Column, Risk};
use crate::{Nanoseconds, leaves, value};

impl Risk {
    /// How its values are read for the examination.
    pub fn looked_at(self) -> Reading {
        match self {
            Risk::Decimal { .. } => Reading::Bytes,
            Risk::Instant | Risk::TimeOfDay => Reading::Local,
            Risk::Int96 => Reading::TwelveBytes,
        }
    }
}

/// The result of examining the values of a leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many values DuckDB's type cannot hold.
    pub count: u64,
    /// The first of them, with its row unless it is nested.
    pub first: Option<(Option<u64>, String)>,
    /// The first value that no type available to the driver can hold.
    pub beyond: Option<String>,
}

impl Finding {
    /// Adds what the same leaf contains in another file.
    pub fn join(&mut self, other: &Self) {
        self.count += other.count;
        self.first = self.first.take().or_else(|| other.first.clone());
        self.beyond = self.beyond.take().or_else(|| other.beyond.clone());
    }

    fn add(&mut self, row: Option<u64>, text: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(|| (row, text()));
    }
}

/// Examines all values of the leaves at risk in `columns`, which `select` reads from a copy with a rewritten footer.
///
/// # Errors
/// DuckDB's error, and `data` for a column whose leaves cannot be distinguished.
pub fn look(select: &str, columns: &[&Column], risks: &[Option<Risk>]) -> Result<Vec<Finding>> {
    let mut findings = vec![Finding::default(); risks.len()];
    let reader = sql::query(select)?;
    let places = matched(reader.schema(), columns)?;
    let mut before = 0;
    for batch in reader {
        let batch = batch?;
        for &(leaf, place) in &places {
            let Some(risk) = risks[leaf] else { continue };
            let field = &batch.schema().fields()[place];
            let node = &batch.raw().nodes[place];
            let is_column = node.length == batch.rows() as u32
                && batch.schema().columns().any(|column| std::ptr::eq(column, field));
            let row = |at: usize| is_column.then_some(before + at as u64 + 1);
            let finding = &mut findings[leaf];
            match risk {
                Risk::Decimal { scale, .. } => {
                    for (at, bytes) in leaves::bytes(field, node)?.enumerate() {
                        if let Some(bytes) = bytes.filter(|bytes| scale > 38 || !value::is_narrow(bytes)) {
                            finding.add(row(at), || value::decimal_text(bytes, scale));
                        }
                    }
                }
                Risk::Instant | Risk::TimeOfDay => {
                    for (at, found) in leaves::numbers(node).enumerate() {
                        if let Some(found) = found.filter(|found| found % 1000 != 0 && !is_infinite(*found)) {
                            finding.add(row(at), || moment(risk, found));
                        }
                    }
                }
                Risk::Int96 => {
                    for (at, bytes) in leaves::bytes(field, node)?.enumerate() {
                        let Some((days, nanoseconds)) = bytes.and_then(value::int96) else { continue };
                        let text = || value::timestamp_text(days, nanoseconds);
                        if !value::in_range(days, nanoseconds) {
                            finding.beyond.get_or_insert_with(text);
                        } else if nanoseconds % 1000 != 0 {
                            finding.add(row(at), text);
                            if value::nanoseconds(days, nanoseconds).is_none() {
                                finding.beyond.get_or_insert_with(text);
                            }
                        }
                    }
                }
            }
        }
        before += batch.rows() as u64;
    }
    Ok(findings)
}

fn is_infinite(nanoseconds: i64) -> bool {
    nanoseconds == i64::MAX || nanoseconds == -i64::MAX
}

fn moment(risk: Risk, nanoseconds: i64) -> String {
    if risk == Risk::TimeOfDay { value::time_text(nanoseconds) } else { value::timestamp_text(0, nanoseconds) }
}

/// Each leaf of the columns, by its number in the file's schema, with its place in the read columns.
fn matched(schema: &Schema, columns: &[&Column]) -> Result<Vec<(usize, usize)>> {
    let mut all = Vec::new();
    for (number, column) in columns.iter().enumerate() {
        let places = leaves::places(schema, number);
        if places.len() != column.leaves.len() {
            return Err(Error::data(format!(
                "column `{}` ({}) holds values that DuckDB would change, in a nesting that this driver does not take \
                 apart; leave it out with `columns`",
                column.name, column.kind
            )));
        }
        all.extend(column.leaves.clone().zip(places));
    }
    Ok(all)
}

/// How a leaf is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// DuckDB's reader reads it exactly.
    AsIs,
    /// DuckDB's reader reads it exactly if the footer declares another type.
    Declared(Reading),
    /// The driver converts the decimal's bytes to text.
    Text { scale: u32 },
    /// The driver converts an INT96 to a TIMESTAMP_NS.
    Nanoseconds,
}

impl Decision {
    /// The type in the footer that this leaf needs.
    pub fn reading(self) -> Option<Reading> {
        match self {
            Decision::AsIs => None,
            Decision::Declared(reading) => Some(reading),
            Decision::Text { .. } => Some(Reading::Bytes),
            Decision::Nanoseconds => Some(Reading::TwelveBytes),
        }
    }

    pub fn is_made_by_the_driver(self) -> bool {
        matches!(self, Decision::Text { .. } | Decision::Nanoseconds)
    }
}

/// Decides by the findings. Truncated values and values that become text are reported.
///
/// # Errors
/// `data`, naming column, type, row and value, for a loss that was not requested.
pub fn decide(column: &Column, risk: Risk, finding: &Finding, wish: Nanoseconds) -> Result<Decision> {
    let (name, described) = (column.name.as_str(), risk.described());
    if let Risk::Decimal { scale, .. } = risk {
        if finding.count == 0 && scale <= 38 {
            return Ok(Decision::Declared(Reading::Narrow));
        }
        context::warn(
            &format!(
                "column `{name}` is {described}, which has more digits than DuckDB's DECIMAL(38): it is read as text"
            ),
            &[("column", &name), ("count", &finding.count)],
        );
        return Ok(Decision::Text { scale });
    }
    if let Some(beyond) = finding.beyond.as_ref().filter(|_| finding.count == 0 || wish == Nanoseconds::Keep) {
        return Err(Error::data(format!(
            "column `{name}` ({described}) holds {beyond}, which is beyond the range of DuckDB's timestamps"
        )));
    }
    let Some((row, first)) = &finding.first else { return Ok(Decision::AsIs) };
    match (wish, risk) {
        (Nanoseconds::Refuse, _) => {
            let place = row.map_or_else(|| "a nested value".to_owned(), |row| format!("row {row}"));
            Err(Error::data(format!(
                "column `{name}` ({described}): {place} holds {first}, whose nanoseconds DuckDB's type with microseconds \
                 cannot hold ({} such values). `nanoseconds: keep` reads the column as TIMESTAMP_NS or TIME_NS in UTC, \
                 without a time zone; `nanoseconds: cut` cuts them off",
                finding.count
            )))
        }
        (Nanoseconds::Cut, _) => {
            context::warn(
                &format!("column `{name}` ({described}): nanoseconds were cut off"),
                &[("column", &name), ("count", &finding.count)],
            );
            Ok(Decision::AsIs)
        }
        (Nanoseconds::Keep, Risk::Int96) => Ok(Decision::Nanoseconds),
        (Nanoseconds::Keep, _) => {
            context::warn(
                &format!("column `{name}` ({described}) is read in UTC, without a time zone, to keep its nanoseconds"),
                &[("column", &name), ("count", &finding.count)],
            );
            Ok(Decision::Declared(Reading::Local))
        }
    }
}

/// The rows of one file.
pub struct Source<'a> {
    pub file: &'a str,
    pub select: String,
    /// The file's columns, which are the first ones of `select`.
    pub columns: Vec<&'a Column>,
    pub decisions: &'a [Decision],
}

/// Reads the sources and writes the table `main`, replacing those leaves that the driver converts itself.
///
/// # Errors
/// The errors of DuckDB and of the host; `data` for a file in which a column has another type than in the first one.
pub fn write(output: &Output, sources: &[Source<'_>]) -> Result<()> {
    let mut table: Option<(Rc<Schema>, TableWriter)> = None;
    for source in sources {
        let mut reader = sql::query(&source.select)?;
        let places: Vec<(usize, Decision)> = matched(reader.schema(), &source.columns)?
            .into_iter()
            .map(|(leaf, place)| (place, source.decisions[leaf]))
            .collect();
        let mut fields = reader.schema().fields().to_vec();
        for (place, decision) in places.iter().filter(|(_, decision)| decision.is_made_by_the_driver()) {
            let format = if *decision == Decision::Nanoseconds { "tsn:" } else { "u" };
            format.clone_into(&mut fields[*place].format);
            fields[*place].metadata.clear();
        }
        let (schema, writer) = match &mut table {
            Some((schema, writer)) => {
                if let Some(field) = first_other(schema.fields(), &fields) {
                    let (file, first) = (source.file, sources[0].file);
                    return Err(Error::data(format!(
                        "`{file}` has another type in column `{field}` than `{first}`, and values that only this driver \
                         converts; read it in a step of its own"
                    )));
                }
                (Rc::clone(schema), writer)
            }
            None => {
                let schema = Rc::new(Schema::new(fields));
                let writer = output.create_table("main", &schema)?;
                let (_, writer) = table.insert((Rc::clone(&schema), writer));
                (schema, writer)
            }
        };
        while let Some(batch) = reader.next_batch()? {
            writer.append(&exchanged(&batch, &schema, &places)?)?;
        }
    }
    if let Some((_, writer)) = table {
        writer.finish()?;
    }
    Ok(())
}

/// The name of the first field that differs.
fn first_other(expected: &[Field], found: &[Field]) -> Option<String> {
    let same = |one: &Field, other: &Field| {
        (&one.name, &one.format, one.children, &one.metadata)
            == (&other.name, &other.format, other.children, &other.metadata)
    };
    let other = found.iter().zip(expected).find(|(found, expected)| !same(found, expected));
    let longer = || found.get(expected.len()).or_else(|| expected.get(found.len()));
    other.map(|(found, _)| found).or_else(longer).map(|field| field.name.clone())
}

fn exchanged(batch: &Batch, schema: &Rc<Schema>, places: &[(usize, Decision)]) -> Result<Batch> {
    let mut nodes = batch.raw().nodes.clone();
    for &(place, decision) in places {
        let field = &batch.schema().fields()[place];
        let node = &batch.raw().nodes[place];
        match decision {
            Decision::Text { scale } => {
                let values = leaves::bytes(field, node)?;
                nodes[place] =
                    leaves::text(node, values.map(|bytes| bytes.map(|bytes| value::decimal_text(bytes, scale))));
            }
            Decision::Nanoseconds => {
                let whole = |bytes: &[u8]| value::int96(bytes).and_then(|(days, rest)| value::nanoseconds(days, rest));
                let values = leaves::bytes(field, node)?;
                nodes[place] = leaves::of_numbers(node, values.map(|bytes| bytes.and_then(whole)));
            }
            _ => {}
        }
    }
    Ok(Batch::new(Rc::clone(schema), RawBatch { rows: batch.raw().rows, nodes }))
}

/// A SELECT of the columns unchanged.
pub fn select(columns: &[&Column], from: &str, limit: &str) -> String {
    let names: Vec<String> = columns.iter().map(|column| quote_name(&column.name)).collect();
    format!("select {} from {from}{limit}", names.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn column() -> Column {
        Column { own_name: "at".into(), name: "at".into(), kind: "TIMESTAMP".into(), leaves: 0..1, only_nulls: false }
    }

    #[test]
    fn a_loss_is_refused_by_name() {
        let finding = Finding { count: 2, first: Some((Some(3), "x.5".into())), beyond: None };
        let error = decide(&column(), Risk::Instant, &finding, Nanoseconds::Refuse).unwrap_err().message;
        assert!(
            error.starts_with("column `at` (timestamp(ns, UTC)): row 3 holds x.5")
                && error.contains("nanoseconds: cut")
        );
        let harmless = decide(&column(), Risk::Instant, &Finding::default(), Nanoseconds::Refuse).unwrap();
        assert_eq!(harmless, Decision::AsIs);
        let narrow =
            decide(&column(), Risk::Decimal { precision: 50, scale: 2 }, &Finding::default(), Nanoseconds::Refuse);
        assert_eq!(narrow.unwrap(), Decision::Declared(Reading::Narrow));
        let kept = decide(&column(), Risk::Int96, &finding, Nanoseconds::Keep).unwrap();
        assert_eq!(kept, Decision::Nanoseconds);
        let beyond = Finding { beyond: Some("year 999999".into()), ..Finding::default() };
        assert!(decide(&column(), Risk::Int96, &beyond, Nanoseconds::Cut).unwrap_err().message.contains("year 999999"));
    }
}
