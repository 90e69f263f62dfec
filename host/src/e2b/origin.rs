//! Which run of which machine a sandbox belongs to, so that the next run deletes what a dead one left.

use std::collections::BTreeMap;

use super::account::{Account, Listed};
use crate::digest::sha256_of;
use crate::error::Failure;

/// The keys of a sandbox's metadata.
const HOST: &str = "osiris_host";
const PROCESS: &str = "osiris_process";

/// A process, as the metadata of its sandboxes has it.
pub struct Origin {
    /// A digest of what tells apart machines, their boots, and containers with process numbers of their own.
    host: String,
    process: String,
}

impl Origin {
    /// This process.
    pub fn own() -> Self {
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let host = [read("/etc/machine-id"), read("/proc/sys/kernel/random/boot_id"), namespace.display().to_string()];
        let id = std::process::id();
        Self { host: sha256_of(host.join("\n").as_bytes())[..32].to_owned(), process: named(id, started(id)) }
    }

    pub fn metadata(&self) -> BTreeMap<String, String> {
        [(HOST, &self.host), (PROCESS, &self.process)].map(|(key, value)| (key.to_owned(), value.clone())).into()
    }

    /// Deletes the sandboxes of processes of this host that have ended.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn sweep(&self, account: &Account) -> Result<(), Failure> {
        account
            .list(HOST, &self.host)?
            .iter()
            .filter(|listed| self.is_dead(listed))
            .for_each(|listed| account.delete(&listed.id));
        Ok(())
    }

    fn is_dead(&self, listed: &Listed) -> bool {
        let Some(metadata) = &listed.metadata else { return false };
        let of_this_host = metadata.get(HOST) == Some(&self.host);
        let process = metadata.get(PROCESS).map(String::as_str).unwrap_or_default();
        let Some(id) = process.split_once('-').and_then(|(id, _)| id.parse().ok()) else { return false };
        of_this_host && process != named(id, started(id))
    }
}

/// A process by its number and when it started, because numbers are used again.
fn named(id: u32, started: Option<u64>) -> String {
    format!("{id}-{}", started.unwrap_or_default())
}

/// When a process started, in ticks since the machine did (proc_pid_stat(5), field 22); `None` if there is none.
fn started(id: u32) -> Option<u64> {
    let stat = read(&format!("/proc/{id}/stat"));
    // The second field is in parentheses, and may contain anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "short files of the kernel and of the machine's administrator")]
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sandboxes_of_dead_processes_of_this_host_are_deleted() {
        let own = Origin::own();
        let listed = |host: &str, process: &str| Listed {
            id: "i1".to_owned(),
            metadata: Some(
                [(HOST, host), (PROCESS, process)].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ),
        };
        let id = std::process::id();
        assert_ne!(started(id), None);
        assert!(!own.is_dead(&listed(&own.host, &own.process)));
        assert!(own.is_dead(&listed(&own.host, &format!("{id}-1"))), "another process had this number");
        assert!(own.is_dead(&listed(&own.host, "4194304-5")), "there is no such number");
        assert!(!own.is_dead(&listed("other", "4194304-5")));
        assert!(!own.is_dead(&listed(&own.host, "")) && !own.is_dead(&Listed { id: "i2".to_owned(), metadata: None }));
    }
}
