//! A driver's project: drafted from a template by `osiris drivers new`, and read by the commands that work on one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use serde_json::{Map, Value};

use crate::driver::spec::{self, Kind, Spec};
use crate::error::Report;
use crate::scaffold::template::{Template, an};
use crate::scaffold::{Language, Settings, embedded, settings};
use crate::session::plain;

/// The longest name of a project, in bytes.
const MAX_NAME: usize = 64;

/// The family of a driver whose project's name has none.
const FAMILY: &str = "my";

/// A project that is yet to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    name: String,
    language: Language,
    kind: Kind,
    template: Template,
}

impl Draft {
    /// # Errors
    /// A [`Report`] if the name is not a name, or if the template is not for drivers of this kind.
    pub fn new(name: &str, language: Language, kind: Kind, template: Template) -> Result<Self, Report> {
        let starts_with_letter = name.split('.').all(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
        if !starts_with_letter || name.len() > MAX_NAME || !spec::is_component_name(&format!("{FAMILY}.{name}")) {
            return Err(Report::input(format!("`{name}` is not a name for a driver")).hint(
                "write at most 64 lower-case letters, digits, `_` and `-`, such as `orders` or `shop.orders`; each part starts with a letter",
            ));
        }
        template.check(kind)?;
        Ok(Self { name: name.to_owned(), language, kind, template })
    }

    /// The name that pipelines use for the driver.
    pub fn driver(&self) -> Cow<'_, str> {
        if self.name.contains('.') { (&*self.name).into() } else { format!("{FAMILY}.{}", self.name).into() }
    }

    /// The project's files by their paths.
    pub fn files(&self) -> BTreeMap<String, Cow<'static, [u8]>> {
        let (language, combination) = (self.language, format!("{}-{}", self.kind, self.template));
        let mut files = BTreeMap::new();
        let words = self.words(&combination);
        for folder in [
            "every".to_owned(),
            format!("of/{combination}"),
            format!("{language}/every"),
            format!("{language}/{combination}"),
        ] {
            for (path, bytes) in embedded::below(&format!("templates/{folder}")) {
                let path = path.strip_suffix(".template").unwrap_or(path).replace("dot-", ".");
                let bytes = match std::str::from_utf8(bytes) {
                    Ok(text) => Cow::Owned(filled(text, &words).into_bytes()),
                    Err(_) => Cow::Borrowed(bytes),
                };
                files.insert(path, bytes);
            }
        }
        let sdk = language.sdk_folder();
        for (path, bytes) in embedded::below(&format!("sdk/{language}")) {
            files.insert(format!("{sdk}/{path}"), Cow::Borrowed(bytes));
        }
        for (path, bytes) in embedded::below("wit") {
            files.insert(format!("{sdk}/{}/{path}", language.wit_folder()), Cow::Borrowed(bytes));
        }
        if language == Language::Typescript {
            let package = files.entry(format!("{sdk}/package.json")).or_default();
            *package = vendored_package(package).into_bytes().into();
        }
        files
    }

    /// What the placeholders in templates stand for.
    fn words(&self, combination: &str) -> Vec<(&'static str, String)> {
        let language = self.language;
        let text = |name: &str| embedded::text(&format!("templates/text/{name}")).trim_end().to_owned();
        let facts = embedded::text(&format!("templates/text/{language}.facts"));
        let fact = |name: &str| {
            let line = facts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        // Longer texts first: they contain placeholders themselves.
        vec![
            ("about", text(&format!("{combination}.md"))),
            ("rules", text(&format!("{language}-rules.md"))),
            ("ci_steps", text(&format!("{language}-ci.yml"))),
            ("http_feature", if self.template == Template::Rest { ", features = [\"http\"]" } else { "" }.to_owned()),
            ("unit_tests", fact("unit_tests")),
            ("unit_test_file", fact("unit_test_file")),
            ("driver_file", fact("driver_file")),
            ("tools", fact("tools")),
            ("name", self.name.clone()),
            ("driver", self.driver().into_owned()),
            ("module", self.name.replace(['.', '_'], "-")),
            ("language", language.name().to_owned()),
            ("language_title", language.title().to_owned()),
            ("a_kind", an(self.kind)),
            ("kind", self.kind.to_string()),
            ("sdk", language.sdk_folder().to_owned()),
            ("contract", spec::CONTRACT.to_owned()),
        ]
    }

    /// Writes the project into a new folder below `parent`; returns the folder.
    ///
    /// # Errors
    /// A [`Report`] if there is something of that name already; if a file cannot be written.
    pub fn write(&self, parent: &Path) -> anyhow::Result<PathBuf> {
        let folder = parent.join(&self.name);
        if std::fs::symlink_metadata(&folder).is_ok() {
            let is_empty = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none());
            if !is_empty {
                return Err(Report::input(format!("`{}` exists and is not an empty folder", folder.display()))
                    .hint("choose another name, or remove it")
                    .into());
            }
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        let dir = Dir::open_ambient_dir(&folder, ambient_authority())
            .with_context(|| format!("cannot open `{}`", folder.display()))?;
        for (path, bytes) in self.files() {
            let write = || -> std::io::Result<()> {
                if let Some(parent) = Path::new(&path).parent() {
                    dir.create_dir_all(parent)?;
                }
                dir.open_with(&path, OpenOptions::new().write(true).create_new(true))?.write_all(&bytes)
            };
            write().with_context(|| format!("cannot write `{}`", folder.join(&path).display()))?;
        }
        Ok(folder)
    }
}

/// The text with `{{word}}` replaced by what the word stands for.
fn filled(text: &str, words: &[(&str, String)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{{{word}}}}}"), value))
}

/// The TypeScript SDK's `package.json` without what only its own development needs, and with its sources in place of
/// compiled files.
fn vendored_package(text: &[u8]) -> String {
    let mut package: Value = serde_json::from_slice(text).unwrap_or_default();
    if let Some(fields) = package.as_object_mut() {
        for own in ["devDependencies", "overrides", "scripts", "files", "bin"] {
            fields.remove(own);
        }
        let modules = [(".", "index"), ("./testing", "testing"), ("./component", "component")];
        let exports: Map<String, Value> =
            modules.iter().map(|(name, file)| ((*name).to_owned(), format!("./src/{file}.ts").into())).collect();
        fields.insert("exports".to_owned(), exports.into());
    }
    serde_json::to_string_pretty(&package).unwrap_or_default() + "\n"
}

/// A project on disk.
#[derive(Debug)]
pub struct Project {
    /// Absolute.
    pub folder: PathBuf,
    pub settings: Settings,
    pub spec: Spec,
    pub spec_text: String,
}

impl Project {
    pub const SPEC: &str = "spec.yaml";

    /// Reads a project's `driver.yaml` and `spec.yaml`.
    ///
    /// # Errors
    /// A [`Report`] if the folder is not a project, or if one of the two is wrong.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let shown = folder.display();
        let absolute = std::fs::canonicalize(folder).map_err(|error| {
            Report::input(format!("cannot open the project `{shown}`: {error}"))
                .hint("name the folder of a driver's project")
        })?;
        let dir = Dir::open_ambient_dir(&absolute, ambient_authority())
            .map_err(|error| Report::input(format!("cannot open the project `{shown}`: {error}")))?;
        let read = |name: &str| {
            plain::read(&dir, name).map_err(|error| {
                Report::input(format!("`{shown}` is not a driver's project: cannot read `{name}` in it: {error}"))
                    .hint("name a folder that `osiris drivers new` made, or add the file")
            })
        };
        let settings = Settings::parse(&read(settings::FILE)?, settings::FILE)?;
        let spec_text = read(Self::SPEC)?;
        let spec = spec::parse(&spec_text, Self::SPEC)?;
        Ok(Self { folder: absolute, settings, spec, spec_text })
    }

    /// Where `osiris drivers build` writes the driver, unless told otherwise.
    pub fn output(&self) -> PathBuf {
        self.folder.join("build").join(format!("{}.wasm", self.spec.name))
    }

    /// The SDK that is part of the project.
    pub fn sdk(&self) -> PathBuf {
        self.folder.join(self.settings.language.sdk_folder())
    }

    pub fn source(&self) -> PathBuf {
        self.folder.join(self.settings.source())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scaffold::template::templates_of;

    fn drafts() -> Vec<Draft> {
        let pairs =
            Kind::ALL.into_iter().flat_map(|kind| templates_of(kind).iter().map(move |template| (kind, *template)));
        let all = pairs.flat_map(|(kind, template)| {
            Language::ALL.map(|language| Draft::new("shop.orders_2", language, kind, template).unwrap())
        });
        all.collect()
    }

    #[test]
    fn every_template_of_every_language_is_a_whole_project_without_placeholders() {
        for draft in drafts() {
            let files = draft.files();
            let which = format!("{} {}-{}", draft.language, draft.kind, draft.template);
            let text = |path: &str| {
                String::from_utf8(files.get(path).unwrap_or_else(|| panic!("{which}: {path}")).to_vec()).unwrap()
            };
            for path in ["README.md", "AGENTS.md", ".gitignore", ".github/workflows/ci.yml", "example/pipeline.yaml"] {
                assert!(!text(path).is_empty(), "{which}: {path}");
            }
            let settings = Settings::parse(&text(settings::FILE), settings::FILE).unwrap();
            assert_eq!(settings.language, draft.language);
            let source = settings.source();
            assert!(
                source.ends_with(".") || files.contains_key(source.to_str().unwrap()),
                "{which}: {}",
                source.display()
            );
            let spec = spec::parse(&text(Project::SPEC), Project::SPEC).unwrap();
            assert_eq!(
                (spec.name.as_str(), spec.kind, spec.examples.len()),
                ("shop.orders_2", draft.kind, 1),
                "{which}"
            );
            assert!(files.keys().any(|path| path.starts_with("tests/") && path.ends_with(".yaml")), "{which}");
            for (path, bytes) in &files {
                let own = !path.starts_with(draft.language.sdk_folder());
                let left = words_left(&String::from_utf8_lossy(bytes));
                assert!(!own || left.is_empty(), "{which}: {path}: {left:?}");
            }
        }
    }

    /// Placeholders as templates write them; `${{ … }}` of GitHub has spaces.
    fn words_left(text: &str) -> Vec<String> {
        let starts = text.match_indices("{{").map(|(at, _)| &text[at + 2..]);
        let words = starts.filter_map(|rest| rest.split_once("}}").map(|(word, _)| word.to_owned()));
        words.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
    }

    #[test]
    fn names_that_are_no_names_and_templates_of_other_kinds_are_refused() {
        let draft = |name: &str, kind, template| Draft::new(name, Language::Rust, kind, template);
        for name in
            ["", "Orders", "../x", "a/b", ".a", "a.", "a..b", "2go", "shop.2go", "-x", "a b", "žluť", &"x".repeat(65)]
        {
            let report = draft(name, Kind::Extractor, Template::Rows).unwrap_err();
            assert!(report.message.contains("is not a name") && report.hint.is_some(), "{name}: {report:?}");
        }
        assert_eq!(draft("orders", Kind::Extractor, Template::Rows).unwrap().driver(), "my.orders");
        let report = draft("orders", Kind::Processor, Template::Rest).unwrap_err();
        assert_eq!(report.message, "no template `rest` is for a processor; its templates: `columns`, `sql`");
    }

    #[test]
    fn the_typescript_sdk_needs_only_what_builds_drivers() {
        let draft = Draft::new("orders", Language::Typescript, Kind::Writer, Template::File).unwrap();
        let package: Value = serde_json::from_slice(&draft.files()["vendor/osiris-sdk/package.json"]).unwrap();
        assert_eq!(package["exports"]["./testing"], "./src/testing.ts");
        assert!(package["dependencies"]["esbuild"].is_string() && package.get("devDependencies").is_none());
    }
}
