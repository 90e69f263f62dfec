//! The resource limits of one step. Each limit is declared once, in [`limits!`]; the flags, the policy's keys and the
//! descriptions are derived from it.

use serde::{Deserialize, Serialize};

use crate::size;

/// The largest state that a step may keep, in bytes.
pub const MAX_STATE_BYTES: usize = 1 << 20;

/// The most files that the paths of one step may stand for.
pub const MAX_MATCHED_FILES: usize = 5000;

/// The unit of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    Count,
}

impl Unit {
    /// The placeholder for a value in help texts.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Unit::Seconds => "SECONDS",
            Unit::Bytes => "SIZE",
            Unit::Count => "N",
        }
    }

    fn parse(self, text: &str) -> Result<u64, String> {
        match self {
            Unit::Bytes => size::parse(text),
            Unit::Seconds | Unit::Count => text.parse().map_err(|_| format!("`{text}` is not a whole number")),
        }
    }

    /// A value in a form for people.
    pub fn write(self, value: u64) -> String {
        match self {
            Unit::Bytes => size::exact(value),
            Unit::Seconds | Unit::Count => value.to_string(),
        }
    }

    fn spell(self, value: u64) -> String {
        match self {
            Unit::Seconds => format!("{value} s"),
            Unit::Bytes => size::spell(value),
            Unit::Count => value.to_string(),
        }
    }
}

/// One limit of a step.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Its key under `limits` of a policy.
    pub policy_key: &'static str,
    /// Its flag on the command line; `None` if the machine decides.
    pub flag: Option<&'static str>,
    pub unit: Unit,
    /// The limit if nobody sets another one.
    pub default: u64,
    /// The highest value that may be set.
    pub ceiling: u64,
    /// The flag's help.
    pub help: &'static str,
    /// The noun phrase after the value, such as `of spill`.
    pub words: &'static str,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

impl PartialEq for Limit {
    fn eq(&self, other: &Self) -> bool {
        self.policy_key == other.policy_key
    }
}

impl Limit {
    /// Parses a value from the command line.
    ///
    /// # Errors
    /// If it is not between 1 and the ceiling.
    pub fn parse(&self, text: &str) -> Result<u64, String> {
        let value = self.unit.parse(text)?;
        if (1..=self.ceiling).contains(&value) {
            return Ok(value);
        }
        Err(format!("`{text}` is not between 1 and {}", self.unit.write(self.ceiling)))
    }

    pub fn of(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    pub fn set(&self, limits: &mut Limits, value: u64) {
        (self.set)(limits, value);
    }

    /// The flag with its placeholder, for hints.
    pub fn usage(&self) -> String {
        self.flag.map_or_else(
            || format!("{} of a policy", self.policy_key),
            |flag| format!("--{flag} {}", self.unit.placeholder()),
        )
    }
}

/// Declares the limits: a field of [`Limits`] and a row of [`Limits::ALL`] for each.
macro_rules! limits {
    ($($row:ident $field:ident: $policy_key:literal, $flag:expr, $unit:ident, default $default:expr, ceiling $ceiling:expr,
        $help:literal, $words:literal;)*) => {
        /// The resource limits of one step. Every limit is a number: there is no unlimited.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Limits {
            $(#[doc = $help] pub $field: u64,)*
        }

        impl Limits {
            /// The limits if nobody sets others.
            pub const DEFAULT: Self = Self { $($field: $default,)* };

            /// The highest limits that may be set.
            pub const CEILING: Self = Self { $($field: $ceiling,)* };

            $(#[doc = $help] pub const $row: Limit = Limit {
                policy_key: $policy_key,
                flag: $flag,
                unit: Unit::$unit,
                default: $default,
                ceiling: $ceiling,
                help: $help,
                words: $words,
                get: |limits| limits.$field,
                set: |limits, value| limits.$field = value,
            };)*

            /// Every limit.
            pub const ALL: &[Limit] = &[$(Self::$row,)*];

            /// The keys under `limits` of a policy.
            pub const POLICY_KEYS: &[&str] = &[$($policy_key,)*];
        }
    };
}

/// The memory of a step's process apart from guest and engine, in bytes.
const PROGRAM_BYTES: u64 = 512 << 20;

/// The memory of each of its threads, including the stack, in bytes.
const THREAD_BYTES: u64 = 16 << 20;

/// Reserved addresses that use no memory, in bytes.
const SPARE_BYTES: u64 = 256 << 20;

const YEAR: u64 = 31_536_000;
const PEBIBYTE: u64 = 1 << 50;

limits! {
    WALL wall_seconds: "wall_seconds", Some("step-timeout"), Seconds, default 3600, ceiling YEAR,
        "Stop a step that runs longer", "";
    CPU cpu_seconds: "cpu_seconds", Some("step-cpu"), Seconds, default 14_400, ceiling YEAR,
        "Stop a step that uses more CPU time", "of CPU time";
    THREADS threads: "threads", None, Count, default 1, ceiling 1024,
        "Threads for a step's DuckDB", "threads";
    GUEST_MEMORY guest_memory_bytes: "guest_memory", Some("guest-memory"), Bytes, default 512_000_000, ceiling 1 << 32,
        "Memory for a step's driver", "of memory for its driver";
    ENGINE_MEMORY engine_memory_bytes: "engine_memory", Some("engine-memory"), Bytes, default 2_000_000_000, ceiling PEBIBYTE,
        "Memory for a step's DuckDB, which spills to disk beyond it", "of memory for DuckDB";
    OUTPUT output_bytes: "output", Some("output-size"), Bytes, default 100_000_000_000, ceiling PEBIBYTE,
        "Size of a step's output, and of each file that it writes; the default is at most half of the free disk space", "of output";
    SPILL spill_bytes: "spill", Some("spill"), Bytes, default 100_000_000_000, ceiling PEBIBYTE,
        "Disk space for DuckDB's spilled data; the default is at most half of the free disk space", "of spill";
    NETWORK network_bytes: "network", Some("network-size"), Bytes, default 100_000_000_000, ceiling PEBIBYTE,
        "Bytes that a step may send and receive together", "over the network";
    LOG log_bytes: "log", Some("log-size"), Bytes, default 16_000_000, ceiling 1 << 30,
        "Size of the log of a step's driver", "of logs";
    READERS readers: "readers", Some("readers"), Count, default 64, ceiling 500,
        "Readers that a step's driver may have open at once", "readers";
}

impl Limits {
    /// The lower of each pair of limits.
    #[must_use]
    pub fn within(mut self, ceiling: &Self) -> Self {
        for limit in Self::ALL {
            let lower = limit.of(&self).min(limit.of(ceiling));
            limit.set(&mut self, lower);
        }
        self
    }

    /// The limits in plain words.
    pub fn words(&self) -> String {
        let each =
            |limit: &Limit| format!("{} {}", limit.unit.spell(limit.of(self)), limit.words).trim_end().to_owned();
        format!("has at most {}", Self::ALL.iter().map(each).collect::<Vec<_>>().join(", "))
    }

    /// The limit of the step's scratch folder: output and spill, and room for what DuckDB writes beside them.
    pub fn scratch_bytes(&self) -> u64 {
        self.output_bytes.saturating_add(self.spill_bytes).saturating_add(64 << 20)
    }

    /// The limit of the memory of the whole process, as the host measures it: guest and engine, and room for the
    /// program itself, its threads and what DuckDB does not count.
    pub fn resident_bytes(&self) -> u64 {
        let program = THREAD_BYTES.saturating_mul(self.threads).saturating_add(PROGRAM_BYTES);
        self.guest_memory_bytes.saturating_add(self.engine_memory_bytes).saturating_add(program)
    }

    /// The limit of writable mappings of the whole process, which the kernel enforces (RLIMIT_DATA). It includes extra
    /// room, because allocators keep addresses whose memory they have returned.
    pub fn data_bytes(&self) -> u64 {
        self.resident_bytes().saturating_add(SPARE_BYTES)
    }

    /// Adjusts the limits to a disk with `free` bytes: those in `defaults` that concern the disk leave half of it to
    /// others.
    #[must_use]
    pub fn on_disk(mut self, defaults: &[Limit], free: u64) -> Self {
        for limit in defaults.iter().filter(|limit| [Self::OUTPUT, Self::SPILL].contains(limit)) {
            let lower = limit.of(&self).min(free / 2);
            limit.set(&mut self, lower);
        }
        self
    }
}

/// The limits that a policy sets, by their keys.
#[derive(Debug, Clone, Copy)]
pub struct PolicyLimits(pub Limits);

impl Default for PolicyLimits {
    fn default() -> Self {
        Self(Limits::CEILING)
    }
}

impl<'de> Deserialize<'de> for PolicyLimits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> serde::de::Visitor<'de> for Keys {
            type Value = PolicyLimits;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("limits by name, such as `wall_seconds: 600`")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<PolicyLimits, M::Error> {
                use serde::de::Error;
                let mut limits = Limits::CEILING;
                while let Some(key) = map.next_key::<String>()? {
                    let limit = Limits::ALL
                        .iter()
                        .find(|limit| limit.policy_key == key)
                        .ok_or_else(|| M::Error::unknown_field(&key, Limits::POLICY_KEYS))?;
                    let value = match limit.unit {
                        Unit::Bytes => size::parse(&map.next_value::<String>()?).map_err(M::Error::custom)?,
                        Unit::Seconds | Unit::Count => map.next_value()?,
                    };
                    limit.set(&mut limits, value);
                }
                Ok(PolicyLimits(limits.within(&Limits::CEILING)))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_default_is_within_its_ceiling_and_can_be_written() {
        for limit in Limits::ALL {
            assert!(limit.default <= limit.ceiling, "{}", limit.policy_key);
            assert_eq!(limit.parse(&limit.unit.write(limit.default)), Ok(limit.default), "{}", limit.policy_key);
            assert!(limit.parse("0").is_err(), "{}", limit.policy_key);
        }
        assert_eq!(Limits::DEFAULT.within(&Limits::CEILING), Limits::DEFAULT);
    }

    #[test]
    fn default_disk_limits_follow_the_free_space() {
        let (free, half) = (10_000_000_000, 5_000_000_000);
        let on_disk = |defaults: &[Limit]| {
            let limits = Limits::DEFAULT.on_disk(defaults, free);
            (limits.output_bytes, limits.spill_bytes)
        };
        let (output, spill) = (Limits::DEFAULT.output_bytes, Limits::DEFAULT.spill_bytes);
        assert_eq!(on_disk(Limits::ALL), (half, half));
        assert_eq!(on_disk(&[Limits::OUTPUT, Limits::READERS]), (half, spill));
        assert_eq!(on_disk(&[]), (output, spill));
        assert_eq!(Limits::DEFAULT.on_disk(Limits::ALL, u64::MAX), Limits::DEFAULT);
    }

    #[test]
    fn the_lower_limit_wins() {
        let (low, high) =
            (Limits { readers: 1, log_bytes: 9, ..Limits::DEFAULT }, Limits { log_bytes: 3, ..Limits::CEILING });
        let both = low.within(&high);
        assert_eq!((both.readers, both.log_bytes, both.wall_seconds), (1, 3, Limits::DEFAULT.wall_seconds));
    }

    #[test]
    fn the_documentation_shows_every_limit_with_its_flag() {
        let docs = include_str!("../../../docs/security.md");
        let policy = docs.split("\nlimits:\n").nth(1).unwrap().split("```").next().unwrap();
        let keys: Vec<&str> = policy.lines().filter_map(|line| Some(line.trim().split_once(':')?.0)).collect();
        assert_eq!(keys, Limits::POLICY_KEYS);
        for limit in Limits::ALL {
            let line = policy.lines().find(|line| line.trim().starts_with(&format!("{}:", limit.policy_key))).unwrap();
            assert_eq!(line.contains("--"), limit.flag.is_some(), "{line}");
            assert!(limit.flag.is_none_or(|flag| line.contains(&format!("--{flag}"))), "{line}");
        }
    }
}
