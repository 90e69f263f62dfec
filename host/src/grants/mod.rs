//! What one step may touch and use up: what its driver wants, within what the operator allows.

pub mod address;
pub mod endpoint;
pub mod grant;
pub mod limits;
pub mod policy;
pub mod reserved;
pub mod template;
