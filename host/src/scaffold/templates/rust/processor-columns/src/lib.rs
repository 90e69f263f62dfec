//! Adds totals and labels; other columns pass through unchanged.

use osiris_sdk::{Array, Batch, Error, Inputs, Output, Processor, Result};

#[derive(serde::Deserialize)]
struct Config {}

struct Driver;

impl Processor for Driver {
    type Config = Config;

    fn transform(_: Config, inputs: Inputs, output: Output) -> Result<()> {
        for batch in inputs.only()?.batches()? {
            output.append("main", &with_totals(batch?)?)?;
        }
        Ok(())
    }
}

fn with_totals(batch: Batch) -> Result<Batch> {
    let quantities = batch.column("quantity")?.iter::<i64>()?;
    let totals: Result<Array> = quantities.zip(batch.column("cents")?.iter()?).map(total).collect();
    let labels: Array = batch.column("product")?.strings()?.iter().map(|name| name.map(str::to_uppercase)).collect();
    batch.with_column("total_cents", totals?)?.with_column("label", labels)
}

/// The total of a row; null if one of its numbers is.
fn total(row: (Option<i64>, Option<i64>)) -> Result<Option<i64>> {
    let (Some(quantity), Some(cents)) = row else { return Ok(None) };
    let beyond = || Error::data(format!("{quantity} × {cents} is beyond BIGINT"));
    quantity.checked_mul(cents).map(Some).ok_or_else(beyond)
}

osiris_sdk::export!(Driver: processor);

#[cfg(test)]
mod tests {
    use super::*;
    use osiris_sdk::testing::{Rows, Step};
    use serde_json::json;

    #[test]
    fn totals_and_labels_are_added_and_other_columns_stay() {
        let orders = Rows::new([
            json!({"product": "žito", "quantity": 2, "cents": 450, "day": "2026-01-31"}),
            json!({"product": null, "quantity": 1, "cents": null, "day": null}),
        ]);
        let run = Step::new().input("orders", orders.typed("day", "DATE")).transform::<Driver>();
        assert_eq!(
            run.rows("main"),
            [
                json!({"product": "žito", "quantity": 2, "cents": 450, "day": "2026-01-31", "total_cents": 900, "label": "ŽITO"}),
                json!({"product": null, "quantity": 1, "cents": null, "day": null, "total_cents": null, "label": null}),
            ]
        );
        assert_eq!(run.types("main")["day"], "DATE");
    }

    #[test]
    fn a_total_beyond_the_type_is_an_error() {
        let orders = Rows::new([json!({"product": "tea", "quantity": i64::MAX, "cents": 2})]);
        let run = Step::new().input("orders", orders).transform::<Driver>();
        assert_eq!(run.error().message, "9223372036854775807 × 2 is beyond BIGINT");
    }
}
