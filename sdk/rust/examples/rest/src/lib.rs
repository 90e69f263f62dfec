//! Reads the items of a paged REST API, page by page.
use osiris_sdk::http::{Client, Next};
use osiris_sdk::{Decimal, Extractor, Instant, Output, Result, context};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Config {
    /// The API's address
    #[schemars(length(min = 1))]
    url: String,
    /// Items per page
    #[schemars(range(min = 1), extend("default" = 100))]
    page_size: u32,
}

#[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
struct Item {
    id: i64,
    name: Option<String>,
    amount: Decimal<18, 2>,
    tags: Vec<Option<String>>,
    created_at: Instant,
}

struct Rest;

impl Extractor for Rest {
    type Config = Config;
    fn extract(config: Config, output: Output) -> Result<()> {
        let api = Client::new().bearer(&context::secret("/token").unwrap_or_default());
        let first = api.get(&format!("{}/items", config.url))?.query("size", &config.page_size.to_string());
        let mut table = output.create_rows("main")?;
        for page in first.pages(Next::Cursor { pointer: "/next", parameter: "page" }) {
            table.extend(&page?.records::<Item>("/items")?)?;
        }
        table.finish().map(drop)
    }
}
osiris_sdk::export!(Rest: extractor);
#[cfg(test)]
mod tests;
