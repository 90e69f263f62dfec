//! The driver's options, and the SQL that they come to.

use std::collections::BTreeMap;

use osiris_sdk::sql::{quote_name, quote_text};
use osiris_sdk::{Error, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Config {
    pub path: String,
    delimiter: String,
    encoding: String,
    header: bool,
    columns: Option<Vec<String>>,
    skip_rows: u64,
    limit: Option<u64>,
    parse_dates: ParseDates,
    dtype: BTreeMap<String, String>,
    na_values: Vec<String>,
    skip_blank_lines: bool,
    comment: Option<String>,
    compression: Compression,
    on_bad_lines: OnBadLines,
    pub infer_rows: i64,
}

/// Whether to look for dates everywhere, nowhere, or in these columns.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ParseDates {
    All(bool),
    Columns(Vec<String>),
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Infer,
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum OnBadLines {
    Error,
    Skip,
}

impl Config {
    /// A call of DuckDB's `read_csv` over the file, whose SQL literal is `file`.
    pub fn reader(&self, file: &str, infer_rows: i64) -> String {
        let mut options = self.dialect();
        options.push(format!("sample_size = {infer_rows}"));
        if self.on_bad_lines == OnBadLines::Skip {
            options.push("ignore_errors = true".to_owned());
        }
        let mut types: BTreeMap<&str, &str> =
            self.dtype.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        if let ParseDates::Columns(columns) = &self.parse_dates {
            columns.iter().for_each(|name| {
                types.entry(name).or_insert("TIMESTAMP");
            });
        }
        if !types.is_empty() {
            options.push(format!("types = {}", dictionary(types.into_iter())));
        }
        if !matches!(self.parse_dates, ParseDates::All(true)) {
            options.push("auto_type_candidates = ['NULL', 'BOOLEAN', 'BIGINT', 'DOUBLE', 'VARCHAR']".to_owned());
        }
        format!("read_csv({file}, {})", options.join(", "))
    }

    /// A call that takes every line for granted, so that only its columns' names are found out.
    pub fn lenient_reader(&self, file: &str) -> String {
        format!("read_csv({file}, {}, ignore_errors = true)", self.dialect().join(", "))
    }

    /// A call that infers nothing, so that a line of another width is an error which names it.
    pub fn strict_reader(&self, file: &str, names: &[String]) -> String {
        let columns = dictionary(names.iter().map(|name| (name.as_str(), "VARCHAR")));
        format!("read_csv({file}, {}, auto_detect = false, columns = {columns})", self.dialect().join(", "))
    }

    /// The options that say how the file's text is made up.
    fn dialect(&self) -> Vec<String> {
        let mut options = vec![format!("header = {}", self.header), format!("skip = {}", self.skip_rows)];
        let mut text = |name: &str, value: &str| options.push(format!("{name} = {}", quote_text(value)));
        if self.delimiter != "auto" {
            text("delim", &self.delimiter);
        }
        text("quote", "\"");
        text("escape", "\"");
        text("encoding", &self.encoding);
        text("comment", self.comment.as_deref().unwrap_or_default());
        text("compression", self.compression());
        let nulls: Vec<String> = self.na_values.iter().map(|value| quote_text(value)).collect();
        options.push(format!("nullstr = [{}]", nulls.join(", ")));
        options
    }

    fn compression(&self) -> &'static str {
        let ends = |suffix: &str| self.path.to_lowercase().ends_with(suffix);
        match self.compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Infer if ends(".gz") => "gzip",
            Compression::Infer if ends(".zst") => "zstd",
            Compression::Infer => "none",
        }
    }

    /// The SELECT that reads `from`, whose columns are called `names`.
    ///
    /// # Errors
    /// When a wanted column does not exist, or an option cannot hold for such a file.
    pub fn select(&self, from: &str, names: &[String]) -> Result<String> {
        if !self.skip_blank_lines && names.len() > 1 {
            return Err(Error::config(
                "`skip_blank_lines: false` is for files of one column: in others a blank line is no row",
            ));
        }
        let wanted = self.columns.as_deref().unwrap_or(names);
        if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
            let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            return Err(Error::not_found(format!(
                "there is no column `{unknown}`; the file has: {}",
                known.join(", ")
            )));
        }
        let columns: Vec<String> = wanted.iter().map(|name| quote_name(name)).collect();
        let limit = self.limit.map_or_else(String::new, |limit| format!(" limit {limit}"));
        Ok(format!("select {} from {from}{limit}", columns.join(", ")))
    }
}

/// A DuckDB struct of texts.
fn dictionary<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{}: {}", quote_text(name), quote_text(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config() -> Config {
        Config {
            path: "a.csv.gz".into(),
            delimiter: ",".into(),
            encoding: "utf-8".into(),
            header: true,
            columns: None,
            skip_rows: 0,
            limit: None,
            parse_dates: ParseDates::All(true),
            dtype: BTreeMap::new(),
            na_values: vec![String::new(), "NA".into()],
            skip_blank_lines: true,
            comment: None,
            compression: Compression::Infer,
            on_bad_lines: OnBadLines::Error,
            infer_rows: 20_480,
        }
    }

    #[test]
    fn hostile_values_stay_inside_their_quotes() {
        let mut hostile = config();
        hostile.delimiter = "', x = '".into();
        hostile.dtype.insert("a'b".into(), "INT') --".into());
        let reader = hostile.reader("'f'", -1);
        assert!(reader.contains("delim = ''', x = '''"), "{reader}");
        assert!(reader.contains("types = {'a''b': 'INT'') --'}"), "{reader}");
    }

    #[test]
    fn columns_are_chosen_in_the_given_order_and_quoted() {
        let mut chosen = config();
        chosen.columns = Some(vec!["b\"".into(), "a".into()]);
        chosen.limit = Some(5);
        let names = ["a".to_owned(), "b\"".to_owned()];
        assert_eq!(chosen.select("f", &names).unwrap(), "select \"b\"\"\", \"a\" from f limit 5");
        chosen.columns = Some(vec!["c".into()]);
        assert!(chosen.select("f", &names).unwrap_err().message.contains("the file has: `a`"));
    }

    #[test]
    fn compression_follows_the_name_unless_it_is_said() {
        assert!(config().reader("'f'", -1).contains("compression = 'gzip'"));
        let plain = Config { compression: Compression::None, ..config() };
        assert!(plain.reader("'f'", -1).contains("compression = 'none'"));
    }

    #[test]
    fn dates_are_looked_for_where_asked() {
        let none = Config { parse_dates: ParseDates::All(false), ..config() };
        assert!(none.reader("'f'", -1).contains("auto_type_candidates"));
        let some = Config { parse_dates: ParseDates::Columns(vec!["day".into()]), ..config() };
        assert!(some.reader("'f'", -1).contains("types = {'day': 'TIMESTAMP'}"));
    }
}
