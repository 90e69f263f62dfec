//! Ignores every refusal and continues past its deadline.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 1

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    loop {
        let _ = std::hint::black_box(sql::query("select * from range(100000000) t(i) where i < 0", Types::Exact));
    }
}
