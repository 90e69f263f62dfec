//! `osiris:driver/context`: what the step is, and what the driver reports about its work.

use std::sync::Arc;

use anyhow::Context as _;

use super::bindings::osiris::driver::context::{Host, Level, Part};
use super::rejects::Rejects;
use super::shared::Shared;
use super::{Answer, DriverCall};
use crate::channel::reporter::Reporter;
use crate::protocol::{LogLevel, Message};

/// The metrics that the host counts itself.
const OWN_METRICS: [&str; 5] = ["rows_read", "rows_processed", "rows_written", "rows_rejected", "step_duration_ms"];

/// The longest name of a metric, in characters; the rest is cut off.
const MAX_NAME: usize = 256;

/// The step as its driver sees it, and the driver's reports.
pub struct Context {
    step: String,
    /// The config as JSON text.
    config: String,
    part: Part,
    attempt: u32,
    rejects: Arc<Rejects>,
    reporter: Reporter,
}

impl Context {
    /// The context of one instance.
    ///
    /// # Errors
    /// If the config cannot be written as JSON.
    pub fn new(call: &DriverCall<'_>, shared: &Shared, instance: u32) -> anyhow::Result<Self> {
        Ok(Self {
            step: call.job.step.clone(),
            config: serde_json::to_string(&call.job.config).context("cannot write the config as JSON")?,
            part: Part { index: instance, count: call.job.instances.max(1) },
            attempt: call.job.attempt,
            rejects: Arc::clone(&shared.rejects),
            reporter: call.reporter.clone(),
        })
    }
}

impl Host for Context {
    fn step_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.step.clone())
    }

    fn config(&mut self) -> wasmtime::Result<String> {
        Ok(self.config.clone())
    }

    fn partition(&mut self) -> wasmtime::Result<Part> {
        Ok(self.part)
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        Ok(self.attempt)
    }

    fn reject(&mut self, record: String, reason: String) -> Answer<()> {
        self.rejects.reject(record, reason, &self.reporter)
    }

    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.reporter.log(level, message, fields.into_iter().collect());
        Ok(())
    }

    fn metric(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        // Redacted before it is cut, because half a secret would not be found.
        let name: String = self.reporter.told(name).raw().chars().take(MAX_NAME).collect();
        let name = if name.trim().is_empty() { "unnamed".to_owned() } else { name };
        let name = if OWN_METRICS.contains(&name.as_str()) { format!("driver_{name}") } else { name };
        self.reporter.send(&Message::Metric { name, value });
        Ok(())
    }

    fn progress(&mut self, done: u64, total: Option<u64>) -> wasmtime::Result<()> {
        self.reporter.progress(done, total);
        Ok(())
    }
}
