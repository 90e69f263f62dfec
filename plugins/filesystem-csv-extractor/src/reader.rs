//! DuckDB's reader over the files, with every column as text: `c0`, `c1` and so on.

use osiris_sdk::sql::quote_text;

use crate::options::{Config, Types};
use crate::part::Part;
use crate::table::Rows;

/// The longest row that DuckDB accepts by default, in bytes.
const LINE_BYTES: u64 = 2_000_000;

/// How many SELECTs are united at once: DuckDB recurses into longer unions.
const UNITED: usize = 50;

impl Rows<'_> {
    /// The rows of all files, in their order, up to the config's limit.
    pub fn read_csv(&self) -> String {
        self.read(0..self.parts.len(), self.config.files.limit)
    }

    /// The rows of some of the files.
    pub fn read(&self, parts: std::ops::Range<usize>, limit: Option<u64>) -> String {
        // Each file by a call of its own: of a list of files, DuckDB 1.5.6 drops a last line with a broken quote.
        let file = |(number, part): (usize, &Part)| {
            let from = format!("read_csv({}, {})", part.literal, self.options(part));
            match self.selected(number, part) {
                Some(selected) => format!("(select {selected} from {from})"),
                None => from,
            }
        };
        let from = united(parts.clone().zip(&self.parts[parts]).map(file).collect());
        match limit {
            Some(limit) => format!("(select * from {from} limit {limit})"),
            None => from,
        }
    }

    /// The table's columns, of which a file may lack some or have them in another order, and those of its path.
    fn selected(&self, number: usize, part: &Part) -> Option<String> {
        let is_plain = part.places.iter().enumerate().all(|(place, own)| *own == Some(place));
        if is_plain && self.paths.is_empty() {
            return None;
        }
        let column = |(place, own): (usize, &Option<usize>)| match own {
            Some(_) => format!("c{place}"),
            None => format!("null::varchar as c{place}"),
        };
        let columns = part.places.iter().enumerate().map(column);
        let paths = self.paths.iter().enumerate().map(|(place, path)| format!("{} as h{place}", path.sql(number)));
        Some(columns.chain(paths).collect::<Vec<_>>().join(", "))
    }

    fn options(&self, part: &Part) -> String {
        let config = self.config;
        // The names of the file's columns, by their places in the table.
        let mut names = vec![String::new(); part.layout.names.len()];
        for (place, own) in part.places.iter().enumerate() {
            if let Some(own) = own {
                names[*own] = format!("c{place}");
            }
        }
        let mut options = vec![format!("header = {}", part.header)];
        if config.types == Types::Fast {
            let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            let declared = names.iter().zip(&self.declared).filter(|(_, declared)| declared.is_some());
            let declared: Vec<String> = declared.map(|(name, _)| format!("{name}: 'VARCHAR'")).collect();
            options.push(format!(
                "auto_detect = true, names = [{}], skip = 0, comment = '', sample_size = {}",
                quoted.join(", "),
                config.infer_rows
            ));
            if !declared.is_empty() {
                options.push(format!("types = {{{}}}", declared.join(", ")));
            }
        } else {
            let columns: Vec<String> = names.iter().map(|name| format!("{name}: 'VARCHAR'")).collect();
            options.push(format!("auto_detect = false, columns = {{{}}}", columns.join(", ")));
        }
        let dialect = &part.layout.dialect;
        let byte = |byte: &Option<u8>| byte.map(|byte| vec![byte]).unwrap_or_default();
        let mut text = |name: &str, value: &[u8]| {
            options.push(format!("{name} = {}", quote_text(&String::from_utf8_lossy(value))))
        };
        text("delim", &dialect.delimiter);
        text("quote", &byte(&dialect.quote));
        text("escape", if dialect.quote.is_some() { byte(&dialect.escape) } else { Vec::new() }.as_slice());
        text("compression", b"none");
        text("encoding", b"utf-8");
        options.push(nulls(config, &names));
        if part.longest.is_some() {
            // DuckDB would take a CRLF inside quotes in the first row for the end of a line.
            options.push("new_line = '\\n'".to_owned());
        }
        if let Some(longest) = part.longest.filter(|longest| *longest > LINE_BYTES / 2) {
            options.push(format!(
                "max_line_size = {}, buffer_size = {}",
                longest + 1024,
                (2 * longest + 4096).max(32_000_000)
            ));
        }
        options.join(", ")
    }
}

/// How nulls are written.
fn nulls(config: &Config, names: &[String]) -> String {
    if config.na_values.is_empty() {
        let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        return format!("force_not_null = [{}]", names.join(", "));
    }
    let nulls: Vec<String> = config.na_values.iter().map(|value| quote_text(value)).collect();
    format!("nullstr = [{}], allow_quoted_nulls = {}", nulls.join(", "), config.quoted_na)
}

/// The rows of several sources, one after another.
fn united(mut sources: Vec<String>) -> String {
    while sources.len() > 1 {
        let unite = |some: &[String]| match some {
            [one] => one.clone(),
            several => {
                let selects: Vec<String> = several.iter().map(|source| format!("select * from {source}")).collect();
                format!("({})", selects.join(" union all "))
            }
        };
        sources = sources.chunks(UNITED).map(unite).collect();
    }
    sources.pop().unwrap_or_default()
}
