//! Creates the table from the rows of all files.

use input_files::{PathColumns, described};
use osiris_sdk::sql::{self, quote_name};
use osiris_sdk::{Error, ErrorKind, Output, Result};

use crate::Config;
use crate::exact::{self, Finding, Source};
use crate::part::{Part, aliased, named, reader};
use crate::schema::{Column, Risk};
use crate::unify;

/// How many SELECTs are united at once: DuckDB recurses into longer unions.
const UNITED: usize = 50;

/// The files in which a column has the same leaves at risk, and what these contain in all of them.
struct Group {
    place: usize,
    risks: Vec<Option<Risk>>,
    findings: Vec<Finding>,
    /// The files by their places, and the first of them in which a value was found.
    parts: Vec<usize>,
    file: usize,
}

/// Decides how each leaf at risk is read, by its values in all files.
///
/// # Errors
/// `data` for a value that would be changed, unless that was requested.
pub fn decide(config: &Config, parts: &mut [Part], columns: usize) -> Result<()> {
    let mut groups: Vec<Group> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let findings = named(&part.name, part.look())?;
        for (place, column) in part.columns() {
            let risks = &part.schema.leaves[column.leaves.clone()];
            if risks.iter().all(Option::is_none) {
                continue;
            }
            let found = &findings[column.leaves.clone()];
            let is_new = found.iter().any(|finding| finding.count > 0 || finding.beyond.is_some());
            match groups.iter_mut().find(|group| group.place == place && group.risks == risks) {
                Some(group) => {
                    let is_first = group.findings.iter().all(|known| known.count == 0 && known.beyond.is_none());
                    if is_first && is_new {
                        group.file = number;
                    }
                    group.findings.iter_mut().zip(found).for_each(|(known, found)| known.join(found));
                    group.parts.push(number);
                }
                None => groups.push(Group {
                    place,
                    risks: risks.to_vec(),
                    findings: found.to_vec(),
                    parts: vec![number],
                    file: number,
                }),
            }
        }
    }
    // In the order of the table's columns, so that the same files give the same error.
    for place in 0..columns {
        for group in groups.iter().filter(|group| group.place == place) {
            decide_group(config, parts, group)?;
        }
    }
    Ok(())
}

fn decide_group(config: &Config, parts: &mut [Part], group: &Group) -> Result<()> {
    for (leaf, risk) in group.risks.iter().enumerate() {
        let Some(risk) = risk else { continue };
        let part = &parts[group.file];
        let Some((_, column)) = part.columns().find(|(place, _)| *place == group.place) else { continue };
        let decision = exact::decide(column, *risk, &group.findings[leaf], config.nanoseconds);
        let decision = named(&part.name, decision)?;
        for number in &group.parts {
            let part = &mut parts[*number];
            let start = part.columns().find(|(place, _)| *place == group.place).map(|(_, column)| column.leaves.start);
            if let Some(start) = start {
                part.decisions[start + leaf] = decision;
            }
        }
    }
    Ok(())
}

/// The table that is made of all files.
pub struct Table<'a> {
    pub config: &'a Config,
    pub parts: &'a [Part],
    pub columns: &'a [String],
    pub paths: &'a PathColumns,
}

/// What one file contributes to a column.
struct Own {
    /// The SQL of the column in the file.
    expression: String,
    /// Its type; empty if any type will do.
    kind: String,
}

impl Table<'_> {
    /// Writes the table `main`; returns its columns, by name and type, if the step remembers them.
    ///
    /// # Errors
    /// `data`, naming the file and the column, for files that cannot be read or whose types have nothing in common.
    pub fn write(&self, output: &Output) -> Result<Vec<(String, String)>> {
        if self.parts.iter().any(Part::is_made_by_the_driver) {
            return self.write_exactly(output);
        }
        let mut own = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            own.push(named(&part.name, self.own(part))?);
        }
        let kinds = self.kinds(&own)?;
        let select = self.select(&own, &kinds);
        sql::create_table(output, "main", &select).map_err(|error| self.located(error))?;
        if self.config.files.new_files_only { described(&select) } else { Ok(Vec::new()) }
    }

    /// Each of the table's columns as a file has it. Types are looked up only where they may differ.
    fn own(&self, part: &Part) -> Result<Vec<Option<Own>>> {
        let expressions = part.expressions()?;
        let kinds: Vec<String> = if self.parts.len() == 1 {
            vec![String::new(); self.columns.len()]
        } else {
            let selected: Vec<&str> = expressions.iter().flatten().map(String::as_str).collect();
            let numbered = selected.iter().enumerate().map(|(place, sql)| format!("{sql} as c{place}"));
            let numbered = numbered.collect::<Vec<_>>().join(", ");
            let numbered = if numbered.is_empty() { "1 as nothing".to_owned() } else { numbered };
            described(&format!("select {numbered} from {}", reader(&part.literal())))?
                .into_iter()
                .map(|(_, kind)| kind)
                .collect()
        };
        let known = kinds.into_iter().zip(part.columns());
        let mut kinds = known.map(|(kind, (_, column))| if column.only_nulls { String::new() } else { kind });
        let own = |expression: Option<String>| {
            expression.map(|expression| Own { expression, kind: kinds.next().unwrap_or_default() })
        };
        Ok(expressions.into_iter().map(own).collect())
    }

    /// The type of each of the table's columns: the one that it has in every file, or one that changes no value.
    fn kinds(&self, own: &[Vec<Option<Own>>]) -> Result<Vec<String>> {
        let mut kinds = Vec::with_capacity(self.columns.len());
        for (place, name) in self.columns.iter().enumerate() {
            let mut known: Option<(String, usize)> = None;
            for (number, own) in own.iter().enumerate() {
                let Some(Own { kind, .. }) = own[place].as_ref().filter(|own| !own.kind.is_empty()) else { continue };
                let Some((before, first)) = &mut known else {
                    known = Some((kind.clone(), number));
                    continue;
                };
                if before == kind {
                    continue;
                }
                let common = unify::common(before, kind);
                let (this, first) = (&self.parts[number].name, &self.parts[*first].name);
                let differ = format!("column `{name}` is {kind} in `{this}`, but {before} in `{first}`");
                match common {
                    Some(common) if self.config.files.union_by_name => *before = common,
                    Some(common) => {
                        return Err(Error::data(format!(
                            "{differ}; `union_by_name: true` reads all of them as {common}"
                        )));
                    }
                    None => {
                        return Err(Error::data(format!(
                            "{differ}, and no type changes no value of either: read these files in separate steps, and cast \
                             the column in a step after them, or leave it out with `columns`"
                        )));
                    }
                }
            }
            kinds.push(known.map(|(kind, _)| kind).unwrap_or_default());
        }
        Ok(kinds)
    }

    /// The SELECT of all files.
    fn select(&self, own: &[Vec<Option<Own>>], kinds: &[String]) -> String {
        let select = |(number, (part, own)): (usize, (&Part, &Vec<Option<Own>>))| {
            let column = |(place, name): (usize, &String)| match &own[place] {
                Some(Own { expression, kind }) if *kind == kinds[place] => aliased(expression, name),
                Some(Own { expression, .. }) => aliased(&format!("cast({expression} as {})", kinds[place]), name),
                None if kinds[place].is_empty() => aliased("null", name),
                None => aliased(&format!("cast(null as {})", kinds[place]), name),
            };
            let columns = self.columns.iter().enumerate().map(column);
            let selected = columns.chain(self.path_columns(number)).collect::<Vec<_>>().join(", ");
            format!("select {selected} from {}{}", reader(&part.literal()), part.limit_clause())
        };
        united(self.parts.iter().zip(own).enumerate().map(select).collect())
    }

    fn path_columns(&self, number: usize) -> impl Iterator<Item = String> {
        self.paths.iter().map(move |path| aliased(&path.sql(number), &path.name))
    }

    /// Writes the table with values that only the driver converts.
    fn write_exactly(&self, output: &Output) -> Result<Vec<(String, String)>> {
        if self.config.files.new_files_only {
            return Err(Error::config(
                "`new_files_only` does not go with values that only this driver converts: decimals of more than 38 digits, and \
                 INT96 timestamps with `nanoseconds: keep`; leave the column out with `columns`",
            ));
        }
        let mut sources = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            let columns: Vec<&Column> = part.columns().map(|(_, column)| column).collect();
            if let (true, Some(place)) = (self.parts.len() > 1, part.places.iter().position(Option::is_none)) {
                return Err(Error::data(format!(
                    "`{}` has no column `{}`, and other files have values that only this driver converts; read it in a step of \
                     its own",
                    part.name, self.columns[place]
                )));
            }
            let names = columns.iter().zip(self.columns).map(|(column, name)| aliased(&quote_name(&column.name), name));
            let selected = names.chain(self.path_columns(number)).collect::<Vec<_>>().join(", ");
            let select = format!("select {selected} from {}{}", reader(&part.literal()), part.limit_clause());
            sources.push(Source { file: &part.name, select, columns, decisions: &part.decisions });
        }
        exact::write(output, &sources).map_err(|error| self.located(error))?;
        Ok(Vec::new())
    }

    /// The error with the names of the file and the column that cause it, found by reading them one after another.
    fn located(&self, error: Error) -> Error {
        for part in self.parts {
            let from = reader(&part.literal());
            let fails = |column: &Column| {
                let read = sql::query(&exact::select(&[column], &from, &part.limit_clause()));
                read.map_or(true, |mut read| read.any(|batch| batch.is_err()))
            };
            if let Some((_, column)) = part.columns().find(|(_, column)| fails(column)) {
                // Whatever type DuckDB gives the error, a column that cannot be read by itself is the file's fault.
                let message = format!("column `{}` ({}): {}", column.name, column.kind, error.message);
                return Error { message: format!("cannot read `{}`: {message}", part.name), ..Error::data("") };
            }
        }
        if let ([part], true) = (self.parts, !matches!(error.kind, ErrorKind::Limit)) {
            return error.context(format_args!("cannot read `{}`", part.name));
        }
        error
    }
}

/// The rows of several SELECTs, one after another.
fn united(mut selects: Vec<String>) -> String {
    while selects.len() > 1 {
        let unite = |some: &[String]| match some {
            [one] => one.clone(),
            several => {
                let parts: Vec<String> = several.iter().map(|select| format!("select * from ({select})")).collect();
                parts.join(" union all ")
            }
        };
        selects = selects.chunks(UNITED).map(unite).collect();
    }
    selects.pop().unwrap_or_default()
}
