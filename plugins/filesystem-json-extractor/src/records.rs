//! The records of a file, one after another: a sequence of values, the items of an array, or those of a list inside
//! documents.

use osiris_sdk::{Error, Result};

use crate::options::Format;
use crate::stream::{Chunks, SKIP_ADVICE, Stream};

/// The reading position, between two records.
pub struct Records<C> {
    stream: Stream<C>,
    format: Format,
    path: Vec<String>,
    begun: bool,
    /// Whether the whole file is one array.
    array: bool,
    /// How many objects of the path are open, and whether the list is.
    level: usize,
    in_list: bool,
    /// Whether nothing has been read yet inside the innermost open value, so that no comma is expected.
    first: bool,
    array_first: bool,
    /// Whether the path led to a list anywhere.
    found: bool,
    documents: bool,
}

impl<C: Chunks> Records<C> {
    pub fn new(stream: Stream<C>, format: Format, path: &[String]) -> Self {
        Self {
            stream,
            format,
            path: path.to_vec(),
            begun: false,
            array: false,
            level: 0,
            in_list: false,
            first: true,
            array_first: true,
            found: false,
            documents: false,
        }
    }

    /// The next record with the number of its first line; `None` at the end.
    ///
    /// # Errors
    /// `data` for a text that is not a sequence of records; `not-found` for a path that matches nothing.
    pub fn next_record(&mut self) -> Result<Option<(u64, &[u8])>> {
        loop {
            let more = if self.in_list {
                self.item()?
            } else if self.level > 0 {
                self.member()?;
                false
            } else {
                match self.document()? {
                    None => return self.end(),
                    Some(record) => record,
                }
            };
            if more {
                self.stream.peek()?;
                let line = self.stream.line;
                return Ok(Some((line, self.stream.value()?)));
            }
        }
    }

    /// Makes later errors mention that malformed lines can be skipped.
    pub fn advise_skipping(&mut self) {
        self.stream.advice = SKIP_ADVICE;
    }

    /// Starts reading; returns whether the whole file is one array.
    ///
    /// # Errors
    /// `data` for any other value under `format: array`.
    pub fn begin(&mut self) -> Result<bool> {
        if self.begun {
            return Ok(self.array);
        }
        self.begun = true;
        self.stream.skip_separators()?;
        self.array = match (self.format, self.stream.peek()?) {
            (_, None) | (Format::NewlineDelimited, _) => false,
            (Format::Array, Some(b'[')) => true,
            (Format::Array, _) => {
                return Err(Error::data(
                    "`format: array` is for a file that is one array, but it begins with another value",
                ));
            }
            (Format::Auto, next) => next == Some(b'[') && !arrays_in_lines(self.stream.ahead()?),
        };
        if self.array {
            self.stream.skip_byte();
        }
        Ok(self.array)
    }

    fn end(&self) -> Result<Option<(u64, &[u8])>> {
        if self.documents && !self.found {
            return Err(Error::not_found(format!("`records: {}` leads nowhere", self.path.join("."))));
        }
        Ok(None)
    }

    /// Moves to the next value of the file; returns whether it is a record, or `None` at the end.
    fn document(&mut self) -> Result<Option<bool>> {
        self.begin()?;
        if !self.array {
            self.stream.skip_separators()?;
        }
        let mut next = self.stream.peek()?;
        if self.array {
            match next {
                Some(b']') => {
                    self.stream.skip_byte();
                    return match self.stream.peek()? {
                        None => Ok(None),
                        Some(_) => Err(self.malformed(
                            "there is more behind the array; where each line is an array of its own, write `format: newline_delimited`",
                        )),
                    };
                }
                Some(b',') if !self.array_first => {
                    self.stream.skip_byte();
                    if matches!(self.stream.peek()?, Some(b']')) {
                        return Err(self.malformed("a record is missing behind a comma"));
                    }
                }
                Some(_) if self.array_first => {}
                None => return Err(self.malformed("the array does not end, so the file was cut off")),
                Some(_) => return Err(self.malformed("expected `,` or `]` between the records of an array")),
            }
            self.array_first = false;
            next = self.stream.peek()?;
            if next.is_none() {
                return Err(self.malformed("the array ends behind a comma, so the file was cut off"));
            }
        }
        match next {
            None => Ok(None),
            Some(_) if self.path.is_empty() => Ok(Some(true)),
            Some(b'{') => {
                self.documents = true;
                self.open_object();
                Ok(Some(false))
            }
            Some(_) => {
                self.documents = true;
                let found = self.what()?;
                Err(Error::data(format!(
                    "`records: {}` is looked for in an object, but line {} has {found}",
                    self.path.join("."),
                    self.stream.line
                )))
            }
        }
    }

    fn open_object(&mut self) {
        self.stream.skip_byte();
        self.level += 1;
        self.first = true;
    }

    /// Moves to the next item of the list; returns whether there is one.
    fn item(&mut self) -> Result<bool> {
        match self.stream.peek()? {
            Some(b']') => {
                self.stream.skip_byte();
                self.in_list = false;
                self.first = false;
                return Ok(false);
            }
            Some(b',') if !self.first => {
                self.stream.skip_byte();
                if !matches!(self.stream.peek()?, Some(next) if next != b']') {
                    return Err(self.malformed("a record is missing behind a comma"));
                }
            }
            Some(_) if self.first => {}
            Some(_) => return Err(self.malformed("expected `,` or `]` between the records of a list")),
            None => return Err(self.malformed("the list of records does not end, so the file was cut off")),
        }
        self.first = false;
        Ok(true)
    }

    /// Skips a member of an object on the path, or enters it.
    fn member(&mut self) -> Result<()> {
        match self.stream.peek()? {
            Some(b'}') => {
                self.stream.skip_byte();
                self.level -= 1;
                self.first = false;
                return Ok(());
            }
            Some(b',') if !self.first => self.stream.skip_byte(),
            Some(_) if self.first => {}
            Some(_) => return Err(self.malformed("expected `,` or `}` between the members of an object")),
            None => return Err(self.malformed("an object does not end, so the file was cut off")),
        }
        self.first = false;
        if self.stream.peek()? != Some(b'"') {
            return Err(self.malformed("expected the name of a member in quotes"));
        }
        let name = self.stream.value()?;
        let name: Option<String> = std::str::from_utf8(name).ok().and_then(|name| serde_json::from_str(name).ok());
        let name = name.ok_or_else(|| self.malformed("the name of a member is not a text"))?;
        if self.stream.peek()? != Some(b':') {
            return Err(self.malformed("expected `:` behind the name of a member"));
        }
        self.stream.skip_byte();
        if name != self.path[self.level - 1] {
            return self.skip_value();
        }
        let next = self.stream.peek()?;
        match next {
            Some(b'[') if self.level == self.path.len() => {
                self.stream.skip_byte();
                self.in_list = true;
                self.first = true;
                self.found = true;
                Ok(())
            }
            Some(b'{') if self.level < self.path.len() => {
                self.open_object();
                Ok(())
            }
            Some(b'n') => {
                self.found = true;
                self.skip_value()
            }
            _ => {
                let found = self.what()?;
                let (path, expected) = if self.level == self.path.len() {
                    (self.path.join("."), "a list")
                } else {
                    (self.path[..self.level].join("."), "an object")
                };
                Err(Error::data(format!(
                    "`records: {}`: `{path}` leads to {found}, where {expected} was expected",
                    self.path.join(".")
                )))
            }
        }
    }

    fn skip_value(&mut self) -> Result<()> {
        match self.stream.peek()? {
            Some(b'}' | b']' | b',' | b':') => Err(self.malformed("a value is missing")),
            _ => self.stream.skip_value(),
        }
    }

    /// A description of the next value.
    fn what(&mut self) -> Result<&'static str> {
        Ok(match self.stream.peek()? {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        })
    }

    fn malformed(&self, what: &str) -> Error {
        self.stream.malformed(&format!(" in line {}: {what}", self.stream.line))
    }
}

/// Whether a text that starts with a bracket has an array in each line, instead of being a single one.
fn arrays_in_lines(text: &[u8]) -> bool {
    let Some(end) = text.iter().position(|&byte| byte == b'\n') else { return false };
    let (line, rest) = text.split_at(end);
    let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let mut reader = json_records::Reader::new(line);
    next.is_some() && reader.raw().is_ok() && reader.end().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A text in chunks of this many bytes.
    struct Cut<'a>(&'a [u8], usize);

    impl Chunks for Cut<'_> {
        fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
            let (chunk, rest) = self.0.split_at(self.1.min(self.0.len()));
            self.0 = rest;
            Ok((!chunk.is_empty()).then_some(chunk))
        }
    }

    fn records(text: &str, format: Format, path: &[&str], chunk: usize) -> Result<Vec<String>> {
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        let mut records = Records::new(Stream::new(Cut(text.as_bytes(), chunk), 1000), format, &path);
        let mut found = Vec::new();
        while let Some((line, record)) = records.next_record()? {
            found.push(format!("{line} {}", std::str::from_utf8(record).unwrap()));
        }
        Ok(found)
    }

    #[test]
    fn records_are_found_for_any_chunk_size() {
        use Format::{Array, Auto, NewlineDelimited};
        for (text, format, path, expected) in [
            ("{\"a\": 1}\n\n{\"a\":\n 2}", Auto, &[] as &[&str], &["1 {\"a\": 1}", "3 {\"a\":\n 2}"] as &[&str]),
            ("\u{1e}{\"a\": 1}\n\u{1e}\u{feff}{\"a\": 2}\n\u{feff}", Auto, &[], &["1 {\"a\": 1}", "2 {\"a\": 2}"]),
            ("\u{feff}[1,2]", Auto, &[], &["1 1", "1 2"]),
            ("1 \"x ]\\\"\" null\ntrue", Auto, &[], &["1 1", "1 \"x ]\\\"\"", "1 null", "2 true"]),
            (" [1, {\"a\": [2]}\n, null ] ", Auto, &[], &["1 1", "1 {\"a\": [2]}", "2 null"]),
            ("[]", Auto, &[], &[]),
            ("", Array, &[], &[]),
            ("[1]\n[2]\n", Auto, &[], &["1 [1]", "2 [2]"]),
            ("[1]\n[2]\n", NewlineDelimited, &[], &["1 [1]", "2 [2]"]),
            ("[1]\n", Auto, &[], &["1 1"]),
            ("{\"x\": [[{}]], \"d\": {\"y\": \"}\", \"i\": [1, 2]}, \"z\": 1}", Auto, &["d", "i"], &["1 1", "1 2"]),
            ("{\"i\": [1]}\n{\"i\": null}{\"j\": 1}\n{\"i\": [2]}", Auto, &["i"], &["1 1", "3 2"]),
            ("[{\"i\": [1]}, {\"i\": []}]", Auto, &["i"], &["1 1"]),
            ("{\"d.x\": [{}]}", Auto, &["d.x"], &["1 {}"]),
        ] {
            for chunk in [1, 2, 7, 1000] {
                let found = records(text, format, path, chunk).unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(found, expected, "{text} {chunk}");
            }
        }
    }

    #[test]
    fn truncated_or_extra_text_is_an_error() {
        for (text, path, words) in [
            ("[{\"a\": 1},", &[] as &[&str], "cut off"),
            ("[{\"a\": 1}, {\"a\":", &[], "Malformed JSON"),
            ("[{\"a\": 1}", &[], "cut off"),
            ("[1,]", &[], "missing behind a comma"),
            ("[1 2]", &[], "expected `,`"),
            ("[1] 2", &[], "newline_delimited"),
            ("{\"a\": 1}\n{\"a\":\n", &[], "line 2"),
            ("{\"i\": [1], \"j\": [2", &["i"], "cut off"),
            ("{\"i\": [1]", &["i"], "cut off"),
            ("{\"i\": [1,]}", &["i"], "missing"),
            ("{\"i\": 1}", &["i"], "`i` leads to a number, where a list"),
            ("{\"i\": []}", &["i", "j"], "`i` leads to a list, where an object"),
            ("{\"i\": {}}", &["i", "j"], "leads nowhere"),
            ("5", &["i"], "looked for in an object"),
            ("{\"x\": }", &["i"], "a value is missing"),
            ("\"abc", &[], "cut off"),
        ] {
            for chunk in [1, 1000] {
                let error = records(text, Format::Auto, path, chunk).unwrap_err();
                assert!(error.message.contains(words), "{text}: {error}");
            }
        }
        let large = format!("{{\"skipped\": \"{}\", \"i\": [1]}}", "x".repeat(5000));
        assert_eq!(records(&large, Format::Auto, &["i"], 10).unwrap(), ["1 1"]);
        let error = records(&large, Format::Auto, &[], 10).unwrap_err();
        assert!(error.message.contains("max_record_bytes"), "{error}");
    }
}
