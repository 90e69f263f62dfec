//! What `osiris copy` reads from and writes to, as the user names it: tables of a connection, or files. No I/O.

use crate::error::{Report, listed};
use crate::pipeline::connections::Connections;

/// Kinds of files: the endings of their names, the extractor and the writer.
const FILES: [(&[&str], &str, Option<&str>); 6] = [
    (&["csv", "tsv", "txt"], "filesystem.csv_extractor", Some(CSV_WRITER)),
    (&["json", "jsonl", "ndjson"], "filesystem.json_extractor", Some("filesystem.json_writer")),
    (&["parquet"], "filesystem.parquet_extractor", Some("filesystem.parquet_writer")),
    (&["duckdb"], DUCKDB_EXTRACTOR, Some("duckdb.writer")),
    (&["sqlite", "sqlite3", "db"], "sqlite.extractor", None),
    (&["xlsx"], "excel.extractor", None),
];

const CSV_WRITER: &str = "filesystem.csv_writer";
const DUCKDB_EXTRACTOR: &str = "duckdb.extractor";

/// The endings of compressed files, which stand after the kind's own.
const COMPRESSED: [&str; 5] = ["gz", "zst", "bz2", "xz", "zip"];

/// What makes a path a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// What stands for all tables.
const ALL: &str = "*";

/// What to copy, or where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Tables of a database that a connection leads to.
    Tables { connection: String, tables: Tables },
    /// A database file.
    Database { path: String, kind: FileKind, tables: Tables },
    /// One file, or those that a pattern matches.
    Files { path: String, kind: FileKind },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tables {
    /// `orders` or `sales.orders`, as the drivers' option `table` has it.
    One(String),
    /// All of one schema, or of all.
    All { schema: Option<String> },
    /// Those of the other side, by their names.
    Same,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKind {
    pub extractor: &'static str,
    pub writer: Option<&'static str>,
}

impl FileKind {
    /// Whether the writer sorts columns by name, as Python Osiris does, unless it is told not to.
    pub fn sorts_columns(self) -> bool {
        self.writer == Some(CSV_WRITER)
    }

    /// Whether a file of this kind holds tables, which are named after a `#`.
    fn holds_tables(self) -> bool {
        matches!(self.extractor, DUCKDB_EXTRACTOR | "sqlite.extractor")
    }
}

impl Endpoint {
    /// Reads `@family.alias.table`, `@family.alias.schema.*`, `warehouse.duckdb#table` or `data/*.csv`.
    ///
    /// # Errors
    /// If it is neither a known connection nor a file whose kind its name tells.
    pub fn parse(text: &str, connections: &Connections) -> Result<Self, Report> {
        match text.strip_prefix('@') {
            Some(name) => Self::of_connection(name, connections),
            None => Self::of_file(text),
        }
    }

    fn of_connection(name: &str, connections: &Connections) -> Result<Self, Report> {
        let (family, rest) = name.split_once('.').unwrap_or((name, ""));
        // An alias may contain dots.
        let known =
            connections.aliases(family).filter(|alias| follows(rest, alias).is_some()).max_by_key(|alias| alias.len());
        let alias = known.unwrap_or_else(|| rest.split('.').next().unwrap_or_default());
        let tables = tables(follows(rest, alias).unwrap_or_default());
        let connection = if alias.is_empty() { format!("@{family}") } else { format!("@{family}.{alias}") };
        Ok(Self::Tables { connection, tables })
    }

    fn of_file(text: &str) -> Result<Self, Report> {
        // A `#` may also be part of a file's name.
        let (path, table) = text.split_once('#').unwrap_or((text, ""));
        if let Some(kind) = kind_of(path).filter(|kind| kind.holds_tables()) {
            return Ok(Self::Database { path: path.to_owned(), kind, tables: tables(table) });
        }
        let Some(kind) = kind_of(text) else {
            let endings = FILES.iter().flat_map(|(endings, ..)| endings.iter().copied());
            return Err(Report::input(format!("the name of `{text}` does not say what kind of file it is")).hint(
                format!(
                    "names end in {}, perhaps followed by {}; a table of a connection begins with `@`; for other \
                     names write a pipeline, which `--print` can begin",
                    listed(endings),
                    listed(COMPRESSED)
                ),
            ));
        };
        Ok(Self::Files { path: text.to_owned(), kind })
    }

    /// The family of the connection, which the names of its drivers begin with.
    pub fn family(&self) -> Option<&str> {
        match self {
            Self::Tables { connection, .. } => connection.trim_start_matches('@').split('.').next(),
            Self::Database { .. } | Self::Files { .. } => None,
        }
    }

    /// Whether it stands for any number of files.
    pub fn is_pattern(&self) -> bool {
        matches!(self, Self::Files { path, .. } if path.contains(WILDCARDS))
    }

    /// A name for what is copied from here, without folders, patterns and endings: `orders` for `data/orders.csv.gz`, `monthly` for
    /// `data/monthly/*.csv`.
    pub fn stem(&self) -> Option<String> {
        let (Self::Files { path, .. } | Self::Database { path, .. }) = self else { return None };
        let named = path
            .split('/')
            .rfind(|part| !part.is_empty() && !part.contains(WILDCARDS) && *part != "." && *part != "..")?;
        let endings = FILES.iter().flat_map(|(endings, ..)| endings.iter()).chain(&COMPRESSED);
        let mut stem = named;
        for _ in 0..2 {
            let cut = |ending: &&str| stem.strip_suffix(*ending).and_then(|rest| rest.strip_suffix('.'));
            stem = endings.clone().find_map(cut).filter(|rest| !rest.is_empty()).unwrap_or(stem);
        }
        Some(stem.to_owned())
    }
}

/// What follows `alias` and a dot in `rest`.
fn follows<'a>(rest: &'a str, alias: &str) -> Option<&'a str> {
    let after = rest.strip_prefix(alias)?;
    if after.is_empty() { Some("") } else { after.strip_prefix('.') }
}

fn tables(text: &str) -> Tables {
    match text {
        "" => Tables::Same,
        ALL => Tables::All { schema: None },
        named => match named.strip_suffix(".*") {
            Some(schema) => Tables::All { schema: Some(schema.to_owned()) },
            None => Tables::One(named.to_owned()),
        },
    }
}

fn kind_of(path: &str) -> Option<FileKind> {
    let lower = path.to_lowercase();
    let mut endings = lower.rsplit('.');
    let mut ending = endings.next()?;
    if COMPRESSED.contains(&ending) {
        ending = endings.next()?;
    }
    endings.next()?;
    let found = FILES.iter().find(|(known, ..)| known.contains(&ending));
    found.map(|(_, extractor, writer)| FileKind { extractor, writer: *writer })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pipeline::connections;

    fn parse(text: &str) -> Result<Endpoint, Report> {
        let connections = connections::parse("connections: {postgres: {shop: {}, shop.eu: {}}}", "c.yaml").unwrap();
        Endpoint::parse(text, &connections)
    }

    #[test]
    fn tables_of_connections_are_named_after_the_alias() {
        for (text, connection, tables) in [
            ("@postgres.shop.orders", "@postgres.shop", Tables::One("orders".to_owned())),
            ("@postgres.shop.sales.orders", "@postgres.shop", Tables::One("sales.orders".to_owned())),
            ("@postgres.shop.*", "@postgres.shop", Tables::All { schema: None }),
            ("@postgres.shop.sales.*", "@postgres.shop", Tables::All { schema: Some("sales".to_owned()) }),
            ("@postgres.shop.eu.orders", "@postgres.shop.eu", Tables::One("orders".to_owned())),
            ("@postgres.shop", "@postgres.shop", Tables::Same),
            ("@postgres.shopping.orders", "@postgres.shopping", Tables::One("orders".to_owned())),
            ("@postgres", "@postgres", Tables::Same),
        ] {
            assert_eq!(parse(text).unwrap(), Endpoint::Tables { connection: connection.to_owned(), tables }, "{text}");
        }
    }

    #[test]
    fn the_name_of_a_file_tells_its_kind_and_a_name_for_its_table() {
        for (path, extractor, stem) in [
            ("data/orders.csv", "filesystem.csv_extractor", Some("orders")),
            ("data/monthly/*.CSV.gz", "filesystem.csv_extractor", Some("monthly")),
            ("a.b/odd#name.jsonl.zst", "filesystem.json_extractor", Some("odd#name")),
            ("./*.parquet", "filesystem.parquet_extractor", None),
            ("warehouse.duckdb", DUCKDB_EXTRACTOR, Some("warehouse")),
        ] {
            let endpoint = parse(path).unwrap();
            let (Endpoint::Files { kind, .. } | Endpoint::Database { kind, .. }) = &endpoint else { panic!("{path}") };
            assert_eq!((kind.extractor, endpoint.stem().as_deref()), (extractor, stem), "{path}");
        }
        for path in ["orders", "orders.docx", "csv", "gz", ""] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
