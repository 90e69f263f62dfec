//! Reads the whole file of its own input, other tables included, through file descriptor numbers.
//!
//! stopped by: system
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(_step: &Step) -> Outcome {
    let mut error = String::new();
    for number in 0..64 {
        for folder in ["/proc/self/fd", "/proc/thread-self/fd", "/dev/fd", "/proc/self/root/proc/self/fd"] {
            let file = format!("{folder}/{number}");
            // A DuckDB file starts with a checksum of eight bytes, followed by its name. The output, which it may read,
            // is even smaller.
            let query =
                format!("select 1 as a from read_blob('{file}') where content[9:12] = 'DUCK'::blob and size > 100_000");
            match sql::query(&query, Types::Exact).and_then(|rows| rows.next()) {
                Ok(Some(batch)) if batch.rows > 0 => return Ok(()),
                Ok(_) => {}
                Err(refused) => error = refused.message,
            }
        }
    }
    Err(error)
}
