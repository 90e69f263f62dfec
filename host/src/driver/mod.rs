//! Drivers: their specs, where they are found, how configs are checked, and how they are compiled.

pub mod catalog;
pub mod compiler;
pub mod component;
pub mod config;
pub mod connect;
pub mod discovery;
pub mod identity;
pub mod inspect;
pub mod inspector;
pub mod lock;
mod mistakes;
pub mod options;
pub mod placeholders;
pub mod runtime;
pub mod spec;
mod spec_cache;
pub mod typed;
pub mod wrap;
