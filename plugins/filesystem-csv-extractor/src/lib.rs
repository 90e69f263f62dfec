//! `filesystem.csv_extractor`: reads one CSV file with DuckDB's own reader, without losing anything.

mod checks;
mod declared;
mod kinds;
mod layout;
mod options;
mod records;
mod rewrite;
mod table;

use input_files::{HEAD_BYTES, InputFile};
use osiris_sdk::{Error, ErrorKind, Extractor, Output, Result, context};

use layout::Layout;
use options::{Config, Types};
use table::{Loaded, Rows};

struct CsvExtractor;

impl Extractor for CsvExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        config.check()?;
        if config.types == Types::Fast {
            let message = format!(
                "`types: fast` lets DuckDB guess the types of `{}` from its first rows: later values may have been rounded or cut \
                 without an error; `types: strict` checks every value",
                config.path
            );
            context::warn(&message, &[]);
        }
        let mut file = InputFile::open(&config.path, config.compression, config.encoding)?;
        let head = file.head()?;
        if head.is_empty() {
            return Err(Error::data(format!("`{}` is empty: it has not even a header", config.path)));
        }
        let layout = Layout::of(&config, &head, head.len() < HEAD_BYTES)?;
        let mut rows = Rows::new(&config, &layout)?;
        drop(head);
        if let Some(header) = layout.direct {
            (rows.literal, rows.header) = (file.sql_literal()?, header);
            match rows.load(&output) {
                Ok(loaded) => return whole(loaded),
                // Whatever DuckDB objected to: read line by line, the file is either valid or the error can be located.
                Err(error) if matches!(error.kind, ErrorKind::Data) => {}
                Err(error) => return Err(error),
            }
        }
        let rewritten = rewrite::rewrite(&config, &layout, &file)?;
        (rows.literal, rows.header, rows.longest) = (rewritten.literal(), false, Some(rewritten.longest));
        whole(rows.load(&output).map_err(|error| explain(&config, error))?)
    }
}

fn whole(loaded: Loaded) -> Result<()> {
    match loaded {
        Loaded::Whole => Ok(()),
        Loaded::Lost(error) => Err(error),
    }
}

/// DuckDB's message without its file and its settings; its first lines say what is wrong.
fn explain(config: &Config, error: Error) -> Error {
    if !matches!(error.kind, ErrorKind::Data) {
        return error;
    }
    let lines = error.message.lines().filter(|line| !line.starts_with("Original Line"));
    let told: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Possible") && !line.starts_with("  file"))
        .filter(|line| !line.trim().is_empty())
        .collect();
    Error { message: format!("cannot read `{}`: {}", config.path, told.join("; ")), ..error }
}

osiris_sdk::export!(CsvExtractor: extractor);
