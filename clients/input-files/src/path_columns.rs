//! Columns from the paths of files: the path itself, and the folders `key=value` of a partitioned table.

use osiris_sdk::sql::quote_text;
use osiris_sdk::{Error, Result, calendar};
use serde::Deserialize;

/// The folder of rows whose key is null, as Hive and Spark name it.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The option `filename`: whether there is a column with the path of the row's file, or the name of that column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum FileName {
    Wanted(bool),
    Column(String),
}

impl FileName {
    fn column(&self) -> Option<&str> {
        match self {
            Self::Wanted(false) => None,
            Self::Wanted(true) => Some("filename"),
            Self::Column(name) => Some(name),
        }
    }
}

/// The options that make columns of paths.
#[derive(Debug, Clone, Copy)]
pub struct PathOptions<'a> {
    pub filename: &'a FileName,
    pub hive_partitioning: bool,
    pub union_by_name: bool,
}

/// The type of a column: the narrowest in which no value changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathType {
    BigInt,
    Date,
    Varchar,
}

impl PathType {
    pub fn name(self) -> &'static str {
        match self {
            Self::BigInt => "BIGINT",
            Self::Date => "DATE",
            Self::Varchar => "VARCHAR",
        }
    }
}

/// A column with one value for each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathColumn {
    pub name: String,
    pub kind: PathType,
    values: Vec<Option<String>>,
}

impl PathColumn {
    /// The value for a file, by its place in the list of files, as SQL with its type.
    pub fn sql(&self, file: usize) -> String {
        let value = self.value(file).map_or_else(|| "null".to_owned(), quote_text);
        format!("cast({value} as {})", self.kind.name())
    }

    /// The value for a file as text.
    pub fn value(&self, file: usize) -> Option<&str> {
        self.values.get(file).and_then(Option::as_deref)
    }
}

/// The columns that are made of the files' paths, in their order: keys of partitions, then the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathColumns(Vec<PathColumn>);

impl PathColumns {
    /// # Errors
    /// `data` if the files are partitioned by different keys, unless columns are united by name.
    pub fn new(files: &[String], options: &PathOptions<'_>) -> Result<Self> {
        let mut columns: Vec<PathColumn> = Vec::new();
        if options.hive_partitioning {
            for (file, path) in files.iter().enumerate() {
                for (key, value) in partitions(path) {
                    let known = columns.iter().position(|column| column.name.eq_ignore_ascii_case(&key));
                    let place = known.unwrap_or_else(|| {
                        columns.push(PathColumn {
                            name: key.clone(),
                            kind: PathType::Varchar,
                            values: vec![None; files.len()],
                        });
                        columns.len() - 1
                    });
                    columns[place].values[file] = value;
                }
            }
            if !options.union_by_name {
                same_keys(files)?;
            }
            for column in &mut columns {
                column.kind = kind(&column.values);
            }
        }
        if let Some(name) = options.filename.column() {
            let values = files.iter().cloned().map(Some).collect();
            columns.push(PathColumn { name: name.to_owned(), kind: PathType::Varchar, values });
        }
        Ok(Self(columns))
    }

    pub fn iter(&self) -> impl Iterator<Item = &PathColumn> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// `data` if one of these columns has the name of a column of the files, or of another one of these.
    pub fn check_free<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut taken: Vec<String> = names.into_iter().map(str::to_lowercase).collect();
        for PathColumn { name, .. } in &self.0 {
            if taken.contains(&name.to_lowercase()) {
                return Err(Error::data(format!(
                    "`{name}` is a column of the files, and also a column that is made of their paths; give `filename` \
                     another name, such as `filename: source_file`, or leave out `hive_partitioning`"
                )));
            }
            taken.push(name.to_lowercase());
        }
        Ok(())
    }
}

/// The keys and values of the folders in a path.
fn partitions(path: &str) -> Vec<(String, Option<String>)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let pairs = folders.split('/').filter_map(|folder| folder.split_once('='));
    let pair = |(key, value): (&str, &str)| (unescaped(key), (value != NULL).then(|| unescaped(value)));
    pairs.filter(|(key, _)| !key.is_empty()).map(pair).collect()
}

/// A text in which Hive has written characters that no path can have as `%2F`.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).1,
            None => (bytes.push(*first), rest = after).1,
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn kind(values: &[Option<String>]) -> PathType {
    let all = |is: fn(&str) -> bool| {
        let mut values = values.iter().flatten().peekable();
        values.peek().is_some() && values.all(|value| is(value))
    };
    if all(is_integer) {
        PathType::BigInt
    } else if all(is_date) {
        PathType::Date
    } else {
        PathType::Varchar
    }
}

/// Whether a text is how a BIGINT is printed: `7`, but not `07`.
fn is_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

/// Whether a text is a day in ISO 8601.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| part.parse::<i64>().unwrap_or_default();
    digits(year, 4)
        && digits(month, 2)
        && digits(day, 2)
        && number(year) > 0
        && (1..=12).contains(&number(month))
        && (1..=calendar::days_of_month(number(year), number(month))).contains(&number(day))
}

fn same_keys(files: &[String]) -> Result<()> {
    let keys = |file: &String| partitions(file).into_iter().map(|(key, _)| key.to_lowercase()).collect::<Vec<_>>();
    let Some((first, rest)) = files.split_first() else { return Ok(()) };
    let expected = keys(first);
    match rest.iter().find(|file| keys(file) != expected) {
        Some(other) => Err(Error::data(format!(
            "`{other}` is partitioned by {}, but `{first}` by {}; `union_by_name: true` makes the missing keys null",
            listed(&keys(other)),
            listed(&expected)
        ))),
        None => Ok(()),
    }
}

fn listed(keys: &[String]) -> String {
    if keys.is_empty() { "nothing".to_owned() } else { format!("`{}`", keys.join("`, `")) }
}

/// The error for a file whose columns differ from those of the first one.
pub fn other_columns(first: &str, expected: &[String], file: &str, found: &[String]) -> Error {
    let without = |some: &[String], others: &[String]| {
        let lower: Vec<String> = others.iter().map(|name| name.to_lowercase()).collect();
        let missing: Vec<&String> = some.iter().filter(|name| !lower.contains(&name.to_lowercase())).collect();
        let shown: Vec<String> = missing.iter().take(5).map(|name| format!("`{name}`")).collect();
        let more = if missing.len() > shown.len() { ", …" } else { "" };
        (!missing.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
    };
    let what = match (without(expected, found), without(found, expected)) {
        (None, None) => "it has them in another order".to_owned(),
        (Some(lacks), None) => format!("it lacks {lacks}"),
        (None, Some(adds)) => format!("it has also {adds}"),
        (Some(lacks), Some(adds)) => format!("it lacks {lacks}, and has also {adds}"),
    };
    Error::data(format!(
        "`{file}` has other columns than `{first}`: {what}; `union_by_name: true` reads columns by their names, and makes \
         missing ones null"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A column's name, type and values.
    type Found = (String, &'static str, Vec<Option<String>>);

    fn columns(files: &[&str], union_by_name: bool) -> Result<Vec<Found>> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let options = PathOptions { filename: &FileName::Wanted(false), hive_partitioning: true, union_by_name };
        let columns = PathColumns::new(&files, &options)?;
        Ok(columns.0.into_iter().map(|column| (column.name, column.kind.name(), column.values)).collect())
    }

    #[test]
    fn partitions_get_the_narrowest_type_in_which_no_value_changes() {
        let found = columns(
            &[
                "t/y=2024/m=01/d=2024-01-31/c=a%2Fb/x.csv",
                "t/y=-7/m=2/d=2024-02-29/c=__HIVE_DEFAULT_PARTITION__/y=8.csv",
            ],
            false,
        );
        let some = |value: &str| Some(value.to_owned());
        assert_eq!(
            found.unwrap(),
            [
                ("y".to_owned(), "BIGINT", vec![some("2024"), some("-7")]),
                ("m".to_owned(), "VARCHAR", vec![some("01"), some("2")]),
                ("d".to_owned(), "DATE", vec![some("2024-01-31"), some("2024-02-29")]),
                ("c".to_owned(), "VARCHAR", vec![some("a/b"), None]),
            ]
        );
        assert_eq!(columns(&["d=2023-02-29/x"], false).unwrap()[0].1, "VARCHAR");
        assert_eq!(columns(&["d=9223372036854775808/x"], false).unwrap()[0].1, "VARCHAR");
        assert_eq!(columns(&["d=__HIVE_DEFAULT_PARTITION__/x"], false).unwrap()[0].1, "VARCHAR");
    }

    #[test]
    fn files_of_other_partitions_are_united_only_on_request() {
        let error = columns(&["y=1/a", "z=1/b"], false).unwrap_err().message;
        assert!(error.contains("`z=1/b` is partitioned by `z`, but `y=1/a` by `y`"), "{error}");
        let united = columns(&["y=1/a", "z=1/b"], true).unwrap();
        assert_eq!(united[1], ("z".to_owned(), "BIGINT", vec![None, Some("1".to_owned())]));
    }

    #[test]
    fn names_of_columns_that_are_taken_are_refused() {
        let columns =
            PathColumns(vec![PathColumn { name: "Day".to_owned(), kind: PathType::Date, values: vec![None] }]);
        assert!(columns.check_free(["night"]).is_ok());
        assert!(columns.check_free(["day"]).unwrap_err().message.contains("`Day`"));
    }
}
