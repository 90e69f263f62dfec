//! Reads files of other steps and of the machine by a path that starts at its own temporary file.
//!
//! stopped by: duckdb
//! seen as: internal: disabled by configuration

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let file = files::create_temporary().map_err(told)?;
    file.write(b"here").map_err(told)?;
    let literal = file.sql_literal();
    let own = literal.trim_matches('\'');
    let folder = own.strip_suffix("/0").unwrap_or(own);
    let content = |path: &str| {
        let reader = sql::query(&format!("select content from read_blob('{path}')"), Types::Exact);
        reader.and_then(|reader| reader.next()).map_err(told)
    };
    content(own).map_err(|why| format!("its own file is readable, but: {why}"))?;
    let up = "../".repeat(20);
    let ways = [
        format!("{folder}/{up}etc/passwd"),
        format!("{own}/../{up}etc/passwd"),
        format!("{folder}/x/../{up}etc/passwd"),
        format!("{folder}//..//{up}etc/passwd"),
        format!("file:{folder}/{up}etc/passwd"),
        format!("{folder}/../../*"),
        format!("{folder}/../../../data/*"),
        format!("{folder}0/x"),
        format!("{folder}/../../../../earlier/data/theirs.duckdb"),
    ];
    let mut outcome = Ok(());
    for way in &ways {
        outcome = content(way).map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}
