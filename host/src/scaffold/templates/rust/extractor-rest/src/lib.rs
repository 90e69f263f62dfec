//! Reads all orders of an HTTP API, page by page.

use osiris_sdk::http::Client;
use osiris_sdk::{Extractor, Output, Result, context};
use serde_json::value::RawValue;

#[derive(serde::Deserialize)]
struct Config {
    connection: Connection,
    page_size: u32,
}

#[derive(serde::Deserialize)]
struct Connection {
    url: String,
}

/// A page, whose items keep all digits of their numbers.
#[derive(serde::Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<u64>,
}

struct Driver;

impl Extractor for Driver {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let columns =
            [("id", "BIGINT"), ("customer", "VARCHAR"), ("amount", "DECIMAL(18,2)"), ("created_at", "TIMESTAMPTZ")];
        let mut table = output.create_json_table("main", &columns)?;
        let (client, token) = (Client::new(), context::secret("/connection/token"));
        let mut next = None;
        loop {
            let mut request = client.get(&format!("{}/orders", config.connection.url))?;
            request = request.query("size", &config.page_size.to_string());
            if let Some(page) = next {
                request = request.query("page", &format!("{page}"));
            }
            if let Some(token) = &token {
                request = request.bearer(token);
            }
            let page: Page = request.fetch()?.json()?;
            for item in &page.items {
                table.append(item.get())?;
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        table.finish()?;
        Ok(())
    }
}

osiris_sdk::export!(Driver: extractor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_every_digit_and_knows_whether_it_is_the_last() {
        let page: Page = serde_json::from_str(r#"{"items": [{"amount": 0.10}], "next": 2}"#).unwrap();
        assert_eq!((page.items[0].get(), page.next), (r#"{"amount": 0.10}"#, Some(2)));
        let last: Page = serde_json::from_str(r#"{"items": [], "next": null}"#).unwrap();
        assert_eq!((last.items.len(), last.next), (0, None));
    }
}
