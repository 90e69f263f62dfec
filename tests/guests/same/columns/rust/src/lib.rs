//! Computes columns from the values of others.

use osiris_sdk::{Array, Batch, Builder, Column, Inputs, ListBuilder, Output, Primitive, Processor, Result};

struct Columns;

impl Processor for Columns {
    type Config = serde_json::Value;

    fn transform(_: serde_json::Value, inputs: Inputs, output: Output) -> Result<()> {
        for batch in inputs.only()?.batches()? {
            output.append("main", &compute(&batch?)?)?;
        }
        Ok(())
    }
}

/// A number of each value that is not null.
fn map<A: Primitive, B: osiris_sdk::Value>(column: &Column<'_>, compute: impl Fn(A) -> B) -> Result<Array> {
    let values = column.values::<A>()?;
    let computed = values.iter().enumerate().map(|(row, value)| (!column.is_null(row)).then(|| compute(*value)));
    Ok(computed.collect())
}

fn compute(batch: &Batch) -> Result<Batch> {
    let names: Vec<String> = batch.schema().columns().map(|field| field.name.clone()).collect();
    let mut columns: Vec<(&str, Array)> = Vec::new();
    for name in &names {
        columns.push((name, Array::from_column(&batch.column(name)?)));
    }
    let (name, flag, tags, part) =
        (batch.column("name")?, batch.column("flag")?, batch.column("tags")?, batch.column("part")?);
    let (names, flags, part_a) = (name.strings()?, flag.booleans()?, part.child("a")?.values::<i32>()?);
    let shout: Array = names.iter().map(|name| name.map(|name| format!("{name}!"))).collect();
    let not_flag: Array = (0..batch.rows()).map(|row| flags.get(row).map(|flag| !flag)).collect();
    let part_a: Array = part_a.iter().enumerate().map(|(row, a)| (!part.is_null(row)).then(|| i64::from(*a))).collect();
    let (tag_count, loud_tags) = tag_columns(&tags)?;
    columns.extend([
        ("double_qty", map(&batch.column("qty")?, |qty: i32| 2 * i64::from(qty))?),
        ("shout", shout),
        ("owed", map(&batch.column("price")?, |price: i128| -price)?.with_format("d:18,2")),
        ("not_flag", not_flag),
        ("half", map(&batch.column("ratio")?, |ratio: f64| ratio / 2.0)?),
        ("next_day", map(&batch.column("day")?, |day: i32| day + 1)?.with_format("tdD")),
        ("same_at", map(&batch.column("at")?, |at: i64| at)?.with_format("tsu:UTC")),
        ("same_key", Array::from_column(&batch.column("key")?)),
        ("tag_count", tag_count),
        ("loud_tags", loud_tags),
        ("part_a", part_a),
    ]);
    Batch::from_columns(columns)
}

fn tag_columns(tags: &Column<'_>) -> Result<(Array, Array)> {
    let lists = tags.lists()?;
    let texts = lists.values.strings()?;
    let (mut count, mut loud) = (Builder::<i64>::new(), ListBuilder::<String>::new());
    for row in 0..tags.len() {
        let range = lists.get(row);
        count.push(range.as_ref().map(|range| range.len() as i64));
        let is_valid = range.is_some();
        for item in range.into_iter().flatten() {
            loud.values.push(texts.get(item).map(|tag| format!("{tag}!")));
        }
        loud.end_list(is_valid);
    }
    Ok((count.finish(), loud.finish()))
}

osiris_sdk::export!(Columns: processor);
