//! Appends JSON records whose nested objects have ever new members, each of which may become a part of a type.
//!
//! stopped by: limits
//! seen as: memory: memory
//! flags: --engine-memory 64MB --guest-memory 64MB

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let writer = step.output.create_json_table("main", &[]).map_err(told)?;
    let mut number: u64 = 0;
    loop {
        // Each object has fewer members than make it a map, on each of many levels.
        let mut page = String::new();
        for _ in 0..10_000 {
            let digits = [0, 8, 16, 24, 32].map(|shift| format!("m{}", (number >> shift) % 200));
            let [a, b, c, d, e] = digits;
            page.push_str(&format!(
                "{{\"{a}\":{{\"{b}\":{{\"{c}\":{{\"{d}\":{{\"{e}\":{{\"x{}\":{{\"y\":1}}}}}}}}}}}}}}\n",
                number % 199
            ));
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        }
        writer.append(&page).map_err(told)?;
    }
}
