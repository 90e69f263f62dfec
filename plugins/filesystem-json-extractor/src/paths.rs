//! The columns of the files' paths in records, and the check that all files have the same keys.

use input_files::{PathColumns, PathType, other_columns};
use json_records::Kind;
use osiris_sdk::Result;
use serde_json::Value;

/// The members that the path of a file adds to each of its records.
pub struct Prefix {
    /// `{"year":2024,"filename":"a.json"`, or nothing.
    text: String,
    record: String,
}

impl Prefix {
    pub fn new(paths: &PathColumns, file: usize) -> Self {
        let member = |column: &input_files::PathColumn| {
            let value = match (column.value(file), column.kind) {
                (None, _) => "null".to_owned(),
                (Some(value), PathType::BigInt) => value.to_owned(),
                (Some(value), _) => Value::from(value).to_string(),
            };
            format!("{}:{value}", Value::from(column.name.as_str()))
        };
        let members: Vec<String> = paths.iter().map(member).collect();
        let text = if members.is_empty() { String::new() } else { format!("{{{}", members.join(",")) };
        Self { text, record: String::new() }
    }

    /// A record, which is an object or null, with these members before its own.
    pub fn before<'a>(&'a mut self, record: &'a str) -> &'a str {
        if self.text.is_empty() {
            return record;
        }
        self.record.clear();
        self.record.push_str(&self.text);
        match record.trim_start().strip_prefix('{') {
            Some(rest) => {
                if !rest.trim_start().starts_with('}') {
                    self.record.push(',');
                }
                self.record.push_str(rest);
            }
            None => self.record.push('}'),
        }
        &self.record
    }
}

/// Compares the keys of the files' records.
pub struct Keys {
    /// Whether files may have other keys.
    differ: bool,
    /// The first file with records, and its keys in the order of their names.
    first: Option<(String, Vec<String>)>,
    objects: u64,
}

impl Keys {
    pub fn new(differ: bool) -> Self {
        Self { differ, first: None, objects: 0 }
    }

    /// Before a file is read.
    pub fn begin(&mut self, kind: &Kind) {
        self.objects = match kind {
            Kind::Struct(fields) => fields.objects(),
            _ => 0,
        };
    }

    /// After a file has been read.
    ///
    /// # Errors
    /// `data` for a file whose records have other keys than those of the first one.
    pub fn end(&mut self, file: &str, kind: &Kind, records: u64) -> Result<()> {
        let Kind::Struct(fields) = kind else { return Ok(()) };
        if self.differ || records == 0 {
            return Ok(());
        }
        let mut keys: Vec<String> = fields.seen_after(self.objects).map(str::to_owned).collect();
        keys.sort_unstable();
        match &self.first {
            Some((first, expected)) if *expected != keys => Err(other_columns(first, expected, file, &keys)),
            Some(_) => Ok(()),
            None => {
                self.first = Some((file.to_owned(), keys));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use input_files::{FileName, PathOptions};

    use super::*;

    #[test]
    fn the_path_comes_before_a_records_own_members() {
        let files = ["y=2024/d=x\"y/a.json".to_owned()];
        let options = PathOptions { filename: &FileName::Wanted(true), hive_partitioning: true, union_by_name: false };
        let paths = PathColumns::new(&files, &options).unwrap();
        let mut prefix = Prefix::new(&paths, 0);
        let path = r#"{"y":2024,"d":"x\"y","filename":"y=2024/d=x\"y/a.json""#;
        for (record, rest) in [("{\"a\":1}", ",\"a\":1}"), ("{ }", " }"), ("null", "}")] {
            assert_eq!(prefix.before(record), format!("{path}{rest}"));
        }
        assert_eq!(Prefix::new(&PathColumns::default(), 0).before("null"), "null");
    }
}
