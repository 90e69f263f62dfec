//! The limits of a run's steps as the command line says them.

use crate::grants::limits::Limits;
use crate::size;

const DEFAULT: Limits = Limits::DEFAULT;

/// What each step may use up.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits of each step")]
pub struct LimitArguments {
    /// Stop a step that runs longer
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT.wall_seconds, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    step_timeout: u64,
    /// Stop a step that uses more CPU time
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT.cpu_seconds, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    step_cpu: u64,
    /// Memory of a step's DuckDB; beyond it DuckDB spills to disk
    #[arg(long, value_name = "SIZE", default_value = "2GB", value_parser = size::parse)]
    engine_memory: u64,
    /// Memory of a step's driver
    #[arg(long, value_name = "SIZE", default_value = "512MB", value_parser = size::parse)]
    guest_memory: u64,
    /// Disk space that a step may spill to
    #[arg(long, value_name = "SIZE", default_value = "100GB", value_parser = size::parse)]
    spill: u64,
    /// Size of a step's output, and of each file that it writes
    #[arg(long, value_name = "SIZE", default_value = "100GB", value_parser = size::parse)]
    output_size: u64,
    /// What may go over a step's connections, both ways together
    #[arg(long, value_name = "SIZE", default_value = "100GB", value_parser = size::parse)]
    network_size: u64,
    /// What a step's driver may log
    #[arg(long, value_name = "SIZE", default_value = "16MB", value_parser = size::parse)]
    log_size: u64,
    /// Readers that a step's driver may have open at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT.readers, value_parser = clap::value_parser!(u32).range(1..=500))]
    readers: u32,
}

impl LimitArguments {
    pub fn limits(&self) -> Limits {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Limits {
            wall_seconds: self.step_timeout,
            cpu_seconds: self.step_cpu,
            guest_memory_bytes: self.guest_memory,
            engine_memory_bytes: self.engine_memory,
            output_bytes: self.output_size,
            spill_bytes: self.spill,
            network_bytes: self.network_size,
            log_bytes: self.log_size,
            readers: self.readers,
            threads: u32::try_from(cpus).unwrap_or(1),
        }
    }
}
