//! Returns NaNs whose bits have a meaning elsewhere.
//!
//! stopped by: nothing: they are numbers
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let bits = [0x7ff0_0000_0000_0001_u64, 0xfff8_dead_beef_cafe, u64::MAX];
    append(step, &column("g"), &batch(3, 3, vec![Vec::new(), bits.iter().flat_map(|bits| bits.to_le_bytes()).collect()]))
}
