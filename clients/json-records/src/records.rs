//! Records for a table whose types are not known yet.

use std::collections::{BTreeMap, HashMap, HashSet};

use osiris_sdk::{Error, Output, Result};
use serde_json::{Map, Value};

use crate::column_names::{column_names, shown};
use crate::declared::Type;
use crate::flatten::{self, Flatten};
use crate::hold::Hold;
use crate::kind::{Fields, Kind, Style};
use crate::members::{MAX_COLUMNS, Member, Members};
use crate::rows::{Rows, Sink, Table, explain};
use crate::text::Reader;

/// How records become columns.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The separator that joins the names of nested objects to column names; `None` makes STRUCTs of them.
    pub flatten: Option<String>,
    /// Types that the user declared, by column.
    pub dtype: BTreeMap<String, String>,
    /// The memory for records that wait for their types, in bytes.
    pub hold_bytes: u64,
}

/// Collects records and writes a table of them.
pub struct Records<S> {
    sink: S,
    flatten: Option<Flatten>,
    dtype: BTreeMap<String, Type>,
    hold_bytes: u64,
    fields: Fields,
    records: u64,
    stage: Stage,
}

enum Stage {
    /// The types may still change.
    Held(Box<Hold>),
    /// The table has been started.
    Started(Box<Rows>),
}

impl Records<()> {
    /// Collects records for the table `name` of `output`. `known` are the types that an earlier run found.
    ///
    /// # Errors
    /// `config` for a type that does not exist.
    pub fn into_table(
        output: Output,
        name: &str,
        options: &Options,
        known: Option<Kind>,
    ) -> Result<Records<impl Sink>> {
        Records::into_sink(Table::new(output, name), options, known)
    }
}

impl<S: Sink> Records<S> {
    /// Collects records for any sink.
    ///
    /// # Errors
    /// `config` for a type that does not exist.
    pub fn into_sink(sink: S, options: &Options, known: Option<Kind>) -> Result<Self> {
        let fields = match known {
            Some(Kind::Struct(fields)) => fields,
            _ => Fields::default(),
        };
        let declared = |(name, kind): (&String, &String)| {
            let kind =
                Type::parse(kind).map_err(|error| Error::from(error).context(format_args!("`dtype` of `{name}`")))?;
            Ok((name.clone(), kind))
        };
        Ok(Self {
            sink,
            flatten: options.flatten.as_deref().map(Flatten::new),
            dtype: options.dtype.iter().map(declared).collect::<Result<_>>()?,
            hold_bytes: options.hold_bytes,
            fields,
            records: 0,
            stage: Stage::Held(Box::default()),
        })
    }

    /// Adds a record. A null is a row without values; anything else that is not an object becomes an object with the
    /// single member `value`.
    ///
    /// # Errors
    /// `data` for a record that does not fit the types of a started table, or has too many members.
    pub fn push(&mut self, record: Value) -> Result<()> {
        let record = match record {
            Value::Object(record) => record,
            Value::Null => Map::new(),
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        let record = match &mut self.flatten {
            Some(flatten) => flatten.apply(record),
            None => record,
        };
        self.records += 1;
        let line = serde_json::to_string(&record)?;
        match &mut self.stage {
            Stage::Started(rows) => grow(&mut self.sink, rows, &line, self.records),
            Stage::Held(hold) => {
                self.fields
                    .see(&mut Reader::new(&line), usize::MAX)
                    .map_err(|broken| explain(&broken.into(), &format!("record {}", self.records)))?;
                if self.fields.len() > MAX_COLUMNS {
                    return Err(Error::data(format!(
                        "the records have more than {MAX_COLUMNS} columns; `flatten: false` keeps nested objects together"
                    )));
                }
                hold.push(&line)?;
                if hold.size() > self.hold_bytes { self.start() } else { Ok(()) }
            }
        }
    }

    /// How many records were pushed.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Decides the types and passes the held records to the sink.
    fn start(&mut self) -> Result<()> {
        let Stage::Held(hold) = &mut self.stage else { return Ok(()) };
        let hold = std::mem::take(hold.as_mut());
        let members = self.members()?;
        let mut rows = Box::new(Rows::create(members, &mut self.sink)?);
        let mut number = 0;
        hold.release(|line| {
            number += 1;
            grow(&mut self.sink, &mut rows, line, number)
        })?;
        self.stage = Stage::Started(rows);
        Ok(())
    }

    /// The columns: those of the fields that were seen, and those that were only declared.
    ///
    /// # Errors
    /// `config` for a declared column whose name differs from a field's only in case.
    fn members(&mut self) -> Result<Members> {
        let separator = self.flatten.as_ref().map(|flatten| flatten.separator.as_str());
        let is_there = |(key, kind): &&(String, Kind)| {
            let flatten = self.flatten.as_ref();
            *kind != Kind::Null || !flatten.is_some_and(|flatten| flatten.is_parent(key))
        };
        let fields: Vec<&(String, Kind)> = self.fields.iter().filter(is_there).collect();
        let names = column_names(fields.iter().map(|(key, _)| key.as_str()), separator);
        let mut members: Vec<Member> = Vec::new();
        for ((key, kind), name) in fields.into_iter().zip(names) {
            if name != shown(key, separator) {
                self.sink.warn(
                    "a key's column has another name, because the key is empty or another column has its name",
                    &[("key", &flatten::path(key)), ("column", &name)],
                );
            }
            let declared = self.dtype.get(&name);
            let kind = declared.cloned().unwrap_or_else(|| kind.settle(Style::Answers));
            members.push(Member { key: key.clone(), column: Some((name, kind, declared.is_some())) });
        }
        let known: HashMap<String, String> = members
            .iter()
            .filter_map(|member| member.column.as_ref().map(|(name, ..)| (name.to_lowercase(), name.clone())))
            .collect();
        let mut spare_names: HashSet<String> = HashSet::new();
        for (name, kind) in &self.dtype {
            match known.get(&name.to_lowercase()) {
                Some(column) if column == name => {}
                Some(column) => {
                    return Err(Error::config(format!(
                        "`dtype` names the column `{name}`, but the column is `{column}`, which differs in case; write it in the same way"
                    )));
                }
                None => {
                    spare_names.insert(name.clone());
                    members.push(Member { key: name.clone(), column: Some((name.clone(), kind.clone(), true)) });
                }
            }
        }
        if members.is_empty() {
            let column = Some(("record".to_owned(), Type::Json, false));
            members.push(Member { key: "record".to_owned(), column });
        }
        Ok(Members::new(members).with_spare(&spare_names, separator))
    }

    /// Finishes the table; returns its number of rows, and the types for the next run.
    ///
    /// # Errors
    /// As for [`push`](Self::push), and the sink's errors.
    pub fn finish(mut self) -> Result<(u64, Kind)> {
        // Taken before the types are decided: a column of only nulls may have any type next time.
        let found = Kind::Struct(self.fields.clone());
        if self.fields.is_empty() && self.dtype.is_empty() {
            self.sink
                .warn("there are no records, so the table has no columns but `record`; name them under `dtype`", &[]);
        }
        self.start()?;
        let rows = match self.stage {
            Stage::Started(rows) => rows.finish(&mut self.sink)?,
            Stage::Held(_) => 0,
        };
        Ok((rows, found))
    }
}

fn grow(sink: &mut impl Sink, rows: &mut Rows, line: &str, number: u64) -> Result<()> {
    rows.push(line, sink)?.map_err(|fault| explain(&fault, &format!("record {number}")))
}
