//! What the tests of a driver found, for people, programs and CI systems.

use serde_json::{Value, json};

use super::checks::Verdict;
use super::suite::Finding;
use crate::driver::catalog::Driver;
use crate::session::state::quoted;
use crate::untrusted;

/// What was tested.
#[derive(Debug, Clone, Copy)]
pub enum Tested<'a> {
    Driver(&'a Driver),
    Pipelines,
}

impl Tested<'_> {
    fn label(self) -> String {
        match self {
            Self::Driver(driver) => driver.label(),
            Self::Pipelines => "pipelines".to_owned(),
        }
    }
}

/// The findings about a driver or pipelines.
#[derive(Debug)]
pub struct Findings<'a> {
    pub tested: Tested<'a>,
    /// The command line that runs the tests, as the user wrote it.
    pub command: String,
    pub findings: Vec<Finding>,
}

/// The command that runs one test alone; `command` runs all.
fn again(command: &str, finding: &Finding) -> String {
    format!("{command} --only {}", quoted(&finding.name))
}

fn milliseconds(finding: &Finding) -> u64 {
    u64::try_from(finding.duration.as_millis()).unwrap_or(u64::MAX)
}

/// A finding for people: a line, or a paragraph if it failed.
pub fn paragraph(command: &str, finding: &Finding) -> String {
    let (name, took) = (untrusted::line(&finding.name), milliseconds(finding));
    let mut text = match &finding.verdict {
        Verdict::Passed => format!("ok       {name} ({took} ms)"),
        Verdict::Skipped(why) => format!("skipped  {name}: {}", untrusted::line(why)),
        Verdict::Failed(why) => {
            let place = match (&finding.file, finding.what) {
                (Some(file), _) => format!(" ({file})"),
                (None, Some(what)) => format!(": {what}"),
                (None, None) => String::new(),
            };
            let indented = untrusted::lines(why).replace('\n', "\n         ");
            format!("FAILED   {name}{place}\n         {indented}\n         run it alone: {}", again(command, finding))
        }
    };
    if let Some(file) = &finding.recorded {
        text += &format!("\n         recorded {}; review it before you commit it", untrusted::line(file));
    }
    text
}

impl Findings<'_> {
    fn count(&self, of: fn(&Verdict) -> bool) -> usize {
        self.findings.iter().filter(|finding| of(&finding.verdict)).count()
    }

    pub fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    fn passed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Passed))
    }

    fn skipped(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Skipped(_)))
    }

    /// How many passed, failed and were skipped, in one line.
    pub fn summary(&self) -> String {
        let (passed, failed, skipped) = (self.passed(), self.failed(), self.skipped());
        format!("{}: {passed} passed, {failed} failed, {skipped} skipped", self.tested.label())
    }

    /// One JSON object.
    pub fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            let (status, reason) = match &finding.verdict {
                Verdict::Passed => ("passed", None),
                Verdict::Failed(why) => ("failed", Some(why)),
                Verdict::Skipped(why) => ("skipped", Some(why)),
            };
            json!({
                "name": finding.name, "kind": if finding.file.is_some() { "test" } else { "check" }, "file": finding.file,
                "what": finding.what, "status": status, "reason": reason, "duration_ms": milliseconds(finding),
                "recorded": finding.recorded, "command": again(&self.command, finding),
            })
        };
        let results: Vec<Value> = self.findings.iter().map(finding).collect();
        let mut all = json!({
            "status": if self.failed() == 0 { "passed" } else { "failed" },
            "passed": self.passed(), "failed": self.failed(), "skipped": self.skipped(), "results": results,
        });
        if let Tested::Driver(Driver { spec, sha256, .. }) = self.tested {
            all["driver"] = json!({"name": spec.name, "version": spec.version, "sha256": sha256});
        }
        all
    }

    /// An XML document as JUnit writes it, which CI systems read.
    pub fn junit(&self) -> String {
        let label = xml(&self.tested.label());
        let (tests, failures, skipped) = (self.findings.len(), self.failed(), self.skipped());
        let seconds = |milliseconds: u64| format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
        let all = seconds(self.findings.iter().map(milliseconds).sum());
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{label}\" tests=\"{tests}\" \
             failures=\"{failures}\" skipped=\"{skipped}\" errors=\"0\" time=\"{all}\">\n"
        );
        for finding in &self.findings {
            let class = xml(finding.file.as_deref().unwrap_or("checks"));
            let time = seconds(milliseconds(finding));
            let head = format!("    <testcase name=\"{}\" classname=\"{class}\" time=\"{time}\"", xml(&finding.name));
            text += &match &finding.verdict {
                Verdict::Passed => format!("{head}/>\n"),
                Verdict::Skipped(why) => format!("{head}><skipped message=\"{}\"/></testcase>\n", xml(why)),
                Verdict::Failed(why) => {
                    let first = why.lines().next().unwrap_or_default();
                    let whole = format!("{why}\nrun it alone: {}", again(&self.command, finding));
                    format!("{head}><failure message=\"{}\">{}</failure></testcase>\n", xml(first), xml(&whole))
                }
            };
        }
        text + "  </testsuite>\n</testsuites>\n"
    }
}

/// A text inside XML. XML 1.0 has no control characters.
fn xml(text: &str) -> String {
    untrusted::lines(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .chars()
        .map(|c| if matches!(c, '\u{fffe}' | '\u{ffff}') || (c.is_control() && c != '\n') { '\u{fffd}' } else { c })
        .collect()
}
