//! `driver.yaml`: what a build must know about a project.

use std::path::PathBuf;

use serde::Deserialize;

use crate::error::Report;
use crate::pipeline::yaml;
use crate::scaffold::Language;

/// The name of the file in a driver's project.
pub const FILE: &str = "driver.yaml";

/// The content of `driver.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub language: Language,
    /// The driver's source, if it is not in its language's usual place; for C also a folder.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// What runs a driver in TypeScript.
    #[serde(default)]
    pub engine: Option<Engine>,
    /// The compiler of a driver in C with its options, instead of zig: `clang --target=wasm32-wasi --sysroot=/opt/wasi`.
    #[serde(default)]
    pub compiler: Option<String>,
}

/// A JavaScript engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Quickjs,
    Starlingmonkey,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Quickjs => "quickjs",
            Self::Starlingmonkey => "starlingmonkey",
        }
    }
}

impl Settings {
    /// # Errors
    /// A [`Report`] with the line if a key or value is wrong, or if a key is of another language.
    pub fn parse(text: &str, file: &str) -> Result<Self, Report> {
        let settings: Self = yaml::parse(text, "the project's settings in", file)?;
        for (key, written, of) in [
            ("engine", settings.engine.is_some(), Language::Typescript),
            ("compiler", settings.compiler.is_some(), Language::C),
        ] {
            if written && settings.language != of {
                let language = settings.language;
                return Err(Report::input(format!("`{key}` in `{file}` has no effect for {language}; it is for {of}"))
                    .hint("remove it"));
            }
        }
        Ok(settings)
    }

    /// The driver's source in its project.
    pub fn source(&self) -> PathBuf {
        self.source.clone().unwrap_or_else(|| self.language.source().into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_name_a_language_and_refuse_what_is_unknown_or_without_effect() {
        let settings = Settings::parse("language: python", "driver.yaml").unwrap();
        assert_eq!((settings.language, settings.source()), (Language::Python, "driver.py".into()));
        for (text, message) in [
            ("language: cobol", "cobol"),
            ("language: go\nsauce: x", "sauce"),
            ("source: x", "language"),
            ("language: go\nengine: quickjs", "`engine` in `driver.yaml` has no effect for go"),
            ("language: rust\ncompiler: cc", "it is for c"),
        ] {
            let report = Settings::parse(text, "driver.yaml").unwrap_err();
            assert!(report.message.contains(message) && report.hint.is_some(), "{report:?}");
        }
    }
}
