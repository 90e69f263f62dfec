//! Sets an entry of a key-value server for each row.

use std::time::Duration;

use osiris_sdk::tcp::{self, Connection};
use osiris_sdk::{Error, ErrorKind, Inputs, Result, Writer};
use serde_json::{Map, Value};

#[derive(serde::Deserialize)]
struct Config {
    connection: Server,
    key: String,
    value: String,
}

#[derive(serde::Deserialize)]
struct Server {
    host: String,
    port: u16,
}

struct Driver;

impl Writer for Driver {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let mut server = tcp::connect(&config.connection.host, config.connection.port, Duration::from_secs(30))?;
        let mut number = 0;
        for records in inputs.only()?.read_json(&[&config.key, &config.value])? {
            for row in records?.lines() {
                number += 1;
                let row: Map<String, Value> = serde_json::from_str(row)?;
                server.send(command(&row[&config.key], &row[&config.value])?.as_bytes())?;
                check(&line(&mut server)?, number)?;
            }
        }
        Ok(())
    }
}

fn command(key: &Value, value: &Value) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string(&("SET", key, value))?))
}

/// The server's next line. It sends nothing more before it has received the next command.
fn line(server: &mut Connection) -> Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let bytes = server.fill()?;
        if bytes.is_empty() {
            return Err(Error::new(ErrorKind::Transient, "the server closed the connection"));
        }
        let count = bytes.len();
        line.extend_from_slice(bytes);
        server.consume(count);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn check(answer: &str, number: u64) -> Result<()> {
    if answer == "OK" {
        return Ok(());
    }
    let reason = answer.strip_prefix("ERROR ").unwrap_or(answer);
    Err(Error::data(format!("the server refused row {number}: {reason}")))
}

osiris_sdk::export!(Driver: writer);

#[cfg(test)]
mod tests {
    use osiris_sdk::testing::{Rows, Run, Step};
    use serde_json::json;

    use super::*;

    fn run(answer: &'static str) -> Run {
        let config = json!({"connection": {"host": "store", "port": 7000}, "key": "key", "value": "value"});
        let entries = Rows::new([json!({"key": "a", "value": "b"}), json!({"key": "c", "value": "d"})]);
        let server = move |command: &[u8]| match command {
            b"" => Vec::new(),
            _ => answer.as_bytes().to_vec(),
        };
        Step::new().config(config).input("entries", entries).server("store:7000", server).load::<Driver>()
    }

    #[test]
    fn each_row_is_answered() {
        run("OK\n").success();
        assert!(run("ERROR no room\n").error().message.contains("row 1: no room"));
    }

    #[test]
    fn a_row_sets_an_entry() {
        assert_eq!(command(&"a \"b\"".into(), &Value::Null).unwrap(), "[\"SET\",\"a \\\"b\\\"\",null]\n");
    }

    #[test]
    fn a_refusal_names_the_row() {
        assert!(check("OK", 1).is_ok());
        assert!(check("ERROR no room", 2).unwrap_err().to_string().contains("row 2: no room"));
    }
}
