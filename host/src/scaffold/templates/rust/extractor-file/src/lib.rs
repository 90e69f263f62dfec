//! Reads a log file: a time, a level and a message in each line.

use osiris_sdk::{Error, ErrorKind, Extractor, Output, Result, files};

/// How much of the file is read at once, in bytes.
const PART: u32 = 1 << 20;

#[derive(serde::Deserialize)]
struct Config {
    path: String,
}

#[derive(Debug, PartialEq, serde::Serialize)]
struct Event<'a> {
    at: &'a str,
    level: &'a str,
    message: &'a str,
}

struct Driver;

impl Extractor for Driver {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let columns = [("at", "TIMESTAMPTZ"), ("level", "VARCHAR"), ("message", "VARCHAR")];
        let mut table = output.create_json_table("main", &columns)?;
        let file = files::open(&config.path)?;
        let (mut pending, mut offset, mut number) = (Vec::new(), 0, 0);
        loop {
            let part = file.read(offset, PART)?;
            offset += part.len() as u64;
            pending.extend_from_slice(&part);
            // The last line of a part may go on in the next one.
            let end = match part.is_empty() {
                true => pending.len(),
                false => pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1),
            };
            let lines: Vec<u8> = pending.drain(..end).collect();
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                number += 1;
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                if let Some(event) = event(line, number)? {
                    table.write(&event)?;
                }
            }
            if part.is_empty() {
                break;
            }
        }
        if offset != file.size() {
            return Err(Error::new(ErrorKind::Transient, "the file ended before its end"));
        }
        table.finish()?;
        Ok(())
    }
}

/// The event in a line, or `None` if the line is empty.
fn event(line: &[u8], number: u64) -> Result<Option<Event<'_>>> {
    let text = str::from_utf8(line).map_err(|_| Error::data(format!("line {number} is not UTF-8")))?;
    let mut parts = text.trim_end_matches('\r').splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(at), Some(level), Some(message)) => Ok(Some(Event { at, level, message })),
        (Some(""), None, None) => Ok(None),
        _ => Err(Error::data(format!("line {number} is not a time, a level and a message"))),
    }
}

osiris_sdk::export!(Driver: extractor);

#[cfg(test)]
mod tests {
    use osiris_sdk::testing::Step;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_read_to_its_end() {
        let text = "2026-01-31T10:00:00Z WARN disk is full\n\n2026-01-31T10:00:01Z INFO žluť";
        let run = Step::new().config(json!({"path": "a.log"})).file("a.log", text).extract::<Driver>();
        let messages: Vec<_> = run.rows("main").iter().map(|row| row["message"].clone()).collect();
        assert_eq!(messages, ["disk is full", "žluť"]);
    }

    #[test]
    fn a_line_is_an_event_and_an_empty_one_is_skipped() {
        let full = event("2026-01-31T10:00:00Z WARN disk is full\r".as_bytes(), 1).unwrap();
        assert_eq!(full, Some(Event { at: "2026-01-31T10:00:00Z", level: "WARN", message: "disk is full" }));
        assert_eq!(event(b"", 2).unwrap(), None);
    }

    #[test]
    fn a_line_of_another_form_is_an_error() {
        for wrong in ["oops", "2026-01-31T10:00:00Z INFO"] {
            assert!(event(wrong.as_bytes(), 7).unwrap_err().to_string().contains("line 7 "));
        }
    }
}
