//! `filesystem.csv_extractor`: reads CSV files with DuckDB's own reader, without losing anything.

mod checks;
mod declared;
mod kinds;
mod layout;
mod options;
mod part;
mod reader;
mod records;
mod rewrite;
mod table;

use input_files::{InputFile, PathColumns, Selection};
use osiris_sdk::{Error, ErrorKind, Extractor, Output, Result, context};

use options::{Config, Types};
use part::Part;
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
                config.files.path
            );
            context::warn(&message, &[]);
        }
        let selection = Selection::new(&config.files.selection())?;
        if selection.is_empty() {
            return selection.write_nothing(&output);
        }
        let columns = read(&config, &selection.names, &output)?;
        selection.remember(|| Ok(columns))
    }
}

/// Reads the files into the table `main`; returns its columns, if the step remembers them.
fn read(config: &Config, names: &[String], output: &Output) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for name in names {
        files.extend(InputFile::open_all(name, config.compression, config.encoding)?);
    }
    if config.types == Types::Fast && files.len() > 1 {
        return Err(Error::config(
            "`types: fast` is for a single file: the types of several would be guessed one by one",
        ));
    }
    let names: Vec<String> = files.iter().map(|file| file.name().to_owned()).collect();
    let paths = PathColumns::new(&names, &config.files.path_columns())?;
    let (parts, columns) = Part::all(config, files)?;
    let mut rows = Rows::new(config, parts, columns, &paths)?;
    for part in &mut rows.parts {
        part.prepare(config)?;
    }
    if rows.parts.iter().any(Part::is_direct) {
        match rows.load(output) {
            Ok(loaded) => return whole(loaded),
            // Whatever DuckDB objected to: read line by line, the file is either valid or the error can be located.
            Err(error) if matches!(error.kind, ErrorKind::Data) => rewrite_unreadable(config, &mut rows)?,
            Err(error) => return Err(error),
        }
    }
    whole(rows.load(output).map_err(|error| explain(config, error))?)
}

fn rewrite_unreadable(config: &Config, rows: &mut Rows<'_>) -> Result<()> {
    if let [part] = &mut rows.parts[..] {
        return part.rewrite(config);
    }
    let mut from = 0;
    while let Some(number) = rows.first_unreadable(from)? {
        rows.parts[number].rewrite(config)?;
        from = number + 1;
    }
    Ok(())
}

fn whole(loaded: Loaded) -> Result<Vec<(String, String)>> {
    match loaded {
        Loaded::Whole(columns) => Ok(columns),
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
    Error { message: format!("cannot read `{}`: {}", config.files.path, told.join("; ")), ..error }
}

osiris_sdk::export!(CsvExtractor: extractor);
