//! The tables of a file, from its table `sqlite_schema`.

use osiris_sdk::{Error, Result};

use crate::definition::{self, Definition};
use crate::pages::Pages;
use crate::record::{self, Value};
use crate::tokens::tokens;
use crate::tree::{Rows, Storage};

/// The most entries that are read, and how many an error lists.
const MAX_ENTRIES: usize = 100_000;
const MOST_LISTED: usize = 20;

/// A table, view or virtual table.
#[derive(Debug)]
pub struct Entry {
    pub name: String,
    kind: Kind,
    root: u32,
    sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    View,
    /// A table whose rows a module of SQLite computes.
    Virtual,
}

/// A table that can be read.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub root: u32,
    pub definition: Definition,
}

/// What a file has.
#[derive(Debug)]
pub struct Schema(Vec<Entry>);

impl Schema {
    /// # Errors
    /// `data` for a damaged file.
    pub fn read(pages: &Pages) -> Result<Self> {
        let mut rows = Rows::new(pages, 1, Storage::Rowid)?;
        let mut entries = Vec::new();
        while let Some((_, row)) = rows.next_row()? {
            let mut values = Vec::new();
            record::values(row, &mut values)?;
            let text = |place: usize| match values.get(place) {
                Some(Value::Text(bytes)) => record::text(bytes, pages.header.encoding).map(|text| text.into_owned()),
                _ => None,
            };
            let root = match values.get(3) {
                Some(Value::Integer(root)) => u32::try_from(*root).unwrap_or_default(),
                _ => 0,
            };
            let sql = text(4).unwrap_or_default();
            let kind = match text(0).as_deref() {
                Some("table") if root > 0 => Kind::Table,
                Some("table") => Kind::Virtual,
                Some("view") => Kind::View,
                _ => continue,
            };
            let Some(name) = text(1) else { continue };
            if entries.len() == MAX_ENTRIES {
                return Err(Error::data(format!("it has more than {MAX_ENTRIES} tables")));
            }
            entries.push(Entry { name, kind, root, sql });
        }
        Ok(Self(entries))
    }

    /// A table by its name as it is written in the config: `orders`, `"or ders"` or `main.orders`.
    ///
    /// # Errors
    /// `not-found`, listing the tables, for one that does not exist; `data` for a view or a virtual table.
    pub fn table(&self, written: &str) -> Result<Table> {
        let entry = self
            .find(written)
            .ok_or_else(|| Error::not_found(format!("there is no table `{written}`; {}", self.listed())))?;
        let name = &entry.name;
        match entry.kind {
            Kind::Table => {}
            Kind::View => {
                return Err(Error::data(format!(
                    "`{name}` is a view, whose SQL is not run; write its SELECT as `query`"
                )));
            }
            Kind::Virtual => {
                return Err(Error::data(format!(
                    "`{name}` is a virtual table, whose rows only a module of SQLite can compute; {}",
                    self.listed()
                )));
            }
        }
        let parsed = definition::parse(&entry.sql);
        let definition = parsed.ok_or_else(|| {
            Error::data(format!("the definition of table `{name}` cannot be read: {}", shortened(&entry.sql)))
        })?;
        Ok(Table { name: name.clone(), root: entry.root, definition })
    }

    fn find(&self, written: &str) -> Option<&Entry> {
        let by_name = |name: &str| self.0.iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
        let words = tokens(written);
        by_name(written).or_else(|| match &words[..] {
            [name] => by_name(name.name()?),
            [main, dot, name] if dot.is_sign('.') && main.name()?.eq_ignore_ascii_case("main") => by_name(name.name()?),
            _ => None,
        })
    }

    /// The tables that can be read, without SQLite's own.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let own = |entry: &&Entry| entry.kind == Kind::Table && !entry.name.starts_with("sqlite_");
        self.0.iter().filter(own).map(|entry| entry.name.as_str())
    }

    /// The views and virtual tables.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|entry| entry.kind != Kind::Table).map(|entry| entry.name.as_str())
    }

    /// The tables, for an error.
    pub fn listed(&self) -> String {
        let mut names: Vec<String> = self.tables().take(MOST_LISTED).map(|name| format!("`{name}`")).collect();
        let more = self.tables().skip(MOST_LISTED).count();
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        match names.is_empty() {
            true => "it has no tables".to_owned(),
            false => format!("its tables: {}", names.join(", ")),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
