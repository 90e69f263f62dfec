//! Drivers: what one declares, where it is found, how its config is checked, and how it is compiled.

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
pub mod options;
pub mod runtime;
pub mod spec;
mod spec_cache;
pub mod typed;
