//! Records on their way to a table whose types are not known yet.

use std::collections::{BTreeMap, HashMap, HashSet};

use osiris_sdk::{Error, Output, Result};
use serde_json::{Map, Value};

use crate::declared::Type;
use crate::flatten::{self, Flatten};
use crate::hold::Hold;
use crate::kind::{Fields, Kind, Style};
use crate::members::{Member, Members, Names};
use crate::rows::{Rows, Sink, Table, explain};
use crate::text::Reader;

/// The most columns that a table gets.
pub const MAX_COLUMNS: usize = 4096;

/// How records become columns.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What joins the names of nested objects to columns; `None` makes STRUCTs of them.
    pub flatten: Option<String>,
    /// Types that the user declared, by column.
    pub dtype: BTreeMap<String, String>,
    /// The memory in which records wait for their types, in bytes.
    pub hold_bytes: u64,
}

/// Takes records and makes a table of them.
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
    /// Types may still change.
    Held(Box<Hold>),
    /// The table was started.
    Started(Box<Rows>),
}

impl Records<()> {
    /// Records for the table `name` of `output`. `known` are the types that an earlier run found.
    ///
    /// # Errors
    /// `config`, for a type that does not exist.
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
    /// Records for a sink of one's own.
    ///
    /// # Errors
    /// `config`, for a type that does not exist.
    pub fn into_sink(sink: S, options: &Options, known: Option<Kind>) -> Result<Self> {
        let fields = match known {
            Some(Kind::Struct(fields)) => fields,
            _ => Fields::default(),
        };
        let declared = |(name, kind): (&String, &String)| {
            let kind = Type::parse(kind).map_err(|error| error.context(format_args!("`dtype` of `{name}`")))?;
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

    /// Takes a record. A null is a row without a value; what is not an object becomes one of the single member `value`.
    ///
    /// # Errors
    /// `data`, for a record that does not fit once the table was started, or has too many members.
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

    /// Settles the types and gives the sink what was held.
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

    /// The columns: of the fields that were seen, and of those that were declared alone.
    ///
    /// # Errors
    /// `config`, for a declared column whose name differs from a field's by case alone.
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
                    "a key has a column of another name, since it is empty or another key's column has that name",
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

    /// Ends the table; says how many rows it has, and the types for the next run.
    ///
    /// # Errors
    /// As [`push`](Self::push), and what the sink says.
    pub fn finish(mut self) -> Result<(u64, Kind)> {
        // Before they are settled: a column of nothing but nulls may be of any type next time.
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

/// A key's own name for its column.
fn shown(key: &str, separator: Option<&str>) -> String {
    separator.map_or_else(|| key.to_owned(), |separator| flatten::shown(key, separator))
}

/// The names of the columns of `keys`, in their order, which DuckDB tells apart, as it does not by case.
///
/// Where several keys have one name, it belongs to the one that is nested least, and of those to the first by its names;
/// the others get numbers that no other column has. So names depend on the keys that there are, not on their order.
fn column_names<'a>(keys: impl Iterator<Item = &'a str>, separator: Option<&str>) -> Vec<String> {
    let keys: Vec<&str> = keys.collect();
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, key) in keys.iter().enumerate() {
        groups.entry(shown(key, separator).to_lowercase()).or_default().push(place);
    }
    let mut names = Names::new(2);
    let mut found = vec![String::new(); keys.len()];
    let mut late: Vec<(usize, Vec<String>, usize)> = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        let group = &groups[&shown(key, separator).to_lowercase()];
        let (depth, parts) = flatten::rank(key);
        let is_first =
            group.len() == 1 || group.iter().min_by_key(|place| flatten::rank(keys[**place])) == Some(&place);
        if is_first && !shown(key, separator).is_empty() {
            found[place] = names.free(&shown(key, separator), "_");
        } else {
            late.push((depth, parts, place));
        }
    }
    late.sort();
    for (_, _, place) in late {
        found[place] = names.free(&shown(keys[place], separator), "_");
    }
    found
}
