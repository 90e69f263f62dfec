//! Creates the table from rows that DuckDB can read: one pass that casts and checks, and a second one if a check fails.

use osiris_sdk::sql::{quote_name, quote_text};
use osiris_sdk::{Error, ErrorKind, Output, Result, context, sql};

use crate::checks::{Column, Declared, Target, prints_back};
use crate::kinds::{Booleans, Evidence, Kind, Type};
use crate::layout::Layout;
use crate::options::{Config, OnBadLines, Types};
use crate::rewrite::{plural, shown, were};

/// How many columns are examined in one pass.
const COLUMNS_AT_ONCE: usize = 256;

/// The longest row that DuckDB accepts by default, in bytes.
const LINE_BYTES: u64 = 2_000_000;

/// The outcome of loading rows.
#[derive(Debug)]
pub enum Loaded {
    Whole,
    /// A value does not survive its declared type.
    Lost(Error),
}

/// Rows, by the SQL literal of their file.
pub struct Rows<'a> {
    pub config: &'a Config,
    pub layout: &'a Layout,
    pub literal: String,
    pub header: bool,
    /// The length of the longest row in bytes, if it is known.
    pub longest: Option<u64>,
    booleans: Booleans,
    /// The columns that are read, each by its position in the file.
    wanted: Vec<usize>,
    declared: Vec<Option<Declared>>,
}

impl<'a> Rows<'a> {
    /// # Errors
    /// `config` or `not-found` for options that name a column or a type that does not exist.
    pub fn new(config: &'a Config, layout: &'a Layout) -> Result<Self> {
        let place = |name: &str| layout.names.iter().position(|known| known == name);
        if let Some((option, unknown)) = config.named_columns().into_iter().find(|(_, name)| place(name).is_none()) {
            let known: Vec<String> = layout.names.iter().map(|name| format!("`{name}`")).collect();
            return Err(Error::not_found(format!(
                "`{option}`: there is no column `{unknown}`; the file has: {}",
                known.join(", ")
            )));
        }
        if config.skip_blank_lines == Some(false) && layout.names.len() > 1 {
            return Err(Error::config(
                "`skip_blank_lines: false` is for files of one column: in others a blank line is no row",
            ));
        }
        let wanted = match &config.columns {
            Some(columns) => columns.iter().filter_map(|name| place(name)).collect(),
            None => (0..layout.names.len()).collect(),
        };
        let declared = layout.names.iter().map(|name| config.declared(name)).collect::<Result<Vec<_>>>()?;
        for (name, declared) in layout.names.iter().zip(&declared) {
            if let Some(declared) = declared {
                declared.check(name)?;
            }
        }
        Ok(Self {
            config,
            layout,
            literal: String::new(),
            header: false,
            longest: None,
            booleans: config.booleans(),
            wanted,
            declared,
        })
    }

    /// Creates the output's table `main`. An error of kind `data` means that DuckDB cannot read the rows.
    ///
    /// # Errors
    /// As for [`sql::create_table`].
    pub fn load(&self, output: &Output) -> Result<Loaded> {
        let formats =
            self.config.infers_dates() && (self.config.date_format.is_some() || self.config.timestamp_format.is_some());
        let fast = self.config.types == Types::Fast;
        let mut counted = fast || self.config.infer_rows < 0 || formats;
        let mut targets = if counted && !fast { self.count()? } else { self.targets(&self.layout.sample) };
        loop {
            let error = match self.create(output, &targets) {
                Ok(()) => return Ok(Loaded::Whole),
                Err(error) if matches!(error.kind, ErrorKind::Data) => error,
                Err(error) => return Err(error),
            };
            if let Some(lost) = self.find_lost(&targets)? {
                return Ok(Loaded::Lost(lost));
            }
            if counted {
                return Err(error);
            }
            let decided = self.count()?;
            if decided == targets {
                return Err(error);
            }
            context::info("reading again: a later value does not fit the type that the first rows have", &[]);
            (targets, counted) = (decided, true);
        }
    }

    fn targets(&self, evidence: &[Evidence]) -> Vec<Target> {
        let dates = self.config.infers_dates();
        let decide = |(evidence, declared): (&Evidence, &Option<Declared>)| match declared {
            Some(declared) => Target::Declared(declared.clone()),
            // DuckDB's reader has already chosen the type.
            None if self.config.types == Types::Fast => Target::Inferred(Type::Text),
            None => Target::Inferred(evidence.decide(dates)),
        };
        evidence.iter().zip(&self.declared).map(decide).collect()
    }

    fn column<'t>(&'t self, place: usize, target: &'t Target) -> Column<'t> {
        Column {
            place,
            target,
            booleans: &self.booleans,
            numbers: self.config.numbers(),
            date_format: self.config.date_format.as_deref(),
            timestamp_format: self.config.timestamp_format.as_deref(),
        }
    }

    /// Decides the types by every value in the file.
    fn count(&self) -> Result<Vec<Target>> {
        // A column that is text by its first rows is text by all of them, unless a format is given.
        let formats = self.config.date_format.is_some() || self.config.timestamp_format.is_some();
        let is_open = |place: &usize| {
            let sample = &self.layout.sample[*place];
            self.declared[*place].is_none() && (formats || sample.decide(self.config.infers_dates()) != Type::Text)
        };
        let mut evidence = self.layout.sample.clone();
        let open: Vec<usize> = self.wanted.iter().copied().filter(is_open).collect();
        for places in open.chunks(COLUMNS_AT_ONCE) {
            self.look(places, &mut evidence)?;
            if formats {
                self.try_formats(places, &mut evidence)?;
            }
        }
        Ok(self.targets(&evidence))
    }

    /// Examines every value of some columns. DuckDB's aggregates would take five times as long, and gigabytes of memory
    /// for many columns.
    fn look(&self, places: &[usize], evidence: &mut [Evidence]) -> Result<()> {
        let numbers = self.config.numbers();
        for place in places {
            evidence[*place] = Evidence::default();
        }
        let texts: Vec<String> = places.iter().map(|place| format!("c{place}")).collect();
        let mut reader = sql::query(&format!("select {} from {}", texts.join(", "), self.read_csv()))?;
        while let Some(batch) = reader.next_batch()? {
            for (column, place) in places.iter().enumerate() {
                let texts = batch.column_at(column).strings()?;
                for text in (0..batch.rows()).filter_map(|row| texts.get(row)) {
                    evidence[*place].add(text, numbers.plain(text).as_deref(), &self.booleans);
                }
            }
        }
        Ok(())
    }

    /// Adds whether all values of some columns have the config's formats, which only DuckDB can parse.
    fn try_formats(&self, places: &[usize], evidence: &mut [Evidence]) -> Result<()> {
        let formats = [
            (Kind::FormattedDate, &self.config.date_format),
            (Kind::FormattedTimestamp, &self.config.timestamp_format),
        ];
        for (kind, format) in formats {
            let Some(format) = format else { continue };
            let others: Vec<String> = places
                .iter()
                .map(|place| format!("coalesce(bool_and({}), false)::varchar", prints_back(*place, format)))
                .collect();
            let mut reader = sql::query(&format!("select {} from {}", others.join(", "), self.read_csv()))?;
            while let Some(batch) = reader.next_batch()? {
                for (column, place) in places.iter().enumerate() {
                    let every = batch.column_at(column).strings()?.get(0) == Some("true");
                    evidence[*place].kinds = evidence[*place].kinds.with(kind, every);
                }
            }
        }
        Ok(())
    }

    /// The rows, with the number form of each of `columns` that needs it.
    fn numbered(&self, columns: &[Column<'_>]) -> String {
        let numbers: Vec<String> = columns.iter().filter_map(Column::number_column).collect();
        if numbers.is_empty() {
            self.read_csv()
        } else {
            format!("(select *, {} from {})", numbers.join(", "), self.read_csv())
        }
    }

    /// The rows with each column's value, cast.
    fn cast(&self, columns: &[Column<'_>]) -> String {
        let try_ = |column: &Column<'_>| if matches!(column.target, Target::Declared(_)) { "try_" } else { "" };
        let casts =
            columns.iter().filter_map(|column| Some(format!(", {} as t{}", column.cast(try_(column))?, column.place)));
        let texts = columns.iter().map(|column| format!("c{}", column.place));
        let mut numbers: Vec<String> = columns
            .iter()
            .filter(|column| column.number_column().is_some())
            .map(|column| format!("n{}", column.place))
            .collect();
        numbers.extend(texts);
        format!("(select {}{} from {})", numbers.join(", "), casts.collect::<String>(), self.numbered(columns))
    }

    fn create(&self, output: &Output, targets: &[Target]) -> Result<()> {
        let columns: Vec<Column<'_>> = self.wanted.iter().map(|place| self.column(*place, &targets[*place])).collect();
        let outputs: Vec<String> = columns
            .iter()
            .map(|column| format!("{} as {}", column.output(), quote_name(&self.layout.names[column.place])))
            .collect();
        let (left_out, refused): (Vec<_>, Vec<_>) = columns.iter().partition(|column| self.leaves_out(column));
        let lost = |column: &Column<'_>| match column.target {
            Target::Declared(_) => uncast_or_lost(column),
            Target::Inferred(_) => column.lost(),
        };
        let refused: Vec<String> = refused.into_iter().filter_map(lost).collect();
        let left_out: Vec<String> = left_out.into_iter().filter_map(uncast_or_lost).collect();
        let mut conditions = Vec::new();
        if !refused.is_empty() {
            conditions.push(format!(
                "case when {} then error('a value would not survive') else true end",
                refused.join(" or ")
            ));
        }
        if !left_out.is_empty() {
            conditions.push(format!("not coalesce({}, false)", left_out.join(" or ")));
        }
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
        let select = format!("select {} from {}{condition}", outputs.join(", "), self.cast(&columns));
        let rows = sql::create_table(output, "main", &select)?;
        if left_out.is_empty() { Ok(()) } else { self.warn_of_lost(rows) }
    }

    /// Whether rows are skipped if a value of the column does not fit.
    fn leaves_out(&self, column: &Column<'_>) -> bool {
        self.config.on_bad_lines == OnBadLines::Skip && matches!(column.target, Target::Declared(_))
    }

    fn warn_of_lost(&self, rows: u64) -> Result<()> {
        let all = number(&format!("select count(*)::varchar from {}", self.read_csv()))?;
        let left_out = all.saturating_sub(rows);
        if left_out > 0 {
            let message = format!(
                "{} of `{}` {} left out by `on_bad_lines: skip`, since a value does not fit its declared type",
                plural(left_out, "row"),
                self.config.path,
                were(left_out),
            );
            context::warn(&message, &[("count", &left_out)]);
        }
        context::metric("rows_skipped", left_out as f64);
        Ok(())
    }

    /// The error for the first value that does not survive its declared type.
    fn find_lost(&self, targets: &[Target]) -> Result<Option<Error>> {
        for place in &self.wanted {
            let Target::Declared(declared) = &targets[*place] else { continue };
            let column = self.column(*place, &targets[*place]);
            let Some(condition) = uncast_or_lost(&column) else { continue };
            let from = self.cast(std::slice::from_ref(&column));
            let select = format!(
                "select number::varchar, c{place} from (select row_number() over () as number, * from {from}) where coalesce({condition}, false) limit 1"
            );
            let mut reader = sql::query(&select)?;
            let Some(batch) = reader.next_batch()? else { continue };
            let (row, text) = (batch.column_at(0).strings()?, batch.column_at(1).strings()?);
            let name = &self.layout.names[*place];
            let written =
                declared.format.as_ref().map_or_else(String::new, |format| format!(" as `{format}` writes it"));
            return Ok(Some(Error::data(format!(
                "column `{name}` has {} in row {} of `{}`, which is no {}{written}, or would lose a part as one; {}",
                shown(text.get(0).unwrap_or_default().as_bytes()),
                row.get(0).unwrap_or_default(),
                self.config.path,
                declared.sql,
                declared.remedy(name)
            ))));
        }
        Ok(None)
    }

    /// DuckDB's reader over the rows, with every column as text: `c0`, `c1` and so on.
    fn read_csv(&self) -> String {
        let config = self.config;
        let places = || (0..self.layout.names.len()).map(|place| format!("c{place}"));
        let mut options = vec![format!("header = {}", self.header)];
        if config.types == Types::Fast {
            let names: Vec<String> = places().map(|name| format!("'{name}'")).collect();
            let declared = places().zip(&self.declared).filter(|(_, declared)| declared.is_some());
            let declared: Vec<String> = declared.map(|(name, _)| format!("{name}: 'VARCHAR'")).collect();
            options.push(format!(
                "auto_detect = true, names = [{}], skip = 0, comment = '', sample_size = {}",
                names.join(", "),
                config.infer_rows
            ));
            if !declared.is_empty() {
                options.push(format!("types = {{{}}}", declared.join(", ")));
            }
        } else {
            let columns: Vec<String> = places().map(|name| format!("{name}: 'VARCHAR'")).collect();
            options.push(format!("auto_detect = false, columns = {{{}}}", columns.join(", ")));
        }
        let mut text = |name: &str, value: &[u8]| {
            options.push(format!("{name} = {}", quote_text(&String::from_utf8_lossy(value))))
        };
        let dialect = &self.layout.dialect;
        let byte = |byte: &Option<u8>| byte.map(|byte| vec![byte]).unwrap_or_default();
        text("delim", &dialect.delimiter);
        text("quote", &byte(&dialect.quote));
        text("escape", if dialect.quote.is_some() { byte(&dialect.escape) } else { Vec::new() }.as_slice());
        text("compression", b"none");
        text("encoding", b"utf-8");
        if config.na_values.is_empty() {
            options.push(format!(
                "force_not_null = [{}]",
                places().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
            ));
        } else {
            let nulls: Vec<String> = config.na_values.iter().map(|value| quote_text(value)).collect();
            options.push(format!("nullstr = [{}], allow_quoted_nulls = {}", nulls.join(", "), config.quoted_na));
        }
        if self.longest.is_some() {
            // DuckDB would take a CRLF inside quotes in the first row for the end of a line.
            options.push("new_line = '\\n'".to_owned());
        }
        if let Some(longest) = self.longest.filter(|longest| *longest > LINE_BYTES / 2) {
            options.push(format!(
                "max_line_size = {}, buffer_size = {}",
                longest + 1024,
                (2 * longest + 4096).max(32_000_000)
            ));
        }
        let from = format!("read_csv({}, {})", self.literal, options.join(", "));
        match config.limit {
            Some(limit) => format!("(select * from {from} limit {limit})"),
            None => from,
        }
    }
}

/// Whether a value of a declared type cannot be cast, or does not survive.
fn uncast_or_lost(column: &Column<'_>) -> Option<String> {
    let uncast = column.cast("").map(|_| format!("(c{0} is not null and t{0} is null)", column.place))?;
    Some(match column.lost() {
        Some(lost) => format!("coalesce({lost}, false) or {uncast}"),
        None => uncast,
    })
}

fn number(select: &str) -> Result<u64> {
    let mut reader = sql::query(select)?;
    let batch = reader.next_batch()?;
    let text = batch.as_ref().map(|batch| batch.column_at(0).strings()).transpose()?;
    Ok(text.and_then(|text| text.get(0).and_then(|text| text.parse().ok())).unwrap_or(0))
}
