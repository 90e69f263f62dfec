//! Secret values, and their redaction from all output.

pub mod scrubber;
mod secret;

pub use secret::{MASK, Secret, Secrets};
