//! Sends HTTP requests, keeps every response unread so that its connection stays open, and opens plain connections as well.
//!
//! stopped by: limits
//! seen as: connections: as many as it may

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut unread = Vec::new();
    while unread.len() < 150 {
        unread.push(get(&format!("{}/endless", step.url))?);
    }
    let mut open = Vec::new();
    while open.len() < 150 {
        open.push(connect(step)?);
    }
    Ok(format!("{} connections", unread.len() + open.len()))
}
