//! The resource usage of a process, as the kernel counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::Context;

/// The usage figures of one process.
///
/// Its files in `/proc` are opened once, while the process may still be inspected. Neither a shortage of open files in
/// the host nor `hidepid` on the mount can hide them later.
#[derive(Debug)]
pub struct Figures {
    statm: File,
    stat: File,
}

/// The resource usage of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub resident_bytes: u64,
    /// User and system time of all its threads.
    pub cpu: Duration,
    pub threads: u64,
}

/// The buffer for either file, each of which is one line of numbers.
const MOST_BYTES: usize = 1024;

impl Figures {
    /// Opens the figures of process `id`.
    ///
    /// # Errors
    /// If `/proc` does not show them.
    #[expect(clippy::disallowed_methods, reason = "the files are in `/proc`")]
    pub fn open(id: u32) -> anyhow::Result<Self> {
        let open = |name: &str| {
            let path = format!("/proc/{id}/{name}");
            File::open(&path).with_context(|| format!("cannot read `{path}`"))
        };
        Ok(Self { statm: open("statm")?, stat: open("stat")? })
    }

    /// The current usage; `None` if the kernel gives no figures, as for a process that was waited for.
    pub fn read(&self) -> Option<Usage> {
        let (mut first, mut second) = ([0; MOST_BYTES], [0; MOST_BYTES]);
        usage(read(&self.statm, &mut first)?, read(&self.stat, &mut second)?)
    }
}

/// The current text of a file in `/proc`.
fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let length = file.read_at(buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()
}

/// Parses `statm` and `stat`; see proc(5).
fn usage(statm: &str, stat: &str) -> Option<Usage> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // The second field is the program's name in parentheses, which may contain spaces and parentheses. The third
    // follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)?.saturating_add(field(15)?);
    let second = rustix::param::clock_ticks_per_second().max(1);
    Some(Usage {
        resident_bytes: pages.saturating_mul(rustix::param::page_size() as u64),
        cpu: Duration::from_millis(ticks.saturating_mul(1000) / second),
        threads: field(20)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn figures_are_read_for_any_program_name() {
        let numbers = "S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 7 18";
        let second = rustix::param::clock_ticks_per_second();
        for name in ["osiris", "a b", ") S 9 9 ("] {
            let usage = usage("100 3 2 1 0 4 0", &format!("42 ({name}) {numbers}")).unwrap();
            assert_eq!(usage.resident_bytes, 3 * rustix::param::page_size() as u64);
            assert_eq!((usage.cpu, usage.threads), (Duration::from_millis(200 * 1000 / second), 7));
        }
        for (statm, stat) in [("", ""), ("1 2", "42 (x)"), ("1 x", "42 (x) S 1"), ("1 2", "no bracket")] {
            assert_eq!(super::usage(statm, stat), None);
        }
    }

    #[test]
    fn this_process_has_figures() {
        let usage = Figures::open(std::process::id()).unwrap().read().unwrap();
        assert!(usage.resident_bytes > 100_000 && usage.threads > 0, "{usage:?}");
    }
}
