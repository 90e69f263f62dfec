//! `mask.processor`: makes columns unreadable and passes the others through unchanged.

mod method;

use std::collections::BTreeMap;
use std::rc::Rc;

use osiris_sdk::sql::{self, quote_name};
use osiris_sdk::{Array, Batch, Error, Inputs, Output, Processor, RawBatch, Result, Schema, context};
use serde::Deserialize;

use method::{Method, Wish};

#[derive(Debug, Deserialize)]
struct Config {
    columns: BTreeMap<String, Wish>,
}

struct Mask;

impl Processor for Mask {
    type Config = Config;

    fn transform(config: Config, inputs: Inputs, output: Output) -> Result<()> {
        let input = inputs.only()?;
        let names = sql::query(&format!("select columns(*)::varchar from {} limit 0", input.sql_name()))?;
        let plan = plan(&config, context::secret("key").as_deref(), names.schema())?;
        let mut reader = sql::query(&format!("select {} from {}", plan.columns(), input.sql_name()))?;
        let schema = Rc::new(plan.schema(reader.schema()));
        let mut writer = output.create_table("main", &schema)?;
        while let Some(batch) = reader.next_batch()? {
            writer.append(&plan.apply(batch, &schema)?)?;
        }
        writer.finish()?;
        Ok(())
    }
}

/// The columns that are kept, in order, each with the method that masks it.
struct Plan(Vec<(String, Option<Method>)>);

fn plan(config: &Config, key: Option<&str>, schema: &Schema) -> Result<Plan> {
    for name in config.columns.keys() {
        schema.find(name)?;
    }
    let mut columns = Vec::new();
    for field in schema.columns() {
        match config.columns.get(&field.name) {
            Some(Wish { method: method::Name::Drop, .. }) => {}
            Some(wish) => columns.push((field.name.clone(), Some(wish.method(key)?))),
            None => columns.push((field.name.clone(), None)),
        }
    }
    if columns.is_empty() {
        return Err(Error::config("every column is dropped; keep at least one"));
    }
    Ok(Plan(columns))
}

impl Plan {
    /// The SELECT's columns: masked ones as text, since the text that a person would read is masked.
    fn columns(&self) -> String {
        let column = |(name, method): &(String, Option<Method>)| {
            let name = quote_name(name);
            if method.is_some() { format!("cast({name} as varchar) as {name}") } else { name }
        };
        self.0.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// The schema of the output: that of the input, with masked columns nullable and as text.
    fn schema(&self, read: &Schema) -> Schema {
        let mut fields = read.fields().to_vec();
        for (place, _) in self.0.iter().enumerate().filter(|(_, (_, method))| method.is_some()) {
            let field = &mut fields[read.span(place).start];
            field.nullable = true;
            field.metadata.clear();
        }
        Schema::new(fields)
    }

    fn apply(&self, batch: Batch, schema: &Rc<Schema>) -> Result<Batch> {
        let masked = self
            .0
            .iter()
            .enumerate()
            .map(|(place, (name, method))| method.as_ref().map(|method| mask(&batch, place, name, method)).transpose())
            .collect::<Result<Vec<_>>>()?;
        let spans: Vec<_> = (0..self.0.len()).map(|place| schema.span(place).len()).collect();
        let RawBatch { rows, nodes } = batch.into_raw();
        let mut passed = nodes.into_iter();
        let mut nodes = Vec::new();
        for (masked, span) in masked.into_iter().zip(spans) {
            let own: Vec<_> = passed.by_ref().take(span).collect();
            nodes.extend(masked.map_or(own, |(_, masked)| masked));
        }
        Ok(Batch::new(Rc::clone(schema), RawBatch { rows, nodes }))
    }
}

type Parts = (Vec<osiris_sdk::Field>, Vec<osiris_sdk::Node>);

fn mask(batch: &Batch, place: usize, name: &str, method: &Method) -> Result<Parts> {
    let texts = batch.column_at(place).strings()?;
    let mut masked = osiris_sdk::Builder::<String>::new();
    for text in texts.iter() {
        masked.push(text.map(|text| method.apply(text)));
    }
    let masked: Array = masked.finish();
    Ok(masked.into_parts(name))
}

osiris_sdk::export!(Mask: processor);
