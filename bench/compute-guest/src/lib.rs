//! The guest of benchmark (b): computes two new columns from two, batch by batch.

use osiris_sdk::{Array, Batch, Inputs, Output, Processor, Result};

struct Compute;

impl Processor for Compute {
    type Config = serde_json::Value;

    fn transform(_: serde_json::Value, inputs: Inputs, output: Output) -> Result<()> {
        let mut reader = inputs.only()?.read_columns(&["a", "b"])?;
        let mut writer = None;
        while let Some(batch) = reader.next_batch()? {
            let computed = compute(&batch)?;
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(output.create_table("main", computed.schema())?),
            };
            writer.append(&computed)?;
        }
        if let Some(writer) = writer {
            writer.finish()?;
        }
        Ok(())
    }
}

fn compute(batch: &Batch) -> Result<Batch> {
    let (a, b) = (batch.column("a")?.values::<i64>()?, batch.column("b")?.values::<f64>()?);
    let sums: Vec<i64> = a.iter().zip(b.iter()).map(|(a, b)| a.wrapping_mul(3).wrapping_add(*b as i64)).collect();
    let products: Vec<f64> = a.iter().zip(b.iter()).map(|(a, b)| *a as f64 * b + 1.0).collect();
    Batch::from_columns(vec![("sum", Array::from(sums)), ("product", Array::from(products))])
}

osiris_sdk::export!(Compute: processor);
