//! A workbook: its sheets, its styles and its shared texts.

use input_files::{Document, Other};
use osiris_sdk::{Error, Result};
use serde::Deserialize;

use crate::serial::Epoch;
use crate::styles::Styles;
use crate::texts::Texts;
use crate::xml::{Node, Xml};

/// The most sheets and relations that are read.
const MAX_ENTRIES: usize = 10_000;

/// How many sheets an error lists.
const MOST_LISTED: usize = 20;

/// The option `sheet`: a name, or a number counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SheetChoice {
    Number(u32),
    Name(String),
}

/// A sheet with cells.
#[derive(Debug, Clone)]
pub struct Sheet {
    pub name: String,
    hidden: bool,
    part: String,
}

/// An opened workbook.
pub struct Workbook {
    document: Document,
    pub sheets: Vec<Sheet>,
    pub epoch: Epoch,
    pub styles: Styles,
    pub texts: Texts,
}

/// A relation of one part to another.
struct Relation {
    id: String,
    kind: String,
    target: Option<String>,
}

impl Workbook {
    /// # Errors
    /// `data` for a file that is not an Excel file (.xlsx, .xlsm), or is damaged.
    pub fn open(path: &str) -> Result<Self> {
        let document = match Document::open(path)? {
            Ok(document) => document,
            Err(other) => return Err(not_excel(&other)),
        };
        if document.find("xl/workbook.bin").is_some() {
            return Err(Error::data("it is a binary Excel file (.xlsb); save it as .xlsx"));
        }
        if document.find("content.xml").is_some() && document.find("mimetype").is_some() {
            return Err(Error::data("it is an OpenDocument file (.ods); save it as .xlsx"));
        }
        let main = relations(&document, "")?;
        let main = main.into_iter().find(|relation| relation.kind.ends_with("/officeDocument"));
        let part = main.and_then(|relation| relation.target).unwrap_or_else(|| "xl/workbook.xml".to_owned());
        let part = document.find(&part).map(str::to_owned);
        let part = part.ok_or_else(|| Error::data("it is a zip archive, but not an Excel file: it has no workbook"))?;
        let related = relations(&document, &part)?;
        let (sheets, epoch) = sheets(&document, &part, &related)?;
        let single = |kind: &str| {
            let related = related.iter().find(|relation| relation.kind.ends_with(kind));
            related.and_then(|relation| relation.target.as_deref()).and_then(|target| document.find(target))
        };
        let styles = single("/styles").map(|part| Styles::read(&mut open(&document, part)?)).transpose()?;
        let texts = single("/sharedStrings").map(|part| Texts::read(&mut open(&document, part)?)).transpose()?;
        let (styles, texts) = (styles.unwrap_or_default(), texts.unwrap_or_default());
        Ok(Self { document, sheets, epoch, styles, texts })
    }

    /// The chosen sheet; by default the first.
    ///
    /// # Errors
    /// `not-found`, listing the sheets, for one that does not exist.
    pub fn sheet(&self, choice: Option<&SheetChoice>) -> Result<&Sheet> {
        let found = match choice {
            None => self.sheets.first(),
            Some(SheetChoice::Number(number)) => {
                self.sheets.get((*number as usize).checked_sub(1).unwrap_or(usize::MAX))
            }
            Some(SheetChoice::Name(name)) => self.sheets.iter().find(|sheet| sheet.name == *name),
        };
        found.ok_or_else(|| {
            let what = match choice {
                None => "it has no sheet with cells".to_owned(),
                Some(SheetChoice::Number(number)) => format!("there is no sheet {number}; {}", self.listed()),
                Some(SheetChoice::Name(name)) => format!("there is no sheet `{name}`; {}", self.listed()),
            };
            Error::not_found(what)
        })
    }

    fn listed(&self) -> String {
        let name = |sheet: &Sheet| format!("`{}`{}", sheet.name, if sheet.hidden { " (hidden)" } else { "" });
        let mut names: Vec<String> = self.sheets.iter().take(MOST_LISTED).map(name).collect();
        if self.sheets.len() > MOST_LISTED {
            names.push(format!("and {} more", self.sheets.len() - MOST_LISTED));
        }
        if names.is_empty() {
            return "it has no sheet with cells".to_owned();
        }
        format!("its sheets: {}", names.join(", "))
    }

    /// The sheet's part, from its start.
    ///
    /// # Errors
    /// `data` for a part that cannot be read.
    pub fn xml(&self, sheet: &Sheet) -> Result<Xml> {
        open(&self.document, &sheet.part)
    }
}

fn not_excel(other: &Other) -> Error {
    match other {
        Other::Named("an old Excel file (.xls)") => Error::data(
            "it is an old Excel file (.xls), or protected by a password; save it as .xlsx without a password",
        ),
        Other::Named(what) => Error::data(format!("it is {what}, not an Excel file (.xlsx)")),
        Other::Unknown => {
            Error::data("it is not an Excel file (.xlsx): its first bytes are not those of a zip archive")
        }
    }
}

fn open(document: &Document, part: &str) -> Result<Xml> {
    Ok(Xml::new(part, document.read(part)?))
}

/// The relations of a part, with the parts that they lead to; those of the whole document for an empty name.
fn relations(document: &Document, part: &str) -> Result<Vec<Relation>> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let separator = if folder.is_empty() { "" } else { "/" };
    let Some(name) = document.find(&format!("{folder}{separator}_rels/{file}.rels")) else { return Ok(Vec::new()) };
    let mut xml = open(document, name)?;
    let mut relations = Vec::new();
    loop {
        match xml.next_node()? {
            Node::Open(tag) if tag.is("Relationship") && relations.len() < MAX_ENTRIES => {
                let (mut id, mut kind, mut target, mut external) = (String::new(), String::new(), None, false);
                tag.attributes(|key, value| match key {
                    b"Id" => id = value.into_owned(),
                    b"Type" => kind = value.into_owned(),
                    b"Target" => target = Some(resolved(folder, &value)),
                    b"TargetMode" => external = &*value == "External",
                    _ => {}
                })?;
                relations.push(Relation { id, kind, target: target.filter(|_| !external) });
            }
            Node::Eof => return Ok(relations),
            _ => {}
        }
    }
}

/// The name of a part, as it is seen from a folder of the archive. It is only looked up among the archive's names.
fn resolved(folder: &str, target: &str) -> String {
    let mut place: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => folder.split('/').filter(|part| !part.is_empty()).collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(place.pop()),
            part => place.push(part),
        }
    }
    place.join("/")
}

/// The sheets with cells in the workbook's order, and the day from which it counts.
fn sheets(document: &Document, part: &str, related: &[Relation]) -> Result<(Vec<Sheet>, Epoch)> {
    let mut xml = open(document, part)?;
    let (mut sheets, mut epoch) = (Vec::new(), Epoch::default());
    loop {
        match xml.next_node()? {
            Node::Open(tag) if tag.is("workbookPr") && tag.is_set("date1904")? => epoch = Epoch::Year1904,
            Node::Open(tag) if tag.is("sheet") && sheets.len() < MAX_ENTRIES => {
                let (mut name, mut id, mut hidden) = (String::new(), String::new(), false);
                tag.attributes(|key, value| match key {
                    b"name" => name = value.into_owned(),
                    b"id" => id = value.into_owned(),
                    b"state" => hidden = &*value != "visible",
                    _ => {}
                })?;
                let relation = related.iter().find(|relation| relation.id == id);
                // Sheets of charts, dialogs and macros have no cells.
                let Some(relation) = relation.filter(|relation| relation.kind.ends_with("/worksheet")) else {
                    continue;
                };
                let found = relation.target.as_deref().and_then(|target| document.find(target));
                let part = found.ok_or_else(|| {
                    Error::data(format!(
                        "its sheet `{name}` is missing: the file is damaged, or the sheet is in another file"
                    ))
                })?;
                sheets.push(Sheet { name, hidden, part: part.to_owned() });
            }
            Node::Eof => return Ok((sheets, epoch)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_from_the_folder_of_the_one_that_refers_to_it() {
        for (folder, target, expected) in [
            ("xl", "worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "/xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("", "xl/workbook.xml", "xl/workbook.xml"),
            ("xl/worksheets", "../styles.xml", "xl/styles.xml"),
            ("xl", "../../../../etc/passwd", "etc/passwd"),
        ] {
            assert_eq!(resolved(folder, target), expected);
        }
    }
}
