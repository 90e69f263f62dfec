//! Lists the files of a path that it was not granted.
//!
//! stopped by: contract
//! seen as: internal: was granted

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    for path in ["*", "/etc", "out.txt"] {
        if let Ok(files) = files::list(path) {
            return Err(format!("there are {files:?}"));
        }
    }
    files::list("/etc/passwd").map(drop).map_err(told)
}
