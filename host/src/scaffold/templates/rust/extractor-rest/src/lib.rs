//! Reads all orders of an HTTP API, page by page.

use osiris_sdk::http::{Client, Next};
use osiris_sdk::{Decimal, Extractor, Instant, Output, Result, context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The API, usually as `"@api.ALIAS"` of osiris_connections.yaml
    connection: Connection,
    /// How many orders a request asks for
    #[schemars(range(min = 1, max = 1000), extend("default" = 100))]
    page_size: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Connection {
    /// The address of the API
    #[schemars(regex(pattern = r"^https?://[^?#]+$"))]
    url: String,
}

/// A row of the table.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Order {
    id: i64,
    customer: Option<String>,
    amount: Decimal<18, 2>,
    created_at: Instant,
}

struct Driver;

impl Extractor for Driver {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let mut client = Client::new();
        if let Some(token) = context::secret("/connection/token") {
            client = client.bearer(&token);
        }
        let orders = client.get(&format!("{}/orders", config.connection.url))?;
        let first = orders.query("size", &config.page_size.to_string());
        let mut table = output.create_rows("main")?;
        for page in first.pages(Next::Cursor { pointer: "/next", parameter: "page" }) {
            table.extend(&page?.records::<Order>("/items")?)?;
        }
        table.finish()?;
        Ok(())
    }
}

osiris_sdk::export!(Driver: extractor);

#[cfg(test)]
mod tests {
    use super::*;
    use osiris_sdk::ErrorKind;
    use osiris_sdk::testing::{Exchange, Step, check_schema};
    use serde_json::{Value, json};

    const URL: &str = "https://api.example.com";

    fn step() -> Step {
        Step::new().config(json!({"connection": {"url": URL}, "page_size": 2}))
    }

    fn order(id: i64) -> Value {
        json!({"id": id, "customer": null, "amount": "12.50", "created_at": "2026-01-31T10:00:00Z"})
    }

    #[test]
    fn the_spec_has_the_options_of_the_config() {
        check_schema::<Config>("spec.yaml");
    }

    #[test]
    fn all_pages_are_read() {
        let pages = [json!({"items": [order(1), order(2)], "next": 2}), json!({"items": [order(3)], "next": null})];
        let run = step()
            .secret("/connection/token", "hunter2")
            .http(Exchange::get(&format!("{URL}/orders?size=2")).json(&pages[0]))
            .http(Exchange::get(&format!("{URL}/orders?size=2&page=2")).json(&pages[1]))
            .extract::<Driver>();
        let rows = run.rows("main");
        assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(rows[0]["amount"].to_string(), "12.50");
        assert_eq!(run.types("main")["created_at"], "TIMESTAMPTZ");
        assert_eq!(run.requests()[0].header("authorization"), Some("Bearer hunter2"));
    }

    #[test]
    fn a_refused_token_is_an_error() {
        let refused = Exchange::get(&format!("{URL}/orders?size=2")).status(401);
        assert_eq!(step().http(refused).extract::<Driver>().error().kind, ErrorKind::Auth);
    }
}
