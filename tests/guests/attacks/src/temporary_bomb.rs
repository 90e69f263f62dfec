//! Fills the disk with temporary files.
//!
//! stopped by: contract
//! seen as: internal: may spill
//! flags: --spill 20MB

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let bytes = vec![b'x'; 1 << 20];
    let mut files = Vec::new();
    loop {
        let file = files::create_temporary().map_err(told)?;
        for _ in 0..3 {
            file.write(&bytes).map_err(told)?;
        }
        files.push(file);
    }
}
