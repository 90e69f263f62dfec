//! Reads all pages of a REST API.

use osiris_sdk::{Extractor, Output, Result, context, http};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Config {
    url: String,
}

#[derive(Deserialize)]
struct Page {
    items: Box<RawValue>,
    next: Option<u64>,
}

struct Rest;

impl Extractor for Rest {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let client = http::Client::new();
        let token = context::secret("token").unwrap_or_default();
        let mut table =
            output.create_json_table("main", &[("amount", "DECIMAL(18,2)"), ("created_at", "TIMESTAMPTZ")])?;
        let mut next = Some(1);
        while let Some(page) = next {
            let page: Page =
                client.get(&config.url)?.query("page", &page.to_string()).bearer(&token).fetch()?.json()?;
            table.append(page.items.get())?;
            next = page.next;
        }
        table.finish()?;
        Ok(())
    }
}

osiris_sdk::export!(Rest: extractor);
