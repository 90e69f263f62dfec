//! What a person sees while a pipeline runs: a bar for each running step, or plain lines if stderr is not a terminal.

use super::terminal::{self, Show, say};
use super::{counted, grouped, spell_duration};
use crate::pipeline::expect::outcome::summary;
use crate::protocol::LogLevel;
use crate::run::Observer;
use crate::secrets::scrubber::Scrubbed;
use crate::session::{Status, StepRecord};
use crate::untrusted;
use crate::warning::Warning;

/// Shows a run on stderr.
pub struct Progress {
    terminal: bool,
    /// The width of the longest step id, so that columns line up.
    width: usize,
    shown: Shown,
}

/// How much of a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// Warnings, and steps that did not succeed.
    Warnings,
    Progress,
    /// Also what drivers print and log at every level.
    Everything,
}

impl Progress {
    pub fn new<'a>(steps: impl Iterator<Item = &'a str>, shown: Shown) -> Self {
        Self { terminal: terminal::is_terminal(), width: steps.map(str::len).max().unwrap_or(0), shown }
    }
}

impl Observer for Progress {
    fn compiling(&mut self, driver: &str) {
        if self.shown == Shown::Warnings {
            return;
        }
        say(format!("compiling {} for this machine (once)", untrusted::line(driver)));
    }

    fn started(&mut self, step: &str) {
        if self.shown == Shown::Warnings {
            return;
        }
        let prefix = format!("{step:width$}", width = self.width);
        if self.terminal {
            terminal::show(Show::Begin { step: step.to_owned(), prefix });
        } else {
            say(format!("{prefix}  started"));
        }
    }

    fn progress(&mut self, step: &str, done: u64, total: Option<u64>) {
        if self.terminal && self.shown > Shown::Warnings {
            terminal::show(Show::Progress { step: step.to_owned(), done, total });
        }
    }

    fn log(&mut self, step: &str, level: LogLevel, line: &Scrubbed<Warning>) {
        if self.shown == Shown::Everything || level.is_shown() {
            let text = line.paragraph();
            say(format!("{step:width$}  {level}: {text}", width = self.width));
        }
    }

    fn ended(&mut self, step: &StepRecord) {
        terminal::show(Show::End { step: step.id.clone() });
        if self.shown == Shown::Warnings && step.status == Status::Success {
            return;
        }
        let time = spell_duration(step.duration_ms.unwrap_or_default());
        let id = format!("{:width$}", step.id, width = self.width);
        let rows = counted(step.rows.unwrap_or_default(), "row");
        let checks = if step.checks.is_empty() { String::new() } else { format!("  {}", summary(&step.checks)) };
        match step.status {
            Status::Success if step.tables.len() > 1 => {
                let tables: Vec<String> = step
                    .tables
                    .iter()
                    .map(|(name, table)| format!("{} {}", untrusted::line(name), grouped(table.rows)))
                    .collect();
                say(format!("{id}  {rows} in {} tables ({})  {time}{checks}", step.tables.len(), tables.join(", ")));
            }
            Status::Success if step.reused.is_some() => {
                let how = step.reused.as_ref().map(|reused| reused.how.to_string()).unwrap_or_default();
                say(format!("{id}  {rows}  {how}{checks}"));
            }
            Status::Success => say(format!("{id}  {rows}  {time}{checks}")),
            other => say(format!("{id}  {other}")),
        }
    }
}
