//! `filesystem.csv_extractor`: reads one CSV file through DuckDB's own reader.

mod options;

use osiris_sdk::{Error, ErrorKind, Extractor, Output, Result, context, files, sql};

use options::Config;

struct CsvExtractor;

impl Extractor for CsvExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let source = files::open(&config.path)?;
        if source.size() == 0 {
            return Err(Error::data(format!("`{}` is empty: it has not even a header", config.path)));
        }
        let file = source.sql_literal();
        let sampled = read(&config, &file, &output, config.infer_rows);
        match sampled {
            // A later value does not fit the type that the first rows suggest: look at all of them.
            Err(error) if matches!(error.kind, ErrorKind::Data) && config.infer_rows >= 0 => {
                context::info("reading again, with types inferred from every row", &[]);
                read(&config, &file, &output, -1)
            }
            done => done,
        }
        .map_err(|error| explain(&config, find_line(&config, &file, error)))
    }
}

fn read(config: &Config, file: &str, output: &Output, infer_rows: i64) -> Result<()> {
    let from = config.reader(file, infer_rows);
    let names = column_names(&from)?;
    let select = config.select(&from, &names)?;
    sql::create_table(output, "main", &select)?;
    Ok(())
}

fn column_names(from: &str) -> Result<Vec<String>> {
    let reader = sql::query(&format!("select columns(*)::varchar from {from} limit 0"))?;
    Ok(reader.schema().columns().map(|field| field.name.clone()).collect())
}

/// Where DuckDB says only that the lines do not fit together, looks for the first that does not.
fn find_line(config: &Config, file: &str, error: Error) -> Error {
    if !error.message.contains("when sniffing") {
        return error;
    }
    let reread = || -> Result<()> {
        let names = column_names(&config.lenient_reader(file))?;
        let mut rows = sql::query(&format!("select * from {}", config.strict_reader(file, &names)))?;
        while rows.next_batch()?.is_some() {}
        Ok(())
    };
    reread().err().unwrap_or(error)
}

/// DuckDB's message names the file it was given and all of its settings; the first lines say what is wrong.
fn explain(config: &Config, error: Error) -> Error {
    let told: Vec<&str> = error
        .message
        .lines()
        .take_while(|line| {
            !line.trim().is_empty() && !line.starts_with("Possible") && !line.starts_with("The search space")
        })
        .collect();
    let message = format!("cannot read `{}`: {}", config.path, told.join("; "));
    let message = if !message.contains("Line:") {
        message
    } else {
        format!(
            "{message}; `on_bad_lines: skip` leaves such lines out, `dtype` and `na_values` say how values are read"
        )
    };
    Error { message, ..error }
}

osiris_sdk::export!(CsvExtractor: extractor);
