//! Reads a thousand readers to their ends, which closes them, and reads on.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let (mut readers, mut json_readers) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let (reader, json) = (step.inputs[0].read(&[], Types::Plain), sql::query_json("select 1 as a"));
        let (reader, json) = (reader.map_err(told)?, json.map_err(told)?);
        while reader.next().map_err(told)?.is_some() {}
        while json.next().map_err(told)?.is_some() {}
        readers.push(reader);
        json_readers.push(json);
    }
    for (reader, json) in readers.iter().zip(&json_readers) {
        if reader.next().map_err(told)?.is_some() || json.next().map_err(told)?.is_some() {
            return Err("a closed reader has rows".to_owned());
        }
    }
    step.output.create_json_table("main", &[]).map_err(told)?.finish().map(drop).map_err(told)
}
