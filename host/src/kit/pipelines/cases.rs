//! Finds the tests of pipelines, and the tables that they give and expect.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::{Map, Value};

use super::super::cases::Folder;
use super::super::source::Source;
use super::super::test_file::Named;
use super::test_file::{self, PipelineTest};
use crate::error::Report;

/// How the files of tests end.
const ENDINGS: [&str; 2] = [".test.yaml", ".test.yml"];

/// The most files of tests in a folder, and the most levels of folders.
const MAX_FILES: usize = 1000;
const MAX_DEPTH: usize = 20;

/// Tables by step and name.
pub type Sources = BTreeMap<(String, String), Source>;

/// A test that can be run.
#[derive(Debug)]
pub struct Case {
    pub test: PipelineTest,
    /// The file that contains it, as the user would name it.
    pub file: PathBuf,
    pub pipeline: PathBuf,
    /// The tables in place of those of steps.
    pub given: Sources,
    /// The expected tables that are not written in the test.
    pub expected: Sources,
    /// What those are read from, by their paths in the base folder of the run.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Case {
    pub fn name(&self) -> &str {
        &self.test.name
    }

    pub fn named(&self) -> Named<'_> {
        Named(&self.test.name)
    }
}

/// The tests of each path: a folder, a pipeline, or a file of tests.
///
/// # Errors
/// A [`Report`] if one has no tests, a test is malformed, or two tests of a file have the same name.
pub fn cases(paths: &[PathBuf]) -> anyhow::Result<Vec<Case>> {
    let mut files = BTreeSet::new();
    for path in paths {
        files.extend(test_files(path)?);
    }
    let mut all = Vec::new();
    for file in files {
        all.extend(cases_of(&file)?);
    }
    Ok(all)
}

/// The files of tests that a path stands for.
fn test_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let shown = path.display();
    if path.is_dir() {
        let folder =
            Dir::open_ambient_dir(path, ambient_authority()).with_context(|| format!("cannot open `{shown}`"))?;
        let mut found = Vec::new();
        let shown_folder = if path == Path::new(".") { Path::new("") } else { path };
        walk(&folder, shown_folder, 0, &mut found)?;
        if found.is_empty() {
            return Err(Report::input(format!("there are no tests in `{shown}`"))
                .hint("write those of `orders.yaml` into `orders.test.yaml` beside it; docs/testing-pipelines.md shows how")
                .into());
        }
        return Ok(found);
    }
    if !path.is_file() {
        return Err(Report::input(format!("there is no file or folder `{shown}`")).into());
    }
    if stem(path).is_some() {
        return Ok(vec![path.to_owned()]);
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let beside = ENDINGS.map(|ending| path.with_file_name(format!("{name}{ending}")));
    match beside.iter().find(|file| file.is_file()) {
        Some(file) => Ok(vec![file.clone()]),
        None => Err(Report::input(format!("pipeline `{shown}` has no tests"))
            .hint(format!("write them into `{}`; docs/testing-pipelines.md shows how", beside[0].display()))
            .into()),
    }
}

/// The name of the pipeline that a file of tests is called after; `None` if it is no file of tests.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.is_empty()).map(str::to_owned)
}

/// Collects the files of tests below a folder, apart from hidden ones. Links are not followed.
fn walk(folder: &Dir, shown: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let doing = || format!("cannot list `{}`", shown.display());
    for entry in folder.entries().with_context(doing)? {
        let entry = entry.with_context(doing)?;
        let (name, kind) = (entry.file_name(), entry.file_type().with_context(doing)?);
        let path = shown.join(&name);
        if is_hidden(&name) {
            continue;
        }
        if kind.is_dir() && depth < MAX_DEPTH {
            // A folder that may not be read holds no tests for this user.
            if let Ok(below) = entry.open_dir() {
                walk(&below, &path, depth + 1, found)?;
            }
        } else if kind.is_file() && stem(&path).is_some() {
            if found.len() >= MAX_FILES {
                return Err(Report::input(format!("there are more than {MAX_FILES} files of tests")).into());
            }
            found.push(path);
        }
    }
    Ok(())
}

fn is_hidden(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with('.')
}

fn cases_of(file: &Path) -> anyhow::Result<Vec<Case>> {
    let shown = file.display().to_string();
    let stem = stem(file).unwrap_or_default();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tests = Folder::open(folder)?;
    let text = tests.read(&file.file_name().unwrap_or_default().to_string_lossy())?;
    let test_file::TestFile { pipeline, given, tests: written } = test_file::parse(&text, &shown, &stem)?;
    let pipeline = file.with_file_name(pipeline.unwrap_or_else(|| usual_pipeline(file, &stem)));
    let mut cases: Vec<Case> = Vec::new();
    for test in written {
        if cases.iter().any(|case| case.test.name == test.name) {
            let message = format!("two tests in `{shown}` are called `{}`", test.name);
            return Err(Report::input(message).hint("give each its own `name`").into());
        }
        let case = Case {
            file: file.to_owned(),
            pipeline: pipeline.clone(),
            given: Sources::new(),
            expected: Sources::new(),
            files: BTreeMap::new(),
            test,
        };
        let case = filled(case, &given, &tests).map_err(|error| {
            let report = Report::from_error(error);
            Report { message: format!("{} (in `{shown}`)", report.message), ..report }
        })?;
        cases.push(case);
    }
    Ok(cases)
}

/// The name of the pipeline beside a file of tests.
fn usual_pipeline(file: &Path, stem: &str) -> String {
    let names = [format!("{stem}.yaml"), format!("{stem}.yml")];
    let [first, second] = names;
    if !file.with_file_name(&first).is_file() && file.with_file_name(&second).is_file() { second } else { first }
}

/// Reads the tables that a test gives and expects; what it gives itself wins over what is given for all tests.
fn filled(mut case: Case, for_all: &Map<String, Value>, folder: &Folder) -> anyhow::Result<Case> {
    let test = case.test.clone();
    let named = Named(&test.name);
    let mut given = for_all.clone();
    given.extend(test.given.clone());
    let mut number = 0;
    let mut source = |place: &str, written: &Value, files: &mut BTreeMap<String, Vec<u8>>| {
        number += 1;
        folder.source(named, place, &format!("table-{number}"), written, files)
    };
    for (step, written) in &given {
        for (table, written) in tables_given(named, step, written)? {
            let place = if table == "main" {
                format!("the table given for `{step}`")
            } else {
                format!("the table `{table}` given for `{step}`")
            };
            let table_source = source(&place, written, &mut case.files)?;
            case.given.insert((step.clone(), table.to_owned()), table_source);
        }
    }
    for (step, expected) in &test.expect {
        if expected.tables.is_some() && expected.only_table().is_some() {
            let message = format!("step `{step}` is expected to have `tables`, and one table beside them");
            return Err(named.wrong(&message).hint("write all of them under `tables`").into());
        }
        let tables = expected.tables.iter().flatten().map(|(name, table)| (name.as_str(), table.clone()));
        for (table, rows) in tables.chain(expected.only_table().map(|table| ("", table))) {
            let Some(written) = rows.source() else { continue };
            if rows.written().rows.is_some() || rows.contains.is_some() {
                let message =
                    format!("the rows of step `{step}` are expected to be those of a file or SELECT, and others");
                return Err(named.wrong(&message).hint("choose one of `rows`, `contains`, `sql` and files").into());
            }
            let table_source = source(&format!("the table expected of `{step}`"), &written, &mut case.files)?;
            case.expected.insert((step.clone(), table.to_owned()), table_source);
        }
    }
    Ok(case)
}

/// The tables that are given for a step: one, which is `main`, or those under `tables`.
fn tables_given<'a>(test: Named<'_>, step: &str, written: &'a Value) -> Result<Vec<(&'a str, &'a Value)>, Report> {
    match written.as_object().and_then(|fields| Some((fields, fields.get("tables")?))) {
        None => Ok(vec![("main", written)]),
        Some((fields, Value::Object(tables))) if fields.len() == 1 && !tables.is_empty() => {
            Ok(tables.iter().map(|(name, table)| (name.as_str(), table)).collect())
        }
        Some(_) => Err(test
            .wrong(&format!("`tables` given for `{step}` is not understood"))
            .hint("write `given: {step: {tables: {main: {rows: […]}, other: {rows: […]}}}}`")),
    }
}
