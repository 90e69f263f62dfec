//! The pages of a SQLite file, with the log beside it, if there is one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use osiris_sdk::{Error, Result};

use crate::bytes::Bytes;
use crate::header::{Header, LENGTH};
use crate::wal::Log;

/// How many pages are kept in memory; a tree has far fewer levels.
const KEPT: usize = 64;

/// Which pages a walk has visited. In a sound file each page has one place.
#[derive(Debug, Default)]
pub struct Visited(HashMap<u32, Box<[u64; 64]>>);

impl Visited {
    /// Whether the page is visited for the first time.
    pub fn insert(&mut self, page: u32) -> bool {
        let block = self.0.entry(page / 4096).or_insert_with(|| Box::new([0; 64]));
        let (word, bit) = ((page % 4096 / 64) as usize, 1_u64 << (page % 64));
        let is_new = block[word] & bit == 0;
        block[word] |= bit;
        is_new
    }
}

/// The pages of a file.
pub struct Pages {
    file: Box<dyn Bytes>,
    log: Option<(Box<dyn Bytes>, Log)>,
    pub header: Header,
    /// How many pages the database has.
    count: u32,
    kept: RefCell<HashMap<u32, Rc<Vec<u8>>>>,
}

impl Pages {
    /// # Errors
    /// `data` for a file that is not a SQLite file, is cut short, or does not belong to the log beside it.
    pub fn open(file: Box<dyn Bytes>, log: Option<Box<dyn Bytes>>) -> Result<Self> {
        if file.size() == 0 {
            return Err(Error::data("it is empty"));
        }
        if file.size() < LENGTH as u64 {
            return Err(Error::data("it is not a SQLite file: it is shorter than the header of one"));
        }
        let header = Header::parse(&file.read_exactly(0, LENGTH)?)?;
        let found = log.map(|log| Log::read(&*log).map(|found| found.map(|found| (log, found)))).transpose()?.flatten();
        if found.as_ref().is_some_and(|(_, log)| log.page_size != header.page_size) {
            return Err(Error::data(
                "the log beside it (`-wal`) has pages of another size: it belongs to another file",
            ));
        }
        let whole = u32::try_from(file.size() / header.page_size as u64).unwrap_or(u32::MAX);
        let (count, in_file) = match &found {
            // What the log does not have is in the file, which may still be shorter than the database.
            Some((_, log)) => (log.pages, 0),
            None => (header.pages.unwrap_or(whole), header.pages.unwrap_or(whole)),
        };
        if whole < in_file {
            return Err(Error::data(format!(
                "it is cut short: it has {} bytes, but {in_file} pages of {} bytes; fetch the whole file again",
                file.size(),
                header.page_size
            )));
        }
        let mut pages = Self { file, log: found, header, count, kept: RefCell::default() };
        if pages.log.is_some() {
            // The log may have a newer header.
            let newest = Header::parse(&pages.get(1)?)?;
            if newest.page_size != pages.header.page_size {
                return Err(Error::data("the log beside it (`-wal`) changes the size of its pages"));
            }
            pages.header = Header { change_counter: pages.header.change_counter, ..newest };
        }
        Ok(pages)
    }

    /// A page, counted from 1.
    ///
    /// # Errors
    /// `data` for a page that the database does not have.
    pub fn get(&self, number: u32) -> Result<Rc<Vec<u8>>> {
        if let Some(page) = self.kept.borrow().get(&number) {
            return Ok(Rc::clone(page));
        }
        if number == 0 || number > self.count {
            return Err(Error::data(format!(
                "it is damaged: it refers to page {number}, but has {} pages",
                self.count
            )));
        }
        let size = self.header.page_size;
        let in_log = self.log.as_ref().and_then(|(bytes, log)| Some((bytes, log.place(number)?)));
        let page = match in_log {
            Some((bytes, place)) => bytes.read_exactly(place, size)?,
            None => self.file.read_exactly(u64::from(number - 1) * size as u64, size)?,
        };
        let page = Rc::new(page);
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(number, Rc::clone(&page));
        Ok(page)
    }

    /// Checks that nobody has changed the file since it was opened.
    ///
    /// # Errors
    /// `transient` if somebody has.
    pub fn check_unchanged(&self) -> Result<()> {
        let now = Header::parse(&self.file.read_exactly(0, LENGTH)?)?;
        let is_same_log = match &self.log {
            Some((bytes, log)) => log.is_current(&**bytes)?,
            None => true,
        };
        if now.change_counter == self.header.change_counter && is_same_log {
            return Ok(());
        }
        Err(Error::transient("it was changed by another program while it was read; run the step again"))
    }
}
