//! Adds c = a + b + the length of s.

use osiris_sdk::{Array, Input, Inputs, Output, Processor, Result};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Config {
    mode: String,
}

#[derive(Deserialize, Serialize)]
struct Row {
    a: i64,
    b: i64,
    s: String,
    #[serde(default)]
    c: i64,
}

struct Bench;

impl Processor for Bench {
    type Config = Config;

    fn transform(config: Config, inputs: Inputs, output: Output) -> Result<()> {
        let source = inputs.only()?;
        if config.mode == "columns" { columns(source, &output) } else { records(source, &output) }
    }
}

fn columns(source: &Input, output: &Output) -> Result<()> {
    for batch in source.batches()? {
        let batch = batch?;
        let (a, b, s) = (batch.column("a")?, batch.column("b")?, batch.column("s")?);
        let (x, y, texts) = (a.values::<i64>()?, b.values::<i64>()?, s.strings()?);
        let sums: Vec<i64> =
            x.iter().zip(y.iter()).zip(texts.iter()).map(|((a, b), s)| a + b + s.map_or(0, str::len) as i64).collect();
        output.append("main", &batch.with_column("c", Array::from(sums))?)?;
    }
    Ok(())
}

fn records(source: &Input, output: &Output) -> Result<()> {
    let mut table = output.create_json_table("main", &[])?;
    for lines in source.read_json(&[])? {
        for line in lines?.lines() {
            let mut row: Row = serde_json::from_str(line)?;
            row.c = row.a + row.b + row.s.len() as i64;
            table.write(&row)?;
        }
    }
    table.finish()?;
    Ok(())
}

osiris_sdk::export!(Bench: processor);
