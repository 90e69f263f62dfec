//! `excel.extractor`: reads a sheet of Excel files twice, first for the types of its columns and then for the rows.

mod column;
mod options;
mod part;
mod place;
mod rows;
mod serial;
mod styles;
mod table;
mod texts;
mod workbook;
mod xml;

use input_files::{PathColumns, Selection};
use osiris_sdk::{Extractor, Output, Result};

use options::Config;
use part::{Part, named};
use table::Table;
use workbook::Workbook;

struct ExcelExtractor;

impl Extractor for ExcelExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        config.area()?;
        let selection = Selection::new(&config.files.selection())?;
        if selection.is_empty() {
            return selection.write_nothing(&output);
        }
        let paths = PathColumns::new(&selection.names, &config.files.path_columns())?;
        let (mut parts, mut books) = (Vec::new(), Vec::new());
        for name in &selection.names {
            let book = Workbook::open(name).map_err(|error| named(name, error))?;
            parts.push(Part::open(name, &book, &config).map_err(|error| named(name, error))?);
            // One workbook stays open; of several, memory holds one at a time.
            books.push(Some(book).filter(|_| selection.names.len() == 1));
        }
        let table = Table::new(&config, &parts, &paths)
            .map_err(|error| if let [name] = &selection.names[..] { named(name, error) } else { error })?;
        table.write(&books, output)?;
        selection.remember(|| Ok(table.described()))
    }
}

osiris_sdk::export!(ExcelExtractor: extractor);
