//! What one step may use up: every limit, its default, and the lower of two.

use serde::{Deserialize, Serialize};

/// The largest state that a step may keep, in bytes.
pub const MAX_STATE_BYTES: usize = 1 << 20;

/// What one step may use up. Every limit is a number: there is no unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub wall_seconds: u64,
    pub cpu_seconds: u64,
    pub guest_memory_bytes: u64,
    pub engine_memory_bytes: u64,
    /// The size of the step's output, and of each file that it writes.
    pub output_bytes: u64,
    /// What DuckDB may spill to the step's scratch folder.
    pub spill_bytes: u64,
    /// What may go over the step's connections, both ways together.
    pub network_bytes: u64,
    /// What the driver may log, in bytes.
    pub log_bytes: u64,
    /// Readers that the driver may have open at once.
    pub readers: u32,
    pub threads: u32,
}

impl Limits {
    /// What a step may use up unless someone says otherwise.
    pub const DEFAULT: Self = Self {
        wall_seconds: 3600,
        cpu_seconds: 14_400,
        guest_memory_bytes: 512_000_000,
        engine_memory_bytes: 2_000_000_000,
        output_bytes: 100_000_000_000,
        spill_bytes: 100_000_000_000,
        network_bytes: 100_000_000_000,
        log_bytes: 16_000_000,
        readers: 64,
        threads: 1,
    };

    /// The lower of each two limits.
    #[must_use]
    pub fn within(self, ceiling: &Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds.min(ceiling.wall_seconds),
            cpu_seconds: self.cpu_seconds.min(ceiling.cpu_seconds),
            guest_memory_bytes: self.guest_memory_bytes.min(ceiling.guest_memory_bytes),
            engine_memory_bytes: self.engine_memory_bytes.min(ceiling.engine_memory_bytes),
            output_bytes: self.output_bytes.min(ceiling.output_bytes),
            spill_bytes: self.spill_bytes.min(ceiling.spill_bytes),
            network_bytes: self.network_bytes.min(ceiling.network_bytes),
            log_bytes: self.log_bytes.min(ceiling.log_bytes),
            readers: self.readers.min(ceiling.readers),
            threads: self.threads.min(ceiling.threads),
        }
    }

    /// The limits in plain words.
    pub fn words(&self) -> String {
        let size = crate::size::spell;
        format!(
            "has at most {} s, {} s of CPU time on {} threads, {} of memory for its driver and {} for DuckDB, {} of output, \
             {} of spill, {} over the network, {} of logs, {} readers",
            self.wall_seconds,
            self.cpu_seconds,
            self.threads,
            size(self.guest_memory_bytes),
            size(self.engine_memory_bytes),
            size(self.output_bytes),
            size(self.spill_bytes),
            size(self.network_bytes),
            size(self.log_bytes),
            self.readers
        )
    }

    /// What the step's scratch folder may take up: output and spill, and room for what DuckDB writes
    /// beside them.
    pub fn scratch_bytes(&self) -> u64 {
        self.output_bytes.saturating_add(self.spill_bytes).saturating_add(64 << 20)
    }

    /// What the whole process may hold in memory: guest and engine, and room for the program itself.
    pub fn resident_bytes(&self) -> u64 {
        self.guest_memory_bytes.saturating_add(self.engine_memory_bytes).saturating_add(1 << 30)
    }
}
