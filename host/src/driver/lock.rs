//! `osiris.lock`: pins what each driver is and wants, so that no change goes unseen. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::driver::catalog::Driver;
use crate::error::Report;
use crate::grants::{WantedGrants, reserved};
use crate::pipeline::yaml;

/// The file's name, in the base folder.
pub const FILE: &str = reserved::LOCK;

const HEAD: &str = "# Which drivers this folder's pipelines run, and what each wants. Commit it.\n\
                    # `osiris lock --update PIPELINE` accepts what has changed.\n";

/// Drivers by the name that pipelines call them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    #[serde(default)]
    pub drivers: BTreeMap<String, Pin>,
}

/// What one driver was when it was locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub version: String,
    pub sha256: String,
    #[serde(default)]
    pub grants: WantedGrants,
}

impl Pin {
    pub fn of(driver: &Driver) -> Self {
        Self { version: driver.spec.version.clone(), sha256: driver.sha256.clone(), grants: driver.spec.grants.clone() }
    }

    /// What differs in `now`, a line each, as a diff: `-` was, `+` is.
    fn diff(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, was, is) in [("version", &self.version, &now.version), ("sha256", &self.sha256, &now.sha256)] {
            if was != is {
                lines.extend([format!("- {what}: {was}"), format!("+ {what}: {is}")]);
            }
        }
        let (was, is) = (self.grants.words(), now.grants.words());
        lines.extend(was.iter().filter(|word| !is.contains(word)).map(|word| format!("- wants to {word}")));
        lines.extend(is.iter().filter(|word| !was.contains(word)).map(|word| format!("+ wants to {word}")));
        lines
    }
}

/// Parses a lock; `file` names it in errors.
///
/// # Errors
/// A [`Report`] with file and line.
pub fn parse(text: &str, file: &str) -> Result<Lock, Report> {
    yaml::parse(text, "lock", file)
}

impl Lock {
    /// The file's text.
    pub fn text(&self) -> String {
        format!("{HEAD}{}", serde_saphyr::to_string(self).unwrap_or_default())
    }

    /// Checks the driver called `component` against its pin; one without a pin is pinned, and `true`
    /// says so.
    ///
    /// # Errors
    /// A [`Report`] with a diff when the driver is not what it was.
    pub fn check(&mut self, component: &str, driver: &Driver) -> Result<bool, Report> {
        let now = Pin::of(driver);
        match self.drivers.get(component) {
            None => {
                self.drivers.insert(component.to_owned(), now);
                Ok(true)
            }
            Some(pin) if *pin == now => Ok(false),
            Some(pin) => Err(Report::input(format!(
                "driver `{component}` is not the one that `{FILE}` pins:\n  {}",
                pin.diff(&now).join("\n  ")
            ))
            .hint("if the change is meant, accept it with `osiris lock --update PIPELINE`")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn driver(sha256: &str, read: &[&str]) -> Driver {
        let spec =
            "name: a.b\nversion: 1.0.0\nkind: processor\ncontract: 0.1.0\ntitle: t\nconfigSchema: {type: object}\n";
        let mut spec = crate::driver::spec::parse(spec, "spec.yaml").unwrap();
        spec.grants.read = read.iter().map(|read| read.parse().unwrap()).collect();
        Driver { spec, path: "a.b.wasm".into(), sha256: sha256.to_owned(), imports: Vec::new(), offers: Vec::new() }
    }

    #[test]
    fn a_new_driver_is_pinned_and_a_changed_one_refused() {
        let mut lock = Lock::default();
        assert!(lock.check("a.b", &driver("aa", &["{config.path}"])).unwrap());
        assert!(!lock.check("a.b", &driver("aa", &["{config.path}"])).unwrap());
        let report = lock.check("a.b", &driver("bb", &["{config.path}", "{config.key}"])).unwrap_err();
        for line in ["- sha256: aa", "+ sha256: bb", "+ wants to read the file `{config.key}`"] {
            assert!(report.message.contains(line), "{}", report.message);
        }
        assert!(lock.check("a.b", &driver("aa", &[])).unwrap_err().message.contains("- wants to read"));
    }

    #[test]
    fn a_lock_reads_what_it_wrote() {
        let mut lock = Lock::default();
        lock.check("a.b", &driver("aa", &["{config.path}"])).unwrap();
        assert_eq!(parse(&lock.text(), FILE).unwrap(), lock);
    }
}
