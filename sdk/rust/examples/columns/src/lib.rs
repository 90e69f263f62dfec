//! Doubles quantities, and adds names in upper case and numbers of tags; other columns pass through unchanged.
use osiris_sdk::{Array, Error, Inputs, Output, Processor, Result};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Config {}

struct Columns;
impl Processor for Columns {
    type Config = Config;
    fn transform(_: Config, inputs: Inputs, output: Output) -> Result<()> {
        for batch in inputs.only()?.batches()? {
            let batch = batch?;
            let doubled: Result<Array> = batch.column("qty")?.iter()?.map(double).collect();
            let upper: Array =
                batch.column("name")?.strings()?.iter().map(|name| name.map(str::to_uppercase)).collect();
            let tags = batch.column("tags")?.lists()?;
            let counts: Array = tags.iter().map(|range| range.map(|range| range.len() as i64)).collect();
            let batch = batch.with_column("qty", doubled?)?.with_column("upper", upper)?;
            output.append("main", &batch.with_column("tag_count", counts)?)?;
        }
        Ok(())
    }
}
fn double(qty: Option<i32>) -> Result<Option<i32>> {
    let Some(qty) = qty else { return Ok(None) };
    qty.checked_mul(2).map(Some).ok_or_else(|| Error::data(format!("{qty} is too large to be doubled")))
}
osiris_sdk::export!(Columns: processor);
#[cfg(test)]
mod tests;
