//! Logs its secret in every encoding.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let secret = secrets::get("key").ok_or("no such secret")?.reveal();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for spelling in [secret.clone(), hex, percent, base64(secret.as_bytes()), base64(format!("x{secret}").as_bytes()), format!("{secret:?}")] {
        context::log(context::Level::Warn, &spelling, &[(spelling.clone(), spelling.clone())]);
        context::metric(&spelling, 1.0);
        println!("{spelling}");
    }
    sql::create_table(step.output, "main", "select 1 as a").map(drop).map_err(told)
}
