//! The columns of one object: of a record, or of a STRUCT.

use std::collections::{HashMap, HashSet};

use crate::arrow::{Field, Node};

use crate::column::{Column, Fault, Misfit};
use crate::declared::Type;
use crate::flatten;
use crate::text::Reader;
use crate::value::Why;

/// The most columns of a table of records.
pub const MAX_COLUMNS: usize = 4096;

/// A member of objects: its key, and the column of its values (name, type, whether it was declared), or `None` if the
/// member is omitted.
pub struct Member {
    pub key: String,
    pub column: Option<(String, Type, bool)>,
}

/// Columns being built, found by their keys in JSON.
pub struct Members {
    columns: Vec<Column>,
    /// Known keys in their usual order, with the positions of their columns.
    keys: Vec<(String, Option<usize>)>,
    places: HashMap<String, usize>,
    rows: usize,
    /// Declared columns that no record had when the table was started, by name, and the separator of flattened keys.
    spare: HashMap<String, usize>,
    separator: Option<String>,
}

impl Members {
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let (mut columns, mut keys) = (Vec::new(), Vec::new());
        for Member { key, column } in members {
            let place = column.map(|(name, kind, declared)| {
                columns.push(Column::new(name, kind, declared));
                columns.len() - 1
            });
            keys.push((key, place));
        }
        let places = keys.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
        Self { columns, keys, places, rows: 0, spare: HashMap::new(), separator: None }
    }

    /// Puts the columns into the order of `rank`, which is given their names. Keys keep their usual order.
    pub fn ordered_by(mut self, rank: impl Fn(&str) -> usize) -> Self {
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        order.sort_by_key(|place| rank(&self.columns[*place].name));
        let mut places = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            places[*old] = new;
        }
        let mut columns: Vec<Option<Column>> = self.columns.into_iter().map(Some).collect();
        self.columns = order.iter().filter_map(|place| columns[*place].take()).collect();
        for (_, place) in &mut self.keys {
            *place = place.map(|place| places[place]);
        }
        self
    }

    /// Adds columns for any flattened key with their name, if no other key is known by that name.
    pub fn with_spare(mut self, names: &HashSet<String>, separator: Option<&str>) -> Self {
        let places = self.columns.iter().enumerate().map(|(place, column)| (&column.name, place));
        self.spare =
            places.filter(|(name, _)| names.contains(*name)).map(|(name, place)| (name.clone(), place)).collect();
        self.separator = separator.map(str::to_owned);
        self
    }

    /// Appends the members of the object that was opened; missing ones become null.
    pub fn push(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let (mut likely, mut first) = (0, true);
        while let Some(name) = reader.member(first)? {
            first = false;
            let known = match self.keys.get(likely) {
                Some((key, _)) if *key == *name => Some(likely),
                _ => self.places.get(&*name).copied().or_else(|| self.take_spare(&name)),
            };
            let Some(known) = known else {
                let raw = reader.raw()?;
                if raw == "null" {
                    continue;
                }
                let misfit = Fault::Misfit(Misfit::new(raw, String::new(), Why::Unknown));
                return Err(Misfit::inside(misfit, &name));
            };
            likely = known + 1;
            let Some(place) = self.keys[known].1 else {
                reader.raw()?;
                continue;
            };
            let column = &mut self.columns[place];
            if column.len() > self.rows {
                let misfit = Misfit::new(reader.raw()?, column.kind.name(), Why::Twice);
                return Err(Misfit::inside(Fault::Misfit(misfit), &name));
            }
            column.push(reader).map_err(|fault| Misfit::inside(fault, &name))?;
        }
        self.rows += 1;
        let rows = self.rows;
        self.columns.iter_mut().filter(|column| column.len() < rows).for_each(Column::push_null);
        Ok(())
    }

    fn take_spare(&mut self, key: &str) -> Option<usize> {
        let place = self.spare.remove(&flatten::shown(key, self.separator.as_deref()?))?;
        self.keys.push((key.to_owned(), Some(place)));
        self.places.insert(key.to_owned(), self.keys.len() - 1);
        Some(self.keys.len() - 1)
    }

    pub fn push_null(&mut self) {
        self.rows += 1;
        self.columns.iter_mut().for_each(Column::push_null);
    }

    /// Removes all rows from `rows` on, including incomplete ones.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        self.columns.iter_mut().for_each(|column| {
            if column.len() > rows {
                column.truncate(rows);
            } else {
                // A list or struct of an incomplete row has items beyond its last end.
                column.truncate(column.len());
            }
        });
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Returns the fields and nodes of all columns, in pre-order, and starts again without rows.
    pub fn take(&mut self) -> (Vec<Field>, Vec<Node>) {
        let (mut fields, mut nodes) = (Vec::new(), Vec::new());
        self.rows = 0;
        for column in &mut self.columns {
            let next = column.emptied();
            std::mem::replace(column, next).finish(&mut fields, &mut nodes);
        }
        (fields, nodes)
    }

    pub fn finish_into(self, fields: &mut Vec<Field>, nodes: &mut Vec<Node>) {
        self.columns.into_iter().for_each(|column| column.finish(fields, nodes));
    }
}
