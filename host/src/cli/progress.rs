//! What a person sees while a pipeline runs: a bar for each running step, or plain lines where stderr is no terminal.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::run::Observer;
use crate::session::{Status, StepRecord};
use crate::warning::Warning;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::{grouped, spell_duration};
use crate::untrusted;

/// Shows a run on stderr.
pub struct Progress {
    bars: MultiProgress,
    running: BTreeMap<String, ProgressBar>,
    terminal: bool,
    /// Width of the longest step id, so that columns line up.
    width: usize,
}

impl Progress {
    pub fn new<'a>(steps: impl Iterator<Item = &'a str>) -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Self {
            bars: MultiProgress::new(),
            running: BTreeMap::new(),
            terminal,
            width: steps.map(str::len).max().unwrap_or(0),
        }
    }

    fn say(&self, line: &str) {
        if self.terminal {
            self.bars.suspend(|| eprintln!("{line}"));
        } else {
            eprintln!("{line}");
        }
    }
}

/// A bar's style, with `{rate}` in whole rows a second.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{} rows/s", grouped(state.per_sec() as u64));
    })
}

impl Observer for Progress {
    fn compiling(&mut self, driver: &str) {
        self.say(&format!("compiling {} for this machine (once)", untrusted::line(driver)));
    }

    fn started(&mut self, step: &str) {
        if !self.terminal {
            eprintln!("{step:width$}  started", width = self.width);
            return;
        }
        let bar = self.bars.add(ProgressBar::no_length());
        bar.set_style(style("{spinner} {prefix}  {human_pos} rows  {rate}  {elapsed}"));
        bar.set_prefix(format!("{step:width$}", width = self.width));
        bar.enable_steady_tick(Duration::from_millis(100));
        self.running.insert(step.to_owned(), bar);
    }

    fn progress(&mut self, step: &str, done: u64, total: Option<u64>) {
        let Some(bar) = self.running.get(step) else { return };
        if let (Some(total), None) = (total, bar.length()) {
            bar.set_length(total);
            bar.set_style(style("{spinner} {prefix}  {bar:24} {human_pos}/{human_len} rows  {rate}  {elapsed}"));
        }
        bar.set_position(done);
    }

    fn log(&mut self, step: &str, level: &str, line: &Warning) {
        if matches!(level, "warn" | "error") {
            self.say(&format!(
                "{step:width$}  {level}: {}",
                untrusted::paragraph(&line.to_string()),
                width = self.width
            ));
        }
    }

    fn ended(&mut self, step: &StepRecord) {
        if let Some(bar) = self.running.remove(&step.id) {
            bar.finish_and_clear();
        }
        let time = spell_duration(step.duration_ms.unwrap_or_default());
        let id = format!("{:width$}", step.id, width = self.width);
        let rows = grouped(step.rows.unwrap_or_default());
        match step.status {
            Status::Success if step.tables.len() > 1 => {
                let tables: Vec<String> = step
                    .tables
                    .iter()
                    .map(|(name, table)| format!("{} {}", untrusted::line(name), grouped(table.rows)))
                    .collect();
                self.say(&format!("{id}  {rows} rows in {} tables ({})  {time}", step.tables.len(), tables.join(", ")));
            }
            Status::Success => self.say(&format!("{id}  {rows} rows  {time}")),
            other => self.say(&format!("{id}  {other}")),
        }
    }
}
