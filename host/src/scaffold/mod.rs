//! Projects in which drivers are written, outside this repository: their templates, the SDKs that they contain, and the
//! toolchains that build them.

pub mod build;
mod embedded;
mod project;
mod settings;
mod template;
mod toolchain;
mod watch;

use std::fmt;

use serde::Deserialize;

pub use project::{Draft, Project};
pub use settings::Settings;
pub use template::{Template, default_template};
pub use watch::Watch;

/// A language that has an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Rust,
    Python,
    Typescript,
    Go,
    C,
}

impl Language {
    pub const ALL: [Self; 5] = [Self::Rust, Self::Python, Self::Typescript, Self::Go, Self::C];

    /// The name that commands and `driver.yaml` use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Typescript => "typescript",
            Self::Go => "go",
            Self::C => "c",
        }
    }

    /// The name in prose.
    fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Typescript => "TypeScript",
            Self::Go => "Go",
            Self::C => "C",
        }
    }

    /// Where a project keeps the SDK. Go takes a folder `vendor` for one that it made itself.
    fn sdk_folder(self) -> &'static str {
        match self {
            Self::Go => "third_party/osiris-sdk",
            _ => "vendor/osiris-sdk",
        }
    }

    /// Where the contract's WIT is in the SDK's folder.
    fn wit_folder(self) -> &'static str {
        match self {
            Self::Python => "osiris_sdk/wit",
            _ => "wit",
        }
    }

    /// The usual place of the driver's source in its project.
    fn source(self) -> &'static str {
        match self {
            Self::Rust | Self::Go => ".",
            Self::Python => "driver.py",
            Self::Typescript => "driver.ts",
            Self::C => "driver.c",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
