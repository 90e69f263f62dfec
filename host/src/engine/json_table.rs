//! A table of a step's output that is made from JSON records; its types are decided once all records have been seen.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use json_records::{Broken, Fields, MAX_COLUMNS, Member, Members, Reader, Style, Type, column_names, told};

use super::{
    Cause, Engine, EngineError, Result, Status, TableWriter, TemporaryFile, TemporaryFolder, Trouble, WriteError,
};
use crate::columns::{Field, InNode};

/// The most records of one table that stay in memory, in bytes; more go to a temporary file.
const MEMORY_BYTES: usize = 1 << 20;

/// The number of rows after which a batch is written, and the size in bytes of JSON at which it is written earlier.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;

/// A finished table, and what in it differs from its records.
#[derive(Debug, Default)]
pub struct FinishedTable {
    pub rows: u64,
    /// Members and the other names that their columns have.
    pub renamed: Vec<(String, String)>,
    /// Columns in which texts without a character became null, and the number of these texts.
    pub blanks: Vec<(String, u64)>,
}

/// Records whose types are not known yet.
pub struct JsonTable {
    name: String,
    declared: Vec<(String, Type)>,
    fields: Fields,
    records: u64,
    /// The records in order, each on a line: first those in the file, then those in memory.
    file: Option<TemporaryFile>,
    memory: String,
    folder: TemporaryFolder,
    /// What was wrong with a record; the table is lost then.
    broken: Option<EngineError>,
    status: Status,
}

impl Engine {
    /// Opens a table of JSON records. `columns` are names with the DuckDB types declared for them.
    ///
    /// # Errors
    /// For a name that a table cannot have, or a type that a column cannot be declared as.
    pub fn create_json_table(&self, name: &str, columns: &[(String, String)]) -> Result<JsonTable> {
        self.check_table_name(name)?;
        let folder = self.temporary_folder().cloned();
        let folder = folder.ok_or_else(|| EngineError::refused("there are no temporary files here"))?;
        let declared = |(column, kind): &(String, String)| {
            let kind = Type::parse(kind)
                .map_err(|unknown| EngineError::statement(format!("column `{column}` of table `{name}`: {unknown}")))?;
            Ok((column.clone(), kind))
        };
        let declared: Vec<(String, Type)> = columns.iter().map(declared).collect::<Result<_>>()?;
        let mut names = HashSet::new();
        if let Some((twice, _)) = declared.iter().find(|(column, _)| !names.insert(column.to_lowercase())) {
            return Err(EngineError::statement(format!("column `{twice}` of table `{name}` is declared twice")));
        }
        Ok(JsonTable {
            name: name.to_owned(),
            declared,
            fields: Fields::default(),
            records: 0,
            file: None,
            memory: String::new(),
            folder,
            broken: None,
            status: self.status.clone(),
        })
    }

    /// Decides the types and writes the table.
    ///
    /// # Errors
    /// If a value does not fit its declared type; names the record and the member.
    #[expect(clippy::disallowed_methods, reason = "opens a temporary file again that this table has created")]
    pub fn finish_json_table(&self, mut table: JsonTable) -> Result<FinishedTable> {
        if let Some(broken) = table.broken.take() {
            return Err(broken);
        }
        let (mut members, renamed) = table.members()?;
        let (fields, _) = members.take();
        let fields: Vec<Field> = fields.into_iter().map(own_field).collect();
        let mut rows = Rows { writer: self.create_table(&table.name, &fields, false)?, members, bytes: 0 };
        let mut number = 0;
        let mut take = |line: &str| {
            number += 1;
            rows.push(line).map_err(|fault| match fault {
                Refusal::Record(fault) => table_error(&table.name, &told(&fault, &format!("record {number}"), "")),
                Refusal::Engine(error) => error,
            })?;
            if self.status.is_interrupted() {
                return Err(EngineError {
                    message: "interrupted".to_owned(),
                    cause: Cause::Interrupted,
                    position: None,
                });
            }
            Ok(())
        };
        if let Some(file) = &mut table.file {
            file.close();
            let unreadable = |error: std::io::Error| {
                EngineError::internal(format!("cannot read the records of table `{}` back: {error}", table.name))
            };
            let mut lines = BufReader::with_capacity(1 << 20, File::open(file.path()).map_err(unreadable)?);
            let mut line = String::new();
            while lines.read_line(&mut line).map_err(unreadable)? > 0 {
                take(&line)?;
                line.clear();
            }
        }
        table.memory.lines().try_for_each(&mut take)?;
        let blanks = rows.members.columns().iter().filter(|column| column.blanks > 0);
        let blanks = blanks.map(|column| (column.name.clone(), column.blanks)).collect();
        Ok(FinishedTable { rows: rows.finish()?, renamed, blanks })
    }
}

fn table_error(name: &str, message: &str) -> EngineError {
    EngineError::data(format!("table `{name}`: {message}"))
}

impl JsonTable {
    /// Appends records, which are JSON objects, or arrays of them, separated by white space; returns their number.
    ///
    /// # Errors
    /// Names a record that is malformed, has a member twice, or makes too many columns; the table is lost then.
    pub fn append(&mut self, text: &str) -> Result<u64> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let before = self.records;
        match self.status.clone().note_error(self.take(text)) {
            Ok(()) => Ok(self.records - before),
            Err(error) => {
                self.broken = Some(error.clone());
                Err(error)
            }
        }
    }

    fn take(&mut self, text: &str) -> Result<()> {
        let mut reader = Reader::new(text);
        while let Some(opening) = reader.peek() {
            if opening != b'[' {
                self.take_record(&mut reader)?;
                continue;
            }
            let mut is_first = true;
            reader.token().map_err(|broken| self.malformed(broken))?;
            while reader.item(is_first).map_err(|broken| self.malformed(broken))? {
                is_first = false;
                self.take_record(&mut reader)?;
            }
        }
        if self.memory.len() > MEMORY_BYTES { self.spill() } else { Ok(()) }
    }

    fn take_record(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let opening = reader.peek();
        self.records += 1;
        if opening != Some(b'{') {
            self.status.note(Trouble::Malformed);
            return Err(table_error(&self.name, &format!("record {} is not a JSON object", self.records)));
        }
        let start = reader.clone();
        self.fields.see(reader, usize::MAX).map_err(|broken| self.malformed(broken))?;
        if self.fields.len() > MAX_COLUMNS {
            let message = format!("the records have more than {MAX_COLUMNS} members, the most columns of a table");
            return Err(table_error(&self.name, &message));
        }
        let record = start.until(reader);
        // A line break outside quotes is white space, and inside it is not JSON.
        if record.contains(['\n', '\r']) {
            self.memory.push_str(&record.replace(['\n', '\r'], " "));
        } else {
            self.memory.push_str(record);
        }
        self.memory.push('\n');
        Ok(())
    }

    /// The error for the record that was read last. Its text is the driver's own.
    fn malformed(&self, broken: Broken) -> EngineError {
        self.status.note(Trouble::Malformed);
        table_error(&self.name, &told(&broken.into(), &format!("record {}", self.records), ""))
    }

    fn spill(&mut self) -> Result<()> {
        let failed = |error: WriteError| match error {
            WriteError::Limit(_) => EngineError { message: error.to_string(), cause: Cause::Spill, position: None },
            WriteError::Io(ref cause) if cause.kind() == io::ErrorKind::StorageFull => {
                EngineError { message: error.to_string(), cause: Cause::DiskFull, position: None }
            }
            WriteError::Io(_) => EngineError::internal(error.to_string()),
        };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.folder.create_file().map_err(|error| failed(error.into()))?),
        };
        file.write(self.memory.as_bytes()).map_err(failed)?;
        self.memory.clear();
        Ok(())
    }

    /// The columns: those that are declared, in that order, so that it does not depend on the records; then those of
    /// the other members, in the order in which they were seen. Also returns the members whose columns have other names.
    fn members(&self) -> Result<(Members, Vec<(String, String)>)> {
        let mut declared: BTreeMap<&str, &Type> =
            self.declared.iter().map(|(name, kind)| (name.as_str(), kind)).collect();
        let names = column_names(self.fields.iter().map(|(key, _)| key.as_str()), None);
        let (mut members, mut renamed) = (Vec::new(), Vec::new());
        for ((key, kind), name) in self.fields.iter().zip(names) {
            let own = declared.remove(key.as_str());
            if own.is_none()
                && let Some((near, _)) = declared.iter().find(|(name, _)| name.to_lowercase() == key.to_lowercase())
            {
                let message = format!("the declared column `{near}` differs from the records' member `{key}` in case");
                return Err(table_error(&self.name, &message));
            }
            let kind = own.cloned().unwrap_or_else(|| kind.settle(Style::Answers));
            if name != *key {
                renamed.push((key.clone(), name.clone()));
            }
            let column = Some((name, kind, own.is_some()));
            members.push(Member { key: key.clone(), column });
        }
        for (name, kind) in self.declared.iter().filter(|(name, _)| declared.contains_key(name.as_str())) {
            members.push(Member { key: name.clone(), column: Some((name.clone(), kind.clone(), true)) });
        }
        if members.is_empty() {
            let column = Some(("record".to_owned(), Type::Json, false));
            members.push(Member { key: "record".to_owned(), column });
        }
        let place: BTreeMap<&str, usize> = self.declared.iter().map(|(name, _)| name.as_str()).zip(0..).collect();
        let members = Members::new(members).ordered_by(|name| place.get(name).copied().unwrap_or(usize::MAX));
        Ok((members, renamed))
    }
}

fn own_field(field: json_records::Field) -> Field {
    let json_records::Field { name, format, nullable, children, metadata } = field;
    Field { name, format, nullable, children, metadata }
}

/// Rows that are about to be written to the table.
struct Rows {
    writer: TableWriter,
    members: Members,
    bytes: usize,
}

enum Refusal {
    Record(json_records::Fault),
    Engine(EngineError),
}

impl Rows {
    fn push(&mut self, line: &str) -> std::result::Result<(), Refusal> {
        let mut reader = Reader::new(line);
        reader.token().map_err(|broken| Refusal::Record(broken.into()))?;
        self.members.push(&mut reader).map_err(Refusal::Record)?;
        self.bytes += line.len();
        if self.members.rows() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.send().map_err(Refusal::Engine)?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.bytes = 0;
        let rows = u32::try_from(self.members.rows()).unwrap_or(u32::MAX);
        if rows == 0 {
            return Ok(());
        }
        let (_, nodes) = self.members.take();
        let nodes: Vec<InNode<'_>> = nodes
            .iter()
            .map(|node| InNode { length: node.length, buffers: node.buffers.iter().map(Vec::as_slice).collect() })
            .collect();
        let batch = self.writer.check(rows, &nodes).map_err(|refused| EngineError::internal(refused.0))?;
        self.writer.append(&batch)
    }

    fn finish(mut self) -> Result<u64> {
        self.send()?;
        self.writer.finish()
    }
}
