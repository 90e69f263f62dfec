//! The other side of the contract: the host inside a component, the host of [`crate::testing`] in a native unit test.

#[cfg(target_family = "wasm")]
pub use crate::bindings::osiris::driver::{context, databases, files, secrets, sql, state, tables, tcp};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::host::{context, databases, files, secrets, sql, state, tables, tcp};
