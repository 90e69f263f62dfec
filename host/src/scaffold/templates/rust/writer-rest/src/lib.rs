//! Sends each row to an HTTP API.

use osiris_sdk::http::Client;
use osiris_sdk::{Inputs, Result, Writer, context};

#[derive(serde::Deserialize)]
struct Config {
    connection: Connection,
}

#[derive(serde::Deserialize)]
struct Connection {
    url: String,
}

struct Driver;

impl Writer for Driver {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let (client, token) = (Client::new(), context::secret("/connection/token"));
        let address = format!("{}/orders", config.connection.url);
        for records in inputs.only()?.read_json(&[])? {
            for record in rows(&records?) {
                let mut request = client.post(&address)?.body(record, "application/json");
                if let Some(token) = &token {
                    request = request.bearer(token);
                }
                request.fetch()?;
            }
        }
        Ok(())
    }
}

/// The rows in a text with a JSON object in each line.
fn rows(records: &str) -> impl Iterator<Item = &str> {
    records.lines().filter(|line| !line.is_empty())
}

osiris_sdk::export!(Driver: writer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_row() {
        assert_eq!(rows("{\"a\":1}\n{\"a\":2}\n").collect::<Vec<_>>(), ["{\"a\":1}", "{\"a\":2}"]);
    }
}
