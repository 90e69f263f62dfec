//! What `osiris drivers new` can start from.

use std::fmt;

use crate::driver::spec::Kind;
use crate::error::{Report, listed};

/// What a new driver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Template {
    /// Makes rows.
    Rows,
    /// Computes columns.
    Columns,
    /// Talks to an HTTP API.
    Rest,
    /// Talks to a server over TCP.
    Database,
    /// Reads or writes a file.
    File,
    /// Leaves its work to DuckDB.
    Sql,
}

impl Template {
    pub const ALL: [Self; 6] = [Self::Rows, Self::Columns, Self::Rest, Self::Database, Self::File, Self::Sql];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::Rest => "rest",
            Self::Database => "database",
            Self::File => "file",
            Self::Sql => "sql",
        }
    }

    /// Checks that a driver of this kind can start from the template.
    ///
    /// # Errors
    /// A [`Report`] that names the templates of the kind.
    pub fn check(self, kind: Kind) -> Result<(), Report> {
        let suitable = templates_of(kind);
        if suitable.contains(&self) {
            return Ok(());
        }
        let names = listed(suitable.iter().map(|template| template.name()));
        Err(Report::input(format!("no template `{self}` is for {}; its templates: {names}", an(kind)))
            .hint("choose one of them with `--template`, or another `--kind`"))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The templates of a kind, the default first.
pub fn templates_of(kind: Kind) -> &'static [Template] {
    match kind {
        Kind::Extractor => &[Template::Rows, Template::Rest, Template::Database, Template::File],
        Kind::Processor => &[Template::Columns, Template::Sql],
        Kind::Writer => &[Template::File, Template::Rest, Template::Database],
    }
}

/// The template of a new driver of this kind, unless another one is chosen.
pub fn default_template(kind: Kind) -> Template {
    templates_of(kind)[0]
}

/// The kind with its article.
pub fn an(kind: Kind) -> String {
    let article = if kind == Kind::Extractor { "an" } else { "a" };
    format!("{article} {kind}")
}
