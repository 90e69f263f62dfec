//! Creates the table from the rows of all files, once DuckDB can read them: one pass that casts and checks, and a second one if a check fails.

use input_files::{PathColumns, described};
use osiris_sdk::sql::quote_name;
use osiris_sdk::{Error, ErrorKind, Output, Result, context, sql};

use crate::checks::{Column, Declared, Target, prints_back};
use crate::kinds::{Booleans, Evidence, Kind, Type};
use crate::options::{Config, OnBadLines, Types};
use crate::part::Part;
use crate::rewrite::{plural, shown, were};

/// How many columns are examined in one pass.
const COLUMNS_AT_ONCE: usize = 256;

/// The outcome of loading rows.
#[derive(Debug)]
pub enum Loaded {
    /// The table's columns, by name and type, if the step remembers them.
    Whole(Vec<(String, String)>),
    /// A value does not survive its declared type.
    Lost(Error),
}

/// The rows of the table's files.
pub struct Rows<'a> {
    pub config: &'a Config,
    pub parts: Vec<Part>,
    /// The columns of the files' paths.
    pub paths: &'a PathColumns,
    pub declared: Vec<Option<Declared>>,
    names: Vec<String>,
    /// What the first rows show about each column.
    sample: Vec<Evidence>,
    booleans: Booleans,
    /// The columns that are read, each by its place in the table of all columns.
    wanted: Vec<usize>,
}

impl<'a> Rows<'a> {
    /// The rows of `parts`, which together have columns of these names.
    ///
    /// # Errors
    /// `config` or `not-found` for options that name a column or a type that does not exist.
    pub fn new(config: &'a Config, parts: Vec<Part>, names: Vec<String>, paths: &'a PathColumns) -> Result<Self> {
        let place = |name: &str| names.iter().position(|known| known == name);
        if let Some((option, unknown)) = config.named_columns().into_iter().find(|(_, name)| place(name).is_none()) {
            let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let whose = if parts.len() == 1 { "file has" } else { "files have" };
            return Err(Error::not_found(format!(
                "`{option}`: there is no column `{unknown}`; the {whose}: {}",
                known.join(", ")
            )));
        }
        if config.skip_blank_lines == Some(false) && names.len() > 1 {
            return Err(Error::config(
                "`skip_blank_lines: false` is for files of one column: in others a blank line is no row",
            ));
        }
        let wanted: Vec<usize> = match &config.columns {
            Some(columns) => columns.iter().filter_map(|name| place(name)).collect(),
            None => (0..names.len()).collect(),
        };
        paths.check_free(wanted.iter().map(|place| names[*place].as_str()))?;
        let declared = names.iter().map(|name| config.declared(name)).collect::<Result<Vec<_>>>()?;
        for (name, declared) in names.iter().zip(&declared) {
            if let Some(declared) = declared {
                declared.check(name)?;
            }
        }
        let sample = sample(config, &parts, names.len());
        Ok(Self { config, parts, paths, declared, names, sample, booleans: config.booleans(), wanted })
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
        let mut targets = if counted && !fast { self.count()? } else { self.targets(&self.sample) };
        loop {
            let error = match self.create(output, &targets) {
                Ok(columns) => return Ok(Loaded::Whole(columns)),
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

    /// Decides the types by every value in the files.
    fn count(&self) -> Result<Vec<Target>> {
        // A column that is text by its first rows is text by all of them, unless a format is given.
        let formats = self.config.date_format.is_some() || self.config.timestamp_format.is_some();
        let is_open = |place: &usize| {
            let sample = &self.sample[*place];
            self.declared[*place].is_none() && (formats || sample.decide(self.config.infers_dates()) != Type::Text)
        };
        let mut evidence = self.sample.clone();
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

    /// The rows of `from` with each column's value, cast.
    fn cast(&self, columns: &[Column<'_>], from: String) -> String {
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
        numbers.extend((0..self.paths.iter().count()).map(|place| format!("h{place}")));
        format!("(select {}{} from {})", numbers.join(", "), casts.collect::<String>(), numbered(columns, from))
    }

    /// The SELECT of the table, and whether it leaves rows out.
    fn select(&self, targets: &[Target]) -> (String, bool) {
        let columns: Vec<Column<'_>> = self.wanted.iter().map(|place| self.column(*place, &targets[*place])).collect();
        let mut outputs: Vec<String> = columns
            .iter()
            .map(|column| format!("{} as {}", column.output(), quote_name(&self.names[column.place])))
            .collect();
        let paths = self.paths.iter().enumerate();
        outputs.extend(paths.map(|(place, path)| format!("h{place} as {}", quote_name(&path.name))));
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
        let from = self.cast(&columns, self.read_csv());
        (format!("select {} from {from}{condition}", outputs.join(", ")), !left_out.is_empty())
    }

    fn create(&self, output: &Output, targets: &[Target]) -> Result<Vec<(String, String)>> {
        let (select, leaves_out) = self.select(targets);
        let rows = sql::create_table(output, "main", &select)?;
        if leaves_out {
            self.warn_of_lost(rows)?;
        }
        if self.config.files.new_files_only { described(&select) } else { Ok(Vec::new()) }
    }

    /// Whether rows are skipped if a value of the column does not fit.
    fn leaves_out(&self, column: &Column<'_>) -> bool {
        self.config.on_bad_lines == OnBadLines::Skip && matches!(column.target, Target::Declared(_))
    }

    fn warn_of_lost(&self, rows: u64) -> Result<()> {
        let all = number_of(&format!("select count(*)::varchar from {}", self.read_csv()))?;
        let left_out = all.saturating_sub(rows);
        if left_out > 0 {
            let message = format!(
                "{} of `{}` {} left out by `on_bad_lines: skip`, since a value does not fit its declared type",
                plural(left_out, "row"),
                self.config.files.path,
                were(left_out),
            );
            context::warn(&message, &[("count", &left_out)]);
        }
        context::metric("rows_skipped", left_out as f64);
        Ok(())
    }

    /// The first file that DuckDB cannot read as it is.
    ///
    /// # Errors
    /// If a query fails for another reason than the file's content.
    pub fn first_unreadable(&self, from: usize) -> Result<Option<usize>> {
        let texts: Vec<String> = self.wanted.iter().map(|place| format!("c{place}")).collect();
        for number in (from..self.parts.len()).filter(|number| self.parts[*number].is_direct()) {
            let rows = self.read(number..number + 1, None);
            match number_of(&format!("select bit_xor(hash({}))::varchar from {rows}", texts.join(", "))) {
                Ok(_) => {}
                Err(error) if matches!(error.kind, ErrorKind::Data) => return Ok(Some(number)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The error for the first value that does not survive its declared type.
    fn find_lost(&self, targets: &[Target]) -> Result<Option<Error>> {
        let mut limit = self.config.files.limit;
        for number in 0..self.parts.len() {
            for place in &self.wanted {
                let rows = self.read(number..number + 1, limit);
                if let Some(lost) = self.find_lost_in(number, *place, &targets[*place], rows)? {
                    return Ok(Some(lost));
                }
            }
            if let (Some(limit), true) = (&mut limit, self.parts.len() > 1) {
                let rows = number_of(&format!(
                    "select count(*)::varchar from {}",
                    self.read(number..number + 1, Some(*limit))
                ))?;
                *limit = limit.saturating_sub(rows);
            }
        }
        Ok(None)
    }

    /// The error for the first value of a column of one file that does not survive its declared type.
    fn find_lost_in(&self, number: usize, place: usize, target: &Target, rows: String) -> Result<Option<Error>> {
        let Target::Declared(declared) = target else { return Ok(None) };
        let column = self.column(place, target);
        let Some(condition) = uncast_or_lost(&column) else { return Ok(None) };
        let from = self.cast(std::slice::from_ref(&column), rows);
        let select = format!(
            "select number::varchar, c{place} from (select row_number() over () as number, * from {from}) where coalesce({condition}, false) limit 1"
        );
        let mut reader = sql::query(&select)?;
        let Some(batch) = reader.next_batch()? else { return Ok(None) };
        let (row, text) = (batch.column_at(0).strings()?, batch.column_at(1).strings()?);
        let name = &self.names[place];
        let written = declared.format.as_ref().map_or_else(String::new, |format| format!(" as `{format}` writes it"));
        Ok(Some(Error::data(format!(
            "column `{name}` has {} in row {} of `{}`, which is no {}{written}, or would lose a part as one; {}",
            shown(text.get(0).unwrap_or_default().as_bytes()),
            row.get(0).unwrap_or_default(),
            self.parts[number].file.name(),
            declared.sql,
            declared.remedy(name)
        ))))
    }
}

/// What the first rows of the files show about each of the table's columns.
fn sample(config: &Config, parts: &[Part], columns: usize) -> Vec<Evidence> {
    // With a limit, the rows of later files may not be among those that are read.
    let known = if config.files.limit.is_some() { parts.get(..1).unwrap_or_default() } else { parts };
    let mut sample = vec![Evidence::default(); columns];
    for part in known {
        for (evidence, own) in sample.iter_mut().zip(&part.places) {
            if let Some(own) = own {
                *evidence = evidence.and(part.layout.sample[*own]);
            }
        }
    }
    sample
}

/// The rows of `from`, with the number form of each of `columns` that needs it.
fn numbered(columns: &[Column<'_>], from: String) -> String {
    let numbers: Vec<String> = columns.iter().filter_map(Column::number_column).collect();
    if numbers.is_empty() { from } else { format!("(select *, {} from {from})", numbers.join(", ")) }
}

/// Whether a value of a declared type cannot be cast, or does not survive.
fn uncast_or_lost(column: &Column<'_>) -> Option<String> {
    let uncast = column.cast("").map(|_| format!("(c{0} is not null and t{0} is null)", column.place))?;
    Some(match column.lost() {
        Some(lost) => format!("coalesce({lost}, false) or {uncast}"),
        None => uncast,
    })
}

fn number_of(select: &str) -> Result<u64> {
    let mut reader = sql::query(select)?;
    let batch = reader.next_batch()?;
    let text = batch.as_ref().map(|batch| batch.column_at(0).strings()).transpose()?;
    Ok(text.and_then(|text| text.get(0).and_then(|text| text.parse().ok())).unwrap_or(0))
}
