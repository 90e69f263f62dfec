//! Reads the entries of a key-value server.

use std::time::Duration;

use osiris_sdk::{Error, ErrorKind, Extractor, Output, Result, tcp};

#[derive(serde::Deserialize)]
struct Config {
    connection: Server,
    prefix: String,
}

#[derive(serde::Deserialize)]
struct Server {
    host: String,
    port: u16,
}

struct Driver;

impl Extractor for Driver {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let mut table = output.create_json_table("main", &[("key", "VARCHAR"), ("value", "VARCHAR")])?;
        let mut server = tcp::connect(&config.connection.host, config.connection.port, Duration::from_secs(30))?;
        server.send(format!("{}\n", serde_json::to_string(&("LIST", &config.prefix))?).as_bytes())?;
        let mut received = Vec::new();
        loop {
            let bytes = server.fill()?;
            if bytes.is_empty() {
                return Err(Error::new(
                    ErrorKind::Transient,
                    "the server closed the connection before the end of the list",
                ));
            }
            let count = bytes.len();
            received.extend_from_slice(bytes);
            server.consume(count);
            while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = received.drain(..=end).collect();
                match Answer::of(&line)? {
                    Answer::Entry(entry) => table.append(entry)?,
                    Answer::End => return table.finish().map(|_| ()),
                }
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Answer<'a> {
    Entry(&'a str),
    End,
}

impl<'a> Answer<'a> {
    fn of(line: &'a [u8]) -> Result<Self> {
        let line =
            str::from_utf8(line).map_err(|_| Error::data("the server sent a line that is not UTF-8"))?.trim_end();
        match line.strip_prefix("ERROR ") {
            Some(reason) => {
                Err(Error::new(ErrorKind::Other, format!("the server refused to list its entries: {reason}")))
            }
            None if line == "." => Ok(Self::End),
            None => Ok(Self::Entry(line)),
        }
    }
}

osiris_sdk::export!(Driver: extractor);

#[cfg(test)]
mod tests {
    use osiris_sdk::testing::{Run, Step};
    use serde_json::json;

    use super::*;

    fn run(answer: &'static str) -> Run {
        let config = json!({"connection": {"host": "store", "port": 7000}, "prefix": "fruit"});
        let server = move |command: &[u8]| match command {
            b"[\"LIST\",\"fruit\"]\n" => answer.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        Step::new().config(config).server("store:7000", server).extract::<Driver>()
    }

    #[test]
    fn entries_are_read_to_the_end_of_the_list() {
        let rows = run("{\"key\": \"fruit:plum\", \"value\": \"švestka\"}\n.\n").rows("main");
        assert_eq!(rows, [json!({"key": "fruit:plum", "value": "švestka"})]);
    }

    #[test]
    fn a_refusal_is_an_error() {
        assert_eq!(run("ERROR not now\n").error().kind, ErrorKind::Other);
    }

    #[test]
    fn a_line_is_an_entry_the_end_or_a_refusal() {
        assert_eq!(Answer::of(b"{\"key\": \"a\"}\n").unwrap(), Answer::Entry("{\"key\": \"a\"}"));
        assert_eq!(Answer::of(b".\n").unwrap(), Answer::End);
        assert!(Answer::of(b"ERROR not now\n").unwrap_err().to_string().contains("not now"));
        assert!(Answer::of(b"\xff\n").is_err());
    }
}
