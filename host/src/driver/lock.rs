//! `osiris.lock`: pins what each driver is and which grants it requests, so that no change goes unnoticed. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::driver::catalog::Driver;
use crate::driver::config;
use crate::error::{Report, listed};
use crate::grants::{WantedGrants, reserved};
use crate::pipeline::yaml;
use crate::untrusted::line;
use crate::warning::Warning;

/// The file's name, in the base folder.
pub const FILE: &str = reserved::LOCK;

const HEAD: &str = "# Which drivers this folder's pipelines run, and what each wants. Commit it.\n\
                    # `osiris lock --update PIPELINE` accepts what has changed.\n";

/// Drivers by the name that pipelines use for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    #[serde(default)]
    pub drivers: BTreeMap<String, Pin>,
}

/// A driver as it was when it was locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub version: String,
    pub sha256: String,
    #[serde(default)]
    pub grants: WantedGrants,
    /// The hosts that the driver names itself, and that are accepted here: as its spec has them, and with the spec's
    /// defaults in place of placeholders.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
}

impl Pin {
    /// # Errors
    /// If a template exceeds its bounds.
    pub fn of(driver: &Driver) -> Result<Self, Report> {
        let spec = &driver.spec;
        Ok(Self {
            version: spec.version.clone(),
            sha256: driver.sha256.clone(),
            grants: spec.grants.clone(),
            hosts: spec.grants.fixed_hosts(&config::fill(spec, Map::new()))?,
        })
    }

    /// The differences from `now`, one line each, in the form of a diff: `-` for the old, `+` for the new.
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
        lines.extend(self.hosts.difference(&now.hosts).map(|host| format!("- fixes the host {}", line(host))));
        lines.extend(now.hosts.difference(&self.hosts).map(|host| format!("+ fixes the host {}", line(host))));
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

    /// Checks the driver that a pipeline in the folder `base` calls `component` against its pin. A driver without a pin
    /// is pinned, and the result is then `true`. A driver that is referred to by its path, however that is spelt, must
    /// be the one that is pinned under its name.
    ///
    /// # Errors
    /// A [`Report`] with a diff if the driver has changed.
    pub fn check(&mut self, base: &Path, component: &str, driver: &Driver) -> Result<bool, Report> {
        let now = Pin::of(driver)?;
        let key = key(base, component);
        for name in [&key, &driver.spec.name] {
            if let Some(pin) = self.drivers.get(name).filter(|pin| **pin != now) {
                return Err(Report::input(format!(
                    "driver `{component}` is not the one that `{FILE}` pins as `{name}`:\n  {}",
                    pin.diff(&now).join("\n  ")
                ))
                .hint("if the change is meant, accept it with `osiris lock --update PIPELINE`"));
            }
        }
        Ok(self.drivers.insert(key, now).is_none())
    }

    /// Pins the driver that a pipeline in the folder `base` calls `component`, replacing an earlier pin.
    ///
    /// # Errors
    /// As for [`Pin::of`].
    pub fn pin(&mut self, base: &Path, component: &str, driver: &Driver) -> Result<(), Report> {
        let pin = Pin::of(driver)?;
        if let Some(by_name) = self.drivers.get_mut(&driver.spec.name) {
            *by_name = pin.clone();
        }
        self.drivers.insert(key(base, component), pin);
        Ok(())
    }

    /// A notice of the hosts that a driver fixes, if they are not accepted yet.
    ///
    /// # Errors
    /// As for [`Pin::of`].
    pub fn unaccepted_hosts(&self, base: &Path, component: &str, driver: &Driver) -> Result<Option<Warning>, Report> {
        let hosts = Pin::of(driver)?.hosts;
        if hosts.is_empty() || self.drivers.contains_key(&key(base, component)) {
            return Ok(None);
        }
        Ok(Some(Warning::new(format!(
            "driver `{component}` is new here and fixes a host itself: {}; a run accepts it, and records it in `{FILE}`",
            line(&listed(hosts.iter().map(String::as_str)))
        ))))
    }
}

/// The key of a component's pin: its name, or its normalised path, which is relative to the base folder if it is
/// inside.
fn key(base: &Path, component: &str) -> String {
    if !component.ends_with(".wasm") {
        return component.to_owned();
    }
    let mut path = PathBuf::new();
    for part in base.join(component).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.strip_prefix(base).unwrap_or(&path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn driver(sha256: &str, read: &[&str]) -> Driver {
        let spec = "name: a.b\nversion: 1.0.0\nkind: processor\ntitle: t\nconfigSchema: {type: object}\n";
        let mut spec = crate::driver::spec::parse(spec, "spec.yaml").unwrap();
        spec.grants.read = read.iter().map(|read| read.parse().unwrap()).collect();
        Driver {
            spec,
            path: "a.b.wasm".into(),
            sha256: sha256.to_owned(),
            contract: String::new(),
            imports: Vec::new(),
            offers: Vec::new(),
        }
    }

    #[test]
    fn a_new_driver_is_pinned_and_a_changed_one_refused() {
        let mut lock = Lock::default();
        assert!(lock.check(Path::new("/base"), "a.b", &driver("aa", &["{config.path}"])).unwrap());
        assert!(!lock.check(Path::new("/base"), "a.b", &driver("aa", &["{config.path}"])).unwrap());
        let report =
            lock.check(Path::new("/base"), "a.b", &driver("bb", &["{config.path}", "{config.key}"])).unwrap_err();
        for line in ["- sha256: aa", "+ sha256: bb", "+ wants to read the file `{config.key}`"] {
            assert!(report.message.contains(line), "{}", report.message);
        }
        assert!(
            lock.check(Path::new("/base"), "a.b", &driver("aa", &[])).unwrap_err().message.contains("- wants to read")
        );
    }

    #[test]
    fn the_hosts_that_a_driver_fixes_are_accepted_once_and_refused_when_they_change() {
        let base = Path::new("/base");
        let fixing = |hosts: &[&str]| {
            let mut driver = driver("aa", &[]);
            driver.spec.config_schema = serde_json::json!({"properties": {"region": {"default": "us"}}});
            driver.spec.grants.http =
                hosts.iter().map(|host| format!("GET https://{host}/v1").parse().unwrap()).collect();
            driver
        };
        let one = fixing(&["API.example.com", "{config.region}.example.com"]);
        let mut lock = Lock::default();
        let notice = lock.unaccepted_hosts(base, "a.b", &one).unwrap().unwrap();
        let told = notice.paragraph();
        assert!(told.contains("api.example.com") && told.contains("us.example.com"), "{told}");
        assert!(lock.check(base, "a.b", &one).unwrap());
        let accepted = &lock.drivers["a.b"].hosts;
        assert_eq!(
            accepted.iter().collect::<Vec<_>>(),
            ["api.example.com", "us.example.com", "{config.region}.example.com"]
        );
        assert_eq!(parse(&lock.text(), FILE).unwrap(), lock);
        assert!(lock.unaccepted_hosts(base, "a.b", &one).unwrap().is_none());
        assert!(!lock.check(base, "a.b", &one).unwrap());
        let other = fixing(&["evil.example.org"]);
        let report = lock.check(base, "a.b", &other).unwrap_err();
        for line in ["- fixes the host api.example.com", "+ fixes the host evil.example.org"] {
            assert!(report.message.contains(line), "{}", report.message);
        }
        assert!(report.hint.unwrap().contains("osiris lock --update"));
        // A lock that has the driver, but never accepted its hosts.
        lock.drivers.get_mut("a.b").unwrap().hosts.clear();
        assert!(lock.check(base, "a.b", &one).unwrap_err().message.contains("+ fixes the host api.example.com"));
        lock.pin(base, "a.b", &other).unwrap();
        assert!(!lock.check(base, "a.b", &other).unwrap());
    }

    #[test]
    fn every_spelling_of_a_path_is_the_same_driver() {
        let base = Path::new("/base");
        let mut lock = Lock::default();
        assert!(lock.check(base, "drivers/x.wasm", &driver("aa", &[])).unwrap());
        for spelling in ["./drivers/x.wasm", "drivers/../drivers/x.wasm", "/base/drivers/x.wasm", "drivers//x.wasm"] {
            assert!(!lock.check(base, spelling, &driver("aa", &[])).unwrap(), "{spelling}");
            assert!(lock.check(base, spelling, &driver("bb", &[])).is_err(), "{spelling}");
        }
        assert!(lock.check(base, "other/x.wasm", &driver("bb", &[])).unwrap());
        // A driver that is pinned by its name is refused by any path too, and accepting it by a path accepts both.
        lock.check(base, "a.b", &driver("aa", &[])).unwrap();
        assert!(lock.check(base, "third/x.wasm", &driver("cc", &[])).unwrap_err().message.contains("pins as `a.b`"));
        lock.pin(base, "third/x.wasm", &driver("cc", &[])).unwrap();
        assert!(!lock.check(base, "a.b", &driver("cc", &[])).unwrap());
    }

    #[test]
    fn a_lock_reads_back_what_it_wrote() {
        let mut lock = Lock::default();
        lock.check(Path::new("/base"), "a.b", &driver("aa", &["{config.path}"])).unwrap();
        assert_eq!(parse(&lock.text(), FILE).unwrap(), lock);
    }
}
