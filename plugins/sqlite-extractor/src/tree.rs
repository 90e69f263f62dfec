//! The rows of a table, in the order of its b-tree (file format, 1.6). Nothing recurses, each page is visited once, and what a
//! page says of itself is checked, so a damaged file ends in an error.

use std::rc::Rc;

use osiris_sdk::{Error, Result};

use crate::bytes::{int, short, varint};
use crate::header::LENGTH;
use crate::pages::{Pages, Visited};

/// How many levels a tree may have; SQLite's own bound is 20.
const MAX_LEVELS: usize = 30;

/// The largest row, in bytes: a batch of rows is held as text.
const MAX_ROW: u64 = 24 << 20;

/// How a table is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// By the number of each row.
    Rowid,
    /// By its primary key: WITHOUT ROWID.
    Key,
}

/// A page on the way from the root.
struct Level {
    number: u32,
    page: Rc<Vec<u8>>,
    is_leaf: bool,
    /// The number of cells, and the next of them or, if it is even, of the children before them.
    cells: usize,
    step: usize,
}

/// A walk over the rows of a table.
pub struct Rows<'a> {
    pages: &'a Pages,
    storage: Storage,
    levels: Vec<Level>,
    visited: Visited,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// # Errors
    /// `data` for a root page that belongs to something else than such a table.
    pub fn new(pages: &'a Pages, root: u32, storage: Storage) -> Result<Self> {
        let mut rows = Self { pages, storage, levels: Vec::new(), visited: Visited::default(), row: Vec::new() };
        rows.enter(root)?;
        Ok(rows)
    }

    /// The next row: its number, which is 0 without one, and its bytes.
    ///
    /// # Errors
    /// `data` for a damaged file.
    pub fn next_row(&mut self) -> Result<Option<(i64, &[u8])>> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let step = level.step;
            level.step += 1;
            if level.is_leaf {
                if step == level.cells {
                    self.levels.pop();
                    continue;
                }
                let rowid = self.read_cell(step)?;
                return Ok(Some((rowid, &self.row)));
            }
            // Children and cells take turns: child 0, cell 0, child 1, …, the last child.
            let cell = step / 2;
            if step % 2 == 1 {
                if cell == level.cells {
                    self.levels.pop();
                } else if self.storage == Storage::Key {
                    let rowid = self.read_cell(cell)?;
                    return Ok(Some((rowid, &self.row)));
                }
                continue;
            }
            let child = if cell == level.cells {
                int(&level.page, level.start() + 8)
            } else {
                level.cell(cell).and_then(|place| int(&level.page, place))
            };
            let child = child.ok_or_else(|| damaged(level.number))?;
            self.enter(child)?;
        }
    }

    /// Goes down to a page.
    fn enter(&mut self, number: u32) -> Result<()> {
        if self.levels.len() == MAX_LEVELS || !self.visited.insert(number) {
            return Err(Error::data(format!("it is damaged: page {number} occurs twice in one table")));
        }
        let page = self.pages.get(number)?;
        let mut level = Level { number, page, is_leaf: false, cells: 0, step: 0 };
        let start = level.start();
        let kind = level.page.get(start).copied();
        level.is_leaf = match (self.storage, kind) {
            (Storage::Rowid, Some(13)) | (Storage::Key, Some(10)) => true,
            (Storage::Rowid, Some(5)) | (Storage::Key, Some(2)) => false,
            _ => return Err(Error::data(format!("it is damaged: page {number} is not one of the table"))),
        };
        level.cells = usize::from(short(&level.page, start + 3).ok_or_else(|| damaged(number))?);
        self.levels.push(level);
        Ok(())
    }

    /// Reads the row of a cell into `row`; returns its number.
    fn read_cell(&mut self, cell: usize) -> Result<i64> {
        let Some(level) = self.levels.last() else { return Err(Error::internal("the walk has ended")) };
        let (number, page) = (level.number, Rc::clone(&level.page));
        let head = level.cell(cell).and_then(|place| self.head(&page, place, level.is_leaf));
        let (length, rowid, start) = head.ok_or_else(|| damaged(number))?;
        if length > MAX_ROW {
            return Err(Error::data(format!(
                "a row has {length} bytes, more than the {} MiB that are read; leave the table out, or split its values",
                MAX_ROW >> 20
            )));
        }
        let length = length as usize;
        let local = self.local(length);
        let end = start + local;
        let content =
            page.get(start..end).filter(|_| end <= self.pages.header.usable).ok_or_else(|| damaged(number))?;
        self.row.clear();
        self.row.extend_from_slice(content);
        let mut next = if local < length { int(&page, end).ok_or_else(|| damaged(number))? } else { 0 };
        // The rest is in pages of its own, each of which begins with the number of the next.
        while self.row.len() < length {
            if !self.visited.insert(next) {
                return Err(Error::data(format!("it is damaged: page {next} occurs twice in one table")));
            }
            let page = self.pages.get(next)?;
            let count = (length - self.row.len()).min(self.pages.header.usable - 4);
            self.row.extend_from_slice(page.get(4..4 + count).ok_or_else(|| damaged(next))?);
            next = int(&page, 0).ok_or_else(|| damaged(next))?;
        }
        Ok(rowid)
    }

    /// The length of a cell's row, its number, and where it starts.
    fn head(&self, page: &[u8], place: usize, is_leaf: bool) -> Option<(u64, i64, usize)> {
        let mut place = if is_leaf { place } else { place + 4 };
        let (length, width) = varint(page, place)?;
        place += width;
        let mut rowid = 0;
        if self.storage == Storage::Rowid {
            let (number, width) = varint(page, place)?;
            (rowid, place) = (number, place + width);
        }
        Some((u64::try_from(length).ok()?, rowid, place))
    }

    /// How many bytes of a row are in its cell.
    fn local(&self, length: usize) -> usize {
        let usable = self.pages.header.usable;
        let most = match self.storage {
            Storage::Rowid => usable - 35,
            Storage::Key => (usable - 12) * 64 / 255 - 23,
        };
        if length <= most {
            return length;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (usable - 4);
        if fitting <= most { fitting } else { least }
    }
}

impl Level {
    /// Where the page's own header starts: the first page has the file's before it.
    fn start(&self) -> usize {
        if self.number == 1 { LENGTH } else { 0 }
    }

    /// Where a cell starts.
    fn cell(&self, cell: usize) -> Option<usize> {
        let pointers = self.start() + if self.is_leaf { 8 } else { 12 };
        short(&self.page, pointers + cell * 2).map(usize::from)
    }
}

fn damaged(page: u32) -> Error {
    Error::data(format!("it is damaged: the content of page {page} does not fit together"))
}
