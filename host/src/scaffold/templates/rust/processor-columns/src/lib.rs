//! Adds totals and labels; other columns pass through unchanged.

use osiris_sdk::{Array, Batch, Error, Inputs, Output, Processor, Result, Schema};

#[derive(serde::Deserialize)]
struct Config {}

struct Driver;

impl Processor for Driver {
    type Config = Config;

    fn transform(_: Config, inputs: Inputs, output: Output) -> Result<()> {
        let input = inputs.only()?;
        let mut fields = input.schema()?.fields().to_vec();
        for (name, column) in added(Vec::new(), Vec::new()) {
            fields.extend(column.into_parts(name).0);
        }
        let mut table = output.create_table("main", &Schema::new(fields))?;
        for batch in input.read()? {
            table.append(&with_totals(&batch?)?)?;
        }
        table.finish()?;
        Ok(())
    }
}

fn with_totals(batch: &Batch) -> Result<Batch> {
    let (quantity, cents) = (batch.column("quantity")?, batch.column("cents")?);
    let (quantities, prices) = (quantity.values::<i64>()?, cents.values::<i64>()?);
    let totals: Result<Vec<Option<i64>>> = (0..batch.rows())
        .map(|row| {
            let is_null = quantity.is_null(row) || cents.is_null(row);
            if is_null { Ok(None) } else { product(quantities[row], prices[row]).map(Some) }
        })
        .collect();
    let names = batch.column("product")?.strings()?;
    let labels = names.iter().map(|name| name.map(str::to_uppercase)).collect();
    let unchanged = batch.schema().columns().enumerate();
    let mut columns: Vec<(&str, Array)> =
        unchanged.map(|(place, field)| (field.name.as_str(), Array::from_column(&batch.column_at(place)))).collect();
    columns.extend(added(totals?, labels));
    Batch::from_columns(columns)
}

fn added(totals: Vec<Option<i64>>, labels: Vec<Option<String>>) -> [(&'static str, Array); 2] {
    [("total_cents", Array::from(totals)), ("label", Array::from(labels))]
}

fn product(quantity: i64, cents: i64) -> Result<i64> {
    let beyond = || Error::data(format!("{quantity} × {cents} is beyond BIGINT"));
    quantity.checked_mul(cents).ok_or_else(beyond)
}

osiris_sdk::export!(Driver: processor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_labels_are_added_and_other_columns_stay() {
        let orders = Batch::from_columns(vec![
            ("product", Array::from(vec![Some("žito".to_owned()), None])),
            ("quantity", Array::from(vec![2_i64, 1])),
            ("cents", Array::from(vec![Some(450_i64), None])),
        ]);
        let result = with_totals(&orders.unwrap()).unwrap();
        let names: Vec<&str> = result.schema().columns().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["product", "quantity", "cents", "total_cents", "label"]);
        let total = result.column("total_cents").unwrap();
        assert_eq!((total.values::<i64>().unwrap()[0], total.is_null(1)), (900, true));
        let labels: Vec<Option<&str>> = result.column("label").unwrap().strings().unwrap().iter().collect();
        assert_eq!(labels, [Some("ŽITO"), None]);
    }

    #[test]
    fn a_total_beyond_the_type_is_an_error() {
        assert!(product(i64::MAX, 2).is_err() && product(-3, 5).unwrap() == -15);
    }
}
